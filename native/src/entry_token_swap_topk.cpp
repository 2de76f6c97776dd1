// Entry point of assay_token_swap_topk.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "arguments.h"

namespace assay {
namespace {

bool coarse(const assay_token_swap_topk_params& a) {
  return a.coarse.data != nullptr && a.embedding.dtype == ASSAY_F32 && tied(a);
}
// From so many audits on matrix units, where there are any, are faster than what is exact at once,
// and than a coarse table.
constexpr int64_t kManyAudits = 24;
constexpr int64_t kManyBesideCoarse = 44;
bool many(const assay_token_swap_topk_params& a) {
  return tied(a) && a.gradient.dtype == ASSAY_F32 &&
         a.gradient.rows >= (coarse(a) ? kManyBesideCoarse : kManyAudits) &&
         a.embedding.columns <= kMatrixColumns;
}
// Elements of the activations for matrix units: whole groups of audits, whole steps of columns.
int64_t parts_size(const assay_token_swap_topk_params& a) {
  const int64_t groups = (a.gradient.rows + kMatrixAudits - 1) / kMatrixAudits;
  return times(groups * kMatrixAudits, matrix_columns(a.embedding.columns));
}
const assay_matrix& head(const assay_token_swap_topk_params& a) {
  return tied(a) ? a.embedding : a.head;
}

void check_forbidden(const char* f, const assay_token_swap_topk_params& a) {
  if ((a.forbidden_offsets == nullptr) != (a.forbidden_ids == nullptr)) {
    fail(ASSAY_ERROR_ARGUMENT,
         "%s: one of forbidden_offsets and forbidden_ids is NULL; give both or none", f);
  }
  if (a.forbidden_offsets == nullptr) return;
  for (int64_t i = 0; i < a.gradient.rows; i++) {
    const int64_t from = a.forbidden_offsets[i];
    const int64_t to = a.forbidden_offsets[i + 1];
    if (from < 0 || to < from) {
      fail(ASSAY_ERROR_ARGUMENT,
           "%s: forbidden_offsets[%lld] is %lld after %lld; they ascend from 0", f,
           static_cast<long long>(i + 1), static_cast<long long>(to), static_cast<long long>(from));
    }
    for (int64_t j = from; j < to; j++) {
      const int32_t id = a.forbidden_ids[j];
      if (id < 0 || id >= a.embedding.rows || (j > from && id <= a.forbidden_ids[j - 1])) {
        fail(ASSAY_ERROR_ARGUMENT,
             "%s: forbidden_ids[%lld] is %d; ids ascend within an audit and stay below %lld", f,
             static_cast<long long>(j), id, static_cast<long long>(a.embedding.rows));
      }
    }
  }
}

struct Jobs {
  SwapJob swap;
  HeadJob head;     // used where lse is asked for
  ScoreJob score;   // used where scores are bounded first
  int64_t* counts;  // [A]: its candidates
};

Jobs jobs(const assay_token_swap_topk_params& a, Workspace& w) {
  Jobs j{};
  const int64_t audits = a.gradient.rows;
  const int64_t real = bytes_of(a.gradient.dtype);
  const int64_t stride = packed_stride(a.embedding.columns);
  const int64_t packed = times(times(audits, stride), real);
  SwapJob& s = j.swap;
  s.args = &a;
  s.segments = segments(a.embedding.rows, kSegments);
  s.gradient = {w.take_bytes(packed), audits, stride};
  const int64_t parts = times(audits, s.segments.count);
  const int64_t heap = times(parts, a.kept);
  s.scores = w.take_bytes(times(heap, real));
  s.ids = w.take<int32_t>(heap);
  s.counts = w.take<int32_t>(parts);
  s.nans = w.take<int64_t>(parts);
  s.floors = w.take_bytes(times(audits, real));
  if (coarse(a)) {
    s.whole = w.take<int16_t>(times(audits, stride));
    s.units = w.take<float>(audits);
  }
  if (many(a)) s.parts = w.take<uint16_t>(parts_size(a));
  if (coarse(a) || many(a)) {
    const int64_t room = times(parts, listed(a.kept));
    s.norms = w.take<float>(audits);
    s.slacks = w.take<float>(audits);
    s.uppers = w.take<float>(room);
    s.candidates = w.take<int32_t>(room);
    s.listed = w.take<int32_t>(parts);
    j.score.candidates = w.take<Entry<float>>(room);
    j.score.room = s.segments.count * listed(a.kept);
    j.score.first = w.take<int64_t>(audits);
    j.score.last = w.take<int64_t>(audits);
    j.counts = w.take<int64_t>(audits);
  }
  if (a.lse != nullptr || (a.alpha != nullptr && !tied(a))) {
    j.head.hidden = {w.take_bytes(packed), audits, stride};
    if (a.alpha != nullptr && !tied(a)) s.hidden = j.head.hidden;
  }
  if (a.lse != nullptr) {
    j.head.head = head(a);
    j.head.bias = a.bias;
    j.head.segments = s.segments;
    j.head.parts = w.take<HeadPart>(parts);
    s.lse = a.lse;
  }
  return j;
}

// Tied tables need one product only, with gradient + alpha * hidden.
template <class Real>
void combine(const assay_token_swap_topk_params& a, const Packed& gradient) {
  const Real* alpha = static_cast<const Real*>(a.alpha);
  const Real* hidden = static_cast<const Real*>(a.hidden.data);
  Real* to = static_cast<Real*>(const_cast<void*>(gradient.data));
  for (int64_t r = 0; r < gradient.rows; r++) {
    if (alpha[r] == 0) continue;
    for (int64_t c = 0; c < a.gradient.columns; c++) {
      to[r * gradient.stride + c] += alpha[r] * hidden[r * a.hidden.stride + c];
    }
  }
}

// Writes the best K of one audit, by score descending, id ascending.
template <class Real>
void write_best(const assay_token_swap_topk_params& a, int64_t audit, Entry<Real>* all,
                int64_t count, int64_t nans) {
  const int64_t found = std::min(count, a.kept);
  std::partial_sort(all, all + found, all + count, [](const Entry<Real>& x, const Entry<Real>& y) {
    return x.score > y.score || (x.score == y.score && x.id < y.id);
  });
  for (int64_t i = 0; i < a.kept; i++) {
    a.ids[audit * a.kept + i] = i < found ? all[i].id : -1;
    static_cast<Real*>(a.scores)[audit * a.kept + i] =
        i < found ? all[i].score : -std::numeric_limits<Real>::infinity();
  }
  a.found[audit] = static_cast<int32_t>(found);
  a.nans[audit] = nans;
}

// Collects the heaps of all segments, without what is below the floor.
template <class Real>
void collect(const SwapJob& job, int64_t audit) {
  const Real floor = static_cast<const Real*>(job.floors)[audit];
  Entry<Real> all[kSegments * ASSAY_MAX_KEPT];
  const int64_t kept = job.args->kept;
  int64_t count = 0;
  int64_t nans = 0;
  for (int64_t s = 0; s < job.segments.count; s++) {
    const int64_t part = audit * job.segments.count + s;
    nans += job.nans[part];
    for (int64_t i = 0; i < job.counts[part]; i++) {
      const Real score = static_cast<const Real*>(job.scores)[part * kept + i];
      if (!(score < floor)) all[count++] = {score, job.ids[part * kept + i]};
    }
  }
  write_best(*job.args, audit, all, count, nans);
}

template <class Real>
void exact(const SwapJob& job, assay_stream* stream) {
  const int64_t audits = job.gradient.rows;
  std::fill_n(static_cast<Real*>(job.floors), audits, -std::numeric_limits<Real>::infinity());
  run(stream, kernels().token_swap, &job, head_tasks(audits, job.segments));
  for (int64_t r = 0; r < audits; r++) collect<Real>(job, r);
}

// Length of a row, rounded up.
float length(const float* x, int64_t d) {
  double sum = 0;
  for (int64_t c = 0; c < d; c++) sum += static_cast<double>(x[c]) * x[c];
  return static_cast<float>(std::sqrt(sum) * (1 + 1e-6));
}

// Whole numbers near a row, their length at most ASSAY_COARSE_LENGTH.
void make_whole(const SwapJob& job, int64_t audit) {
  const int64_t d = job.gradient.stride;
  const float* x = static_cast<const float*>(job.gradient.data) + audit * d;
  int16_t* whole = job.whole + audit * d;
  float largest = 0;
  for (int64_t c = 0; c < d; c++) largest = std::max(largest, std::fabs(x[c]));
  // Rounding to whole numbers makes the row longer by at most sqrt(d) / 2.
  const double longest = ASSAY_COARSE_LENGTH - std::sqrt(d) / 2 - 1;
  const float unit = static_cast<float>(
      std::max<double>(job.norms[audit] / longest, largest / 32767) * (1 + 1e-6));
  job.units[audit] = unit;
  const bool usable = std::isnormal(unit);
  double apart = 0;
  for (int64_t c = 0; c < d; c++) {
    whole[c] = usable ? static_cast<int16_t>(std::lrint(x[c] / unit)) : int16_t{0};
    const double rest = x[c] - static_cast<double>(unit) * whole[c];
    apart += rest * rest;
  }
  const double row = std::min<double>(ASSAY_COARSE_LENGTH, 128 * std::sqrt(d));
  job.slacks[audit] = static_cast<float>(row * std::sqrt(apart) * (1 + 1e-6));
}

// x near bfloat16: the upper half of its bits, rounded to even. Matrix units take numbers below the
// normal range as zero.
uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  const auto upper = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  return (upper & 0x7f80) == 0 ? uint16_t{0} : upper;
}

float from_bf16(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// An audit's part in the products of the matrix units, and in their bounds (token_swap_matrix.h).
void make_part(const SwapJob& job, int64_t audit) {
  const int64_t d = job.args->embedding.columns;
  const float* x = static_cast<const float*>(job.gradient.data) + audit * job.gradient.stride;
  uint16_t* to = job.parts + audit / kMatrixAudits * kMatrixAudits * matrix_columns(d) +
                 audit % kMatrixAudits * 2;
  double apart = 0;
  for (int64_t c = 0; c < d; c++) {
    const uint16_t part = to_bf16(x[c]);
    const double rest = x[c] - static_cast<double>(from_bf16(part));
    apart += rest * rest;
    to[c / 2 * 2 * kMatrixAudits + c % 2] = part;
  }
  const double u = 0x1p-24;
  const double table = job.args->embedding.dtype == ASSAY_BF16 ? 0 : 0x1p-8 * (1 + 0x1p-8);
  const double sums = ((d + 32) * 2 * (1 + 0x1p-6) + d + 8) * u;
  job.slacks[audit] = static_cast<float>(
      (std::sqrt(apart) + (table + sums + 0x1p-40) * job.norms[audit]) * (1 + 1e-6));
}

bool higher(const Entry<float>& x, const Entry<float>& y) { return x.score > y.score; }

// The K-th largest lower bound of an audit's tokens, -infinity where there are fewer.
float lowest_of_best(const SwapJob& job, int64_t audit, Entry<float>* room) {
  const int64_t kept = job.args->kept;
  int64_t count = 0;
  for (int64_t part = audit * job.segments.count; part < (audit + 1) * job.segments.count; part++) {
    for (int64_t i = 0; i < job.counts[part]; i++) {
      room[count++].score = static_cast<const float*>(job.scores)[part * kept + i];
    }
  }
  if (count < kept) return -std::numeric_limits<float>::infinity();
  std::nth_element(room, room + kept - 1, room + count, higher);
  return room[kept - 1].score;
}

// The tokens of an audit whose upper bounds reach its K-th largest lower bound, the K highest
// first. Returns how many, or -1 if there are too many.
int64_t list_candidates(const SwapJob& job, int64_t audit, Entry<float>* to) {
  const int64_t room = listed(job.args->kept);
  const float bar = lowest_of_best(job, audit, to);
  int64_t count = 0;
  for (int64_t part = audit * job.segments.count; part < (audit + 1) * job.segments.count; part++) {
    if (job.listed[part] < 0) return -1;
    for (int64_t i = part * room; i < part * room + job.listed[part]; i++) {
      if (!(job.uppers[i] < bar)) to[count++] = {job.uppers[i], job.candidates[i]};
    }
  }
  std::nth_element(to, to + std::min(job.args->kept, count), to + count, higher);
  return count;
}

// The lowest of K scores, -infinity if one is not a number.
float lowest(const Entry<float>* of, int64_t kept) {
  float bar = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < kept; i++) {
    if (!(of[i].score >= bar)) {
      bar = std::isnan(of[i].score) ? -std::numeric_limits<float>::infinity() : of[i].score;
    }
  }
  return bar;
}

// Bounds from the coarse table or the matrix units, then scores from the full one: of the K tokens
// with the highest bounds, and of those whose bounds reach the lowest of these K scores. False, and
// nothing written, if there are too many candidates.
bool two_steps(const Jobs& j, bool matrix, assay_stream* stream) {
  const SwapJob& job = j.swap;
  const int64_t audits = job.gradient.rows;
  const int64_t kept = job.args->kept;
  const float* x = static_cast<const float*>(job.gradient.data);
  if (matrix) std::fill_n(job.parts, parts_size(*job.args), uint16_t{0});
  for (int64_t r = 0; r < audits; r++) {
    static_cast<float*>(job.floors)[r] = -std::numeric_limits<float>::infinity();
    const_cast<float*>(job.norms)[r] = length(x + r * job.gradient.stride, job.gradient.stride);
    if (matrix) {
      make_part(job, r);
    } else {
      make_whole(job, r);
    }
  }
  run(stream, matrix ? kernels().token_swap_matrix : kernels().token_swap_coarse, &job,
      head_tasks(audits, job.segments));
  ScoreJob score = j.score;
  score.swap = &job;
  for (int64_t r = 0; r < audits; r++) {
    j.counts[r] = list_candidates(job, r, score.candidates + r * score.room);
    if (j.counts[r] < 0) return false;
    score.first[r] = 0;
    score.last[r] = std::min(kept, j.counts[r]);
  }
  run(stream, kernels().token_score, &score, audits * kSegments);
  for (int64_t r = 0; r < audits; r++) {
    Entry<float>* own = score.candidates + r * score.room;
    score.first[r] = score.last[r];
    const float bar = lowest(own, score.first[r]);
    score.last[r] = std::partition(own + score.first[r], own + j.counts[r],
                                   [&](const Entry<float>& e) { return !(e.score < bar); }) -
                    own;
  }
  run(stream, kernels().token_score, &score, audits * kSegments);
  for (int64_t r = 0; r < audits; r++) {
    Entry<float>* own = score.candidates + r * score.room;
    Entry<float>* end = std::partition(own, own + score.last[r],
                                       [](const Entry<float>& e) { return !std::isnan(e.score); });
    write_best(*job.args, r, own, end - own, own + score.last[r] - end);
  }
  return true;
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_token_swap_topk_workspace(const struct assay_token_swap_topk_params* args,
                                                   int64_t* bytes) {
  return guard([&] {
    check_swap("assay_token_swap_topk_workspace", args);
    check_pointer("assay_token_swap_topk_workspace", "bytes", bytes);
    Workspace w;
    if (args->gradient.rows > 0) jobs(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_token_swap_topk(const struct assay_token_swap_topk_params* args,
                                         void* workspace, int64_t workspace_bytes,
                                         struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_token_swap_topk";
    check_swap(f, args);
    const int64_t audits = args->gradient.rows;
    if (audits == 0) return;
    check_forbidden(f, *args);
    check_pointer(f, "ids", args->ids);
    check_pointer(f, "scores", args->scores);
    check_pointer(f, "found", args->found);
    check_pointer(f, "nans", args->nans);
    Workspace w(workspace, workspace_bytes);
    const Jobs j = jobs(*args, w);
    w.check(f);
    const Kernels& tier = kernels();
    const int64_t tasks = head_tasks(audits, j.swap.segments);
    const int32_t real = args->gradient.dtype;
    if (j.head.hidden.data != nullptr) {
      pack(args->hidden, const_cast<void*>(j.head.hidden.data));
    }
    if (args->lse != nullptr) {
      run(stream, tier.head_rows, &j.head, tasks);
      for (int64_t r = 0; r < audits; r++) {
        const int64_t count = j.head.segments.count;
        put(args->lse, real, r, log_sum_exp(merge(j.head.parts + r * count, count)));
      }
    }
    pack(args->gradient, const_cast<void*>(j.swap.gradient.data));
    if (args->alpha != nullptr && tied(*args)) {
      if (real == ASSAY_F64) {
        combine<double>(*args, j.swap.gradient);
      } else {
        combine<float>(*args, j.swap.gradient);
      }
    }
    if (real == ASSAY_F64) {
      exact<double>(j.swap, stream);
      return;
    }
    const bool matrix = many(*args) && tier.token_swap_matrix != nullptr;
    if (!(matrix || coarse(*args)) || !two_steps(j, matrix, stream)) exact<float>(j.swap, stream);
  });
}
