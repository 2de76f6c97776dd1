// Token swap: scores of all tokens for all audits of a row block, the best K kept in a heap per
// audit and segment. 2AdV operations (twice that with two tables), V d elements read per row block.
#pragma once

#include "product.h"

namespace {

// A heap of the best tokens with the worst on top: lower score, among equals the higher id.
template <class Real>
struct Heap {
  Real* scores;
  int32_t* ids;
  int64_t capacity;
  int32_t& count;

  bool full() const { return count == capacity; }

  bool worse(int64_t a, int64_t b) const {
    return scores[a] < scores[b] || (scores[a] == scores[b] && ids[a] > ids[b]);
  }

  void swap(int64_t a, int64_t b) {
    const Real score = scores[a];
    const int32_t id = ids[a];
    scores[a] = scores[b];
    ids[a] = ids[b];
    scores[b] = score;
    ids[b] = id;
  }

  // Tokens come in ascending order, so one that only equals the worst never displaces it.
  bool wants(Real score) const { return count < capacity || score > scores[0]; }

  void add(Real score, int32_t id) {
    if (count < capacity) {
      int64_t i = count++;
      scores[i] = score;
      ids[i] = id;
      for (; i > 0 && worse(i, (i - 1) / 2); i = (i - 1) / 2) swap(i, (i - 1) / 2);
      return;
    }
    scores[0] = score;
    ids[0] = id;
    for (int64_t i = 0;;) {
      int64_t child = 2 * i + 1;
      if (child >= count) return;
      if (child + 1 < count && worse(child + 1, child)) child++;
      if (!worse(child, i)) return;
      swap(i, child);
      i = child;
    }
  }
};

inline bool masked(const assay_token_swap_topk_params& a, int64_t audit, int64_t token) {
  if (a.allowed != nullptr && !(a.allowed[token >> 3] >> (token & 7) & 1)) return true;
  if (a.forbidden_offsets == nullptr) return false;
  int64_t low = a.forbidden_offsets[audit];
  int64_t high = a.forbidden_offsets[audit + 1];
  const int64_t end = high;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (a.forbidden_ids[middle] < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < end && a.forbidden_ids[low] == token;
}

// The shared floor of an audit: what it is at a moment depends on the threads, but only tokens that
// cannot be among the best are dropped by it.
template <class Real>
inline Real floor_of(const assay::SwapJob& job, int64_t audit) {
  Real known;
  __atomic_load(static_cast<Real*>(job.floors) + audit, &known, __ATOMIC_RELAXED);
  return known;
}

template <class Real>
inline void raise_floor(const assay::SwapJob& job, int64_t audit, Real score) {
  Real* floor = static_cast<Real*>(job.floors) + audit;
  Real known = floor_of<Real>(job, audit);
  while (known < score && !__atomic_compare_exchange(floor, &known, &score, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
  }
}

template <class Real>
inline Heap<Real> heap_of(const assay::SwapJob& job, int64_t part) {
  const int64_t kept = job.args->kept;
  return {static_cast<Real*>(job.scores) + part * kept, job.ids + part * kept, kept,
          job.counts[part]};
}

// Adds what the products leave out: alpha * (logit + bias - lse) and the unigram term. Rounding is
// monotonic, so of two sums the larger stays at least as large.
template <class Real>
inline void finish(const assay::SwapJob& job, int64_t audit, int64_t first, int nv, Real* scores,
                   const Real* logits) {
  const assay_token_swap_topk_params& a = *job.args;
  const Real alpha = a.alpha == nullptr ? Real(0) : static_cast<const Real*>(a.alpha)[audit];
  if (alpha != 0) {
    const Real* bias = static_cast<const Real*>(a.bias);
    const Real lse = job.lse == nullptr ? Real(0) : static_cast<const Real*>(job.lse)[audit];
    for (int v = 0; v < nv; v++) {
      const Real logit = logits == nullptr ? Real(0) : logits[v];
      const Real b = bias == nullptr ? Real(0) : bias[first + v];
      scores[v] += alpha * (logit + b - lse);
    }
  }
  if (a.unigram != nullptr) {
    const Real* unigram = static_cast<const Real*>(a.unigram) + first;
    for (int v = 0; v < nv; v++) scores[v] += unigram[v];
  }
}

template <class Real, class Elem>
struct TokenSwapTask {
  static void run(const assay::SwapJob& job, int64_t task) {
    const assay_token_swap_topk_params& a = *job.args;
    const Range t = range(task, job.segments, job.gradient.rows, a.embedding.rows);
    const Elem* e = static_cast<const Elem*>(a.embedding.data);
    const Elem* w = static_cast<const Elem*>(a.head.data);
    const Real* g = static_cast<const Real*>(job.gradient.data) + t.row * job.gradient.stride;
    const Real* h = static_cast<const Real*>(job.hidden.data);
    if (h != nullptr) h += t.row * job.hidden.stride;
    alignas(64) Real scores[assay::kRowBlock * assay::kTile];
    alignas(64) Real logits[assay::kRowBlock * assay::kTile];
    for (int r = 0; r < t.rows; r++) {
      const int64_t part = (t.row + r) * job.segments.count + t.segment;
      job.counts[part] = 0;
      job.nans[part] = 0;
    }
    for (int64_t v = t.first; v < t.last; v += assay::kTile) {
      const int nv = tile(v, t.last);
      product(e + v * a.embedding.stride, a.embedding.stride, nv, g, job.gradient.stride, t.rows,
              a.embedding.columns, scores);
      if (h != nullptr) {
        product(w + v * a.head.stride, a.head.stride, nv, h, job.hidden.stride, t.rows,
                a.head.columns, logits);
      }
      for (int r = 0; r < t.rows; r++) {
        finish(job, t.row + r, v, nv, scores + r * assay::kTile,
               h == nullptr ? nullptr : logits + r * assay::kTile);
        keep(job, t, t.row + r, v, nv, scores + r * assay::kTile);
      }
    }
  }

  static void keep(const assay::SwapJob& job, const Range& t, int64_t audit, int64_t first, int nv,
                   const Real* scores) {
    const int64_t part = audit * job.segments.count + t.segment;
    Heap<Real> heap = heap_of<Real>(job, part);
    const Real floor = floor_of<Real>(job, audit);
    const Real bar = heap.full() && heap.scores[0] > floor ? heap.scores[0] : floor;
    int news = 0;
    for (int v = 0; v < nv; v++) news |= !(scores[v] < bar);
    if (!news) return;
    for (int v = 0; v < nv; v++) {
      const bool nan = scores[v] != scores[v];
      if (!nan && (scores[v] < bar || !heap.wants(scores[v]))) continue;
      if (masked(*job.args, audit, first + v)) continue;
      if (nan) {
        job.nans[part]++;
      } else {
        heap.add(scores[v], static_cast<int32_t>(first + v));
      }
    }
    if (heap.full()) raise_floor(job, audit, heap.scores[0]);
  }
};

void token_swap_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::SwapJob*>(job);
  by_type<TokenSwapTask>(j.args->embedding.dtype, j, task);
}

}  // namespace
