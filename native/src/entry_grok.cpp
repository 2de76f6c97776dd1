// Entry point of assay_grok: checks, workspace, what is too small for threads, and the seven steps.
#include <cmath>

#include "support.h"

using namespace assay;

namespace {

int64_t panels(int64_t n) { return (n + kGrokPanel - 1) / kGrokPanel; }

void check_sizes(const char* f, const assay_grok_params& a) {
  check_struct(f, a.struct_bytes, sizeof a);
  check_size(f, "numbers", a.numbers, kMostNumbers);
  check_size(f, "width", a.width, kMostWide);
  check_size(f, "heads", a.heads, kMostWide);
  check_size(f, "head_width", a.head_width, kMostWide);
  check_size(f, "neurons", a.neurons, kMostWide);
  check_size(f, "outputs", a.outputs, kMostWide);
  if (a.pairs < 0 || a.pairs > INT32_MAX) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: pairs is %lld; 0 to %d are allowed", f,
         static_cast<long long>(a.pairs), INT32_MAX);
  }
}

void check_weights(const char* f, const assay_grok_weights& w) {
  check_pointer(f, "embedding", w.embedding);
  check_pointer(f, "positions", w.positions);
  check_pointer(f, "keys", w.keys);
  check_pointer(f, "queries", w.queries);
  check_pointer(f, "values", w.values);
  check_pointer(f, "attention_out", w.attention_out);
  check_pointer(f, "neurons_in", w.neurons_in);
  check_pointer(f, "neurons_out", w.neurons_out);
  check_pointer(f, "unembedding", w.unembedding);
}

void check_ids(const char* f, const char* name, const int32_t* ids, int64_t n, int64_t limit) {
  for (int64_t i = 0; i < n; i++) {
    if (ids[i] < 0 || ids[i] >= limit) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: %s[%lld] is %d; 0 to %lld are allowed", f, name,
           static_cast<long long>(i), ids[i], static_cast<long long>(limit - 1));
    }
  }
}

void check(const char* f, const assay_grok_params& a) {
  check_sizes(f, a);
  check_weights(f, a.weights);
  check_pointer(f, "first", a.first);
  check_pointer(f, "second", a.second);
  check_pointer(f, "labels", a.labels);
  check_pointer(f, "losses", a.losses);
  check_pointer(f, "best", a.best);
  if (a.gradients.embedding != nullptr) {
    check_weights(f, a.gradients);
    if ((a.weights.neurons_bias == nullptr) != (a.gradients.neurons_bias == nullptr) ||
        (a.weights.out_bias == nullptr) != (a.gradients.out_bias == nullptr)) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: a bias has no gradient, or is missing where there is one", f);
    }
  }
  check_ids(f, "first", a.first, a.pairs, a.numbers);
  check_ids(f, "second", a.second, a.pairs, a.numbers);
  check_ids(f, "labels", a.labels, a.pairs, a.outputs);
}

// Query and call share this.
GrokJob job_of(const assay_grok_params& a, Workspace& w, int32_t* order[2], int32_t* offsets[2]) {
  GrokJob j{};
  j.args = a;
  j.rows = a.numbers + 3;
  j.inner = times(a.heads, a.head_width);
  j.neuron_panels = panels(a.neurons);
  j.panels = j.neuron_panels + panels(a.outputs);
  j.blocks = (a.pairs + kGrokBlock - 1) / kGrokBlock;
  j.chunks = (a.pairs + kGrokChunk - 1) / kGrokChunk;
  const bool backward = a.gradients.embedding != nullptr;
  const int64_t columns = times(j.panels, kGrokPanel);
  const int64_t line = times(a.heads, columns);
  const int64_t attended = times(a.pairs, a.heads);
  j.x = w.take<float>(times(j.rows, a.width));
  j.kappa = w.take<float>(times(a.heads, a.width));
  j.query = w.take<float>(j.inner);
  j.scores = w.take<float>(times(j.rows, a.heads));
  j.out = w.take<float>(times(columns, j.inner));
  j.value = w.take<float>(times(j.rows, j.inner));
  j.neuron_logit = w.take<float>(times(panels(a.outputs) * kGrokPanel, a.neurons));
  j.logit_neuron = w.take<float>(times(j.neuron_panels * kGrokPanel, a.outputs));
  j.table = w.take<float>(times(j.rows, line));
  j.first = w.take<float>(times(a.numbers, line));
  j.second = w.take<float>(times(a.numbers, line));
  j.base = w.take<float>(columns);
  j.attention = w.take<float>(times(3, attended));
  j.exponentials = w.take<double>(times(j.chunks, panels(a.outputs) * kGrokPanel));
  j.z = w.take<float>(times(times(j.blocks, kGrokBlock), columns));
  if (!backward) return j;
  for (int side = 0; side < 2; side++) {
    j.order[side] = order[side] = w.take<int32_t>(a.pairs);
    j.offsets[side] = offsets[side] = w.take<int32_t>(a.numbers + 1);
  }
  j.d_neuron_logit = w.take<float>(times(j.chunks, times(j.neuron_panels * kGrokPanel, a.outputs)));
  j.d_first = w.take<float>(times(a.numbers, line));
  j.d_second = w.take<float>(times(a.numbers, line));
  j.d_attention = w.take<float>(times(2, attended));
  j.d_bases = w.take<float>(times(a.numbers, columns));
  j.d_base = w.take<float>(columns);
  j.d_table = w.take<float>(times(j.rows, line));
  j.d_out = w.take<float>(times(columns, j.inner));
  j.d_value = w.take<float>(times(j.rows, j.inner));
  j.d_x = w.take<float>(times(j.rows, a.width));
  j.d_scores = w.take<float>(times(j.rows, a.heads));
  return j;
}

// The vectors x of the rows, and what attention makes of them.
void begin(const GrokJob& j) {
  const assay_grok_params& a = j.args;
  const assay_grok_weights& w = a.weights;
  const int64_t p = a.numbers, width = a.width;
  for (int64_t d = 0; d < width; d++) {
    for (int64_t t = 0; t < p; t++) j.x[t * width + d] = w.embedding[d * (p + 1) + t];
    j.x[p * width + d] = w.positions[d];
    j.x[(p + 1) * width + d] = w.positions[width + d];
    j.x[(p + 2) * width + d] = w.embedding[d * (p + 1) + p] + w.positions[2 * width + d];
  }
  const float* last = j.x + (p + 2) * width;
  const double scale = 1 / std::sqrt(static_cast<double>(a.head_width));
  for (int64_t h = 0; h < a.heads; h++) {
    float* kappa = j.kappa + h * width;
    for (int64_t d = 0; d < width; d++) kappa[d] = 0;
    for (int64_t e = h * a.head_width; e < (h + 1) * a.head_width; e++) {
      float query = 0;
      for (int64_t d = 0; d < width; d++) query += w.queries[e * width + d] * last[d];
      j.query[e] = query;
      const float share = static_cast<float>(query * scale);
      for (int64_t d = 0; d < width; d++) kappa[d] += share * w.keys[e * width + d];
    }
    for (int64_t t = 0; t < j.rows; t++) {
      float score = 0;
      for (int64_t d = 0; d < width; d++) score += kappa[d] * j.x[t * width + d];
      j.scores[t * a.heads + h] = score;
    }
  }
}

// Pairs by one of their numbers, ascending: order [N], offsets [p+1].
void sort(const int32_t* numbers, int64_t pairs, int64_t p, int32_t* order, int32_t* offsets) {
  for (int64_t t = 0; t <= p; t++) offsets[t] = 0;
  for (int64_t i = 0; i < pairs; i++) offsets[numbers[i] + 1]++;
  for (int64_t t = 0; t < p; t++) offsets[t + 1] += offsets[t];
  for (int64_t i = 0; i < pairs; i++) order[offsets[numbers[i]]++] = static_cast<int32_t>(i);
  for (int64_t t = p; t > 0; t--) offsets[t] = offsets[t - 1];
  offsets[0] = 0;
}

// d_scores: back through the softmax.
void score_gradients(const GrokJob& j) {
  const assay_grok_params& a = j.args;
  const int64_t heads = a.heads, all = a.pairs * heads;
  for (int64_t i = 0; i < j.rows * heads; i++) j.d_scores[i] = 0;
  float* at_first = j.d_scores + a.numbers * heads;
  float* at_second = at_first + heads;
  float* at_last = at_second + heads;
  for (int64_t i = 0; i < a.pairs; i++) {
    float* first = j.d_scores + a.first[i] * heads;
    float* second = j.d_scores + a.second[i] * heads;
    for (int64_t h = 0; h < heads; h++) {
      const int64_t at = i * heads + h;
      const float x = j.attention[at], y = j.attention[all + at];
      const float dx = j.d_attention[at], dy = j.d_attention[all + at];
      const float mean = x * dx + y * dy;
      first[h] += x * (dx - mean);
      second[h] += y * (dy - mean);
      at_first[h] += x * (dx - mean);
      at_second[h] += y * (dy - mean);
      at_last[h] -= j.attention[2 * all + at] * mean;
    }
  }
}

// What is left of the gradients: attention's scores, biases, and x2, which every pair shares.
void finish(const GrokJob& j) {
  const assay_grok_params& a = j.args;
  const assay_grok_weights& w = a.weights;
  const assay_grok_weights& g = a.gradients;
  const int64_t p = a.numbers, width = a.width;
  const float* last = j.x + (p + 2) * width;
  float* d_last = j.d_x + (p + 2) * width;
  const float* d_outputs = j.d_base + j.neuron_panels * kGrokPanel;
  for (int64_t r = 0; r < a.neurons; r++) {
    const float d = j.d_base[r];
    for (int64_t c = 0; c < width; c++) {
      g.neurons_in[r * width + c] += d * last[c];
      d_last[c] += d * w.neurons_in[r * width + c];
    }
    if (g.neurons_bias != nullptr) g.neurons_bias[r] = d;
  }
  for (int64_t d = 0; d < width; d++) {
    const float in = last[d] + (w.out_bias == nullptr ? 0 : w.out_bias[d]);
    float sum = 0;
    for (int64_t c = 0; c < a.outputs; c++) {
      sum += d_outputs[c] * w.unembedding[d * a.outputs + c];
      g.unembedding[d * a.outputs + c] += in * d_outputs[c];
    }
    d_last[d] += sum;
    if (g.out_bias != nullptr) g.out_bias[d] = sum;
  }
  const double scale = 1 / std::sqrt(static_cast<double>(a.head_width));
  for (int64_t h = 0; h < a.heads; h++) {
    float* kappa = j.kappa + h * width;
    for (int64_t t = 0; t < j.rows; t++) {
      const float d = j.d_scores[t * a.heads + h];
      for (int64_t c = 0; c < width; c++) j.d_x[t * width + c] += d * kappa[c];
    }
    float* d_kappa = kappa;  // which has done its work
    for (int64_t c = 0; c < width; c++) d_kappa[c] = 0;
    for (int64_t t = 0; t < j.rows; t++) {
      const float d = j.d_scores[t * a.heads + h];
      for (int64_t c = 0; c < width; c++) d_kappa[c] += d * j.x[t * width + c];
    }
    for (int64_t e = h * a.head_width; e < (h + 1) * a.head_width; e++) {
      const float share = static_cast<float>(j.query[e] * scale);
      float sum = 0;
      for (int64_t c = 0; c < width; c++) {
        sum += w.keys[e * width + c] * d_kappa[c];
        g.keys[e * width + c] = share * d_kappa[c];
      }
      const float d_query = static_cast<float>(sum * scale);
      for (int64_t c = 0; c < width; c++) {
        g.queries[e * width + c] = d_query * last[c];
        d_last[c] += d_query * w.queries[e * width + c];
      }
    }
  }
  for (int64_t d = 0; d < width; d++) {
    for (int64_t t = 0; t < p; t++) g.embedding[d * (p + 1) + t] = j.d_x[t * width + d];
    g.embedding[d * (p + 1) + p] = d_last[d];
    for (int64_t i = 0; i < 3; i++) g.positions[i * width + d] = j.d_x[(p + i) * width + d];
  }
}

}  // namespace

extern "C" int32_t assay_grok_workspace(const struct assay_grok_params* args, int64_t* bytes) {
  return guard([&] {
    const char* f = "assay_grok_workspace";
    check_pointer(f, "args", args);
    check_pointer(f, "bytes", bytes);
    check_sizes(f, *args);
    Workspace w;
    int32_t *order[2], *offsets[2];
    job_of(*args, w, order, offsets);
    *bytes = args->pairs == 0 ? 0 : w.needed();
  });
}

extern "C" int32_t assay_grok(const struct assay_grok_params* args, void* workspace,
                              int64_t workspace_bytes, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_grok";
    check_pointer(f, "args", args);
    const assay_grok_params& a = *args;
    check(f, a);
    if (a.pairs == 0) return;
    Workspace w(workspace, workspace_bytes);
    int32_t *order[2], *offsets[2];
    const GrokJob j = job_of(a, w, order, offsets);
    w.check(f);
    const Kernels& k = kernels();
    const int64_t wide = panels(j.inner), outputs = j.panels - j.neuron_panels;
    begin(j);
    run(stream, k.grok_weights, &j, j.panels * wide + wide + j.neuron_panels * (outputs + 1));
    run(stream, k.grok_tables, &j, j.panels);
    run(stream, k.grok_pairs, &j, j.chunks);
    if (a.gradients.embedding == nullptr) return;
    sort(a.first, a.pairs, a.numbers, order[0], offsets[0]);
    sort(a.second, a.pairs, a.numbers, order[1], offsets[1]);
    run(stream, k.grok_numbers, &j, 2 * a.numbers);
    score_gradients(j);
    run(stream, k.grok_sums, &j, j.panels);
    run(stream, k.grok_table_gradients, &j, j.panels + a.heads + j.neuron_panels + outputs);
    run(stream, k.grok_weight_gradients, &j,
        j.neuron_panels + outputs + wide + 2 * panels(a.width));
    finish(j);
  });
}
