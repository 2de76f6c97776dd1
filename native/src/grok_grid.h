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
constexpr int kGridWide = 8;
#elif defined(ASSAY_TIER_AVX2)
constexpr int kGridWide = 12;
#else
constexpr int kGridWide = 8;
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

// Calls use(b, columns of one panel for the pair a, b) for all b. H: the number of heads, so that
// what a adds stays in registers; 0 where it is not known here.
template <int H, class Use>
inline void grid_pairs(const GridJob& j, int64_t panel, int64_t a, Use use) {
  using V = Vec<double>;
  const int64_t p = j.args.numbers, heads = H > 0 ? H : j.args.heads;
  const double* first = grid_row(j, j.first, panel, a);
  const double* second = grid_row(j, j.second, panel, 0);
  const double* attention = j.attention + a * p * 2 * heads;
  V base[kGridVectors], own[H > 0 ? H : 1][kGridVectors];
  for (int v = 0; v < kGridVectors; v++) base[v] = V::load(j.base + panel * kGridPanel + v * V::N);
  for (int h = 0; h < H; h++) {
    for (int v = 0; v < kGridVectors; v++) own[h][v] = V::load(first + h * kGridPanel + v * V::N);
  }
  for (int64_t b = 0; b < p; b++, attention += 2 * heads) {
    V sum[kGridVectors];
    for (int v = 0; v < kGridVectors; v++) sum[v] = base[v];
    for (int64_t h = 0; h < heads; h++, second += kGridPanel) {
      const V x = V::all(attention[h]), y = V::all(attention[heads + h]);
      for (int v = 0; v < kGridVectors; v++) {
        sum[v] = sum[v].fma(x, H > 0 ? own[h][v] : V::load(first + h * kGridPanel + v * V::N));
      }
      for (int v = 0; v < kGridVectors; v++) sum[v] = sum[v].fma(y, V::load(second + v * V::N));
    }
    use(b, sum);
  }
}

template <class Use>
inline void grid_pairs(const GridJob& j, int64_t panel, int64_t a, Use use) {
  if (j.args.heads == 4) {
    grid_pairs<4>(j, panel, a, use);
  } else {
    grid_pairs<0>(j, panel, a, use);
  }
}

inline void grid_add(const Vec<double> (&x)[kGridVectors], double* to) {
  using V = Vec<double>;
  for (int v = 0; v < kGridVectors; v++) V::load(to + v * V::N).plus(x[v]).store(to + v * V::N);
}

// Sums of the activations of one panel of neurons.
void grid_sums_task(const void* job, int64_t panel) {
  using V = Vec<double>;
  const auto& j = *static_cast<const GridJob*>(job);
  const int64_t p = j.args.numbers;
  double* sums = j.sums + panel * (4 * p + 1) * kGridPanel;
  for (int64_t i = 0; i < (4 * p + 1) * kGridPanel; i++) sums[i] = 0;
  V squares[kGridVectors];
  for (int v = 0; v < kGridVectors; v++) squares[v] = V::zero();
  for (int64_t a = 0; a < p; a++) {
    V row[kGridVectors];
    for (int v = 0; v < kGridVectors; v++) row[v] = V::zero();
    grid_pairs(j, panel, a, [&](int64_t b, V(&z)[kGridVectors]) {
      for (int v = 0; v < kGridVectors; v++) {
        z[v] = z[v].positive();
        row[v] = row[v].plus(z[v]);
        squares[v] = squares[v].fma(z[v], z[v]);
      }
      grid_add(z, sums + (p + b) * kGridPanel);
      grid_add(z, sums + (2 * p + (a + b < p ? a + b : a + b - p)) * kGridPanel);
      grid_add(z, sums + (3 * p + (a < b ? a - b + p : a - b)) * kGridPanel);
    });
    for (int v = 0; v < kGridVectors; v++) row[v].store(sums + a * kGridPanel + v * V::N);
  }
  for (int v = 0; v < kGridVectors; v++) squares[v].store(sums + 4 * p * kGridPanel + v * V::N);
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

// Logits of the pairs of kGridRows numbers a; see GridJob for what a lane is.
void grid_logits_task(const void* job, int64_t lane) {
  using V = Vec<double>;
  const auto& j = *static_cast<const GridJob*>(job);
  const auto& args = j.args;
  const int64_t p = args.numbers, vectors = (p + V::N - 1) / V::N;
  const int64_t wide = (j.panels - j.neuron_panels) * kGridPanel;
  const int64_t most = assay::kGridRows * p;
  double* logits = j.logits + lane * most * wide;
  double* activations = j.activations + lane * most * kGridPanel;
  uint32_t* active = j.active + lane * most;
  for (int64_t begin = lane * assay::kGridRows; begin < p; begin += j.lanes * assay::kGridRows) {
    const int64_t end = begin + assay::kGridRows < p ? begin + assay::kGridRows : p;
    const int64_t pairs = (end - begin) * p;
    for (int64_t panel = j.neuron_panels; panel < j.panels; panel++) {
      double* to = logits + (panel - j.neuron_panels) * kGridPanel;
      for (int64_t a = begin; a < end; a++) {
        grid_pairs(j, panel, a, [&](int64_t, V(&sum)[kGridVectors]) {
          for (int v = 0; v < kGridVectors; v++) sum[v].store(to + v * V::N);
          to += wide;
        });
      }
    }
    for (int64_t panel = 0; panel < j.neuron_panels; panel++) {
      for (int64_t a = begin; a < end; a++) {
        double* z = activations + (a - begin) * p * kGridPanel;
        uint32_t* bits = active + (a - begin) * p;
        grid_pairs(j, panel, a, [&](int64_t b, V(&sum)[kGridVectors]) {
          uint32_t mask = 0;
          for (int v = 0; v < kGridVectors; v++) {
            sum[v].store(z + b * kGridPanel + v * V::N);
            mask |= sum[v].active() << (v * V::N);
          }
          bits[b] = mask;
        });
      }
      const double* map = j.map + panel * kGridPanel * j.stride;
      for (int64_t v = 0; v < vectors; v += kGridWide) {
        grid_write_all<kGridWide>(vectors - v, pairs, active, activations, map + v * V::N, j.stride,
                                  logits + v * V::N, wide);
      }
    }
    for (int64_t i = 0; i < pairs; i++) {
      double* to = args.logits + (begin * p + i) * p;
      for (int64_t c = 0; c < p; c++) to[c] = logits[i * wide + c];
    }
  }
}

}  // namespace
