// Head backward: sum_v exp(logit[r,v] - lse[r]) W[v] per row and segment; logits are recomputed
// per tile and never stored. 4RdV operations.
//
// Order of a sum: within a tile ascending tokens from zero, tiles added in ascending order.
#pragma once

#include "product.h"

namespace {

// sums[r] += sum over the tile of p[r][v] w[v], for NR rows and the NC vectors from column c on;
// part > 0: one vector of which only that many columns exist.
template <int NR, int NC, class Real, class Elem>
inline void spread(const Real* p, const Elem* w, int64_t w_stride, int nv, Real* sums,
                   int64_t stride, int64_t c, int part) {
  using V = Vec<Real>;
  V acc[NR][NC];
  for (int r = 0; r < NR; r++) {
    for (int k = 0; k < NC; k++) acc[r][k] = V::zero();
  }
  for (int v = 0; v < nv; v++) {
    const Elem* row = w + v * w_stride + c;
    for (int k = 0; k < NC; k++) {
      const V a = part > 0 ? load_part<Real>(row, part) : V::load(row + k * V::N);
      for (int r = 0; r < NR; r++) acc[r][k] = acc[r][k].fma(V::all(p[r * assay::kTile + v]), a);
    }
  }
  for (int r = 0; r < NR; r++) {
    for (int k = 0; k < NC; k++) {
      Real* to = sums + r * stride + c + k * V::N;
      V::load(to).plus(acc[r][k]).store(to);
    }
  }
}

template <int NR, class Real, class Elem>
inline void spread_columns(const Real* p, const Elem* w, int64_t w_stride, int nv, Real* sums,
                           int64_t stride, int64_t d) {
  constexpr int N = Vec<Real>::N;
  int64_t c = 0;
  for (; c + 4 * N <= d; c += 4 * N) spread<NR, 4>(p, w, w_stride, nv, sums, stride, c, 0);
  for (; c + N <= d; c += N) spread<NR, 1>(p, w, w_stride, nv, sums, stride, c, 0);
  if (c < d) spread<NR, 1>(p, w, w_stride, nv, sums, stride, c, static_cast<int>(d - c));
}

template <class Real, class Elem>
struct HeadBackwardTask {
  static void run(const assay::BackwardJob& job, int64_t task) {
    const Range t = range(task, job.segments, job.hidden.rows, job.head.rows);
    const int64_t d = job.head.columns;
    const Elem* w = static_cast<const Elem*>(job.head.data);
    const Real* x = static_cast<const Real*>(job.hidden.data) + t.row * job.hidden.stride;
    const Real* lse = static_cast<const Real*>(job.lse) + t.row;
    const int64_t stride = job.segments.count * job.hidden.stride;
    Real* sums = static_cast<Real*>(job.sums) + t.row * stride + t.segment * job.hidden.stride;
    for (int r = 0; r < t.rows; r++) {
      for (int64_t c = 0; c < job.hidden.stride; c++) sums[r * stride + c] = 0;
    }
    Real p[assay::kRowBlock * assay::kTile];
    for (int64_t v = t.first; v < t.last; v += assay::kTile) {
      const int nv = tile(v, t.last);
      const Elem* rows = w + v * job.head.stride;
      product(rows, job.head.stride, nv, x, job.hidden.stride, t.rows, d, p);
      add_bias(job.bias, v, nv, t.rows, p);
      for (int r = 0; r < t.rows; r++) {
        Real* row = p + r * assay::kTile;
        for (int i = 0; i < nv; i++) row[i] = exponential(row[i] - lse[r]);
      }
      int r = 0;
      for (; r + 3 <= t.rows; r += 3) {
        spread_columns<3>(p + r * assay::kTile, rows, job.head.stride, nv, sums + r * stride,
                          stride, d);
      }
      for (; r < t.rows; r++) {
        spread_columns<1>(p + r * assay::kTile, rows, job.head.stride, nv, sums + r * stride,
                          stride, d);
      }
    }
  }
};

void head_backward_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::BackwardJob*>(job);
  by_type<HeadBackwardTask>(j.head.dtype, j, task);
}

}  // namespace
