// assay_head_rows: log-probability of the target, log-sum-exp, arg max and margin of each row of
// hidden [R,d] under a head [V,d], logits never stored (specs: online log-sum-exp, ARCA kernel K2).
//
// Floor: V d elements of the table once, 2RdV operations. GPT-2 small in float: 154 MB, 32 us at
// 4.8 TB/s, which 2 x 768 x 50257 operations a row reach at R = 28 for 67 TFLOP/s in float. Up to
// 16 rows the table's bytes bind: blocks of 8 rows stream it through shared memory, some 200 blocks
// with 16 KB in flight each, 3 MB in all where latency x bandwidth is about 3. With many rows
// arithmetic binds: 64 rows x 128 tokens a block, 8 x 8 sums a thread, 16 reads of shared memory
// for 64 fused multiply-adds (float; 4 x 8 in double, whose sums take two registers). The table is
// then read once per 64 rows, mostly out of the second cache. bfloat16 and half tables are storage
// here: their products run in float; what the matrix units would give is not taken.
//
// Order of a sum, whatever R: the vocabulary is cut in at most kHeadSegments segments of whole
// tiles. In a tile of 128 tokens lane l adds the exponentials of tokens l, l+32, l+64, l+96, lanes
// are added by halves, tiles ascending in double, rescaled when one raises the maximum. Segments l,
// l+32, ... of a row are added by lane l, lanes by halves.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   head_finish_kernel<double>: 34 0 0, 34 0 0
//   head_finish_kernel<float>: 32 0 0, 32 0 0
//   head_rows_kernel<Tile<Bf16, 1, 128, 8, 1>>: 80 21984 0, 96 21984 0
//   head_rows_kernel<Tile<Bf16, 8, 16, 8, 8>>: 160 18304 0, 162 18304 0
//   head_rows_kernel<Tile<Half, 1, 128, 8, 1>>: 80 21984 0, 96 21984 0
//   head_rows_kernel<Tile<Half, 8, 16, 8, 8>>: 160 18304 0, 162 18304 0
//   head_rows_kernel<Tile<double, 1, 128, 8, 1>>: 126 26176 0, 158 26176 0
//   head_rows_kernel<Tile<double, 8, 16, 4, 8>>: 168 19840 0, 188 19840 0
//   head_rows_kernel<Tile<float, 1, 128, 8, 1>>: 80 21984 0, 96 21984 0
//   head_rows_kernel<Tile<float, 8, 16, 8, 8>>: 160 18304 0, 162 18304 0
#include "arguments.h"
#include "head_rows.h"
#include "product.cuh"

namespace assay {
namespace {

constexpr int64_t kHeadSegments = 256;
constexpr int kTileTokens = 128;
// Rows whose logits are in shared memory at a time; each belongs to one warp throughout.
constexpr int kStageRows = 8;
constexpr int kFinishThreads = 128;

struct HeadArgs {
  assay_matrix hidden, head;
  const void* bias;
  const int32_t* targets;
  Segments segments;
  HeadPart* parts;
};

template <class Real>
struct Best {
  Real max, second;
  int32_t id;
};

template <class Real>
__device__ Best<Real> better(const Best<Real>& a, const Best<Real>& b) {
  const bool first = a.max > b.max || (a.max == b.max && a.id < b.id);
  const Best<Real>& high = first ? a : b;
  const Best<Real>& low = first ? b : a;
  return {high.max, low.max > high.second ? low.max : high.second, high.id};
}

template <class Real>
__device__ Best<Real> best_of_lanes(Best<Real> best) {
  for (int with = kWarp / 2; with > 0; with /= 2) {
    const Best<Real> other = {__shfl_xor_sync(kAllLanes, best.max, with),
                              __shfl_xor_sync(kAllLanes, best.second, with),
                              __shfl_xor_sync(kAllLanes, best.id, with)};
    best = better(best, other);
  }
  return best;
}

template <class Real>
__device__ Real sum_of_lanes(Real x) {
  for (int with = kWarp / 2; with > 0; with /= 2) x += __shfl_xor_sync(kAllLanes, x, with);
  return x;
}

constexpr int32_t kNoId = 0x7fffffff;

// Block (s, t): segment s for the rows of tile t, t + gridDim.y, ...
template <class T>
__global__ void __launch_bounds__(T::kThreads) head_rows_kernel(HeadArgs a) {
  using Real = typename T::Real;
  using Elem = typename T::Elem;
  static_assert(T::kTokens == kTileTokens);
  constexpr int kEach = kTileTokens / kWarp;
  ASSAY_SHARED(Real, table_tile, T::kTable);
  ASSAY_SHARED(Real, active_tile, T::kActive);
  ASSAY_SHARED(Real, logits, kStageRows * kTileTokens);
  ASSAY_SHARED(Real, max_of, T::kRows);
  ASSAY_SHARED(Real, second_of, T::kRows);
  ASSAY_SHARED(double, sum_of, T::kRows);
  ASSAY_SHARED(Real, wanted_of, T::kRows);
  ASSAY_SHARED(int32_t, best_of, T::kRows);
  ASSAY_SHARED(int32_t, nan_of, T::kRows);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int row_thread = thread / T::kTokenThreads;
  const int token_thread = thread % T::kTokenThreads;
  const int64_t first = blockIdx.x * a.segments.length;
  const int64_t end = first + a.segments.length;
  const int64_t last = end < a.head.rows ? end : a.head.rows;
  for (int64_t row0 = static_cast<int64_t>(blockIdx.y) * T::kRows; row0 < a.hidden.rows;
       row0 += static_cast<int64_t>(gridDim.y) * T::kRows) {
    const Rows<Real> active = rows_of(static_cast<const Real*>(a.hidden.data), a.hidden.stride,
                                      row0, a.hidden.rows - row0);
    for (int64_t v = first; v < last; v += kTileTokens) {
      const int left = last - v < kTileTokens ? static_cast<int>(last - v) : kTileTokens;
      Real acc[T::kRowsEach][T::kTokensEach];
      product<T>(rows_of(static_cast<const Elem*>(a.head.data), a.head.stride, v, left), active,
                 a.head.columns, table_tile, active_tile, acc);
      for (int stage = 0; stage < T::kRows; stage += kStageRows) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < T::kRowsEach; i++) {
          const int r = row_thread + i * T::kRowThreads - stage;
          if (r < 0 || r >= kStageRows) continue;
#pragma unroll
          for (int j = 0; j < T::kTokensEach; j++) {
            const int n = token_thread + j * T::kTokenThreads;
            Real logit = acc[i][j];
            if (a.bias != nullptr && n < left) logit += static_cast<const Real*>(a.bias)[v + n];
            logits[r * kTileTokens + n] = logit;
          }
        }
        __syncthreads();
        for (int q = thread / kWarp; q < kStageRows; q += T::kWarps) {
          const int r = stage + q;
          if (row0 + r >= a.hidden.rows) continue;
          Real logit[kEach];
          Best<Real> best = {-infinity<Real>(), -infinity<Real>(), kNoId};
          bool nan = false;
          for (int j = 0; j < kEach; j++) {
            const int n = lane + j * kWarp;
            if (n >= left) break;
            logit[j] = logits[q * kTileTokens + n];
            nan = nan || logit[j] != logit[j];
            best = better(best, {logit[j], -infinity<Real>(), static_cast<int32_t>(v + n)});
          }
          best = best_of_lanes(best);
          const bool any_nan = __any_sync(kAllLanes, nan) != 0;
          Real max = best.max;
          Real before = -infinity<Real>();
          if (lane == 0 && v > first) before = max_of[r];
          before = __shfl_sync(kAllLanes, before, 0);
          if (before > max) max = before;
          Real sum = 0;
          for (int j = 0; j < kEach && max > -infinity<Real>(); j++) {
            if (lane + j * kWarp >= left) break;
            // Equal infinities would otherwise give infinity - infinity.
            sum += exponential(logit[j] == max ? Real{0} : logit[j] - max);
          }
          sum = sum_of_lanes(sum);
          if (lane != 0) continue;
          Best<Real> all = best;
          double total = sum;
          int32_t broken = any_nan ? 1 : 0;
          if (v > first) {
            all = better({before, second_of[r], best_of[r]}, best);
            total += before == max
                         ? sum_of[r]
                         : sum_of[r] * exp(static_cast<double>(before) - static_cast<double>(max));
            broken |= nan_of[r];
          }
          max_of[r] = all.max;
          second_of[r] = all.second;
          best_of[r] = all.id;
          sum_of[r] = total;
          nan_of[r] = broken;
          if (a.targets == nullptr) {
            wanted_of[r] = 0;
            continue;
          }
          const int64_t target = a.targets[row0 + r];
          if (target >= v && target < v + left) {
            wanted_of[r] = logits[q * kTileTokens + static_cast<int>(target - v)];
          } else if (v == first) {
            wanted_of[r] = not_a_number<Real>();
          }
        }
      }
    }
    __syncthreads();
    for (int r = thread; r < T::kRows && row0 + r < a.hidden.rows; r += T::kThreads) {
      HeadPart part{};
      part.max = max_of[r];
      part.sum = sum_of[r];
      part.second = second_of[r];
      part.wanted = wanted_of[r];
      part.best = best_of[r];
      part.nan = nan_of[r];
      a.parts[(row0 + r) * a.segments.count + blockIdx.x] = part;
    }
  }
}

// A warp for each row.
template <class Real>
__global__ void __launch_bounds__(kFinishThreads) head_finish_kernel(HeadArgs a, HeadOut out) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kFinishThreads + threadIdx.x) / kWarp;
  if (row >= a.hidden.rows) return;
  const HeadPart* parts = a.parts + row * a.segments.count;
  Best<double> best = {-infinity<double>(), -infinity<double>(), kNoId};
  bool nan = false;
  for (int64_t s = lane; s < a.segments.count; s += kWarp) {
    best = better(best, {parts[s].max, parts[s].second, parts[s].best});
    nan = nan || parts[s].nan != 0;
  }
  best = best_of_lanes(best);
  nan = __any_sync(kAllLanes, nan) != 0;
  double sum = 0;
  for (int64_t s = lane; s < a.segments.count; s += kWarp) {
    sum += parts[s].max == best.max ? parts[s].sum : parts[s].sum * exp(parts[s].max - best.max);
  }
  sum = sum_of_lanes(sum);
  if (lane != 0) return;
  const double none = not_a_number<double>();
  double lse = best.max;
  if (best.max > -infinity<double>() && best.max < infinity<double>()) lse += log(sum);
  if (nan) lse = none;
  static_cast<Real*>(out.lse)[row] = static_cast<Real>(lse);
  if (out.log_prob != nullptr) {
    const int64_t target = a.targets[row];
    const double wanted =
        target >= 0 && target < a.head.rows ? parts[target / a.segments.length].wanted : none;
    static_cast<Real*>(out.log_prob)[row] = static_cast<Real>(wanted - lse);
  }
  if (out.arg_max != nullptr) out.arg_max[row] = nan ? -1 : best.id;
  if (out.margin != nullptr) {
    const double margin = best.max == best.second ? 0 : best.max - best.second;
    static_cast<Real*>(out.margin)[row] = static_cast<Real>(nan ? none : margin);
  }
}

template <class T>
void launch(const HeadArgs& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.segments.count), row_blocks(a.hidden.rows, T::kRows));
  ASSAY_LAUNCH((head_rows_kernel<T>), grid, dim3(T::kThreads), stream, a);
}

}  // namespace

HeadWork head_work(int64_t rows, int64_t vocabulary, Workspace& w) {
  const int64_t each = (vocabulary + kHeadSegments - 1) / kHeadSegments;
  const int64_t length = (each + kTileTokens - 1) / kTileTokens * kTileTokens;
  HeadWork work{};
  work.segments = {length, (vocabulary + length - 1) / length};
  work.parts = w.take<HeadPart>(times(rows, work.segments.count));
  return work;
}

void launch_head_rows(const assay_head_rows_params& p, const HeadWork& work, const HeadOut& out,
                      cudaStream_t stream) {
  const HeadArgs a{p.hidden, p.head, p.bias, p.targets, work.segments, work.parts};
  by_element(p.head.dtype, [&](auto elem) {
    using Elem = decltype(elem);
    if (p.hidden.rows <= kFewRows) {
      launch<FewRows<Elem>>(a, stream);
    } else {
      launch<ManyRows<Elem>>(a, stream);
    }
  });
  const dim3 grid(blocks(p.hidden.rows, kFinishThreads / kWarp));
  if (p.hidden.dtype == ASSAY_F64) {
    ASSAY_LAUNCH((head_finish_kernel<double>), grid, dim3(kFinishThreads), stream, a, out);
  } else {
    ASSAY_LAUNCH((head_finish_kernel<float>), grid, dim3(kFinishThreads), stream, a, out);
  }
}

}  // namespace assay

using namespace assay;

extern "C" int32_t assay_head_rows_workspace(const struct assay_head_rows_params* args,
                                             int64_t* bytes) {
  return guard([&] {
    check_head("assay_head_rows_workspace", args);
    check_pointer("assay_head_rows_workspace", "bytes", bytes);
    Workspace w;
    if (args->hidden.rows > 0) head_work(args->hidden.rows, args->head.rows, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_head_rows(const struct assay_head_rows_params* args, void* log_prob,
                                   void* lse, int32_t* arg_max, void* margin, void* workspace,
                                   int64_t workspace_bytes, struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_head_rows";
    check_head(f, args);
    if (args->hidden.rows == 0) return;
    check_pointer(f, "targets", args->targets);
    check_pointer(f, "log_prob", log_prob);
    check_pointer(f, "lse", lse);
    check_pointer(f, "arg_max", arg_max);
    check_pointer(f, "margin", margin);
    Workspace w(workspace, workspace_bytes);
    const HeadWork work = head_work(args->hidden.rows, args->head.rows, w);
    w.check(f);
    const OnDevice on(stream);
    launch_head_rows(*args, work, {log_prob, lse, arg_max, margin}, on.handle);
  });
}
