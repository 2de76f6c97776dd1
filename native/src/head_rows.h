// Head rows: online log-sum-exp, two best logits and the target's logit per row and segment.
//
// 2RdV operations; the table is read once per row block. Order of the sum: the exponentials of a
// tile are added by halves (16 + 16, 8 + 8, ...), tiles in ascending order in double, rescaled when
// one raises the maximum.
#pragma once

#include "product.h"

namespace {

// The two best of a tile, in ascending order; nan if some logit is not a number.
template <class Real>
inline void head_best(assay::HeadPart& part, const Real* logits, int nv, int64_t first) {
  for (int v = 0; v < nv; v++) {
    const double logit = logits[v];
    if (logit != logit) part.nan = 1;
    if (part.best < 0 || logit > part.max) {
      part.second = part.max;
      part.max = logit;
      part.best = static_cast<int32_t>(first + v);
    } else if (logit > part.second) {
      part.second = logit;
    }
  }
}

// Takes in a tile of which logits behind nv are -infinity.
template <class Real>
inline void head_update(assay::HeadPart& part, const Real* logits, int nv, int64_t first) {
  const double before = part.max;
  const Real second = static_cast<Real>(part.second);
  int news = part.best < 0;
  for (int v = 0; v < assay::kTile; v++) news |= !(logits[v] <= second);
  if (news) head_best(part, logits, nv, first);
  if (part.nan || part.max == -__builtin_inf()) return;
  if (part.max > before) part.sum *= __builtin_exp(before - part.max);
  const Real max = static_cast<Real>(part.max);
  Real e[assay::kTile];
  // Equal infinities would otherwise give infinity - infinity.
  for (int v = 0; v < assay::kTile; v++) {
    e[v] = exponential(logits[v] == max ? Real(0) : logits[v] - max);
  }
  for (int n = assay::kTile / 2; n > 0; n /= 2) {
    for (int v = 0; v < n; v++) e[v] += e[v + n];
  }
  part.sum += e[0];
}

template <class Real, class Elem>
struct HeadRowsTask {
  static void run(const assay::HeadJob& job, int64_t task) {
    const Range t = range(task, job.segments, job.hidden.rows, job.head.rows);
    const Elem* w = static_cast<const Elem*>(job.head.data);
    const Real* x = static_cast<const Real*>(job.hidden.data) + t.row * job.hidden.stride;
    alignas(64) Real logits[assay::kRowBlock * assay::kTile];
    const double infinity = __builtin_inf();
    assay::HeadPart* parts = job.parts + t.row * job.segments.count + t.segment;
    for (int r = 0; r < t.rows; r++) {
      parts[r * job.segments.count] = {-infinity, 0, -infinity, 0, -1, 0};
    }
    for (int64_t v = t.first; v < t.last; v += assay::kTile) {
      const int nv = tile(v, t.last);
      product(w + v * job.head.stride, job.head.stride, nv, x, job.hidden.stride, t.rows,
              job.head.columns, logits);
      add_bias(job.bias, v, nv, t.rows, logits);
      for (int r = 0; r < t.rows; r++) {
        assay::HeadPart& part = parts[r * job.segments.count];
        for (int i = nv; i < assay::kTile; i++) {
          logits[r * assay::kTile + i] = static_cast<Real>(-infinity);
        }
        head_update(part, logits + r * assay::kTile, nv, v);
        if (job.targets != nullptr) {
          const int64_t target = job.targets[t.row + r] - v;
          if (target >= 0 && target < nv) part.wanted = logits[r * assay::kTile + target];
        }
      }
    }
  }
};

void head_rows_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::HeadJob*>(job);
  by_type<HeadRowsTask>(j.head.dtype, j, task);
}

}  // namespace
