// Token swap beside a coarse table: exact products of whole numbers bound every score from both
// sides; whatever may be among the best K is listed, and its score computed from the full table.
//
// A token is dropped only if K others, allowed like it, have lower bounds above its upper bound.
// With C and x' what the whole numbers stand for, a score differs from C.x' by at most
// coarse_error[v] ||x|| + ||C|| ||x - x'|| (assay.h); what is added after it is the same in both,
// and rounding is monotonic.
#pragma once

#include "token_swap_topk.h"
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
        keep(job, t, t.row + r, v, nv, products + r * assay::kTile);
      }
    }
  }

  static void keep(const assay::SwapJob& job, const Range& t, int64_t audit, int64_t first, int nv,
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
      const float error = apart[v] * norm + scale[v] * slack + least;  // NaN: no bound
      const float bound = error < 0x1p100f ? error : __builtin_inff();
      const float score = static_cast<float>(products[v]) * (scale[v] * unit);
      lower[v] = score - bound;
      upper[v] = score + bound;
    }
    finish<float>(job, audit, first, nv, upper, nullptr);
    Heap<float> heap = heap_of<float>(job, part);
    float bar = bar_of(job, audit, heap);
    int news = 0;
    for (int v = 0; v < nv; v++) news |= !(upper[v] < bar);
    if (!news) return;
    finish<float>(job, audit, first, nv, lower, nullptr);
    for (int v = 0; v < nv; v++) {
      if (upper[v] < bar || masked(*job.args, audit, first + v)) continue;
      // A bound that is not a number: anything is possible.
      const bool known = lower[v] == lower[v] && upper[v] == upper[v];
      if (known && heap.wants(lower[v])) {
        heap.add(lower[v], static_cast<int32_t>(first + v));
        bar = bar_of(job, audit, heap);
      }
      if (!list(job, part, known ? upper[v] : __builtin_inff(), static_cast<int32_t>(first + v),
                bar)) {
        return;
      }
    }
    if (heap.full()) raise_floor(job, audit, heap.scores[0]);
  }

  static float bar_of(const assay::SwapJob& job, int64_t audit, const Heap<float>& heap) {
    const float floor = floor_of<float>(job, audit);
    return heap.full() && heap.scores[0] > floor ? heap.scores[0] : floor;
  }

  // Adds a candidate; where there is no room those below the bar go. False if that does not help.
  static bool list(const assay::SwapJob& job, int64_t part, float upper, int32_t id, float bar) {
    const int64_t room = assay::listed(job.args->kept);
    float* uppers = job.uppers + part * room;
    int32_t* candidates = job.candidates + part * room;
    int32_t& count = job.listed[part];
    if (count == room) {
      count = 0;
      for (int64_t i = 0; i < room; i++) {
        if (uppers[i] < bar) continue;
        uppers[count] = uppers[i];
        candidates[count++] = candidates[i];
      }
    }
    if (count == room) {
      count = -1;
      return false;
    }
    uppers[count] = upper;
    candidates[count++] = id;
    return true;
  }
};

void token_swap_coarse_task(const void* job, int64_t task) {
  CoarseTask::run(*static_cast<const assay::SwapJob*>(job), task);
}

void token_score_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::ScoreJob*>(job);
  const assay::SwapJob& swap = *j.swap;
  const assay_matrix& e = swap.args->embedding;
  const int64_t audit = task / assay::kSegments;
  const float* x = static_cast<const float*>(swap.gradient.data) + audit * swap.gradient.stride;
  for (int64_t i = j.first[audit] + task % assay::kSegments; i < j.last[audit];
       i += assay::kSegments) {
    assay::Entry<float>& candidate = j.candidates[audit * j.room + i];
    float score[assay::kTile];
    product(static_cast<const float*>(e.data) + candidate.id * e.stride, e.stride, 1, x,
            swap.gradient.stride, 1, e.columns, score);
    finish<float>(swap, audit, candidate.id, 1, score, nullptr);
    candidate.score = score[0];
  }
}

}  // namespace
