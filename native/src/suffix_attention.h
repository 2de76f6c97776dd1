// Suffix attention: online softmax over tiles of keys, first those of the past, then the sequence's
// own, for as many queries at once as the registers hold.
//
// 4d operations for each pair of query and key; keys and values are read once for a group of
// queries. Order of a sum over keys: ascending, rescaled when a tile raises the maximum; tiles
// begin at position 0 and at the sequence's start, so that a row's bits depend on nothing but the
// row.
#pragma once

#include "product.h"

namespace {

// What a group of queries of one head has read so far.
template <class Real>
struct Read {
  static constexpr int Rows = Vec<Real>::Rows;
  alignas(64) Real q[Rows * ASSAY_MAX_HEAD_WIDTH];  // times the scale, zero behind the head's width
  Real* out[Rows];
  Real max[Rows];
  Real sum[Rows];
};

// out = out * keep + sum_i p[i] v[i] over n rows.
template <class Real>
inline void mix(Real* out, Real keep, const Real* p, const Real* v, int64_t stride, int n,
                int64_t width) {
  using V = Vec<Real>;
  int64_t c = 0;
  for (; c + V::N <= width; c += V::N) {
    V acc = V::zero().fma(V::all(keep), V::load(out + c));
    for (int i = 0; i < n; i++) acc = acc.fma(V::all(p[i]), V::load(v + i * stride + c));
    acc.store(out + c);
  }
  for (; c < width; c++) {
    Real acc = keep * out[c];
    for (int i = 0; i < n; i++) acc += p[i] * v[i * stride + c];
    out[c] = acc;
  }
}

// Takes in nk <= kTile keys, of which query j sees the first seen + j (at least none, at most all).
template <class Real>
inline void read_tile(Read<Real>& g, int nq, const Real* k, int64_t k_stride, const Real* v,
                      int64_t v_stride, int nk, int64_t seen, int64_t width, int64_t padded) {
  alignas(64) Real scores[Read<Real>::Rows * assay::kTile];
  product(k, k_stride, nk, g.q, padded, nq, width, scores);
  for (int j = 0; j < nq; j++) {
    const int64_t can = seen + j;
    const int n = can < 0 ? 0 : can < nk ? static_cast<int>(can) : nk;
    if (n == 0) continue;
    Real* p = scores + j * assay::kTile;
    Real max = g.max[j];
    for (int i = 0; i < n; i++) max = p[i] > max ? p[i] : max;
    for (int i = n; i < assay::kTile; i++) p[i] = -__builtin_inf();
    for (int i = 0; i < assay::kTile; i++) p[i] = exponential(p[i] - max);
    const Real keep = exponential(g.max[j] - max);
    Real sum = g.sum[j] * keep;
    for (int i = 0; i < n; i++) sum += p[i];
    mix(g.out[j], keep, p, v, v_stride, n, width);
    g.max[j] = max;
    g.sum[j] = sum;
  }
}

template <class Real>
void suffix_attention(const assay::AttentionJob& job, int64_t s) {
  using V = Vec<Real>;
  const assay_suffix_attention_params& a = *job.args;
  const int64_t start = a.starts[s], positions = a.positions;
  const int64_t width = a.queries.columns / a.heads;
  const int64_t padded = (width + V::N - 1) / V::N * V::N;
  const Real scale = static_cast<Real>(a.scale);
  Read<Real> g;
  for (int64_t head = 0; head < a.heads; head++) {
    auto row = [&](const assay_matrix& m, int64_t r) {
      return static_cast<Real*>(m.data) + r * m.stride + head * width;
    };
    for (int64_t t = job.last ? positions - 1 : start; t < positions; t += Read<Real>::Rows) {
      const int nq = static_cast<int>(positions - t < g.Rows ? positions - t : g.Rows);
      for (int j = 0; j < nq; j++) {
        const int64_t r = job.last ? s : job.rows[s] + t + j - start;
        const Real* q = row(a.queries, r);
        for (int64_t c = 0; c < padded; c++) g.q[j * padded + c] = c < width ? scale * q[c] : 0;
        g.out[j] = row(job.out, r);
        for (int64_t c = 0; c < width; c++) g.out[j][c] = 0;
        g.max[j] = -__builtin_inf();
        g.sum[j] = 0;
      }
      for (int64_t u = 0; u < start; u += assay::kTile) {
        const int64_t r = a.prompts[s] * positions + u;
        read_tile(g, nq, row(a.past_keys, r), a.past_keys.stride, row(a.past_values, r),
                  a.past_values.stride, tile(u, start), t + 1 - u, width, padded);
      }
      for (int64_t u = start; u < t + nq; u += assay::kTile) {
        const int64_t r = job.rows[s] + u - start;
        read_tile(g, nq, row(a.keys, r), a.keys.stride, row(a.values, r), a.values.stride,
                  tile(u, t + nq), t + 1 - u, width, padded);
      }
      for (int j = 0; j < nq; j++) {
        for (int64_t c = 0; c < width; c++) g.out[j][c] /= g.sum[j];
      }
    }
  }
}

void suffix_attention_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::AttentionJob*>(job);
  if (j.out.dtype == ASSAY_F64) {
    suffix_attention<double>(j, task);
  } else {
    suffix_attention<float>(j, task);
  }
}

}  // namespace
