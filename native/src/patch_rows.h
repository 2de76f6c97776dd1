// Patched rows: the change of a head's output by its rows of W_O, on top of the stream's row; then
// the norm, while the copy is in the cache.
//
// 2 d_h d operations a copy, and W_O is read once for kPatchRows of them; a row of W_O serves as
// many copies at once as the registers hold. Order of a sum: columns of the head ascending, from
// zero, then the stream's row. Sums of a norm: lane by lane, then the lanes as sum() in simd.h
// says, then the columns behind the last whole vector.
#pragma once

#include "product.h"

namespace {

// Copies of one head, `step` elements apart; rows of the stream anywhere.
template <class Real>
struct PatchedRows {
  const Real* change;  // [kPatchRows, width]
  int64_t width;       // of the head
  const Real* w;
  int64_t w_stride;
  const Real* const* stream;
  Real* out;
  int64_t step;
};

// Columns c .. of NR copies: NV vectors, or of one the first `left` lanes.
template <int NR, int NV, class Real>
inline void patched_columns(const PatchedRows<Real>& p, int first, int64_t c, int64_t left) {
  using V = Vec<Real>;
  V acc[NR][NV];
  for (int i = 0; i < NR; i++) {
    for (int v = 0; v < NV; v++) acc[i][v] = V::zero();
  }
  const bool part = NV == 1 && left < V::N;
  const Real* w = p.w + c;
  const Real* change = p.change + first * p.width;
  for (int64_t k = 0; k < p.width; k++, w += p.w_stride, change++) {
    V x[NR];
    for (int i = 0; i < NR; i++) x[i] = V::all(change[i * p.width]);
    for (int v = 0; v < NV; v++) {
      const V y = part ? load_part<Real>(w, static_cast<int>(left)) : V::load(w + v * V::N);
      for (int i = 0; i < NR; i++) acc[i][v] = acc[i][v].fma(x[i], y);
    }
  }
  for (int i = 0; i < NR; i++) {
    const Real* from = p.stream[first + i] + c;
    Real* to = p.out + (first + i) * p.step + c;
    if (part) {
      Real lanes[V::N];
      acc[i][0].store(lanes);
      for (int64_t l = 0; l < left; l++) to[l] = lanes[l] + from[l];
    } else {
      for (int v = 0; v < NV; v++) acc[i][v].plus(V::load(from + v * V::N)).store(to + v * V::N);
    }
  }
}

template <int NR, class Real>
inline void patched_rows(const PatchedRows<Real>& p, int first, int rows, int64_t d) {
  using V = Vec<Real>;
  constexpr int NV = 4;
  for (; first + NR <= rows; first += NR) {
    int64_t c = 0;
    for (; c + NV * V::N <= d; c += NV * V::N) patched_columns<NR, NV>(p, first, c, d - c);
    for (; c < d; c += V::N) patched_columns<NR, 1>(p, first, c, d - c);
  }
  if constexpr (NR > 1) patched_rows<NR - 1>(p, first, rows, d);
}

// Sum of (x - mean)^2 where Squared is set, else of x.
template <bool Squared, class Real>
inline Real sum_of_row(const Real* x, Real mean, int64_t d) {
  using V = Vec<Real>;
  V acc = V::zero();
  int64_t c = 0;
  for (; c + V::N <= d; c += V::N) {
    const V y = V::load(x + c).plus(V::all(-mean));
    acc = Squared ? acc.fma(y, y) : acc.plus(y);
  }
  Real total = sum(acc);
  for (; c < d; c++) {
    const Real y = x[c] - mean;
    total += Squared ? y * y : y;
  }
  return total;
}

template <class Real>
inline void norm_row(const assay_patch_rows_params& a, const Real* x, int64_t d, Real* out) {
  const Real mean =
      a.norm == ASSAY_LAYER_NORM ? sum_of_row<false>(x, Real{0}, d) / static_cast<Real>(d) : 0;
  const double variance =
      static_cast<double>(sum_of_row<true>(x, mean, d)) / static_cast<double>(d);
  const Real factor = static_cast<Real>(1 / __builtin_sqrt(variance + a.epsilon));
  const Real* scale = static_cast<const Real*>(a.scale);
  const Real* bias = static_cast<const Real*>(a.bias);
  for (int64_t c = 0; c < d; c++) out[c] = (x[c] - mean) * factor;
  for (int64_t c = 0; scale != nullptr && c < d; c++) out[c] *= scale[c];
  for (int64_t c = 0; bias != nullptr && c < d; c++) out[c] += bias[c];
}

template <class Real>
void patch_rows(const assay::PatchJob& job, int64_t task) {
  const assay_patch_rows_params& a = *job.args;
  const int64_t head = task % a.heads;
  const int64_t block = task / a.heads * assay::kPatchRows;
  const int64_t left = a.count - block;
  const int rows = static_cast<int>(left < assay::kPatchRows ? left : assay::kPatchRows);
  const int64_t width = a.live.columns / a.heads, d = a.output.columns;
  auto z = [&](int64_t row) {
    const assay_matrix& m = row < a.live.rows ? a.live : a.bank;
    const int64_t at = row < a.live.rows ? row : row - a.live.rows;
    return static_cast<const Real*>(m.data) + at * m.stride + head * width;
  };
  Real change[assay::kPatchRows * ASSAY_MAX_HEAD_WIDTH];
  const Real* stream[assay::kPatchRows];
  for (int i = 0; i < rows; i++) {
    const int64_t row = a.rows[block + i];
    const int64_t source = a.sources[(block + i) * a.heads + head];
    stream[i] = static_cast<const Real*>(a.stream.data) + row * a.stream.stride;
    const Real* is = z(row);
    const Real* will = source < 0 ? is : z(source);
    for (int64_t k = 0; k < width; k++) change[i * width + k] = will[k] - is[k];
  }
  const int64_t first = block * a.heads + head;
  Real* out = static_cast<Real*>(job.middle.data) + first * job.middle.stride;
  const PatchedRows<Real> p{
      change,
      width,
      static_cast<const Real*>(a.output.data) + head * width * a.output.stride,
      a.output.stride,
      stream,
      out,
      a.heads * job.middle.stride};
  patched_rows<Vec<Real>::Rows>(p, 0, rows, d);
  for (int i = 0; i < rows; i++) {
    Real* row = out + i * p.step;
    if (a.sources[(block + i) * a.heads + head] < 0) {
      for (int64_t c = 0; c < d; c++) row[c] = stream[i][c];
    }
    if (job.normed.data != nullptr) {
      norm_row(a, row, d,
               static_cast<Real*>(job.normed.data) + (first + i * a.heads) * job.normed.stride);
    }
  }
}

void patch_rows_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::PatchJob*>(job);
  if (j.middle.dtype == ASSAY_F64) {
    patch_rows<double>(j, task);
  } else {
    patch_rows<float>(j, task);
  }
}

}  // namespace
