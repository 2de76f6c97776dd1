// Entry point of assay_patch_rows.
#include "arguments.h"

namespace assay {
namespace {

void check_maps(const char* f, const assay_patch_rows_params& a) {
  const int64_t bank = a.bank.data == nullptr ? 0 : a.bank.rows;
  for (int64_t n = 0; n < a.count; n++) {
    if (a.rows[n] < 0 || a.rows[n] >= a.live.rows) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: rows[%lld] is %d; live has %lld rows", f,
           static_cast<long long>(n), a.rows[n], static_cast<long long>(a.live.rows));
    }
    for (int64_t at = n * a.heads; at < (n + 1) * a.heads; at++) {
      if (a.sources[at] < -1 || a.sources[at] >= a.live.rows + bank) {
        fail(ASSAY_ERROR_ARGUMENT,
             "%s: sources[%lld] is %d; live has %lld rows and bank %lld, and -1 stands for none", f,
             static_cast<long long>(at), a.sources[at], static_cast<long long>(a.live.rows),
             static_cast<long long>(bank));
      }
    }
  }
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_patch_rows_workspace(const struct assay_patch_rows_params* args,
                                              int64_t* bytes) {
  return guard([&] {
    check_patch("assay_patch_rows_workspace", args);
    check_pointer("assay_patch_rows_workspace", "bytes", bytes);
    *bytes = 0;
  });
}

extern "C" int32_t assay_patch_rows(const struct assay_patch_rows_params* args,
                                    const struct assay_matrix* middle,
                                    const struct assay_matrix* normed, void*, int64_t,
                                    struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_patch_rows";
    check_patch(f, args);
    check_patched(f, *args, middle, normed);
    check_maps(f, *args);
    if (args->output.columns == 0) return;
    const PatchJob job{args, *middle, normed == nullptr ? assay_matrix{} : *normed};
    const int64_t blocks = (args->count + kPatchRows - 1) / kPatchRows;
    run(stream, kernels().patch_rows, &job, blocks * args->heads);
  });
}
