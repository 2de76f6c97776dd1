// Bounds of token swap scores by the matrix units, for assay_token_swap_topk of more audits than
// kFewRows: which groups of tokens may have one of an audit's best K. Their scores are then
// computed as without this, in token_swap_topk.cu: results have the same bits.
//
// Floor: A = 256 audits, V = 50257, d = 768 in bfloat16: 2AdV = 2.0e10 operations, 300 us in float
// arithmetic at 67 TFLOP/s, 20 us on the matrix units at 989; with activations in two parts, as
// here, 40 us, of a float table in three products 60 us. The table is 77 MB, 16 us at 4.8 TB/s. In
// one part, within 2^-8, an error is five times as large: of normal numbers K = 32 then leaves 46
// candidates and not 34, but the bound is a share of ||E[v]|| ||x||, which scores of vocabularies
// with much in common are far below, and where candidates overflow 300 us are spent on top. A third
// part would make bounds worse: what the units cut off their sums is most of the error at two.
//
// Bounds. Of token v, audit a: |product - exact kernel's product| <= ||E[v]|| error[a] + 2^-100
//   error = ||x - x'|| + (matrix_error + (d + 16) u) ||x||
// the last for the exact kernel's roundings and those of the bounds, and all of it a little larger,
// for those of ||E[v]||, a float sum. What is added to a product is the same in both, and rounding
// is monotonic: it is added to product - bound and product + bound. Where a bound is not below
// 2^100, or something is not a number, nothing is known: the bounds are infinite.
//
// Choice. A group's highest lower bound is a score that one token of it has or surpasses; the K-th
// highest of an audit's groups is so for K tokens, and no group whose highest upper bound is below
// has one of the best. Nothing is listed, ranked or shared between blocks before that: a group is
// what a lane has anyway, and what is written of a score is 1 byte. Masked tokens have no bounds;
// those that one audit forbids are found after, since else there would be a search for every score:
// their groups do not count for the floor. A NaN's group is always a candidate, so counts are
// exact. Where an audit has more candidates than there is room for, 2K + 64 groups, its
// kExactAudits are computed as if nothing had been bounded: endless ties cost what was spent here,
// and never a wrong result. An untied head has two products with a bound each. A table of doubles
// has none: its scores are wanted to 53 bits, and bounds from bfloat16 parts would cost six
// products and more.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   swap_bound_kernel<MatrixTile<Bf16, 2>, false>: 138 17408 0, 142 17408 0
//   swap_bound_kernel<MatrixTile<Bf16, 2>, true>: 205 18432 0, 210 18432 0
//   swap_bound_kernel<MatrixTile<Bf16, 4>, false>: 128 25600 0, 128 25600 0
//   swap_bound_kernel<MatrixTile<Half, 2>, false>: 150 25600 0, 156 25600 0
//   swap_bound_kernel<MatrixTile<Half, 2>, true>: 216 26624 0, 221 26624 0
//   swap_bound_kernel<MatrixTile<Half, 4>, false>: 128 33792 0, 128 33792 0
//   swap_bound_kernel<MatrixTile<float, 2>, false>: 158 25600 0, 164 25600 0
//   swap_bound_kernel<MatrixTile<float, 2>, true>: 224 26624 0, 229 26624 0
//   swap_bound_kernel<MatrixTile<float, 4>, false>: 148 33792 0, 152 33792 0
//   swap_select_kernel: 38 1036 0, 35 1036 0
//   swap_split_kernel: 32 2048 0, 32 2048 0
#include <type_traits>

#include "token_swap.cuh"

namespace assay {
namespace {

constexpr int kSplitThreads = 128;
constexpr int kSelectThreads = 256;

// Audits [first, first + rows) are bounded.
struct BoundArgs {
  SwapArgs swap;
  int64_t first, rows;
};

struct SplitArgs {
  Rows<float> from;
  int64_t d, columns;
  double relative;  // of the error: of ||x||
  double larger;    // all of it, times this
  uint16_t* parts;
  float* error;
};

// An audit's activations in parts, and their share in the bound; a block each, behind the last
// zeros.
__global__ void __launch_bounds__(kSplitThreads) swap_split_kernel(SplitArgs a) {
  ASSAY_SHARED(double, squares, 2 * kSplitThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t audit = blockIdx.x;
  const bool exists = audit < a.from.rows;
  const float* x = a.from.data + audit * a.from.stride;
  uint16_t* first = a.parts + audit * kActiveParts * a.columns;
  double size = 0, apart = 0;
  for (int64_t c = thread; c < a.columns; c += kSplitThreads) {
    const float value = exists && c < a.d ? x[c] : 0.0f;
    const uint32_t part = bf16_pair(value, 0);
    const float rest = value - low_of(part);
    const uint32_t second = bf16_pair(rest, 0);
    const double lost = rest - low_of(second);
    first[c] = static_cast<uint16_t>(part);
    first[a.columns + c] = static_cast<uint16_t>(second);
    size += static_cast<double>(value) * value;
    apart += lost * lost;
  }
  squares[thread] = size;
  squares[kSplitThreads + thread] = apart;
  __syncthreads();
  if (thread != 0 || !exists) return;
  for (int i = 1; i < kSplitThreads; i++) {
    size += squares[i];
    apart += squares[kSplitThreads + i];
  }
  constexpr double kLeast = 0x1p-60;
  const double norm = sqrt(size);
  const double bound = sqrt(apart) + a.relative * (norm < kLeast ? kLeast : norm);
  a.error[audit] = static_cast<float>(bound * a.larger);
}

// What is between a product and its bounds; infinite where nothing is known.
__device__ inline float bound_of(float norm, float error) {
  const float bound = fma(norm, error, 0x1p-100f);
  return bound < 0x1p100f ? bound : infinity<float>();
}

// Puts the norm of token n's row at 2 n; less than zero where it may not be chosen.
__device__ inline void make_norm(Shared<float> squares, int n, bool usable) {
  constexpr float kLeast = 0x1p-60f;
  const float norm = sqrtf(squares[2 * n] + squares[2 * n + 1]);
  squares[2 * n] = !usable ? -1.0f : norm < kLeast ? kLeast : norm;
}

// Block i: token tile i / row tiles, audits of row tile i % row tiles, so that blocks that run
// together share the table.
template <class M, bool Untied>
__global__ void __launch_bounds__(M::kThreads, M::kBlocks)
    swap_bound_kernel(BoundArgs b, int64_t row_tiles) {
  using Elem = typename M::Elem;
  ASSAY_SHARED(Words, table_tile, M::kTable);
  ASSAY_SHARED(Words, active_tile, M::kActive);
  ASSAY_SHARED(float, squares, M::kSquares);
  ASSAY_SHARED(float, head_squares, Untied ? M::kSquares : 1);
  const SwapArgs& a = b.swap;
  const assay_token_swap_topk_params& p = a.p;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int64_t row0 = blockIdx.x % row_tiles * M::kAudits;
  const int64_t v0 = blockIdx.x / row_tiles * M::kTokens;
  auto product = [&](const assay_matrix& table, const uint16_t* active, Shared<float> of_rows,
                     auto& sums) {
    const int64_t bytes = table.stride * static_cast<int64_t>(sizeof(Elem));
    const bool aligned =
        (reinterpret_cast<uintptr_t>(table.data) | static_cast<uintptr_t>(bytes)) % 16 == 0;
    matrix_product<M>(
        rows_of(static_cast<const Elem*>(table.data), table.stride, v0, p.embedding.rows - v0),
        aligned, Parts{active, static_cast<int>(a.bounds.columns)}, row0,
        static_cast<int>(table.columns), table_tile, active_tile, of_rows, sums);
  };
  float logits[M::kTokenTiles][M::kAuditTiles][4];
  if constexpr (Untied) product(p.head, a.bounds.hidden, head_squares, logits);
  float sums[M::kTokenTiles][M::kAuditTiles][4];
  product(p.embedding, a.bounds.gradient, squares, sums);
  // The squares are written.
  __syncthreads();
  if (thread < M::kTokens) {
    const int64_t v = v0 + thread;
    const bool usable = v < p.embedding.rows && allowed(p, v);
    make_norm(squares, thread, usable);
    if constexpr (Untied) make_norm(head_squares, thread, usable);
  }
  // The norms are.
  __syncthreads();

  const int token0 = thread / kWarp % 2 * 64 + lane / 4;
  const int64_t group = (v0 + token0) / 64 * 8 + lane / 4;
#pragma unroll
  for (int j = 0; j < M::kAuditTiles; j++) {
#pragma unroll
    for (int k = 0; k < 2; k++) {
      const int64_t row = row0 + thread / (2 * kWarp) * 32 + j * 8 + lane % 4 * 2 + k;
      if (row >= b.rows || group >= a.bounds.groups) continue;
      const int64_t audit = b.first + row;
      const float error = a.bounds.gradient_error[row];
      const float head_error = Untied ? a.bounds.hidden_error[row] : 0.0f;
      const float alpha = p.alpha == nullptr ? 0.0f : static_cast<const float*>(p.alpha)[audit];
      const float lse = a.lse == nullptr ? 0.0f : static_cast<const float*>(a.lse)[audit];
      float upper = not_a_number<float>();
      float lower = -infinity<float>();
#pragma unroll
      for (int i = 0; i < kGroup; i++) {
        const int n = token0 + 8 * i;
        const float norm = squares[2 * n];
        if (norm < 0) continue;
        const int at = i % 2 * 2 + k;
        const float bound = bound_of(norm, error);
        float low = sums[i / 2][j][at] - bound;
        float high = sums[i / 2][j][at] + bound;
        if (alpha != 0) {
          // The logit that makes the score lower, and the one that makes it higher.
          float logit = 0;
          float apart = 0;
          if constexpr (Untied) {
            logit = logits[i / 2][j][at];
            apart = bound_of(head_squares[2 * n], head_error);
            if (alpha < 0) apart = -apart;
          }
          const float bias = p.bias == nullptr ? 0.0f : static_cast<const float*>(p.bias)[v0 + n];
          low += alpha * (logit - apart + bias - lse);
          high += alpha * (logit + apart + bias - lse);
        }
        if (p.unigram != nullptr) {
          const float unigram = static_cast<const float*>(p.unigram)[v0 + n];
          low += unigram;
          high += unigram;
        }
        lower = fmaxf(lower, low == low ? low : -infinity<float>());
        upper = fmaxf(upper, high == high ? high : infinity<float>());
      }
      a.bounds.upper[row * a.bounds.groups + group] = upper;
      a.bounds.lower[row * a.bounds.groups + group] = lower;
    }
  }
}

// The candidates of an audit, a block each.
__global__ void __launch_bounds__(kSelectThreads) swap_select_kernel(BoundArgs b) {
  ASSAY_SHARED(int32_t, digits, kDigits);
  ASSAY_SHARED(int32_t, search, 3);
  ASSAY_SHARED(int32_t, found, 1);
  const SwapArgs& a = b.swap;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t audit = b.first + blockIdx.x;
  const int64_t groups = a.bounds.groups;
  const float* upper = a.bounds.upper + blockIdx.x * groups;
  float* lower = a.bounds.lower + blockIdx.x * groups;
  if (a.p.forbidden_offsets != nullptr) {
    const int64_t end = a.p.forbidden_offsets[audit + 1];
    for (int64_t i = a.p.forbidden_offsets[audit] + thread; i < end; i += kSelectThreads) {
      const int64_t v = a.p.forbidden_ids[i];
      if (v >= 0 && v < a.p.embedding.rows) lower[v / 64 * 8 + v % 8] = -infinity<float>();
    }
  }
  if (thread == 0) found[0] = 0;
  // The K-th highest lower bound, byte by byte from the highest.
  uint64_t known = 0, mask = 0;
  int wanted = static_cast<int>(a.p.kept);
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = thread; i < kDigits; i += kSelectThreads) digits[i] = 0;
    __syncthreads();
    for (int64_t g = thread; g < groups; g += kSelectThreads) {
      const uint64_t order = order_of(lower[g]);
      if ((order & mask) == known) atomicAdd(&digits[static_cast<int>(order >> shift & 255)], 1);
    }
    __syncthreads();
    if (thread < kWarp) find_digit(digits, wanted, search);
    __syncthreads();
    known |= static_cast<uint64_t>(static_cast<uint32_t>(search[0])) << shift;
    mask |= uint64_t{255} << shift;
    wanted = search[1];
  }
  int32_t* candidates = a.bounds.candidates + audit * a.bounds.room;
  for (int64_t g = thread; g < groups; g += kSelectThreads) {
    if (upper[g] != upper[g] || order_of(upper[g]) < known) continue;
    const int at = atomicAdd(&found[0], 1);
    if (at < a.bounds.room) candidates[at] = static_cast<int32_t>(g);
  }
  __syncthreads();
  if (thread != 0) return;
  a.floors[audit] = known;
  a.bounds.counts[audit] = found[0];
  if (found[0] > a.bounds.room) a.bounds.exact[audit / kExactAudits] = 1;
}

template <class M, bool Untied>
void launch(const BoundArgs& b, cudaStream_t stream) {
  const int64_t row_tiles = (b.rows + M::kAudits - 1) / M::kAudits;
  const int64_t tiles = (b.swap.p.embedding.rows + M::kTokens - 1) / M::kTokens * row_tiles;
  ASSAY_LAUNCH((swap_bound_kernel<M, Untied>), dim3(static_cast<unsigned>(tiles)),
               dim3(M::kThreads), stream, b, row_tiles);
}

template <class Elem>
void launch_all(const SwapArgs& a, cudaStream_t stream) {
  const int64_t d = a.p.embedding.columns;
  const bool untied = a.hidden.data != nullptr;
  for (int64_t first = 0; first < a.p.gradient.rows; first += kBoundAudits) {
    const int64_t left = a.p.gradient.rows - first;
    const BoundArgs b = {a, first, left < kBoundAudits ? left : kBoundAudits};
    auto split = [&](const Rows<char>& all, uint16_t* parts, float* error) {
      SplitArgs s{};
      s.from = {reinterpret_cast<const float*>(all.data) + first * all.stride, all.stride, b.rows};
      s.d = d;
      s.columns = a.bounds.columns;
      s.relative = matrix_error<Elem>(d, s.columns) + static_cast<double>(d + 16) * 0x1p-24;
      s.larger = 1 + static_cast<double>(d + 16) * 0x1p-23;
      s.parts = parts;
      s.error = error;
      const int64_t rows = (b.rows + kActiveRows - 1) / kActiveRows * kActiveRows;
      ASSAY_LAUNCH((swap_split_kernel), dim3(static_cast<unsigned>(rows)), dim3(kSplitThreads),
                   stream, s);
    };
    split(a.gradient, a.bounds.gradient, a.bounds.gradient_error);
    if (untied) split(a.hidden, a.bounds.hidden, a.bounds.hidden_error);
    if (untied) {
      launch<MatrixTile<Elem, 2>, true>(b, stream);
    } else if (b.rows <= 64) {
      launch<MatrixTile<Elem, 2>, false>(b, stream);
    } else {
      launch<MatrixTile<Elem, 4>, false>(b, stream);
    }
    ASSAY_LAUNCH((swap_select_kernel), dim3(static_cast<unsigned>(b.rows)), dim3(kSelectThreads),
                 stream, b);
  }
}

}  // namespace

SwapBounds swap_bounds(const assay_token_swap_topk_params& p, int64_t lists, Workspace& w) {
  // Up to here what errors do to errors is within 1 + 2^-5 and what is added for norms.
  constexpr int64_t kMostColumns = 32768;
  // Candidates that a block computes at a time; blocks of an audit.
  constexpr int64_t kTileGroups = 16;
  constexpr int64_t kMostLists = 8;
  SwapBounds b{};
  const int64_t audits = p.gradient.rows;
  const int64_t d = p.embedding.columns;
  const int64_t groups = (p.embedding.rows + 63) / 64 * 8;
  b.room = (2 * p.kept + 64 + kTileGroups - 1) / kTileGroups * kTileGroups;
  if (audits <= kFewRows || p.embedding.dtype == ASSAY_F64 || d < 1 || d > kMostColumns ||
      groups < 2 * b.room) {
    return b;
  }
  b.groups = groups;
  b.columns = (d + kColumns - 1) / kColumns * kColumns;
  b.lists = b.room / kTileGroups < kMostLists ? b.room / kTileGroups : kMostLists;
  if (b.lists > lists) b.lists = lists;
  const int64_t rows = audits < kBoundAudits ? audits : kBoundAudits;
  const int64_t padded = (rows + kActiveRows - 1) / kActiveRows * kActiveRows;
  const int64_t parts = times(times(padded, kActiveParts), b.columns);
  const bool two = p.alpha != nullptr && !tied(p);
  b.gradient = w.take<uint16_t>(parts);
  b.gradient_error = w.take<float>(rows);
  if (two) b.hidden = w.take<uint16_t>(parts);
  if (two) b.hidden_error = w.take<float>(rows);
  b.upper = w.take<float>(times(rows, groups));
  b.lower = w.take<float>(times(rows, groups));
  b.candidates = w.take<int32_t>(times(audits, b.room));
  b.counts = w.take<int32_t>(audits);
  b.exact = w.take<int32_t>((audits + kExactAudits - 1) / kExactAudits);
  return b;
}

void launch_swap_bounds(const SwapArgs& a, cudaStream_t stream) {
  switch (a.p.embedding.dtype) {
    case ASSAY_F16: launch_all<Half>(a, stream); break;
    case ASSAY_BF16: launch_all<Bf16>(a, stream); break;
    default: launch_all<float>(a, stream); break;
  }
}

}  // namespace assay
