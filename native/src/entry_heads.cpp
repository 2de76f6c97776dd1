// Entry points of assay_head_rows and assay_head_backward.
#include <cmath>
#include <limits>

#include "arguments.h"

namespace assay {
namespace {

void check_targets(const char* f, const struct assay_head_rows_params& a) {
  check_pointer(f, "targets", a.targets);
  for (int64_t r = 0; r < a.hidden.rows; r++) {
    if (a.targets[r] < 0 || a.targets[r] >= a.head.rows) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: targets[%lld] is %d; the vocabulary has %lld tokens", f,
           static_cast<long long>(r), a.targets[r], static_cast<long long>(a.head.rows));
    }
  }
}

HeadJob rows_job(const struct assay_head_rows_params& a, Workspace& w) {
  HeadJob job{};
  job.head = a.head;
  job.bias = a.bias;
  job.targets = a.targets;
  job.segments = segments(a.head.rows, kSegments);
  const int64_t stride = packed_stride(a.head.columns);
  const int64_t bytes = times(times(a.hidden.rows, stride), bytes_of(a.hidden.dtype));
  job.hidden = {w.take_bytes(bytes), a.hidden.rows, stride};
  job.parts = w.take<HeadPart>(times(a.hidden.rows, job.segments.count));
  return job;
}

BackwardJob backward_job(const struct assay_head_rows_params& a, Workspace& w) {
  BackwardJob job{};
  job.head = a.head;
  job.bias = a.bias;
  job.segments = segments(a.head.rows, kBackwardSegments);
  const int64_t stride = packed_stride(a.head.columns);
  const int64_t bytes = times(times(a.hidden.rows, stride), bytes_of(a.hidden.dtype));
  job.hidden = {w.take_bytes(bytes), a.hidden.rows, stride};
  job.sums = w.take_bytes(times(bytes, job.segments.count));
  return job;
}

double table_at(const assay_matrix& m, int64_t row, int64_t column) {
  const int64_t i = row * m.stride + column;
  if (m.dtype == ASSAY_F32 || m.dtype == ASSAY_F64) return get(m.data, m.dtype, i);
  const uint32_t bits = static_cast<const uint16_t*>(m.data)[i];
  if (m.dtype == ASSAY_BF16) return __builtin_bit_cast(float, bits << 16);
  const double sign = bits & 0x8000u ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const int fraction = static_cast<int>(bits & 1023);
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return sign *
         (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_head_rows_workspace(const struct assay_head_rows_params* args,
                                             int64_t* bytes) {
  return guard([&] {
    check_head("assay_head_rows_workspace", args);
    check_pointer("assay_head_rows_workspace", "bytes", bytes);
    Workspace w;
    if (args->hidden.rows > 0) rows_job(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_head_rows(const struct assay_head_rows_params* args, void* log_prob,
                                   void* lse, int32_t* arg_max, void* margin, void* workspace,
                                   int64_t workspace_bytes, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_head_rows";
    check_head(f, args);
    const int64_t rows = args->hidden.rows;
    if (rows == 0) return;
    check_targets(f, *args);
    check_pointer(f, "log_prob", log_prob);
    check_pointer(f, "lse", lse);
    check_pointer(f, "arg_max", arg_max);
    check_pointer(f, "margin", margin);
    Workspace w(workspace, workspace_bytes);
    const HeadJob job = rows_job(*args, w);
    w.check(f);
    pack(args->hidden, const_cast<void*>(job.hidden.data));
    run(stream, kernels().head_rows, &job, head_tasks(rows, job.segments));
    const int32_t real = args->hidden.dtype;
    for (int64_t r = 0; r < rows; r++) {
      const HeadPart* parts = job.parts + r * job.segments.count;
      const HeadPart all = merge(parts, job.segments.count);
      const double total = log_sum_exp(all);
      const double wanted = parts[args->targets[r] / job.segments.length].wanted;
      put(lse, real, r, total);
      put(log_prob, real, r, wanted - total);
      arg_max[r] = all.nan ? -1 : all.best;
      put(margin, real, r,
          all.nan                 ? std::numeric_limits<double>::quiet_NaN()
          : all.max == all.second ? 0
                                  : all.max - all.second);
    }
  });
}

extern "C" int32_t assay_head_backward_workspace(const struct assay_head_rows_params* args,
                                                 int64_t* bytes) {
  return guard([&] {
    check_head("assay_head_backward_workspace", args);
    check_pointer("assay_head_backward_workspace", "bytes", bytes);
    Workspace w;
    if (args->hidden.rows > 0) backward_job(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_head_backward(const struct assay_head_rows_params* args, const void* lse,
                                       const void* weight, const struct assay_matrix* gradient,
                                       void* workspace, int64_t workspace_bytes,
                                       struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_head_backward";
    check_head(f, args);
    check_pointer(f, "gradient", gradient);
    const int32_t real = args->hidden.dtype;
    const int64_t rows = args->hidden.rows;
    const int64_t d = args->head.columns;
    check_real(f, "gradient", *gradient, rows, d, real);
    if (rows == 0 || d == 0) return;
    check_targets(f, *args);
    check_pointer(f, "lse", lse);
    check_pointer(f, "weight", weight);
    Workspace w(workspace, workspace_bytes);
    BackwardJob job = backward_job(*args, w);
    job.lse = lse;
    w.check(f);
    pack(args->hidden, const_cast<void*>(job.hidden.data));
    run(stream, kernels().head_backward, &job, head_tasks(rows, job.segments));
    for (int64_t r = 0; r < rows; r++) {
      const double scale = get(weight, real, r);
      for (int64_t c = 0; c < d; c++) {
        double sum = 0;
        for (int64_t s = 0; s < job.segments.count; s++) {
          sum += get(job.sums, real, (r * job.segments.count + s) * job.hidden.stride + c);
        }
        put(gradient->data, real, r * gradient->stride + c,
            scale * (table_at(args->head, args->targets[r], c) - sum));
      }
    }
  });
}
