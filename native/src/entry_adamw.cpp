// Entry point of assay_adamw.
#include <cmath>

#include "support.h"

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
    check_pointer(f, "args", args);
    check_pointer(f, "gradients", gradients);
    check_pointer(f, "parameters", parameters);
    check_pointer(f, "first", first);
    check_pointer(f, "second", second);
    const assay_adamw_params& s = *args;
    check_struct(f, s.struct_bytes, sizeof s);
    const assay_matrix& p = *parameters;
    if (p.dtype != ASSAY_F32 && p.dtype != ASSAY_F64) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: parameters has dtype %d; ASSAY_F32 or ASSAY_F64 is needed", f,
           p.dtype);
    }
    check_real(f, "parameters", p, p.rows, p.columns, p.dtype);
    check_real(f, "gradients", *gradients, p.rows, p.columns, p.dtype);
    check_real(f, "first", *first, p.rows, p.columns, p.dtype);
    check_real(f, "second", *second, p.rows, p.columns, p.dtype);
    if (!(s.beta1 >= 0 && s.beta1 < 1) || !(s.beta2 >= 0 && s.beta2 < 1) || !(s.epsilon >= 0)) {
      fail(ASSAY_ERROR_ARGUMENT,
           "%s: beta1 is %g, beta2 %g, epsilon %g; betas are in [0,1), epsilon is >= 0", f, s.beta1,
           s.beta2, s.epsilon);
    }
    if (!std::isfinite(s.learning_rate) || !std::isfinite(s.weight_decay) || s.step < 1) {
      fail(ASSAY_ERROR_ARGUMENT,
           "%s: learning_rate is %g, weight_decay %g, step %lld; both must be finite, step >= 1", f,
           s.learning_rate, s.weight_decay, static_cast<long long>(s.step));
    }
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
