// The one-layer transformer of assay_grok, in seven steps over what GrokJob names: products of the
// weights, tables, pairs, gradients by number, their sums, and back through tables and weights.
#pragma once

#include "panel_product.h"

namespace {

using assay::GrokJob;
using assay::kGrokBlock;

inline int64_t output_panels(const GrokJob& j) { return j.panels - j.neuron_panels; }

// Row block `panel` of R = [W_in ; W_U^T]: how many rows, and as an operand [row, D].
inline int64_t rows_of(const GrokJob& j, int64_t panel) {
  return panel < j.neuron_panels ? columns_left(panel, j.args.neurons)
                                 : columns_left(panel - j.neuron_panels, j.args.outputs);
}

inline Operand reader(const GrokJob& j, int64_t panel) {
  const auto& w = j.args.weights;
  return panel < j.neuron_panels
             ? operand(w.neurons_in + panel * kGrokPanel * j.args.width, j.args.width, 1)
             : operand(w.unembedding + (panel - j.neuron_panels) * kGrokPanel, 1, j.args.outputs);
}

// The same with rows and columns exchanged, as a right operand [D, row].
inline Right reader_across(const GrokJob& j, int64_t panel) {
  const Operand r = reader(j, panel);
  return {r.at, r.column, r.row};
}

inline float* table_at(const GrokJob& j, float* table, int64_t panel, int64_t rows, int64_t row) {
  return table + (panel * rows + row) * j.args.heads * kGrokPanel;
}

// out, value, neuron_logit, logit_neuron: products of two weights each.
void grok_weights_task(const void* job, int64_t task) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  const auto& w = a.weights;
  const int64_t wide = panels_of(j.inner);
  if (task < j.panels * wide) {
    const int64_t panel = task / wide, at = task % wide;
    product(reader(j, panel), Right{w.attention_out + at * kGrokPanel, j.inner, 1},
            rows_of(j, panel), columns_left(at, j.inner), a.width,
            j.out + panel * kGrokPanel * j.inner + at * kGrokPanel, j.inner,
            columns_left(at, j.inner), false);
    return;
  }
  task -= j.panels * wide;
  if (task < wide) {
    product(operand(j.x, a.width, 1), Right{w.values + task * kGrokPanel * a.width, 1, a.width},
            j.rows, columns_left(task, j.inner), a.width, j.value + task * kGrokPanel, j.inner,
            columns_left(task, j.inner), false);
    return;
  }
  task -= wide;
  const int64_t in = task % j.neuron_panels, out = task / j.neuron_panels;
  const int64_t neurons = columns_left(in, a.neurons);
  if (out < output_panels(j)) {
    product(operand(w.neurons_out + in * kGrokPanel, 1, a.neurons),
            Right{w.unembedding + out * kGrokPanel, a.outputs, 1}, neurons,
            columns_left(out, a.outputs), a.width,
            j.neuron_logit + (out * a.neurons + in * kGrokPanel) * kGrokPanel, kGrokPanel,
            kGrokPanel, false);
    return;
  }
  product(operand(w.unembedding, 1, a.outputs),
          Right{w.neurons_out + in * kGrokPanel, a.neurons, 1}, a.outputs, neurons, a.width,
          j.logit_neuron + in * a.outputs * kGrokPanel, kGrokPanel, kGrokPanel, false);
}

// One panel of table, first, second and base.
void grok_tables_task(const void* job, int64_t panel) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  const int64_t p = a.numbers, line = a.heads * kGrokPanel;
  const int64_t columns = rows_of(j, panel);
  float* table = table_at(j, j.table, panel, j.rows, 0);
  for (int64_t h = 0; h < a.heads; h++) {
    product(operand(j.value + h * a.head_width, j.inner, 1),
            Right{j.out + panel * kGrokPanel * j.inner + h * a.head_width, 1, j.inner}, j.rows,
            columns, a.head_width, table + h * kGrokPanel, line, kGrokPanel, false);
  }
  const float* at_first = table + p * line;
  const float* at_second = at_first + line;
  const float* at_last = at_second + line;
  float* first = table_at(j, j.first, panel, p, 0);
  float* second = table_at(j, j.second, panel, p, 0);
  for (int64_t t = 0; t < p; t++) {
    for (int64_t c = 0; c < line; c++) {
      first[t * line + c] = table[t * line + c] + (at_first[c] - at_last[c]);
      second[t * line + c] = table[t * line + c] + (at_second[c] - at_last[c]);
    }
  }
  float* base = j.base + panel * kGrokPanel;
  product(operand(j.x + (j.rows - 1) * a.width, a.width, 1), reader_across(j, panel), 1, columns,
          a.width, base, kGrokPanel, kGrokPanel, false);
  for (int64_t h = 0; h < a.heads; h++) {
    for (int64_t c = 0; c < kGrokPanel; c++) base[c] += at_last[h * kGrokPanel + c];
  }
  const auto& w = a.weights;
  if (panel < j.neuron_panels && w.neurons_bias != nullptr) {
    for (int64_t c = 0; c < columns; c++) base[c] += w.neurons_bias[panel * kGrokPanel + c];
  }
  if (panel >= j.neuron_panels && w.out_bias != nullptr) {
    product(operand(w.out_bias, a.width, 1), reader_across(j, panel), 1, columns, a.width, base,
            kGrokPanel, kGrokPanel, true);
  }
}

// Softmax over the three positions for n pairs from pair `from` on.
inline void attend(const GrokJob& j, int64_t from, int64_t n) {
  const auto& a = j.args;
  const int64_t heads = a.heads;
  const float* at_first = j.scores + a.numbers * heads;
  const float* at_second = at_first + heads;
  const float* at_last = at_second + heads;
  const int64_t all = a.pairs * heads;
  float* first = j.attention + from * heads;
  float* second = first + all;
  float* last = second + all;
  for (int64_t i = 0; i < n; i++) {
    const float* s = j.scores + a.first[from + i] * heads;
    const float* t = j.scores + a.second[from + i] * heads;
    for (int64_t h = 0; h < heads; h++) {
      const float x = s[h] + at_first[h], y = t[h] + at_second[h], z = at_last[h];
      float most = x > y ? x : y;
      most = most > z ? most : z;
      first[i * heads + h] = x - most;
      second[i * heads + h] = y - most;
      last[i * heads + h] = z - most;
    }
  }
  for (int64_t i = 0; i < n * heads; i++) {
    const float x = exponential(first[i]), y = exponential(second[i]), z = exponential(last[i]);
    const float share = 1 / (x + y + z);
    first[i] = x * share;
    second[i] = y * share;
    last[i] = z * share;
  }
}

// One panel of activations of n pairs: base and what the heads bring, neurons cut at 0.
inline void combine(const GrokJob& j, int64_t panel, int64_t from, int64_t n, float* z) {
  using V = Vec<float>;
  constexpr int kAll = kGrokPanel / V::N;
  const auto& a = j.args;
  const int64_t heads = a.heads;
  const bool neurons = panel < j.neuron_panels;
  const float* base = j.base + panel * kGrokPanel;
  for (int64_t i = 0; i < n; i++, z += kGrokPanel) {
    const float* first = table_at(j, j.first, panel, a.numbers, a.first[from + i]);
    const float* second = table_at(j, j.second, panel, a.numbers, a.second[from + i]);
    const float* x = j.attention + (from + i) * heads;
    const float* y = x + a.pairs * heads;
    V sum[kAll];
    for (int v = 0; v < kAll; v++) sum[v] = V::load(base + v * V::N);
    for (int64_t h = 0; h < heads; h++, first += kGrokPanel, second += kGrokPanel) {
      const V left = V::all(x[h]), across = V::all(y[h]);
      for (int v = 0; v < kAll; v++) sum[v] = sum[v].fma(left, V::load(first + v * V::N));
      for (int v = 0; v < kAll; v++) sum[v] = sum[v].fma(across, V::load(second + v * V::N));
    }
    for (int v = 0; v < kAll; v++) (neurons ? sum[v].positive() : sum[v]).store(z + v * V::N);
  }
}

// Loss and best output of one pair; its logits become the gradients of its share of the mean loss.
// e: [panels of outputs * kGrokPanel].
inline void cross_entropy(const GrokJob& j, int64_t pair, float* logits, double* e) {
  const auto& a = j.args;
  const int64_t panels = output_panels(j);
  const int64_t label = a.labels[pair];
  float most = logits[0];
  int32_t best = 0;
  bool nan = false;
  for (int64_t o = 0; o < panels; o++) {
    const float* x = logits + o * kGrokBlock * kGrokPanel;
    const int64_t n = columns_left(o, a.outputs);
    for (int64_t c = 0; c < n; c++) {
      nan |= x[c] != x[c];
      if (x[c] > most) {
        most = x[c];
        best = static_cast<int32_t>(o * kGrokPanel + c);
      }
    }
    double* to = e + o * kGrokPanel;
    for (int64_t c = 0; c < kGrokPanel; c++) to[c] = static_cast<double>(x[c]);
  }
  const double wanted = e[label] - most;
  for (int64_t c = 0; c < panels * kGrokPanel; c++) e[c] = exponential(e[c] - most);
  const double mine = e[label];
  e[label] = 0;
  double lanes[8] = {};
  for (int64_t c = a.outputs; c < panels * kGrokPanel; c++) e[c] = 0;
  for (int64_t c = 0; c < panels * kGrokPanel; c += 8) {
    for (int l = 0; l < 8; l++) lanes[l] += e[c + l];
  }
  const double others = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
                        ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  // Far behind, the quotient would overflow, and nothing is lost without it.
  a.losses[pair] =
      mine > 1e-200 ? __builtin_log1p(others / mine) : __builtin_log(others + mine) - wanted;
  a.best[pair] = nan ? -1 : best;
  const double share = 1 / ((others + mine) * static_cast<double>(a.pairs));
  e[label] = -others;
  for (int64_t o = 0; o < panels; o++) {
    float* to = logits + o * kGrokBlock * kGrokPanel;
    const double* from = e + o * kGrokPanel;
    for (int64_t c = 0; c < kGrokPanel; c++) to[c] = static_cast<float>(from[c] * share);
  }
}

// A chunk of pairs: losses and, where gradients are asked for, those of logit_neuron (summed over
// the chunk) and of the activations before the neurons are cut, which take their place in z.
void grok_pairs_task(const void* job, int64_t chunk) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  constexpr int64_t kPiece = kGrokBlock * kGrokPanel;
  const int64_t end = least(a.pairs, (chunk + 1) * assay::kGrokChunk);
  float* sums = j.d_neuron_logit + chunk * j.neuron_panels * a.outputs * kGrokPanel;
  double* e = j.exponentials + chunk * output_panels(j) * kGrokPanel;
  bool more = false;
  for (int64_t from = chunk * assay::kGrokChunk; from < end; from += kGrokBlock, more = true) {
    const int64_t n = least(kGrokBlock, end - from);
    float* z = j.z + from / kGrokBlock * j.panels * kPiece;
    float* logits = z + j.neuron_panels * kPiece;
    attend(j, from, n);
    for (int64_t panel = 0; panel < j.panels; panel++) {
      combine(j, panel, from, n, z + panel * kPiece);
    }
    for (int64_t o = 0; o < output_panels(j); o++) {
      for (int64_t panel = 0; panel < j.neuron_panels; panel++) {
        panel_product<Into::kAdded>(
            operand(z + panel * kPiece, kGrokPanel, 1),
            j.neuron_logit + (o * a.neurons + panel * kGrokPanel) * kGrokPanel, n,
            columns_left(panel, a.neurons), logits + o * kPiece, kGrokPanel);
      }
    }
    for (int64_t i = 0; i < n; i++) cross_entropy(j, from + i, logits + i * kGrokPanel, e);
    if (a.gradients.embedding == nullptr) continue;
    for (int64_t panel = 0; panel < j.neuron_panels; panel++) {
      float* mine = z + panel * kPiece;
      for (int64_t o = 0; o < output_panels(j); o++) {
        const Operand across = operand(logits + o * kPiece, 1, kGrokPanel);
        float* to = sums + (panel * a.outputs + o * kGrokPanel) * kGrokPanel;
        const int64_t outputs = columns_left(o, a.outputs);
        if (more) {
          panel_product<Into::kAdded>(across, mine, outputs, n, to, kGrokPanel);
        } else {
          panel_product<Into::kReplaced>(across, mine, outputs, n, to, kGrokPanel);
        }
      }
      panel_product<Into::kGated>({logits, kGrokPanel, 1, kPiece},
                                  j.logit_neuron + panel * a.outputs * kGrokPanel, n, a.outputs,
                                  mine, kGrokPanel);
    }
  }
}

inline const float* z_row(const GrokJob& j, int64_t pair) {
  return j.z + (pair / kGrokBlock * j.panels * kGrokBlock + pair % kGrokBlock) * kGrokPanel;
}

// NH heads' part of the gradients of one number's table and of its pairs' attention to it.
template <int NH>
inline void number_heads(const GrokJob& j, int64_t side, int64_t number, int64_t head) {
  using V = Vec<float>;
  const auto& a = j.args;
  const int32_t* rows = j.order[side];
  const int64_t begin = j.offsets[side][number], end = j.offsets[side][number + 1];
  const int64_t all = a.pairs * a.heads;
  const float* attention = j.attention + side * all + head;
  float* d_attention = j.d_attention + side * all + head;
  for (int64_t r = begin; r < end; r++) {
    const float* z = z_row(j, rows[r]);
    V dots[4];
    for (int h = 0; h < 4; h++) dots[h] = V::zero();
    for (int64_t panel = 0; panel < j.panels; panel++, z += kGrokBlock * kGrokPanel) {
      const float* table =
          table_at(j, side == 0 ? j.first : j.second, panel, a.numbers, number) + head * kGrokPanel;
      for (int64_t c = 0; c < kGrokPanel; c += V::N) {
        const V x = V::load(z + c);
        for (int h = 0; h < NH; h++) dots[h] = dots[h].fma(x, V::load(table + h * kGrokPanel + c));
      }
    }
    float four[4];
    sums(dots, four);
    for (int h = 0; h < NH; h++) d_attention[rows[r] * a.heads + h] = four[h];
  }
  for (int64_t panel = 0; panel < j.panels; panel++) {
    float* to = table_at(j, side == 0 ? j.d_first : j.d_second, panel, a.numbers, number) +
                head * kGrokPanel;
    for (int64_t c = 0; c < kGrokPanel; c += kGrokStep) {
      V acc[NH][kGrokVectors];
      for (int h = 0; h < NH; h++) {
        for (int v = 0; v < kGrokVectors; v++) acc[h][v] = V::zero();
      }
      for (int64_t r = begin; r < end; r++) {
        const float* z = z_row(j, rows[r]) + panel * kGrokBlock * kGrokPanel + c;
        V x[kGrokVectors];
        for (int v = 0; v < kGrokVectors; v++) x[v] = V::load(z + v * V::N);
        for (int h = 0; h < NH; h++) {
          const V share = V::all(attention[rows[r] * a.heads + h]);
          for (int v = 0; v < kGrokVectors; v++) acc[h][v] = acc[h][v].fma(share, x[v]);
        }
      }
      for (int h = 0; h < NH; h++) {
        for (int v = 0; v < kGrokVectors; v++) {
          acc[h][v].store(to + h * kGrokPanel + c + v * V::N);
        }
      }
    }
  }
}

// Task t: number t / 2, as first (even) or second number of its pairs: gradients of its table and
// of attention to it; by first number also that of base.
void grok_numbers_task(const void* job, int64_t task) {
  using V = Vec<float>;
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const int64_t side = task % 2, number = task / 2;
  for (int64_t head = 0; head < j.args.heads; head += 4) {
    switch (least(4, j.args.heads - head)) {
      case 1: number_heads<1>(j, side, number, head); break;
      case 2: number_heads<2>(j, side, number, head); break;
      case 3: number_heads<3>(j, side, number, head); break;
      default: number_heads<4>(j, side, number, head); break;
    }
  }
  if (side != 0) return;
  float* base = j.d_bases + number * j.panels * kGrokPanel;
  for (int64_t c = 0; c < j.panels * kGrokPanel; c += V::N) V::zero().store(base + c);
  for (int64_t r = j.offsets[0][number]; r < j.offsets[0][number + 1]; r++) {
    const float* z = z_row(j, j.order[0][r]);
    for (int64_t panel = 0; panel < j.panels; panel++, z += kGrokBlock * kGrokPanel) {
      float* to = base + panel * kGrokPanel;
      for (int64_t c = 0; c < kGrokPanel; c += V::N) {
        V::load(to + c).plus(V::load(z + c)).store(to + c);
      }
    }
  }
}

// Task t: panel t of d_base and d_table; of neurons also the sum over chunks of d_neuron_logit.
void grok_sums_task(const void* job, int64_t panel) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  const int64_t p = a.numbers, line = a.heads * kGrokPanel;
  float* base = j.d_base + panel * kGrokPanel;
  for (int64_t c = 0; c < kGrokPanel; c++) base[c] = 0;
  for (int64_t t = 0; t < p; t++) {
    const float* from = j.d_bases + (t * j.panels + panel) * kGrokPanel;
    for (int64_t c = 0; c < kGrokPanel; c++) base[c] += from[c];
  }
  const float* first = table_at(j, j.d_first, panel, p, 0);
  const float* second = table_at(j, j.d_second, panel, p, 0);
  float* table = table_at(j, j.d_table, panel, j.rows, 0);
  float* at_first = table + p * line;
  float* at_second = at_first + line;
  float* at_last = at_second + line;
  for (int64_t c = 0; c < line; c++) at_first[c] = at_second[c] = 0;
  for (int64_t t = 0; t < p; t++) {
    for (int64_t c = 0; c < line; c++) {
      const float x = first[t * line + c], y = second[t * line + c];
      table[t * line + c] = x + y;
      at_first[c] += x;
      at_second[c] += y;
    }
  }
  for (int64_t c = 0; c < line; c++) {
    at_last[c] = base[c % kGrokPanel] - at_first[c] - at_second[c];
  }
  if (panel >= j.neuron_panels) return;
  const int64_t n = a.outputs * kGrokPanel;
  float* sum = j.d_neuron_logit + panel * n;
  for (int64_t chunk = 1; chunk < j.chunks; chunk++) {
    const float* from = sum + chunk * j.neuron_panels * n;
    for (int64_t i = 0; i < n; i++) sum[i] += from[i];
  }
}

// d_out by panel, then d_value by head, then W_out by panel of neurons, then what reaches W_U
// through W_out by panel of outputs.
void grok_table_gradients_task(const void* job, int64_t task) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  const int64_t line = a.heads * kGrokPanel, wide = panels_of(a.head_width);
  if (task < j.panels) {
    const float* table = table_at(j, j.d_table, task, j.rows, 0);
    for (int64_t h = 0; h < a.heads; h++) {
      for (int64_t part = 0; part < wide; part++) {
        const int64_t at = h * a.head_width + part * kGrokPanel;
        const int64_t n = columns_left(part, a.head_width);
        product(operand(table + h * kGrokPanel, 1, line), Right{j.value + at, j.inner, 1},
                rows_of(j, task), n, j.rows, j.d_out + task * kGrokPanel * j.inner + at, j.inner, n,
                false);
      }
    }
    return;
  }
  task -= j.panels;
  if (task < a.heads) {
    for (int64_t part = 0; part < wide; part++) {
      const int64_t at = task * a.head_width + part * kGrokPanel;
      const int64_t n = columns_left(part, a.head_width);
      for (int64_t panel = 0; panel < j.panels; panel++) {
        product(operand(table_at(j, j.d_table, panel, j.rows, 0) + task * kGrokPanel, line, 1),
                Right{j.out + panel * kGrokPanel * j.inner + at, j.inner, 1}, j.rows, n,
                rows_of(j, panel), j.d_value + at, j.inner, n, panel > 0);
      }
    }
    return;
  }
  task -= a.heads;
  if (task < j.neuron_panels) {
    const int64_t n = columns_left(task, a.neurons);
    product(operand(a.weights.unembedding, a.outputs, 1),
            Right{j.d_neuron_logit + task * a.outputs * kGrokPanel, kGrokPanel, 1}, a.width, n,
            a.outputs, a.gradients.neurons_out + task * kGrokPanel, a.neurons, n, false);
    return;
  }
  task -= j.neuron_panels;
  const int64_t n = columns_left(task, a.outputs);
  for (int64_t panel = 0; panel < j.neuron_panels; panel++) {
    const float* from = j.d_neuron_logit + (panel * a.outputs + task * kGrokPanel) * kGrokPanel;
    product(operand(a.weights.neurons_out + panel * kGrokPanel, a.neurons, 1),
            Right{from, 1, kGrokPanel}, a.width, n, columns_left(panel, a.neurons),
            a.gradients.unembedding + task * kGrokPanel, a.outputs, n, panel > 0);
  }
}

// W_in by panel of neurons, W_U's part through attention by panel of outputs, W_O, W_V and d_x by
// panel of their columns.
void grok_weight_gradients_task(const void* job, int64_t task) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const GrokJob*>(job);
  const auto& a = j.args;
  const auto& w = a.weights;
  const auto& g = a.gradients;
  const int64_t wide = panels_of(j.inner), width = panels_of(a.width);
  if (task < j.neuron_panels) {
    for (int64_t part = 0; part < width; part++) {
      const int64_t n = columns_left(part, a.width);
      product(operand(j.d_out + task * kGrokPanel * j.inner, j.inner, 1),
              Right{w.attention_out + part * kGrokPanel * j.inner, 1, j.inner}, rows_of(j, task), n,
              j.inner, g.neurons_in + task * kGrokPanel * a.width + part * kGrokPanel, a.width, n,
              false);
    }
    return;
  }
  task -= j.neuron_panels;
  if (task < output_panels(j)) {
    const int64_t n = columns_left(task, a.outputs);
    product(operand(w.attention_out, j.inner, 1),
            Right{j.d_out + (j.neuron_panels + task) * kGrokPanel * j.inner, 1, j.inner}, a.width,
            n, j.inner, g.unembedding + task * kGrokPanel, a.outputs, n, true);
    return;
  }
  task -= output_panels(j);
  if (task < wide) {
    const int64_t n = columns_left(task, j.inner);
    for (int64_t panel = 0; panel < j.panels; panel++) {
      const Operand r = reader(j, panel);
      product(operand(r.at, r.column, r.row),
              Right{j.d_out + panel * kGrokPanel * j.inner + task * kGrokPanel, j.inner, 1},
              a.width, n, rows_of(j, panel), g.attention_out + task * kGrokPanel, j.inner, n,
              panel > 0);
    }
    return;
  }
  task -= wide;
  const int64_t at = task % width, n = columns_left(at, a.width);
  if (task < width) {
    product(operand(j.d_value, 1, j.inner), Right{j.x + at * kGrokPanel, a.width, 1}, j.inner, n,
            j.rows, g.values + at * kGrokPanel, a.width, n, false);
  } else {
    product(operand(j.d_value, j.inner, 1), Right{w.values + at * kGrokPanel, a.width, 1}, j.rows,
            n, j.inner, j.d_x + at * kGrokPanel, a.width, n, false);
  }
}

}  // namespace
