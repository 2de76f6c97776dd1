// Entry point of assay_suffix_attention.
#include <cmath>
#include <limits>

#include "support.h"

namespace assay {
namespace {

void check_sizes(const char* f, const struct assay_suffix_attention_params* a) {
  check_pointer(f, "args", a);
  check_struct(f, a->struct_bytes, sizeof *a);
  const int64_t d = a->queries.columns;
  if (a->sequences < 0 || a->positions < 1 || a->positions > std::numeric_limits<int32_t>::max() ||
      a->heads < 1 || d < 0 || d % a->heads != 0 || d / a->heads > ASSAY_MAX_HEAD_WIDTH) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: sequences is %lld, positions %lld, heads %lld, queries have %lld columns; sequences "
         ">= 0, positions 1 to 2147483647 and heads of 1 to %d columns each are needed",
         f, static_cast<long long>(a->sequences), static_cast<long long>(a->positions),
         static_cast<long long>(a->heads), static_cast<long long>(d), ASSAY_MAX_HEAD_WIDTH);
  }
  if (a->queries.dtype != ASSAY_F32 && a->queries.dtype != ASSAY_F64) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: queries has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
         a->queries.dtype);
  }
}

// Writes the first row of each sequence and gives the number of all rows.
int64_t check_sequences(const char* f, const struct assay_suffix_attention_params& a,
                        int64_t* rows) {
  check_pointer(f, "starts", a.starts);
  const bool past = a.past_keys.data != nullptr;
  if (past) {
    check_pointer(f, "prompts", a.prompts);
    const int32_t dtype = a.queries.dtype;
    check_real(f, "past_keys", a.past_keys, a.past_keys.rows, a.queries.columns, dtype);
    check_real(f, "past_values", a.past_values, a.past_keys.rows, a.queries.columns, dtype);
  }
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
    check_sizes("assay_suffix_attention_workspace", args);
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
    check_sizes(f, args);
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
    if (!std::isfinite(a.scale)) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: scale is %g; it must be finite", f, a.scale);
    }
    const AttentionJob job{args, *out, rows, last};
    run(stream, kernels().suffix_attention, &job, a.sequences);
  });
}
