// Products of float matrices whose right operand comes in panels of kGrokPanel columns: a sum takes
// its terms in ascending order, one fused multiplication and addition after the other.
#pragma once

#include "internal.h"
#include "simd.h"

namespace {

using assay::kGrokPanel;

#if defined(ASSAY_TIER_AVX512) || defined(ASSAY_TIER_NEON)
constexpr int kGrokRows = 6, kGrokVectors = 4;
#elif defined(ASSAY_TIER_AVX2)
constexpr int kGrokRows = 6, kGrokVectors = 2;
#else
constexpr int kGrokRows = 4, kGrokVectors = 2;
#endif
constexpr int kGrokStep = kGrokVectors * Vec<float>::N;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// An operand: element (i, k) is at[i * row + k * column], or, after `panel` is set, lies
// k / kGrokPanel times `panel` further and k % kGrokPanel columns on.
struct Operand {
  const float* at;
  int64_t row, column, panel;
};

inline Operand operand(const float* at, int64_t row, int64_t column) {
  return {at, row, column, kGrokPanel * column};
}

// What becomes of a sum and what is there: it replaces, it is added, or it replaces where what is
// there is positive, and 0 does elsewhere.
enum class Into { kReplaced, kAdded, kGated };

// MR rows of C by one panel: k ascends, one fused multiplication and addition after the other.
template <int MR, Into into>
inline void panel_rows(Operand a, const float* b, int64_t k, float* c, int64_t c_stride) {
  using V = Vec<float>;
  for (int64_t j = 0; j < kGrokPanel; j += kGrokStep) {
    V acc[MR][kGrokVectors];
    for (int i = 0; i < MR; i++) {
      for (int v = 0; v < kGrokVectors; v++) {
        acc[i][v] = into == Into::kAdded ? V::load(c + i * c_stride + j + v * V::N) : V::zero();
      }
    }
    const float* from = b + j;
    const float* at = a.at;
    for (int64_t first = 0; first < k; first += kGrokPanel, at += a.panel) {
      const int64_t n = least(kGrokPanel, k - first);
      const float* x = at;
      for (int64_t l = 0; l < n; l++, from += kGrokPanel, x += a.column) {
        V w[kGrokVectors];
        for (int v = 0; v < kGrokVectors; v++) w[v] = V::load(from + v * V::N);
        for (int i = 0; i < MR; i++) {
          const V y = V::all(x[i * a.row]);
          for (int v = 0; v < kGrokVectors; v++) acc[i][v] = acc[i][v].fma(y, w[v]);
        }
      }
    }
    for (int i = 0; i < MR; i++) {
      for (int v = 0; v < kGrokVectors; v++) {
        float* to = c + i * c_stride + j + v * V::N;
        if constexpr (into == Into::kGated) {
          acc[i][v].where_positive(V::load(to)).store(to);
        } else {
          acc[i][v].store(to);
        }
      }
    }
  }
}

template <int MR, Into into>
inline void rest_of_rows(int64_t m, Operand a, const float* b, int64_t k, float* c,
                         int64_t c_stride) {
  if constexpr (MR > 0) {
    if (m == MR) {
      panel_rows<MR, into>(a, b, k, c, c_stride);
    } else {
      rest_of_rows<MR - 1, into>(m, a, b, k, c, c_stride);
    }
  }
}

// C [m, kGrokPanel] from A [m, k] and B [k, kGrokPanel], which lies in one piece.
template <Into into>
inline void panel_product(Operand a, const float* b, int64_t m, int64_t k, float* c,
                          int64_t c_stride) {
  int64_t i = 0;
  for (; i + kGrokRows <= m; i += kGrokRows) {
    panel_rows<kGrokRows, into>(a, b, k, c, c_stride);
    a.at += kGrokRows * a.row;
    c += kGrokRows * c_stride;
  }
  rest_of_rows<kGrokRows - 1, into>(m - i, a, b, k, c, c_stride);
}

// Element (k, j) of B is at[k * row + j * column].
struct Right {
  const float* at;
  int64_t row, column;
};

// C [m, n] = A [m, k] B [k, n], or added to C, for any operands and n <= kGrokPanel; `room` columns
// of C are written, zeros behind n.
inline void product(Operand a, Right b, int64_t m, int64_t n, int64_t k, float* c, int64_t c_stride,
                    int64_t room, bool added) {
  constexpr int64_t kDeep = 2 * kGrokPanel;
  alignas(64) float packed[kDeep * kGrokPanel];
  alignas(64) float tile[kGrokRows * kGrokPanel];
  for (int64_t first = 0; first < k; first += kDeep) {
    const int64_t deep = least(kDeep, k - first);
    for (int64_t l = 0; l < deep; l++) {
      const float* from = b.at + (first + l) * b.row;
      float* to = packed + l * kGrokPanel;
      for (int64_t j = 0; j < n; j++) to[j] = from[j * b.column];
      for (int64_t j = n; j < kGrokPanel; j++) to[j] = 0;
    }
    Operand part = a;
    part.at += first / kGrokPanel * a.panel;
    const bool more = added || first > 0;
    if (room >= kGrokPanel) {
      if (more) {
        panel_product<Into::kAdded>(part, packed, m, deep, c, c_stride);
      } else {
        panel_product<Into::kReplaced>(part, packed, m, deep, c, c_stride);
      }
      continue;
    }
    for (int64_t i = 0; i < m; i += kGrokRows, part.at += kGrokRows * a.row) {
      const int64_t rows = least(kGrokRows, m - i);
      panel_product<Into::kReplaced>(part, packed, rows, deep, tile, kGrokPanel);
      for (int64_t r = 0; r < rows; r++) {
        float* to = c + (i + r) * c_stride;
        for (int64_t j = 0; j < room; j++) {
          const float x = tile[r * kGrokPanel + j];
          to[j] = more ? to[j] + x : x;
        }
      }
    }
  }
}

// B's columns from the panel-th kGrokPanel on, of n in all.
inline int64_t columns_left(int64_t panel, int64_t n) {
  return least(kGrokPanel, n - panel * kGrokPanel);
}

inline int64_t panels_of(int64_t n) { return (n + kGrokPanel - 1) / kGrokPanel; }

}  // namespace
