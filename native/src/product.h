// Products of table rows with packed activations, a register tile at a time.
//
// Order of a dot product: lane l sums columns l, l+N, l+2N, ... ascending; then the lanes are added
// as sum() in simd.h says. No other row takes part, so the bits depend on the two rows only.
#pragma once

#include "internal.h"
#include "simd.h"

namespace {

// dot[r][v] for NV table rows and NR activations: each table vector is loaded (and widened) once
// for NR rows.
template <int NV, int NR, class Real, class Elem>
inline void dots(const Elem* w, int64_t w_stride, const Real* x, int64_t x_stride, int64_t d,
                 Real* out) {
  using V = Vec<Real>;
  V acc[NV][NR];
  for (int i = 0; i < NV; i++) {
    for (int j = 0; j < NR; j++) acc[i][j] = V::zero();
  }
  int64_t c = 0;
  for (; c + V::N <= d; c += V::N) {
    V b[NR];
    for (int j = 0; j < NR; j++) b[j] = V::load(x + j * x_stride + c);
    for (int i = 0; i < NV; i++) {
      const V a = V::load(w + i * w_stride + c);
      for (int j = 0; j < NR; j++) acc[i][j] = acc[i][j].fma(a, b[j]);
    }
  }
  if (c < d) {
    V b[NR];
    for (int j = 0; j < NR; j++) b[j] = V::load(x + j * x_stride + c);
    for (int i = 0; i < NV; i++) {
      const V a = load_part<Real>(w + i * w_stride + c, static_cast<int>(d - c));
      for (int j = 0; j < NR; j++) acc[i][j] = acc[i][j].fma(a, b[j]);
    }
  }
  for (int i = 0; i < NV; i++) {
    for (int j = 0; j < NR; j++) out[j * assay::kTile + i] = sum(acc[i][j]);
  }
}

template <int NR, class Real, class Elem>
inline void dot_columns(const Elem* w, int64_t w_stride, int nv, const Real* x, int64_t x_stride,
                        int64_t d, Real* out) {
  int v = 0;
  for (; v + 4 <= nv; v += 4) dots<4, NR>(w + v * w_stride, w_stride, x, x_stride, d, out + v);
  for (; v < nv; v++) dots<1, NR>(w + v * w_stride, w_stride, x, x_stride, d, out + v);
}

// out[r * kTile + v] = w[v] . x[r] for nv <= kTile table rows and nr activations.
template <class Real, class Elem>
inline void product(const Elem* w, int64_t w_stride, int nv, const Real* x, int64_t x_stride,
                    int nr, int64_t d, Real* out) {
  int r = 0;
  for (; r + 3 <= nr; r += 3) {
    dot_columns<3>(w, w_stride, nv, x + r * x_stride, x_stride, d, out + r * assay::kTile);
  }
  for (; r < nr; r++) {
    dot_columns<1>(w, w_stride, nv, x + r * x_stride, x_stride, d, out + r * assay::kTile);
  }
}

template <class Real>
inline void add_bias(const void* bias, int64_t first, int nv, int nr, Real* logits) {
  if (bias == nullptr) return;
  const Real* b = static_cast<const Real*>(bias) + first;
  for (int r = 0; r < nr; r++) {
    for (int v = 0; v < nv; v++) logits[r * assay::kTile + v] += b[v];
  }
}

// The rows and tokens of a task.
struct Range {
  int64_t row, segment, first, last;
  int rows;
};

inline Range range(int64_t task, assay::Segments s, int64_t rows, int64_t vocabulary) {
  Range r;
  r.row = task / s.count * assay::kRowBlock;
  r.rows = static_cast<int>(rows - r.row < assay::kRowBlock ? rows - r.row : assay::kRowBlock);
  r.segment = task % s.count;
  r.first = r.segment * s.length;
  r.last = r.first + s.length < vocabulary ? r.first + s.length : vocabulary;
  return r;
}

inline int tile(int64_t v, int64_t last) {
  return static_cast<int>(last - v < assay::kTile ? last - v : assay::kTile);
}

// Runs Body<Real, Elem>::run(job, task) for the table's element type.
template <template <class, class> class Body, class Job>
inline void by_type(int32_t dtype, const Job& job, int64_t task) {
  switch (dtype) {
    case ASSAY_F64: Body<double, double>::run(job, task); break;
    case ASSAY_F16: Body<float, Half>::run(job, task); break;
    case ASSAY_BF16: Body<float, Bf16>::run(job, task); break;
    default: Body<float, float>::run(job, task); break;
  }
}

}  // namespace
