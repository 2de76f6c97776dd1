// Entry point of assay_adamw.
#include <cmath>

#include "arguments.h"

using namespace assay;

extern "C" int32_t assay_adamw_workspace(const struct assay_matrix* parameters, int64_t* bytes) {
  return guard([&] {
    check_pointer("assay_adamw_workspace", "parameters", parameters);
    check_pointer("assay_adamw_workspace", "bytes", bytes);
    *bytes = 0;
  });
}

extern "C" int32_t assay_adamw(const struct assay_adamw_params* args,
                               const struct assay_matrix* gradients,
                               const struct assay_matrix* parameters,
                               const struct assay_matrix* first, const struct assay_matrix* second,
                               void*, int64_t, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_adamw";
    check_adamw(f, args, gradients, parameters, first, second);
    const assay_adamw_params& s = *args;
    const assay_matrix& p = *parameters;
    AdamwJob job{};
    job.p = p;
    job.g = *gradients;
    job.m = *first;
    job.v = *second;
    job.keep = 1 - s.learning_rate * s.weight_decay;
    job.rate = s.learning_rate / (1 - std::pow(s.beta1, static_cast<double>(s.step)));
    job.root = std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step)));
    job.beta1 = s.beta1;
    job.beta2 = s.beta2;
    job.epsilon = s.epsilon;
    job.chunks = (p.columns + kAdamwChunk - 1) / kAdamwChunk;
    run(stream, kernels().adamw, &job, times(p.rows, job.chunks));
  });
}
