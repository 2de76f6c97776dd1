// Log-sum-exp of head rows for other launchers.
#pragma once

#include "device.h"

namespace assay {

// What head_rows writes per row; NULL: not asked for. log_prob needs targets.
struct HeadOut {
  void* log_prob;
  void* lse;
  int32_t* arg_max;
  void* margin;
};

struct HeadWork {
  Segments segments;
  HeadPart* parts;  // [R, segments]
};

HeadWork head_work(int64_t rows, int64_t vocabulary, Workspace& w);
void launch_head_rows(const assay_head_rows_params& a, const HeadWork& work, const HeadOut& out,
                      cudaStream_t stream);

}  // namespace assay
