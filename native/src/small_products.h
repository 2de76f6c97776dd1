// Products of many small float matrices, such as those of attention over a few positions, where
// they lie: any axis may be any distance from the next, but the inner one of a form. A sum takes
// its terms in ascending order, or lane by lane where both operands lie along it; nothing depends
// on threads.
#pragma once

#include "panel_product.h"

namespace {

using assay::SmallJob;

// Y = A B, rows of B and Y in one piece.
inline void small_rows(const SmallJob& j, const float* a, const float* b, float* y) {
  using V = Vec<float>;
  for (int64_t i = 0; i < j.m; i++, a += j.a.row, y += j.y.row) {
    int64_t c = 0;
    for (; c + V::N <= j.n; c += V::N) {
      V lanes = V::zero();
      for (int64_t l = 0; l < j.k; l++) {
        lanes = lanes.fma(V::all(a[l * j.a.column]), V::load(b + l * j.b.row + c));
      }
      lanes.store(y + c);
    }
    for (; c < j.n; c++) {
      float one = 0;
      for (int64_t l = 0; l < j.k; l++) one += a[l * j.a.column] * b[l * j.b.row + c];
      y[c] = one;
    }
  }
}

// Y = A B, rows of A and columns of B in one piece: four sums at a time.
inline void small_dots(const SmallJob& j, const float* a, const float* b, float* y) {
  using V = Vec<float>;
  for (int64_t i = 0; i < j.m; i++) {
    const float* x = a + i * j.a.row;
    for (int64_t c = 0; c < j.n; c += 4) {
      const int64_t columns = least(4, j.n - c);
      V lanes[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
      int64_t l = 0;
      for (; l + V::N <= j.k; l += V::N) {
        const V row = V::load(x + l);
        for (int64_t d = 0; d < columns; d++) {
          lanes[d] = lanes[d].fma(row, V::load(b + (c + d) * j.b.column + l));
        }
      }
      alignas(16) float four[4];
      sums(lanes, four);
      for (int64_t d = 0; d < columns; d++) {
        for (int64_t rest = l; rest < j.k; rest++) {
          four[d] += x[rest] * b[(c + d) * j.b.column + rest];
        }
        y[i * j.y.row + (c + d) * j.y.column] = four[d];
      }
    }
  }
}

// Task t: kSmallProducts products.
void small_products_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const SmallJob*>(job);
  const int64_t first = task * assay::kSmallProducts;
  for (int64_t p = first; p < least(j.count, first + assay::kSmallProducts); p++) {
    const int64_t outer = p / j.inner, inner = p % j.inner;
    const float* a = j.at_a + outer * j.a.outer + inner * j.a.inner;
    const float* b = j.at_b + outer * j.b.outer + inner * j.b.inner;
    float* y = j.at_y + outer * j.y.outer + inner * j.y.inner;
    if (j.dots) {
      small_dots(j, a, b, y);
    } else {
      small_rows(j, a, b, y);
    }
  }
}

}  // namespace
