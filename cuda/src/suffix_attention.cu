// assay_suffix_attention: causal attention of S sequences that begin at different positions of
// prompts whose keys and values are read where they lie (specs/ioi.md 7, kernel c); assay.h has the
// formula. Softmax is taken online, so no scores are stored.
//
// Floor: queries, keys, values and out of R rows once, 4 R d elements; of the past, once per
// prompt, 2 T d; 4 d operations for each key that a row sees. The sweep of a prompt of T = 15
// through one layer of GPT-2 small: S = 180, R = 1440, d = 768 in float: 17.7 MB, 3.7 us at 4.8
// TB/s, and 35 MFLOP, 0.5 us at 67 TFLOP/s: bytes bind, up to some 100 keys a row. Design: a block
// takes 16 queries of a head (the sweep's sequences have at most 15) and goes over their keys, 32
// at a time, which its four warps share; each warp has every fourth query to itself: a lane a key
// for scores, maxima and sums by shuffles, then a lane two columns of out. So rows are read once a
// block; the past of a prompt comes out of the second cache for all but the first of its sequences.
// 64 columns a block, as wide as most heads are; a wider one has a block for each 64, which all
// make its scores: at 128 columns that is 1.5 times the operations of the floor. Queries that are
// not there cost nothing but their place, so the form with one query a sequence is as fast as its
// keys are read. Of a multiply-add there are 5/4 reads of shared memory in the scores and 3/4 in
// the sums: long prompts are bound by those, at about a quarter of the arithmetic rate.
//
// The first rows of sequences are their lengths added up, by one block: some 3 us, and 10 for S =
// 20,000. They cannot be added on the host, since starts may still be on their way.
//
// Order of a score: columns ascending from zero, fused. Of a sum: 32 keys by halves, those
// ascending, rescaled when one raises the maximum. Of out: keys ascending, fused.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   attention_rows_kernel: 32 2048 0, 30 2048 0
//   suffix_attention_kernel<double>: 142 45312 0, 142 45312 0
//   suffix_attention_kernel<float>: 110 22656 0, 110 22656 0
#include <cmath>

#include "arguments.h"
#include "device.h"

namespace assay {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kQueries = 16;
constexpr int kEach = kQueries / kWarps;  // queries of a warp
constexpr int kKeys = kWarp;
constexpr int kDepth = 64;    // columns of queries and keys in shared memory
constexpr int kColumns = 64;  // of out
constexpr int kColumnsEach = kColumns / kWarp;
constexpr int kScanThreads = 256;

struct AttentionArgs {
  assay_suffix_attention_params p;
  assay_matrix out;
  int64_t width;   // of a head
  int64_t chunks;  // of kColumns columns
  bool last;       // queries of position T-1 alone
  int64_t* rows;   // [S]: a sequence's first row, -1: it is left out
};

// Rows that sequence s has; one that has none pushes all behind it out of the matrices.
__device__ inline int64_t length_of(const AttentionArgs& a, int64_t s) {
  const int64_t start = a.p.starts[s];
  return start >= 0 && start < a.p.positions ? a.p.positions - start : a.p.keys.rows + 1;
}

// One block: thread i adds up the sequences of its share.
__global__ void __launch_bounds__(kScanThreads) attention_rows_kernel(AttentionArgs a) {
  ASSAY_SHARED(int64_t, totals, kScanThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t each = (a.p.sequences + kScanThreads - 1) / kScanThreads;
  const int64_t first = thread * each;
  const int64_t end = first + each < a.p.sequences ? first + each : a.p.sequences;
  int64_t sum = 0;
  for (int64_t s = first; s < end; s++) sum += length_of(a, s);
  totals[thread] = sum;
  __syncthreads();
  int64_t row = 0;
  for (int t = 0; t < thread; t++) row += totals[t];
  const int64_t prompts = a.p.past_keys.data == nullptr ? 0 : a.p.past_keys.rows / a.p.positions;
  for (int64_t s = first; s < end; s++) {
    const int64_t length = length_of(a, s);
    bool there = row + length <= a.p.keys.rows;
    if (there && a.p.starts[s] > 0) {
      there = prompts > 0 && a.p.prompts[s] >= 0 && a.p.prompts[s] < prompts;
    }
    a.rows[s] = there ? row : -1;
    row += length;
  }
}

template <class Real>
__device__ Real sum_of_lanes(Real x) {
  for (int with = kWarp / 2; with > 0; with /= 2) x += __shfl_xor_sync(kAllLanes, x, with);
  return x;
}

template <class Real>
__device__ Real max_of_lanes(Real x) {
  for (int with = kWarp / 2; with > 0; with /= 2) {
    const Real other = __shfl_xor_sync(kAllLanes, x, with);
    if (other > x) x = other;
  }
  return x;
}

// Block (i, j): some columns of a head of a sequence, for its query tiles j, j + gridDim.y, ...
template <class Real>
__global__ void __launch_bounds__(kThreads, 3) suffix_attention_kernel(AttentionArgs a) {
  constexpr int kPadded = kDepth + 1;
  ASSAY_SHARED(Real, query_tile, kQueries * kDepth);
  ASSAY_SHARED(Real, key_tile, kKeys * kPadded);
  ASSAY_SHARED(Real, value_tile, kKeys * kColumns);
  ASSAY_SHARED(Real, shares, kQueries * kKeys);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const int64_t sequence = blockIdx.x / (a.p.heads * a.chunks);
  const int64_t head = blockIdx.x / a.chunks % a.p.heads;
  const int64_t column = blockIdx.x % a.chunks * kColumns;
  const int64_t first = a.rows[sequence];
  if (first < 0) return;
  const int64_t start = a.p.starts[sequence];
  const int64_t queries = a.last ? 1 : a.p.positions - start;
  const int64_t past = start > 0 ? a.p.prompts[sequence] * a.p.positions : 0;
  // Row of position u, its head's columns from `from`.
  auto row_of = [&](const assay_matrix& before, const assay_matrix& own, int64_t u, int64_t from) {
    const assay_matrix& m = u < start ? before : own;
    const int64_t row = u < start ? past + u : first + u - start;
    return static_cast<const Real*>(m.data) + row * m.stride + head * a.width + from;
  };
  const int64_t first_query = a.last ? sequence : first;
  for (int64_t q0 = static_cast<int64_t>(blockIdx.y) * kQueries; q0 < queries;
       q0 += static_cast<int64_t>(gridDim.y) * kQueries) {
    const int count = queries - q0 < kQueries ? static_cast<int>(queries - q0) : kQueries;
    // Query i of the tile is at position t0 + i.
    const int64_t t0 = a.last ? a.p.positions - 1 : start + q0;
    Real max[kEach];
    Real sum[kEach];
    Real out[kEach][kColumnsEach];
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      max[i] = -infinity<Real>();
      sum[i] = 0;
#pragma unroll
      for (int j = 0; j < kColumnsEach; j++) out[i][j] = 0;
    }
    for (int64_t u0 = 0; u0 < t0 + count; u0 += kKeys) {
      const int keys = t0 + count - u0 < kKeys ? static_cast<int>(t0 + count - u0) : kKeys;
      Real score[kEach];
#pragma unroll
      for (int i = 0; i < kEach; i++) score[i] = 0;
      for (int64_t d0 = 0; d0 < a.width; d0 += kDepth) {
        // The tiles before have been used.
        __syncthreads();
        // Queries stay where they are if they are no wider.
        for (int at = thread; (u0 == 0 || a.width > kDepth) && at < kQueries * kDepth;
             at += kThreads) {
          const int q = at / kDepth;
          const int64_t c = d0 + at % kDepth;
          const Real* row = static_cast<const Real*>(a.p.queries.data) +
                            (first_query + q0 + q) * a.p.queries.stride + head * a.width;
          query_tile[at] = q < count && c < a.width ? row[c] : Real{0};
        }
        for (int at = thread; at < kKeys * kDepth; at += kThreads) {
          const int u = at / kDepth;
          const int c = at % kDepth;
          key_tile[u * kPadded + c] = u < keys && d0 + c < a.width
                                          ? row_of(a.p.past_keys, a.p.keys, u0 + u, d0)[c]
                                          : Real{0};
        }
        for (int at = thread; d0 == 0 && at < kKeys * kColumns; at += kThreads) {
          const int u = at / kColumns;
          const int c = at % kColumns;
          value_tile[at] = u < keys && column + c < a.width
                               ? row_of(a.p.past_values, a.p.values, u0 + u, column)[c]
                               : Real{0};
        }
        __syncthreads();
#pragma unroll 8
        for (int c = 0; c < kDepth; c++) {
          const Real k = key_tile[lane * kPadded + c];
#pragma unroll
          for (int i = 0; i < kEach; i++) {
            score[i] = fma(query_tile[(warp + i * kWarps) * kDepth + c], k, score[i]);
          }
        }
      }
      // How many of the keys a query sees; the same for all lanes.
      int seen[kEach];
#pragma unroll
      for (int i = 0; i < kEach; i++) {
        const int q = warp + i * kWarps;
        const int64_t before = t0 + q + 1 - u0;
        seen[i] = q >= count || before < 0 ? 0 : before < kKeys ? static_cast<int>(before) : kKeys;
        if (seen[i] == 0) continue;
        const bool sees = lane < seen[i];
        const Real x = static_cast<Real>(a.p.scale) * score[i];
        Real most = max_of_lanes(sees ? x : -infinity<Real>());
        if (max[i] > most) most = max[i];
        const Real share = sees ? exponential(x - most) : Real{0};
        const Real keep = exponential(max[i] - most);
        sum[i] = sum[i] * keep + sum_of_lanes(share);
        max[i] = most;
        shares[q * kKeys + lane] = share;
#pragma unroll
        for (int j = 0; j < kColumnsEach; j++) out[i][j] *= keep;
      }
      __syncwarp();
      for (int u = 0; u < keys; u++) {
        Real v[kColumnsEach];
#pragma unroll
        for (int j = 0; j < kColumnsEach; j++) v[j] = value_tile[u * kColumns + lane + j * kWarp];
#pragma unroll
        for (int i = 0; i < kEach; i++) {
          // What is not seen has no part in out, NaN and infinities in it neither.
          if (u >= seen[i]) continue;
          const Real share = shares[(warp + i * kWarps) * kKeys + u];
#pragma unroll
          for (int j = 0; j < kColumnsEach; j++) out[i][j] = fma(share, v[j], out[i][j]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kEach; i++) {
      const int q = warp + i * kWarps;
      if (q >= count) continue;
      Real* row = static_cast<Real*>(a.out.data) + (first_query + q0 + q) * a.out.stride +
                  head * a.width + column;
#pragma unroll
      for (int j = 0; j < kColumnsEach; j++) {
        const int c = lane + j * kWarp;
        if (column + c < a.width) row[c] = out[i][j] / sum[i];
      }
    }
  }
}

AttentionArgs attention_args(const assay_suffix_attention_params& p, Workspace& w) {
  AttentionArgs a{};
  a.p = p;
  a.width = p.queries.columns / p.heads;
  a.chunks = (a.width + kColumns - 1) / kColumns;
  a.last = p.queries.rows == p.sequences;
  a.rows = w.take<int64_t>(p.sequences);
  return a;
}

template <class Real>
void launch(const AttentionArgs& a, int64_t items, cudaStream_t stream) {
  ASSAY_LAUNCH((attention_rows_kernel), dim3(1), dim3(kScanThreads), stream, a);
  const dim3 grid(static_cast<unsigned>(items), a.last ? 1 : row_blocks(a.p.positions, kQueries));
  ASSAY_LAUNCH((suffix_attention_kernel<Real>), grid, dim3(kThreads), stream, a);
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
    attention_args(*args, w);
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
    if (args->sequences == 0 || args->queries.columns == 0) return;
    check_attention_past(f, *args);
    const int32_t dtype = args->queries.dtype;
    const int64_t rows = args->keys.rows;
    const int64_t d = args->queries.columns;
    const bool last = args->queries.rows == args->sequences;
    check_real(f, "queries", args->queries, last ? args->sequences : rows, d, dtype);
    check_real(f, "keys", args->keys, rows, d, dtype);
    check_real(f, "values", args->values, rows, d, dtype);
    check_real(f, "out", *out, args->queries.rows, d, dtype);
    Workspace w(workspace, workspace_bytes);
    AttentionArgs a = attention_args(*args, w);
    w.check(f);
    a.out = *out;
    const int64_t items = times(times(args->sequences, args->heads), a.chunks);
    if (items > 0x7fffffff) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: %lld sequences times heads; at most 2147483647 can be", f,
           static_cast<long long>(items));
    }
    const OnDevice on(stream);
    if (dtype == ASSAY_F64) {
      launch<double>(a, items, on.handle);
    } else {
      launch<float>(a, items, on.handle);
    }
  });
}
