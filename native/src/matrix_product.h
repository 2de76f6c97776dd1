// Products of float matrices in graphs (runtime_product.cpp): Y = C + A B, or C + A^T B, and
// perhaps an activation of that. Sums start at C and take their terms in ascending order, one
// fused multiplication and addition after the other; those over many rows, A^T B, may do so segment
// by segment, whose sums are added to C in ascending order. Nothing depends on threads.
#pragma once

#include "panel_product.h"

namespace {

using assay::kGrokPanel;
using assay::kProductBlock;
using assay::kProductDeep;
using assay::kProductDepth;
using assay::kProductFew;
using assay::kProductMerged;
using assay::kProductPanels;
using assay::kProductRows;
using assay::kProductTurned;

// Some rows of a panel of B, each 64 columns, zeros behind the last.
inline void pack(const assay::ProductJob& j, int64_t panel, int64_t first, int64_t rows,
                 float* to) {
  const int64_t n = columns_left(panel, j.n);
  const float* from = j.b + first * j.b_row + panel * kGrokPanel * j.b_column;
  for (int64_t l = 0; l < rows; l++, from += j.b_row, to += kGrokPanel) {
    if (j.b_column == 1 && n == kGrokPanel) {
      __builtin_memcpy(to, from, kGrokPanel * sizeof(float));
      continue;
    }
    for (int64_t c = 0; c < n; c++) to[c] = from[c * j.b_column];
    for (int64_t c = n; c < kGrokPanel; c++) to[c] = 0;
  }
}

// Panel `panel` of B.
void product_pack_task(const void* job, int64_t panel) {
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  pack(j, panel, 0, j.k, j.packed + panel * j.k * kGrokPanel);
}

// What the sums of a row's panel start at.
inline void product_start(const assay::ProductJob& j, int64_t row, int64_t panel, float* to) {
  using V = Vec<float>;
  const int64_t n = columns_left(panel, j.n);
  if (j.c == nullptr) {
    for (int64_t c = 0; c < kGrokPanel; c += V::N) V::zero().store(to + c);
  } else if (const float* from = j.c + row * j.c_row + panel * kGrokPanel; n == kGrokPanel) {
    for (int64_t c = 0; c < kGrokPanel; c += V::N) V::load(from + c).store(to + c);
  } else {
    for (int64_t c = 0; c < kGrokPanel; c++) to[c] = c < n ? from[c] : 0;
  }
  if (j.more == nullptr) return;
  const float* more = j.more + row * j.n + panel * kGrokPanel;
  for (int64_t c = 0; c < n; c++) to[c] += more[c];
}

// x/2 (1 + tanh y), y = sqrt(2/pi) (x + 0.044715 x^3): x / (1 + e^-2y).
__attribute__((always_inline)) inline float gelu(float x) {
  return x / (1 + exponential(-0x1.988454p+0f * (x + 0.044715f * (x * x * x))));
}

// Where a row's panel of Y is.
inline float* product_place(const assay::ProductJob& j, int64_t row, int64_t panel) {
  return j.out + row * j.n + panel * kGrokPanel;
}

// A row's sums, which may be in Y already, to what Y has; NaN stays.
inline void product_end(const assay::ProductJob& j, int64_t row, int64_t panel, float* from) {
  using V = Vec<float>;
  if (j.activation == assay::Activation::kRelu) {
    for (int64_t c = 0; c < kGrokPanel; c += V::N) V::load(from + c).positive().store(from + c);
  } else if (j.activation == assay::Activation::kGelu) {
    for (int64_t c = 0; c < kGrokPanel; c++) from[c] = gelu(from[c]);
  }
  float* to = product_place(j, row, panel);
  const int64_t n = columns_left(panel, j.n);
  if (j.gate != nullptr) {
    const float* gate = j.gate + row * j.n + panel * kGrokPanel;
    for (int64_t c = 0; c < n; c++) from[c] = gate[c] > 0 ? from[c] : 0;
  }
  for (int64_t c = 0; to != from && c < n; c++) to[c] = from[c];
}

// Asks, a few lines at a time, for a matrix that is read next: it comes from behind the
// second-level cache, whose own foresight ends with a page.
struct LinesAhead {
  const float* at;
  int64_t rows, columns, stride;
  int64_t column = 0;

  void lines(int64_t n) {
    for (; n > 0 && rows > 0; n--) {
      __builtin_prefetch(at + column, 0, 2);
      column += 16;
      if (column >= columns) {
        column = 0;
        at += stride;
        rows--;
      }
    }
  }
};

// What rows of Y get from `depth` columns of A, from column l on, and the piece b of a panel that
// they meet. Where Y has fewer columns than a panel, sums are in `edge` until the last of these.
template <class Ask>
inline void product_piece(const assay::ProductJob& j, int64_t first, int64_t rows, int64_t panel,
                          int64_t l, int64_t depth, const float* b, float* edge, Ask ask) {
  const bool whole = columns_left(panel, j.n) == kGrokPanel;
  float* c = whole ? product_place(j, first, panel) : edge;
  const int64_t stride = whole ? j.n : kGrokPanel;
  for (int64_t i = first; i < first + rows; i += kGrokRows, c += kGrokRows * stride) {
    const int64_t n = least(kGrokRows, first + rows - i);
    ask();
    for (int64_t r = 0; l == 0 && r < n; r++) product_start(j, i + r, panel, c + r * stride);
    panel_product<Into::kAdded>(operand(j.a + i * j.k + l, j.k, 1), b, n, depth, c, stride);
    for (int64_t r = 0; l + depth == j.k && r < n; r++) {
      product_end(j, i + r, panel, c + r * stride);
    }
  }
}

// Task t: rows and panels of Y = C + A B. A piece of a panel stays in the first-level cache while
// all rows of the task meet it, and of these rows kProductDeep columns in the second.
void product_rows_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  alignas(64) float edge[kProductBlock * kGrokPanel];
  const int64_t first = task % j.row_blocks * j.block_rows;
  const int64_t rows = least(j.block_rows, j.m - first);
  const int64_t from_panel = task / j.row_blocks * j.panels;
  const int64_t to_panel = least(from_panel + j.panels, panels_of(j.n));
  const int64_t left_share = kGrokRows * kProductDepth / 16 / (to_panel - from_panel) + 1;
  const int64_t right_share = kProductDepth * kGrokPanel / 16 * kGrokRows / rows + 1;
  for (int64_t from = 0; from < j.k; from += kProductDeep) {
    const int64_t end = least(j.k, from + kProductDeep);
    // What the next columns, or the next task, meet.
    LinesAhead next_left =
        end < j.k ? LinesAhead{j.a + first * j.k + end, rows, least(kProductDeep, j.k - end), j.k}
                  : LinesAhead{j.a + (first + rows) * j.k, least(j.block_rows, j.m - first - rows),
                               least(kProductDeep, j.k), j.k};
    for (int64_t panel = from_panel; panel < to_panel; panel++) {
      for (int64_t l = from; l < end; l += kProductDepth) {
        const int64_t depth = least(kProductDepth, end - l);
        const float* b = j.packed + (panel * j.k + l) * kGrokPanel;
        const bool more = l + depth < end;
        LinesAhead next_right{more ? b + depth * kGrokPanel : b + (j.k - l + from) * kGrokPanel,
                              more || panel + 1 < to_panel ? kProductDepth : 0, kGrokPanel,
                              kGrokPanel};
        product_piece(j, first, rows, panel, l, depth, b, edge, [&] {
          next_left.lines(left_share);
          next_right.lines(right_share);
        });
      }
    }
  }
}

// Task t: panel t of Y = C + A B where A has few rows: they meet a piece of B where it is copied
// to.
void product_panel_task(const void* job, int64_t panel) {
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  alignas(64) float right[kProductDepth * kGrokPanel];
  alignas(64) float edge[kProductFew * kGrokPanel];
  const int64_t share = kProductDepth * kGrokPanel / 16 * kGrokRows / j.m + 1;
  for (int64_t l = 0; l < j.k; l += kProductDepth) {
    const int64_t depth = least(kProductDepth, j.k - l);
    pack(j, panel, l, depth, right);
    LinesAhead next{j.b + (l + depth) * j.b_row + panel * kGrokPanel,
                    j.b_column == 1 ? least(kProductDepth, j.k - l - depth) : 0,
                    columns_left(panel, j.n), j.b_row};
    product_piece(j, 0, j.m, panel, l, depth, right, edge, [&] { next.lines(share); });
  }
}

// What tiles of A^T read lies together for each pair of them: element (i, d) of a block is where
// turned_at says, the next d kPair behind it.
constexpr int64_t kPair = 2 * kGrokRows;

constexpr int64_t turned_at(int64_t i, int64_t depth) {
  return i / kPair * (depth * kPair + kPair) + i % kPair;
}

// Copies row d of a block of A, `rows` columns from `a` on, and some more where there are any
// before `end`: the next row takes their place.
template <int64_t Depth>
inline void turn(const float* a, const float* end, int64_t rows, int64_t d, float* left) {
  constexpr int64_t kCopied = (kPair + 7) / 8 * 8;
  for (int64_t i = 0; i < rows; i += kPair) {
    float* to = left + turned_at(i, Depth) + d * kPair;
    if (end - (a + i) >= kCopied) {
      __builtin_memcpy(to, a + i, kCopied * sizeof(float));
    } else {
      for (int64_t x = 0; x < least(kPair, rows - i); x++) to[x] = a[i + x];
    }
  }
}

// Task t: rows and panels of Y = C + A^T B. What is read of A is copied once for all of them.
void product_turned_task(const void* job, int64_t task) {
  static_assert(kProductTurned % kPair == 0);
  constexpr int64_t kDepth = 2 * kProductDepth, kAhead = 8;
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  alignas(64) float left[turned_at(kProductTurned, kDepth)];
  alignas(64) float edge[kProductTurned * kGrokPanel];  // where Y has fewer columns than a panel
  const int64_t first = task % j.row_blocks * kProductTurned;
  const int64_t rows = least(kProductTurned, j.m - first);
  const int64_t from_panel = task / j.row_blocks * j.panels;
  const int64_t to_panel = least(from_panel + j.panels, panels_of(j.n));
  for (int64_t l = 0; l < j.k; l += kDepth) {
    const int64_t depth = least(kDepth, j.k - l);
    const float* from = j.a + l * j.m + first;
    LinesAhead ahead{from, depth, rows, j.m};
    ahead.lines(kAhead * (rows / 16 + 1));
    for (int64_t d = 0; d < depth; d++, from += j.m) {
      ahead.lines(rows / 16 + 1);
      turn<kDepth>(from, j.a + j.k * j.m, rows, d, left);
    }
    for (int64_t panel = from_panel; panel < to_panel; panel++) {
      const bool whole = columns_left(panel, j.n) == kGrokPanel;
      float* const to = whole ? product_place(j, first, panel) : edge;
      const int64_t stride = whole ? j.n : kGrokPanel;
      for (int64_t i = 0; i < rows; i += kGrokRows) {
        const int64_t n = least(kGrokRows, rows - i);
        float* c = to + i * stride;
        for (int64_t r = 0; l == 0 && r < least(kGrokRows, rows - i - n); r++) {
          for (int64_t x = 0; x < kGrokPanel; x += 16) {
            __builtin_prefetch(c + (n + r) * stride + x, 1);
          }
        }
        const Operand a = operand(left + turned_at(i, kDepth), 1, kPair);
        const float* b = j.packed + (panel * j.k + l) * kGrokPanel;
        if (l == 0 && j.c == nullptr && j.more == nullptr) {
          panel_product<Into::kReplaced>(a, b, n, depth, c, stride);
        } else {
          for (int64_t r = 0; l == 0 && r < n; r++) {
            product_start(j, first + i + r, panel, c + r * stride);
          }
          panel_product<Into::kAdded>(a, b, n, depth, c, stride);
        }
        for (int64_t r = 0; l + depth == j.k && r < n; r++) {
          product_end(j, first + i + r, panel, c + r * stride);
        }
      }
    }
  }
}

// Task t: a segment of the sums of a block of A^T B, as ProductJob cuts it. Both operands are
// copied to where their lines lie together.
void product_sums_task(const void* job, int64_t task) {
  using V = Vec<float>;
  static_assert(kProductRows % kPair == 0);
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  alignas(64) float left[turned_at(kProductRows, kProductDepth)];
  alignas(64) float right[kProductPanels * kProductDepth * kGrokPanel];
  const int64_t segment = task / j.blocks, block = task % j.blocks;
  const int64_t top = block % j.row_blocks * j.block_rows;
  const int64_t rows = least(j.block_rows, j.m - top);
  const int64_t from_panel = block / j.row_blocks * kProductPanels;
  const int64_t panels = least(kProductPanels, panels_of(j.n) - from_panel);
  const int64_t end = least(j.k, (segment + 1) * j.segment);
  const int64_t left_share = kProductDepth * kGrokRows / 16 / panels + 1;
  const int64_t right_share = kProductDepth * kGrokPanel / 16 * kGrokRows / rows + 1;
  for (int64_t l = segment * j.segment; l < end; l += kProductDepth) {
    const int64_t depth = least(kProductDepth, end - l);
    const int64_t next = least(kProductDepth, end - l - depth);
    LinesAhead next_left{j.a + (l + depth) * j.m + top, next, rows, j.m};
    LinesAhead next_right{j.b + (l + depth) * j.n + from_panel * kGrokPanel, next,
                          least(panels * kGrokPanel, j.n - from_panel * kGrokPanel), j.n};
    for (int64_t d = 0; d < depth; d++) {
      turn<kProductDepth>(j.a + (l + d) * j.m + top, j.a + j.k * j.m, rows, d, left);
      for (int64_t p = 0; p < panels; p++) {
        const float* b = j.b + (l + d) * j.n + (from_panel + p) * kGrokPanel;
        float* to = right + (p * kProductDepth + d) * kGrokPanel;
        const int64_t n = columns_left(from_panel + p, j.n);
        if (n == kGrokPanel) {
          for (int64_t c = 0; c < kGrokPanel; c += V::N) V::load(b + c).store(to + c);
        } else {
          for (int64_t c = 0; c < kGrokPanel; c++) to[c] = c < n ? b[c] : 0;
        }
      }
    }
    for (int64_t p = 0; p < panels; p++) {
      const int64_t place = (segment * panels_of(j.n) + from_panel + p) * j.m + top;
      for (int64_t i = 0; i < rows; i += kGrokRows) {
        next_left.lines(left_share);
        next_right.lines(right_share);
        const Operand a = operand(left + turned_at(i, kProductDepth), 1, kPair);
        const float* b = right + p * kProductDepth * kGrokPanel;
        float* to = j.sums + (place + i) * kGrokPanel;
        const int64_t n = least(kGrokRows, rows - i);
        if (l == segment * j.segment) {
          panel_product<Into::kReplaced>(a, b, n, depth, to, kGrokPanel);
        } else {
          panel_product<Into::kAdded>(a, b, n, depth, to, kGrokPanel);
        }
      }
    }
  }
}

// Task t: rows of Y from the sums of all segments.
void product_merge_task(const void* job, int64_t task) {
  using V = Vec<float>;
  const auto& j = *static_cast<const assay::ProductJob*>(job);
  alignas(64) float line[kGrokPanel];
  const int64_t first = task * kProductMerged;
  for (int64_t row = first; row < least(j.m, first + kProductMerged); row++) {
    for (int64_t panel = 0; panel < panels_of(j.n); panel++) {
      product_start(j, row, panel, line);
      for (int64_t s = 0; s < j.segments; s++) {
        const float* from = j.sums + ((s * panels_of(j.n) + panel) * j.m + row) * kGrokPanel;
        for (int64_t c = 0; c < kGrokPanel; c += V::N) {
          V::load(line + c).plus(V::load(from + c)).store(line + c);
        }
      }
      product_end(j, row, panel, line);
    }
  }
}

}  // namespace
