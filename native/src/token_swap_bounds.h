// What token swap does with bounds of scores: a token is dropped only if K others, allowed like it,
// have lower bounds above its upper bound; whatever may be among the best K is listed, and its
// score computed as without bounds. What is added to a product is the same in both, and rounding is
// monotonic.
#pragma once

#include "token_swap_topk.h"

namespace {

// A bound that is not below 2^100, or not a number, says nothing.
inline float usable(float error) { return error < 0x1p100f ? error : __builtin_inff(); }

// Adds what the products leave out to the bounds of nv tokens, and keeps those that may be wanted.
struct Bounds {
  static void keep(const assay::SwapJob& job, int64_t part, int64_t audit, int64_t first, int nv,
                   float* lower, float* upper) {
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

// The scores of a task's candidates, as the product gives them.
template <class Elem>
inline void score_candidates(const assay::ScoreJob& j, int64_t task) {
  const assay::SwapJob& swap = *j.swap;
  const assay_matrix& e = swap.args->embedding;
  const int64_t audit = task / assay::kSegments;
  const float* x = static_cast<const float*>(swap.gradient.data) + audit * swap.gradient.stride;
  for (int64_t i = j.first[audit] + task % assay::kSegments; i < j.last[audit];
       i += assay::kSegments) {
    assay::Entry<float>& candidate = j.candidates[audit * j.room + i];
    float score[assay::kTile];
    product(static_cast<const Elem*>(e.data) + candidate.id * e.stride, e.stride, 1, x,
            swap.gradient.stride, 1, e.columns, score);
    finish<float>(swap, audit, candidate.id, 1, score, nullptr);
    candidate.score = score[0];
  }
}

void token_score_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::ScoreJob*>(job);
  switch (j.swap->args->embedding.dtype) {
    case ASSAY_F16: score_candidates<Half>(j, task); break;
    case ASSAY_BF16: score_candidates<Bf16>(j, task); break;
    default: score_candidates<float>(j, task); break;
  }
}

}  // namespace
