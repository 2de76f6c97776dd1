// Head rows: online log-sum-exp, two best logits and the target's logit per row and segment.
//
// 2RdV operations; the table is read once per row block. Order of the sum: within a segment,
// ascending tokens, rescaled when a tile of kTile tokens raises the maximum; sums are double.
#pragma once

#include "product.h"

namespace {

template <class Real>
inline void head_update(assay::HeadPart& part, const Real* logits, int nv, int64_t first) {
  const double before = part.max;
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
  if (part.nan || part.max == -__builtin_inf()) return;
  if (part.max > before) part.sum *= __builtin_exp(before - part.max);
  const Real max = static_cast<Real>(part.max);
  for (int v = 0; v < nv; v++) {
    // Equal infinities would otherwise give infinity - infinity.
    part.sum += logits[v] == max ? Real(1) : exponential(logits[v] - max);
  }
}

template <class Real, class Elem>
struct HeadRowsTask {
  static void run(const assay::HeadJob& job, int64_t task) {
    const Range t = range(task, job.segments, job.hidden.rows, job.head.rows);
    const Elem* w = static_cast<const Elem*>(job.head.data);
    const Real* x = static_cast<const Real*>(job.hidden.data) + t.row * job.hidden.stride;
    Real logits[assay::kRowBlock * assay::kTile];
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
