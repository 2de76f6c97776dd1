// Entry point of assay_suffix_attention.
#include "arguments.h"

namespace assay {
namespace {

// Writes the first row of each sequence and gives the number of all rows.
int64_t check_sequences(const char* f, const struct assay_suffix_attention_params& a,
                        int64_t* rows) {
  check_attention_past(f, a);
  const bool past = a.past_keys.data != nullptr;
  const int64_t prompts = past ? a.past_keys.rows / a.positions : 0;
  int64_t row = 0;
  for (int64_t s = 0; s < a.sequences; s++) {
    if (a.starts[s] < 0 || a.starts[s] >= a.positions) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: starts[%lld] is %d; there are %lld positions", f,
           static_cast<long long>(s), a.starts[s], static_cast<long long>(a.positions));
    }
    if (a.starts[s] > 0 && (!past || a.prompts[s] < 0 || a.prompts[s] >= prompts)) {
      fail(ASSAY_ERROR_ARGUMENT,
           "%s: starts[%lld] is %d, behind a past that is not there; past_keys holds %lld prompts",
           f, static_cast<long long>(s), a.starts[s], static_cast<long long>(prompts));
    }
    rows[s] = row;
    row = plus(row, a.positions - a.starts[s]);
  }
  return row;
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_suffix_attention_workspace(
    const struct assay_suffix_attention_params* args, int64_t* bytes) {
  return guard([&] {
    check_attention("assay_suffix_attention_workspace", args);
    check_pointer("assay_suffix_attention_workspace", "bytes", bytes);
    Workspace w;
    w.take<int64_t>(args->sequences);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_suffix_attention(const struct assay_suffix_attention_params* args,
                                          const struct assay_matrix* out, void* workspace,
                                          int64_t workspace_bytes, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_suffix_attention";
    check_attention(f, args);
    check_pointer(f, "out", out);
    const assay_suffix_attention_params& a = *args;
    if (a.sequences == 0 || a.queries.columns == 0) return;
    Workspace w(workspace, workspace_bytes);
    int64_t* rows = w.take<int64_t>(a.sequences);
    w.check(f);
    const int64_t all = check_sequences(f, a, rows);
    const int32_t dtype = a.queries.dtype;
    const bool last = a.queries.rows == a.sequences;
    check_real(f, "queries", a.queries, last ? a.sequences : all, a.queries.columns, dtype);
    check_real(f, "keys", a.keys, all, a.queries.columns, dtype);
    check_real(f, "values", a.values, all, a.queries.columns, dtype);
    check_real(f, "out", *out, a.queries.rows, a.queries.columns, dtype);
    const AttentionJob job{args, *out, rows, last};
    run(stream, kernels().suffix_attention, &job, a.sequences);
  });
}
