// Head backward: sum_v exp(logit[r,v] - lse[r]) W[v] per row and segment; logits are recomputed
// per tile and never stored. 4RdV operations.
//
// Order of a sum: within a tile ascending tokens from zero, tiles added in ascending order.
#pragma once

#include "product.h"

namespace {

// sums[r] += sum over a tile of p[r][v] w[v], for NR rows and the NC vectors of a copied tile.
template <int NR, int NC, class Real>
inline void spread(const Real* p, const Real* w, int nv, Real* sums, int64_t stride) {
  using V = Vec<Real>;
  V acc[NR][NC];
  for (int r = 0; r < NR; r++) {
    for (int k = 0; k < NC; k++) acc[r][k] = V::zero();
  }
  for (int v = 0; v < nv; v++) {
    for (int k = 0; k < NC; k++) {
      const V a = V::load(w + v * NC * V::N + k * V::N);
      for (int r = 0; r < NR; r++) acc[r][k] = acc[r][k].fma(V::all(p[r * assay::kTile + v]), a);
    }
  }
  for (int r = 0; r < NR; r++) {
    for (int k = 0; k < NC; k++) {
      Real* to = sums + r * stride + k * V::N;
      V::load(to).plus(acc[r][k]).store(to);
    }
  }
}

template <int NR, int NC, class Real>
inline void spread_rows(const Real* p, const Real* w, int nv, Real* sums, int64_t stride, int nr) {
  int r = 0;
  for (; r + NR <= nr; r += NR) {
    spread<NR, NC>(p + r * assay::kTile, w, nv, sums + r * stride, stride);
  }
  if constexpr (NR > 1) {
    spread_rows<NR - 1, NC>(p + r * assay::kTile, w, nv, sums + r * stride, stride, nr - r);
  }
}

// The NC vectors of a tile from column c on, copied to where they stay in the cache; zeros behind
// column d.
template <int NC, class Real, class Elem>
inline void spread_columns(const Real* p, const Elem* w, int64_t w_stride, int nv, int64_t c,
                           int64_t d, Real* sums, int64_t stride, int nr) {
  using V = Vec<Real>;
  alignas(64) Real copy[assay::kTile * NC * V::N];
  for (int v = 0; v < nv; v++) {
    for (int k = 0; k < NC; k++) {
      const int64_t at = c + k * V::N;
      const Elem* from = w + v * w_stride + at;
      const V a = at + V::N <= d ? V::load(from) : load_part<Real>(from, static_cast<int>(d - at));
      a.store(copy + (v * NC + k) * V::N);
    }
  }
  spread_rows<V::Rows, NC>(p, copy, nv, sums + c, stride, nr);
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
    alignas(64) Real p[assay::kRowBlock * assay::kTile];
    for (int64_t v = t.first; v < t.last; v += assay::kTile) {
      const int nv = tile(v, t.last);
      const Elem* rows = w + v * job.head.stride;
      product(rows, job.head.stride, nv, x, job.hidden.stride, t.rows, d, p);
      add_bias(job.bias, v, nv, t.rows, p);
      for (int r = 0; r < t.rows; r++) {
        Real* row = p + r * assay::kTile;
        const Real less = lse[r];
        for (int i = 0; i < nv; i++) row[i] = exponential(row[i] - less);
      }
      constexpr int N = Vec<Real>::N;
      int64_t c = 0;
      for (; c + 4 * N <= d; c += 4 * N) {
        spread_columns<4>(p, rows, job.head.stride, nv, c, d, sums, stride, t.rows);
      }
      for (; c < d; c += N) {
        spread_columns<1>(p, rows, job.head.stride, nv, c, d, sums, stride, t.rows);
      }
    }
  }
};

void head_backward_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::BackwardJob*>(job);
  by_type<HeadBackwardTask>(j.head.dtype, j, task);
}

}  // namespace
