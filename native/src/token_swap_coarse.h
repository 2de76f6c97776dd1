// Token swap beside a coarse table: exact products of whole numbers bound every score from both
// sides. With C and x' what the whole numbers stand for, a score differs from C.x' by at most
// coarse_error[v] ||x|| + ||C|| ||x - x'|| (assay.h).
#pragma once

#include "token_swap_bounds.h"
#include "whole_product.h"

namespace {

struct CoarseTask {
  static void run(const assay::SwapJob& job, int64_t task) {
    const assay_token_swap_topk_params& a = *job.args;
    const Range t = range(task, job.segments, job.gradient.rows, a.embedding.rows);
    const int64_t stride = a.coarse.stride;
    const int8_t* e = static_cast<const int8_t*>(a.coarse.data);
    const int16_t* x = job.whole + t.row * job.gradient.stride;
    alignas(64) int32_t products[assay::kRowBlock * assay::kTile];
    for (int r = 0; r < t.rows; r++) {
      const int64_t part = (t.row + r) * job.segments.count + t.segment;
      job.counts[part] = 0;
      job.listed[part] = 0;
    }
    for (int64_t v = t.first; v < t.last; v += assay::kTile) {
      const int nv = tile(v, t.last);
      whole_product(e + v * stride, stride, nv, x, job.gradient.stride, t.rows, a.coarse.columns,
                    products);
      for (int r = 0; r < t.rows; r++) {
        bound(job, t, t.row + r, v, nv, products + r * assay::kTile);
      }
    }
  }

  static void bound(const assay::SwapJob& job, const Range& t, int64_t audit, int64_t first, int nv,
                    const int32_t* products) {
    const int64_t part = audit * job.segments.count + t.segment;
    if (job.listed[part] < 0) return;
    const float* scale = job.args->coarse_scale + first;
    const float* apart = job.args->coarse_error + first;
    const float unit = job.units[audit];
    // Roundings of the bound itself, and what results below the normal range may lose.
    const float norm = job.norms[audit] * (1 + 0x1p-20f);
    const float slack = job.slacks[audit] * (1 + 0x1p-20f);
    constexpr float least = 0x1p-100f;
    float lower[assay::kTile], upper[assay::kTile];
    for (int v = 0; v < nv; v++) {
      const float error = usable(apart[v] * norm + scale[v] * slack + least);
      const float score = static_cast<float>(products[v]) * (scale[v] * unit);
      lower[v] = score - error;
      upper[v] = score + error;
    }
    Bounds::keep(job, part, audit, first, nv, lower, upper);
  }
};

void token_swap_coarse_task(const void* job, int64_t task) {
  CoarseTask::run(*static_cast<const assay::SwapJob*>(job), task);
}

}  // namespace
