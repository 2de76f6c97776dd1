// Entry point of assay_fourier_ablate.
#include <cmath>
#include <limits>

#include "arguments.h"

namespace assay {
namespace {

constexpr double kPi = 3.14159265358979323846;

void check_bytes(const char* f, const char* name, const uint8_t* bytes, int64_t n, int64_t most) {
  check_pointer(f, name, bytes);
  for (int64_t i = 0; i < n; i++) {
    if (bytes[i] > most) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: %s[%lld] is %d; it must be in [0,%lld]", f, name,
           static_cast<long long>(i), bytes[i], static_cast<long long>(most));
    }
  }
}

int64_t whole_lines(int64_t n) {
  return times(plus(n, kFourierLine - 1) / kFourierLine, kFourierLine);
}

FourierJob fourier_job(const struct assay_fourier_ablate_params& a, Workspace& w) {
  const int64_t p = a.modulus;
  FourierJob job{};
  job.args = a;
  job.frequencies = (p - 1) / 2;
  job.stride = whole_lines(p);
  job.lanes = p < kFourierLanes ? p : kFourierLanes;
  int64_t families = 0;
  for (const auto* each = &a; each != nullptr; each = each->next) {
    FourierCall& call = job.calls[job.call_count++];
    call.args = *each;
    call.first = families;
    families = plus(families, each->family_count);
    job.keeps |= each->keep != 0;
    job.turns |= each->rotation != 0;
    call.offsets = w.take<int64_t>(plus(each->family_count, 1));
    call.members = w.take<int64_t>(times(each->family_count, job.frequencies));
    call.parts = w.take<double>(times(times(p, each->family_count), each->group_count));
  }
  FourierLane& lane = job.lane;
  lane.families = plus(lane.waves, times(job.frequencies, job.stride));
  lane.rows = plus(lane.families, times(families, job.stride));
  lane.scales = plus(lane.rows, times(p + 1, job.stride));
  lane.row_scales = plus(lane.scales, whole_lines(families));
  lane.losses = plus(lane.row_scales, whole_lines(p + 1));
  lane.spare = plus(lane.losses, times(p, kTile));
  lane.size = plus(lane.spare, 2 * job.stride);
  const int64_t table = times(job.frequencies, job.stride);
  job.used = w.take<uint8_t>(job.frequencies);
  job.cosines = w.take<double>(p);
  job.sines = w.take<double>(p);
  job.sums = w.take<double>(times(p, job.stride));
  job.alpha = w.take<double>(table);
  job.beta = w.take<double>(table);
  job.turning = w.take<double>(job.turns ? times(2, table) : 0);
  job.mean = w.take<double>(job.stride);
  job.scratch = w.take<double>(times(job.lanes, lane.size));
  job.order = w.take<int32_t>(times(job.lanes, p));
  return job;
}

void list_members(const FourierJob& job) {
  for (int64_t k = 0; k < job.frequencies; k++) job.used[k] = 0;
  for (int64_t i = 0; i < job.call_count; i++) {
    const FourierCall& call = job.calls[i];
    int64_t n = 0;
    for (int64_t f = 0; f < call.args.family_count; f++) {
      call.offsets[f] = n;
      for (int64_t k = 0; k < job.frequencies; k++) {
        if (!call.args.families[f * job.frequencies + k]) continue;
        call.members[n++] = k;
        job.used[k] = 1;
      }
    }
    call.offsets[call.args.family_count] = n;
  }
}

// Whether all logits are finite, by their sums: an infinity or NaN stays one.
bool finite(const FourierJob& job) {
  for (int64_t s = 0; s < job.args.modulus; s++) {
    for (int64_t c = 0; c < job.args.modulus; c++) {
      if (!std::isfinite(job.sums[s * job.stride + c])) return false;
    }
  }
  return true;
}

void merge(int64_t p, const FourierCall& call, bool is_finite, double* loss) {
  const int64_t F = call.args.family_count, G = call.args.group_count;
  for (int64_t g = 0; g < G; g++) {
    int64_t count = 0;
    for (int64_t i = 0; i < p * p; i++) count += call.args.groups[i] == g + 1;
    for (int64_t f = 0; f < F; f++) {
      double sum = 0;
      for (int64_t s = 0; s < p && is_finite; s++) sum += call.parts[(s * F + f) * G + g];
      loss[f * G + g] = count == 0 || !is_finite ? std::numeric_limits<double>::quiet_NaN()
                                                 : sum / static_cast<double>(count);
    }
  }
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_fourier_ablate_workspace(const struct assay_fourier_ablate_params* args,
                                                  int64_t* bytes) {
  return guard([&] {
    check_fourier("assay_fourier_ablate_workspace", args);
    check_pointer("assay_fourier_ablate_workspace", "bytes", bytes);
    Workspace w;
    fourier_job(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_fourier_ablate(const struct assay_fourier_ablate_params* args,
                                        double* loss, void* workspace, int64_t workspace_bytes,
                                        struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_fourier_ablate";
    check_fourier(f, args);
    const int64_t p = args->modulus;
    int64_t families = 0;
    for (const auto* each = args; each != nullptr; each = each->next) {
      check_bytes(f, "families", each->families, times(each->family_count, (p - 1) / 2), 1);
      check_bytes(f, "groups", each->groups, p * p, each->group_count);
      families += each->family_count;
    }
    if (families == 0) return;
    check_pointer(f, "loss", loss);
    Workspace w(workspace, workspace_bytes);
    const FourierJob job = fourier_job(*args, w);
    w.check(f);
    for (int64_t i = 0; i < p; i++) {
      const double angle = 2 * kPi * static_cast<double>(i) / static_cast<double>(p);
      job.cosines[i] = std::cos(angle);
      job.sines[i] = std::sin(angle);
    }
    list_members(job);
    run(stream, kernels().fourier_sums, &job, p);
    const bool is_finite = finite(job);
    if (is_finite) {
      run(stream, kernels().fourier_waves, &job, job.frequencies + 1);
      run(stream, kernels().fourier_loss, &job, job.lanes);
    }
    for (int64_t i = 0; i < job.call_count; i++) {
      merge(p, job.calls[i], is_finite, loss);
      loss += job.calls[i].args.family_count * job.calls[i].args.group_count;
    }
  });
}
