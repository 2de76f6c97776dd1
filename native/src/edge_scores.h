// Scores of edges: products of rows by product.h, a position at a time, so that what a task reads
// stays in the caches; positions are added in double.
//
// 2 d operations for each edge and position, and for those of a tile of sources that are behind a
// destination. Order of a sum: columns as product.h says, positions ascending.
#pragma once

#include "product.h"

namespace {

template <class Real>
void edge_scores(const assay::EdgeJob& job, int64_t task) {
  const assay_edge_scores_params& a = *job.args;
  const int64_t first = task * assay::kEdgeRows, destinations = a.gradients.rows;
  const int64_t left = destinations - first;
  const int rows = static_cast<int>(left < assay::kEdgeRows ? left : assay::kEdgeRows);
  const int32_t* before = a.before + first;
  double* sums = job.sums + first * a.changes.rows;
  for (int64_t i = 0; i < rows * a.changes.rows; i++) sums[i] = 0;
  Real* packed = static_cast<Real*>(job.packed) + first * job.stride;
  alignas(64) Real out[assay::kEdgeRows * assay::kTile];
  for (int64_t at = 0; at < a.changes.columns; at += a.width) {
    for (int r = 0; r < rows; r++) {
      const Real* from =
          static_cast<const Real*>(a.gradients.data) + (first + r) * a.gradients.stride + at;
      Real* to = packed + r * job.stride;
      for (int64_t c = 0; c < a.width; c++) to[c] = from[c];
      for (int64_t c = a.width; c < job.stride; c++) to[c] = 0;
    }
    for (int64_t s = 0; s < a.changes.rows; s += assay::kTile) {
      // Destinations that some source of the tile comes before.
      int from = 0, to = rows;
      while (from < to && before[from] <= s) from++;
      while (from < to && before[to - 1] <= s) to--;
      if (from == to) continue;
      const int sources = tile(s, a.changes.rows);
      const Real* changes = static_cast<const Real*>(a.changes.data) + s * a.changes.stride + at;
      product(changes, a.changes.stride, sources, packed + from * job.stride, job.stride, to - from,
              a.width, out);
      for (int r = from; r < to; r++) {
        const Real* products = out + (r - from) * assay::kTile;
        double* sum = sums + r * a.changes.rows + s;
        for (int i = 0; i < sources; i++) sum[i] += static_cast<double>(products[i]);
      }
    }
  }
  for (int64_t s = 0; s < a.changes.rows; s++) {
    for (int r = 0; r < rows; r++) {
      job.scores[s * destinations + first + r] = s < before[r] ? sums[r * a.changes.rows + s] : 0;
    }
  }
}

void edge_scores_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::EdgeJob*>(job);
  if (j.args->changes.dtype == ASSAY_F64) {
    edge_scores<double>(j, task);
  } else {
    edge_scores<float>(j, task);
  }
}

}  // namespace
