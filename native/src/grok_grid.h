// The network of assay_grok_grid on all pairs: tables by panel of columns, attention, and then two
// passes that both make the activations, which costs less than to keep them. By panel of neurons
// they are summed up; by rows of pairs those that are not 0 are multiplied out into the logits.
//
// Order: a logit is its part past the neurons and then one fused multiplication and addition for
// each active neuron, ascending; a sum of activations takes a and then b ascending.
#pragma once

#include "internal.h"
#include "simd.h"

namespace {

using assay::GridJob;
using assay::kGridPanel;

constexpr int kGridVectors = kGridPanel / Vec<double>::N;

// Vectors of logits that the registers hold beside a factor; with AVX-512 half as many, so that
// what a panel of neurons writes there (16 KiB) stays in the first cache.
#if defined(ASSAY_TIER_AVX512)
constexpr int kGridWide = 15;
#elif defined(ASSAY_TIER_AVX2)
constexpr int kGridWide = 12;
#else
constexpr int kGridWide = 8;
#endif

// Numbers a whose pairs with a b are combined at once, and vectors of their columns: the sums of
// activations need registers beside.
constexpr int kGridTogether = 4;
#if defined(ASSAY_TIER_AVX512)
constexpr int kGridWidth = 4, kGridSumWidth = 2;
#else
constexpr int kGridWidth = 2, kGridSumWidth = 1;
#endif

// Columns of one panel, neurons or classes, and where they stand among those of the tables.
struct GridColumns {
  int64_t first, count;
};

inline GridColumns grid_columns(const GridJob& j, int64_t panel) {
  const bool neurons = panel < j.neuron_panels;
  const int64_t begin = neurons ? 0 : j.args.neurons;
  const int64_t all = neurons ? j.args.neurons : j.args.numbers;
  const int64_t at = (neurons ? panel : panel - j.neuron_panels) * kGridPanel;
  return {begin + at, all - at < kGridPanel ? all - at : kGridPanel};
}

inline double* grid_row(const GridJob& j, double* table, int64_t panel, int64_t number) {
  return table + (panel * j.args.numbers + number) * j.args.heads * kGridPanel;
}

// One panel of first, second and base.
void grid_tables_task(const void* job, int64_t panel) {
  const auto& j = *static_cast<const GridJob*>(job);
  const auto& a = j.args;
  const int64_t p = a.numbers, columns = a.neurons + p;
  const GridColumns of = grid_columns(j, panel);
  double* base = j.base + panel * kGridPanel;
  for (int64_t c = 0; c < kGridPanel; c++) base[c] = c < of.count ? a.constant[of.first + c] : 0;
  for (int64_t h = 0; h < a.heads; h++) {
    const double* rows = a.tables + h * (2 * p + 1) * columns + of.first;
    const double* last = rows + 2 * p * columns;
    for (int64_t c = 0; c < of.count; c++) base[c] += last[c];
    for (int64_t t = 0; t < 2 * p; t++) {
      double* to = (t < p ? grid_row(j, j.first, panel, t) : grid_row(j, j.second, panel, t - p)) +
                   h * kGridPanel;
      const double* from = rows + t * columns;
      for (int64_t c = 0; c < of.count; c++) to[c] = from[c] - last[c];
      for (int64_t c = of.count; c < kGridPanel; c++) to[c] = 0;
    }
  }
}

// Attention of the pairs with this a: to a and to b, [p,p,2,H].
void grid_attention_task(const void* job, int64_t first) {
  const auto& j = *static_cast<const GridJob*>(job);
  const int64_t p = j.args.numbers, heads = j.args.heads, rows = 2 * p + 1;
  constexpr int kLanes = 8;
  for (int64_t h = 0; h < heads; h++) {
    const double* scores = j.args.scores + h * rows;
    const double x = scores[first], z = scores[2 * p];
    const double larger = x > z ? x : z;
    double* to = j.attention + first * p * 2 * heads + h;
    for (int64_t b = 0; b < p; b += kLanes) {
      const int64_t n = p - b < kLanes ? p - b : kLanes;
      double to_a[kLanes], to_b[kLanes];
      for (int l = 0; l < kLanes; l++) {
        const double y = scores[p + (l < n ? b + l : b)];
        const double most = larger > y ? larger : y;
        const double of_a = exponential<true>(x - most), of_b = exponential<true>(y - most);
        const double share = 1 / (of_a + of_b + exponential<true>(z - most));
        to_a[l] = of_a * share;
        to_b[l] = of_b * share;
      }
      for (int l = 0; l < n; l++, to += 2 * heads) {
        to[0] = to_a[l];
        to[heads] = to_b[l];
      }
    }
  }
}

// Numbers begin .. end - 1.
struct GridRange {
  int64_t begin, end;
};

// Calls use(b, z) for each b, z [R][W] being the columns of one panel, from vector `v` on, of the
// pairs (a, b) to (a + R - 1, b).
template <int R, int W, class Use>
inline void grid_pairs(const GridJob& j, int64_t panel, int64_t v, int64_t a, GridRange of_b,
                       Use use) {
  using V = Vec<double>;
  const int64_t p = j.args.numbers, heads = j.args.heads, row = heads * kGridPanel;
  const double* base = j.base + panel * kGridPanel + v * V::N;
  const double* first = grid_row(j, j.first, panel, a) + v * V::N;
  const double* second = grid_row(j, j.second, panel, of_b.begin) + v * V::N;
  const double* attention = j.attention + (a * p + of_b.begin) * 2 * heads;
  for (int64_t b = of_b.begin; b < of_b.end; b++, attention += 2 * heads) {
    V z[R][W];
    for (int r = 0; r < R; r++) {
      for (int w = 0; w < W; w++) z[r][w] = V::load(base + w * V::N);
    }
    const double* own = first;
    for (int64_t h = 0; h < heads; h++, own += kGridPanel, second += kGridPanel) {
      V other[W];
      for (int w = 0; w < W; w++) other[w] = V::load(second + w * V::N);
      for (int r = 0; r < R; r++) {
        const double* share = attention + r * p * 2 * heads + h;
        const V x = V::all(share[0]), y = V::all(share[heads]);
        for (int w = 0; w < W; w++) {
          z[r][w] = z[r][w].fma(x, V::load(own + r * row + w * V::N));
        }
        for (int w = 0; w < W; w++) z[r][w] = z[r][w].fma(y, other[w]);
      }
    }
    use(b, z);
  }
}

// The i-th piece of `size` of 0 .. n - 1.
inline GridRange grid_range(int64_t i, int64_t size, int64_t n) {
  return {i * size, i * size + size < n ? i * size + size : n};
}

// The same of all pairs of two ranges, kGridTogether numbers a at a time, and then one by one:
// calls use(a, b, z).
template <int W, class Use>
inline void grid_block(const GridJob& j, int64_t panel, int64_t v, GridRange of_a, GridRange of_b,
                       Use use) {
  constexpr int R = kGridTogether;
  int64_t a = of_a.begin;
  for (; a + R <= of_a.end; a += R) {
    grid_pairs<R, W>(j, panel, v, a, of_b, [&](int64_t b, auto& z) { use(a, b, z); });
  }
  for (; a < of_a.end; a++) {
    grid_pairs<1, W>(j, panel, v, a, of_b, [&](int64_t b, auto& z) { use(a, b, z); });
  }
}

// to += x, one vector.
inline void grid_add(Vec<double> x, double* to) { Vec<double>::load(to).plus(x).store(to); }

// Adds the activations of R numbers a to the sums of one panel: those by b and, along both
// diagonals, by a + b and a - b take what R pairs add before they are read and written.
template <int R>
inline void grid_sum_rows(const GridJob& j, int64_t panel, int64_t v, int64_t a, double* sums,
                          Vec<double>* squares) {
  using V = Vec<double>;
  constexpr int W = kGridSumWidth;
  const int64_t p = j.args.numbers;
  const auto at = [&](int64_t marginal, int64_t i) {
    return sums + (marginal * p + i) * kGridPanel + v * V::N;
  };
  // row: by a. up[i], down[i]: what is known of the sums i + 1 diagonals on.
  V row[R][W], up[R][W], down[R][W];
  for (int r = 0; r < R; r++) {
    for (int w = 0; w < W; w++) row[r][w] = up[r][w] = down[r][w] = V::zero();
  }
  int64_t plus = a, minus = (a + R - 1) % p;
  grid_pairs<R, W>(j, panel, v, a, {0, p}, [&](int64_t b, V(&z)[R][W]) {
    double* by_b = at(1, b);
    double* by_plus = at(2, plus);
    double* by_minus = at(3, minus);
    for (int w = 0; w < W; w++) {
      V sum = V::load(by_b + w * V::N);
      for (int r = 0; r < R; r++) {
        const V n = z[r][w] = z[r][w].positive();
        row[r][w] = row[r][w].plus(n);
        squares[w] = squares[w].fma(n, n);
        sum = sum.plus(n);
      }
      sum.store(by_b + w * V::N);
      grid_add(up[0][w].plus(z[0][w]), by_plus + w * V::N);
      for (int r = 1; r < R; r++) up[r - 1][w] = r + 1 < R ? up[r][w].plus(z[r][w]) : z[r][w];
      grid_add(down[0][w].plus(z[R - 1][w]), by_minus + w * V::N);
      for (int r = 1; r < R; r++) {
        const V n = z[R - 1 - r][w];
        down[r - 1][w] = r + 1 < R ? down[r][w].plus(n) : n;
      }
    }
    plus = plus + 1 < p ? plus + 1 : 0;
    minus = minus > 0 ? minus - 1 : p - 1;
  });
  for (int w = 0; w < W; w++) {
    for (int r = 0; r < R; r++) row[r][w].store(at(0, a + r) + w * V::N);
    for (int r = 1; r < R; r++) {
      grid_add(up[r - 1][w], at(2, (plus + r - 1) % p) + w * V::N);
      grid_add(down[r - 1][w], at(3, (minus + p - r + 1) % p) + w * V::N);
    }
  }
}

// Sums of the activations of one panel of neurons.
void grid_sums_task(const void* job, int64_t panel) {
  using V = Vec<double>;
  const auto& j = *static_cast<const GridJob*>(job);
  const int64_t p = j.args.numbers;
  double* sums = j.sums + panel * (4 * p + 1) * kGridPanel;
  for (int64_t i = 0; i < (4 * p + 1) * kGridPanel; i++) sums[i] = 0;
  for (int64_t v = 0; v < kGridVectors; v += kGridSumWidth) {
    V squares[kGridSumWidth];
    for (int w = 0; w < kGridSumWidth; w++) squares[w] = V::zero();
    int64_t a = 0;
    for (; a + kGridTogether <= p; a += kGridTogether) {
      grid_sum_rows<kGridTogether>(j, panel, v, a, sums, squares);
    }
    for (; a < p; a++) grid_sum_rows<1>(j, panel, v, a, sums, squares);
    for (int w = 0; w < kGridSumWidth; w++) {
      squares[w].store(sums + 4 * p * kGridPanel + (v + w) * V::N);
    }
  }
  const GridColumns of = grid_columns(j, panel);
  for (int64_t r = 0; r < 4 * p; r++) {
    for (int64_t c = 0; c < of.count; c++) {
      j.args.sums[r * j.args.neurons + of.first + c] = sums[r * kGridPanel + c];
    }
  }
  for (int64_t c = 0; c < of.count; c++) {
    j.args.squares[of.first + c] = sums[4 * p * kGridPanel + c];
  }
}

// Adds to NV vectors of logits what the neurons of a mask, lowest bit first, write there.
template <int NV>
__attribute__((always_inline)) inline void grid_write(uint32_t active, const double* z,
                                                      const double* map, int64_t stride,
                                                      double* logits) {
  using V = Vec<double>;
  V acc[NV];
  for (int v = 0; v < NV; v++) acc[v] = V::load(logits + v * V::N);
  while (active != 0) {
    const int n = __builtin_ctz(active);
    active &= active - 1;
    const V x = V::all(z[n]);
    const double* from = map + n * stride;
    for (int v = 0; v < NV; v++) acc[v] = acc[v].fma(x, V::load(from + v * V::N));
  }
  for (int v = 0; v < NV; v++) acc[v].store(logits + v * V::N);
}

// The same of all pairs of a block, in at most NV vectors of their logits.
template <int NV>
inline void grid_write_all(int64_t vectors, int64_t pairs, const uint32_t* active, const double* z,
                           const double* map, int64_t stride, double* logits, int64_t wide) {
  if constexpr (NV > 0) {
    if (vectors < NV) {
      grid_write_all<NV - 1>(vectors, pairs, active, z, map, stride, logits, wide);
      return;
    }
    for (int64_t i = 0; i < pairs; i++) {
      grid_write<NV>(active[i], z + i * kGridPanel, map, stride, logits + i * wide);
    }
  }
}

// Logits of the pairs of a block of numbers a with one of b; see GridJob for what a lane is.
void grid_logits_task(const void* job, int64_t lane) {
  using V = Vec<double>;
  const auto& j = *static_cast<const GridJob*>(job);
  const auto& args = j.args;
  const int64_t p = args.numbers, vectors = (p + V::N - 1) / V::N;
  const int64_t wide = (j.panels - j.neuron_panels) * kGridPanel;
  const int64_t most = assay::kGridRows * j.columns;
  double* logits = j.logits + lane * most * wide;
  double* activations = j.activations + lane * most * kGridPanel;
  uint32_t* active = j.active + lane * most;
  for (int64_t block = lane; block < j.blocks; block += j.lanes) {
    const int64_t across = (p + j.columns - 1) / j.columns;
    const GridRange of_a = grid_range(block / across, assay::kGridRows, p);
    const GridRange of_b = grid_range(block % across, j.columns, p);
    const int64_t width = of_b.end - of_b.begin, pairs = (of_a.end - of_a.begin) * width;
    const auto place = [&](int64_t a, int64_t b) {
      return (a - of_a.begin) * width + b - of_b.begin;
    };
    for (int64_t panel = j.neuron_panels; panel < j.panels; panel++) {
      for (int64_t v = 0; v < kGridVectors; v += kGridWidth) {
        double* columns = logits + (panel - j.neuron_panels) * kGridPanel + v * V::N;
        grid_block<kGridWidth>(j, panel, v, of_a, of_b, [&](int64_t a, int64_t b, auto& z) {
          double* to = columns + place(a, b) * wide;
          for (auto& row : z) {
            for (int w = 0; w < kGridWidth; w++) row[w].store(to + w * V::N);
            to += width * wide;
          }
        });
      }
    }
    for (int64_t panel = 0; panel < j.neuron_panels; panel++) {
      for (int64_t v = 0; v < kGridVectors; v += kGridWidth) {
        grid_block<kGridWidth>(j, panel, v, of_a, of_b, [&](int64_t a, int64_t b, auto& z) {
          int64_t pair = place(a, b);
          for (auto& row : z) {
            uint32_t mask = 0;
            for (int w = 0; w < kGridWidth; w++) {
              row[w].store(activations + pair * kGridPanel + (v + w) * V::N);
              mask |= row[w].active() << (w * V::N);
            }
            mask <<= v * V::N;
            active[pair] = v == 0 ? mask : active[pair] | mask;
            pair += width;
          }
        });
      }
      const double* map = j.map + panel * kGridPanel * j.stride;
      for (int64_t v = 0; v < vectors; v += kGridWide) {
        grid_write_all<kGridWide>(vectors - v, pairs, active, activations, map + v * V::N, j.stride,
                                  logits + v * V::N, wide);
      }
    }
    const double* from = logits;
    for (int64_t a = of_a.begin; a < of_a.end; a++) {
      double* to = args.logits + (a * p + of_b.begin) * p;
      for (int64_t b = 0; b < width; b++, from += wide, to += p) {
        for (int64_t c = 0; c < p; c++) to[c] = from[c];
      }
    }
  }
}

}  // namespace
