// Entry point of assay_grok_grid.
#include "support.h"

using namespace assay;

namespace {

void check_sizes(const char* f, const assay_grok_grid_params& a) {
  check_struct(f, a.struct_bytes, sizeof a);
  check_size(f, "numbers", a.numbers, kMostNumbers);
  check_size(f, "heads", a.heads, kMostWide);
  check_size(f, "neurons", a.neurons, kMostWide);
}

int64_t panels(int64_t n) { return (n + kGridPanel - 1) / kGridPanel; }

// Query and call share this.
GridJob job_of(const assay_grok_grid_params& a, Workspace& w) {
  GridJob j{};
  const int64_t p = a.numbers;
  j.args = a;
  j.neuron_panels = panels(a.neurons);
  j.panels = j.neuron_panels + panels(p);
  j.stride = (p + kGridLine - 1) / kGridLine * kGridLine;
  const int64_t across = (p + kGridColumns - 1) / kGridColumns;
  j.columns = (p + across - 1) / across;
  j.blocks = times((p + kGridRows - 1) / kGridRows, across);
  j.lanes = j.blocks < kGridLanes ? j.blocks : kGridLanes;
  const int64_t table = times(times(j.panels, p), times(a.heads, kGridPanel));
  j.first = w.take<double>(table);
  j.second = w.take<double>(table);
  j.base = w.take<double>(times(j.panels, kGridPanel));
  j.attention = w.take<double>(times(times(p, p), times(2, a.heads)));
  j.map = w.take<double>(times(times(j.neuron_panels, kGridPanel), j.stride));
  j.sums = w.take<double>(times(times(j.neuron_panels, 4 * p + 1), kGridPanel));
  const int64_t pairs = times(j.lanes, kGridRows * j.columns);
  j.logits = w.take<double>(times(pairs, (j.panels - j.neuron_panels) * kGridPanel));
  j.activations = w.take<double>(times(pairs, kGridPanel));
  j.active = w.take<uint32_t>(pairs);
  return j;
}

// W_L by neuron, zeros behind.
void transpose(const GridJob& j) {
  const int64_t p = j.args.numbers, m = j.args.neurons;
  for (int64_t n = 0; n < j.neuron_panels * kGridPanel; n++) {
    double* to = j.map + n * j.stride;
    for (int64_t c = 0; c < j.stride; c++) to[c] = n < m && c < p ? j.args.map[c * m + n] : 0;
  }
}

}  // namespace

extern "C" int32_t assay_grok_grid_workspace(const struct assay_grok_grid_params* args,
                                             int64_t* bytes) {
  return guard([&] {
    const char* f = "assay_grok_grid_workspace";
    check_pointer(f, "args", args);
    check_pointer(f, "bytes", bytes);
    check_sizes(f, *args);
    Workspace w;
    job_of(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_grok_grid(const struct assay_grok_grid_params* args, void* workspace,
                                   int64_t workspace_bytes, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_grok_grid";
    check_pointer(f, "args", args);
    const assay_grok_grid_params& a = *args;
    check_sizes(f, a);
    check_pointer(f, "scores", a.scores);
    check_pointer(f, "tables", a.tables);
    check_pointer(f, "constant", a.constant);
    check_pointer(f, "map", a.map);
    check_pointer(f, "logits", a.logits);
    check_pointer(f, "sums", a.sums);
    check_pointer(f, "squares", a.squares);
    Workspace w(workspace, workspace_bytes);
    const GridJob j = job_of(a, w);
    w.check(f);
    const Kernels& k = kernels();
    transpose(j);
    run(stream, k.grid_tables, &j, j.panels);
    run(stream, k.grid_attention, &j, a.numbers);
    run(stream, k.grid_logits, &j, j.lanes);
    run(stream, k.grid_sums, &j, j.neuron_panels);
  });
}
