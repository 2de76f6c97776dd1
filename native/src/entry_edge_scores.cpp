// Entry point of assay_edge_scores.
#include "arguments.h"

namespace assay {
namespace {

EdgeJob edge_job(const struct assay_edge_scores_params& a, double* scores, Workspace& w) {
  const int64_t stride = packed_stride(a.width);
  const int64_t bytes = times(times(a.gradients.rows, stride), bytes_of(a.changes.dtype));
  void* packed = w.take_bytes(bytes);
  return {&a, scores, packed, stride, w.take<double>(times(a.gradients.rows, a.changes.rows))};
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_edge_scores_workspace(const struct assay_edge_scores_params* args,
                                               int64_t* bytes) {
  return guard([&] {
    check_edges("assay_edge_scores_workspace", args);
    check_pointer("assay_edge_scores_workspace", "bytes", bytes);
    Workspace w;
    edge_job(*args, nullptr, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_edge_scores(const struct assay_edge_scores_params* args, double* scores,
                                     void* workspace, int64_t workspace_bytes,
                                     struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_edge_scores";
    check_edges(f, args);
    const int64_t sources = args->changes.rows, destinations = args->gradients.rows;
    if (sources == 0 || destinations == 0) return;
    check_pointer(f, "scores", scores);
    for (int64_t e = 0; e < destinations; e++) {
      if (args->before[e] < 0 || args->before[e] > sources) {
        fail(ASSAY_ERROR_ARGUMENT, "%s: before[%lld] is %d; there are %lld sources", f,
             static_cast<long long>(e), args->before[e], static_cast<long long>(sources));
      }
    }
    Workspace w(workspace, workspace_bytes);
    const EdgeJob job = edge_job(*args, scores, w);
    w.check(f);
    run(stream, kernels().edge_scores, &job, (destinations + kEdgeRows - 1) / kEdgeRows);
  });
}
