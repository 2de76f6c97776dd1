// assay_head_backward: gradient[r] = weight[r] (W[target[r]] - sum_v exp(logit[r,v] - lse[r]) W[v])
// for R rows of width d under a head of V tokens (ARCA kernel K3); logits are computed anew.
//
// Floor: V d elements once, 4RdV operations. GPT-2 small in float: 154 MB, 32 us at 4.8 TB/s, which
// the operations reach at R = 14 for 67 TFLOP/s. Design: a block takes some rows and a segment of
// the vocabulary; for each tile of tokens it makes the probabilities, which stay in shared memory,
// and spreads them over the columns, a chunk at a time. The sums of a segment are in the workspace:
// they are too many for registers (64 x 768), and as only this block touches them they are found in
// the caches. With up to 16 rows a tile is 32 tokens, 98 KB of table (d = 768, float), read a
// second time out of the cache: memory gives each element once. With many rows it is 64 tokens x 64
// rows: per tile and 25 MFLOP, 0.4 MB of table and 0.4 MB of sums go between cache and block, 1.2
// TB/s in all where the machine does 67 TFLOP/s; the second cache gives several. At most kChunk
// rows are done at a time, so that partial sums take kChunk x segments x d elements (100 MB at d =
// 768) whatever R.
//
// Order of a sum, whatever R: 32 tokens ascending from zero, fused; those added ascending within a
// segment; segments ascending in double.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   backward_finish_kernel<Bf16>: 26 0 0, 32 0 0
//   backward_finish_kernel<Half>: 26 0 0, 32 0 0
//   backward_finish_kernel<double>: 26 0 0, 31 0 0
//   backward_finish_kernel<float>: 26 0 0, 32 0 0
//   head_backward_kernel<Spread<Tile<Bf16, 4, 32, 2, 1>, 1, 128, 8, 1>>: 128 22912 0, 128 22912 0
//   head_backward_kernel<Spread<Tile<Bf16, 8, 16, 8, 4>, 8, 16, 8, 4>>: 168 33152 0, 168 33152 0
//   head_backward_kernel<Spread<Tile<Half, 4, 32, 2, 1>, 1, 128, 8, 1>>: 128 22912 0, 128 22912 0
//   head_backward_kernel<Spread<Tile<Half, 8, 16, 8, 4>, 8, 16, 8, 4>>: 168 33152 0, 168 33152 0
//   head_backward_kernel<Spread<Tile<double, 4, 32, 2, 1>, 1, 128, 8, 1>>: 168 40448 0, 136 40448 0
//   head_backward_kernel<Spread<Tile<double, 8, 16, 4, 4>, 8, 16, 4, 4>>: 160 39552 0, 164 39552 0
//   head_backward_kernel<Spread<Tile<float, 4, 32, 2, 1>, 1, 128, 8, 1>>: 128 22912 0, 128 22912 0
//   head_backward_kernel<Spread<Tile<float, 8, 16, 8, 4>, 8, 16, 8, 4>>: 164 33152 0, 168 33152 0
#include "arguments.h"
#include "product.cuh"

namespace assay {
namespace {

constexpr int64_t kBackwardSegments = 128;
constexpr int64_t kTileTokens = 64;  // a segment is a multiple of it
constexpr int kGroup = 32;           // tokens added from zero
constexpr int64_t kChunk = 256;
constexpr int kFinishThreads = 128;

struct BackwardArgs {
  assay_matrix hidden, head, gradient;
  const void* bias;
  const int32_t* targets;
  const void* lse;
  const void* weight;
  Segments segments;
  void* sums;  // [R, segments, d] real
};

// Both products of a block: logits of a tile of tokens, then a chunk of columns.
template <class Logits, int RowThreadCount, int ColumnThreadCount, int RowsEach, int ColumnsEach>
struct Spread {
  using Product = Logits;
  using Real = typename Logits::Real;
  static constexpr int kThreads = RowThreadCount * ColumnThreadCount;
  static constexpr int kRowThreads = RowThreadCount;
  static constexpr int kColumnThreads = ColumnThreadCount;
  static constexpr int kRowsEach = RowsEach;
  static constexpr int kColumnsEach = ColumnsEach;
  static constexpr int kRows = kRowThreads * kRowsEach;
  static constexpr int kColumns = kColumnThreads * kColumnsEach;
  static_assert(kThreads == Logits::kThreads && kRows == Logits::kRows);
  static_assert(Logits::kTokens % kGroup == 0 && kTileTokens % Logits::kTokens == 0);
};

template <class Elem>
using FewSpread = Spread<Tile<Elem, 4, 32, 2, 1>, 1, 128, 8, 1>;
template <class Elem>
using ManySpread = Spread<Tile<Elem, 8, 16, 32 / sizeof(typename RealOf<Elem>::type), 4>, 8, 16,
                          32 / sizeof(typename RealOf<Elem>::type), 4>;

// Block (s, t): segment s for the rows of tile t.
template <class S>
__global__ void __launch_bounds__(S::kThreads) head_backward_kernel(BackwardArgs a) {
  using T = typename S::Product;
  using Real = typename S::Real;
  using Elem = typename T::Elem;
  constexpr int kPadded = S::kRows + 1;
  ASSAY_SHARED(Real, table_tile, T::kTable);
  ASSAY_SHARED(Real, active_tile, T::kActive);
  ASSAY_SHARED(Real, shares, T::kTokens * kPadded);
  ASSAY_SHARED(Real, columns, kGroup * S::kColumns);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t d = a.head.columns;
  const int64_t first = blockIdx.x * a.segments.length;
  const int64_t end = first + a.segments.length;
  const int64_t last = end < a.head.rows ? end : a.head.rows;
  const int64_t row0 = static_cast<int64_t>(blockIdx.y) * S::kRows;
  const Elem* table = static_cast<const Elem*>(a.head.data);
  const Rows<Real> active =
      rows_of(static_cast<const Real*>(a.hidden.data), a.hidden.stride, row0, a.hidden.rows - row0);
  Real* sums = static_cast<Real*>(a.sums) + blockIdx.x * d;
  const int64_t sums_stride = a.segments.count * d;
  const int row_thread = thread / S::kColumnThreads;
  const int column_thread = thread % S::kColumnThreads;
  for (int64_t v = first; v < last; v += T::kTokens) {
    const int64_t left = last - v;
    {
      Real acc[T::kRowsEach][T::kTokensEach];
      product<T>(rows_of(table, a.head.stride, v, left), active, d, table_tile, active_tile, acc);
#pragma unroll
      for (int i = 0; i < T::kRowsEach; i++) {
        const int r = thread / T::kTokenThreads + i * T::kRowThreads;
        const Real lse =
            r < active.rows ? static_cast<const Real*>(a.lse)[row0 + r] : infinity<Real>();
#pragma unroll
        for (int j = 0; j < T::kTokensEach; j++) {
          const int n = thread % T::kTokenThreads + j * T::kTokenThreads;
          Real logit = acc[i][j];
          if (a.bias != nullptr && n < left) logit += static_cast<const Real*>(a.bias)[v + n];
          shares[n * kPadded + r] =
              n < left && r < active.rows ? exponential(logit - lse) : Real{0};
        }
      }
    }
    for (int64_t c0 = 0; c0 < d; c0 += S::kColumns) {
      Real total[S::kRowsEach][S::kColumnsEach];
#pragma unroll
      for (int i = 0; i < S::kRowsEach; i++) {
        const int64_t r = row_thread + i * S::kRowThreads;
#pragma unroll
        for (int j = 0; j < S::kColumnsEach; j++) {
          const int64_t c = c0 + column_thread + j * S::kColumnThreads;
          const bool read = v > first && r < active.rows && c < d;
          total[i][j] = read ? sums[(row0 + r) * sums_stride + c] : Real{0};
        }
      }
      for (int group = 0; group < T::kTokens && group < left; group += kGroup) {
        // Shares are written and the columns before have been used.
        __syncthreads();
        for (int at = thread; at < kGroup * S::kColumns; at += S::kThreads) {
          const int n = group + at / S::kColumns;
          const int64_t c = c0 + at % S::kColumns;
          columns[at] = n < left && c < d ? widen(table[(v + n) * a.head.stride + c]) : Real{0};
        }
        __syncthreads();
        Real acc[S::kRowsEach][S::kColumnsEach];
#pragma unroll
        for (int i = 0; i < S::kRowsEach; i++) {
#pragma unroll
          for (int j = 0; j < S::kColumnsEach; j++) acc[i][j] = 0;
        }
#pragma unroll 4
        for (int n = 0; n < kGroup; n++) {
          Real p[S::kRowsEach];
          Real w[S::kColumnsEach];
#pragma unroll
          for (int i = 0; i < S::kRowsEach; i++) {
            p[i] = shares[(group + n) * kPadded + row_thread + i * S::kRowThreads];
          }
#pragma unroll
          for (int j = 0; j < S::kColumnsEach; j++) {
            w[j] = columns[n * S::kColumns + column_thread + j * S::kColumnThreads];
          }
#pragma unroll
          for (int i = 0; i < S::kRowsEach; i++) {
#pragma unroll
            for (int j = 0; j < S::kColumnsEach; j++) acc[i][j] = fma(p[i], w[j], acc[i][j]);
          }
        }
#pragma unroll
        for (int i = 0; i < S::kRowsEach; i++) {
#pragma unroll
          for (int j = 0; j < S::kColumnsEach; j++) total[i][j] += acc[i][j];
        }
      }
#pragma unroll
      for (int i = 0; i < S::kRowsEach; i++) {
        const int64_t r = row_thread + i * S::kRowThreads;
#pragma unroll
        for (int j = 0; j < S::kColumnsEach; j++) {
          const int64_t c = c0 + column_thread + j * S::kColumnThreads;
          if (r < active.rows && c < d) sums[(row0 + r) * sums_stride + c] = total[i][j];
        }
      }
    }
  }
}

// A thread for each element.
template <class Elem>
__global__ void __launch_bounds__(kFinishThreads) backward_finish_kernel(BackwardArgs a) {
  using Real = typename RealOf<Elem>::type;
  const int64_t d = a.head.columns;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kFinishThreads + threadIdx.x;
  const int64_t row = at / d;
  const int64_t c = at % d;
  if (row >= a.hidden.rows) return;
  const Real* sums = static_cast<const Real*>(a.sums) + row * a.segments.count * d + c;
  double sum = 0;
  for (int64_t s = 0; s < a.segments.count; s++) sum += static_cast<double>(sums[s * d]);
  const int64_t target = a.targets[row];
  const double wanted =
      target >= 0 && target < a.head.rows
          ? static_cast<double>(
                widen(static_cast<const Elem*>(a.head.data)[target * a.head.stride + c]))
          : not_a_number<double>();
  const double weight = static_cast<const Real*>(a.weight)[row];
  static_cast<Real*>(a.gradient.data)[row * a.gradient.stride + c] =
      static_cast<Real>(weight * (wanted - sum));
}

// Workspace for at most kChunk rows.
BackwardArgs backward_args(const assay_head_rows_params& p, Workspace& w) {
  BackwardArgs a{};
  a.head = p.head;
  a.bias = p.bias;
  const int64_t each = (p.head.rows + kBackwardSegments - 1) / kBackwardSegments;
  const int64_t length = (each + kTileTokens - 1) / kTileTokens * kTileTokens;
  a.segments = {length, (p.head.rows + length - 1) / length};
  const int64_t rows = p.hidden.rows < kChunk ? p.hidden.rows : kChunk;
  const int64_t sums = times(times(rows, a.segments.count), p.head.columns);
  a.sums = w.take_bytes(times(sums, bytes_of(p.hidden.dtype)));
  return a;
}

template <class S>
void launch(const BackwardArgs& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.segments.count), blocks(a.hidden.rows, S::kRows));
  ASSAY_LAUNCH((head_backward_kernel<S>), grid, dim3(S::kThreads), stream, a);
}

assay_matrix part(const assay_matrix& m, int64_t row, int64_t rows) {
  assay_matrix some = m;
  some.data = static_cast<char*>(m.data) + row * m.stride * bytes_of(m.dtype);
  some.rows = rows;
  return some;
}

template <class Real>
const Real* from(const void* data, int64_t row) {
  return static_cast<const Real*>(data) + row;
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_head_backward_workspace(const struct assay_head_rows_params* args,
                                                 int64_t* bytes) {
  return guard([&] {
    check_head("assay_head_backward_workspace", args);
    check_pointer("assay_head_backward_workspace", "bytes", bytes);
    Workspace w;
    if (args->hidden.rows > 0) backward_args(*args, w);
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
    const int64_t rows = args->hidden.rows;
    const int64_t d = args->head.columns;
    check_real(f, "gradient", *gradient, rows, d, args->hidden.dtype);
    if (rows == 0 || d == 0) return;
    check_pointer(f, "targets", args->targets);
    check_pointer(f, "lse", lse);
    check_pointer(f, "weight", weight);
    Workspace w(workspace, workspace_bytes);
    BackwardArgs a = backward_args(*args, w);
    w.check(f);
    const OnDevice on(stream);
    by_element(args->head.dtype, [&](auto elem) {
      using Elem = decltype(elem);
      using Real = typename RealOf<Elem>::type;
      for (int64_t row = 0; row < rows; row += kChunk) {
        const int64_t count = rows - row < kChunk ? rows - row : kChunk;
        a.hidden = part(args->hidden, row, count);
        a.gradient = part(*gradient, row, count);
        a.targets = args->targets + row;
        a.lse = from<Real>(lse, row);
        a.weight = from<Real>(weight, row);
        if (rows <= kFewRows) {
          launch<FewSpread<Elem>>(a, on.handle);
        } else {
          launch<ManySpread<Elem>>(a, on.handle);
        }
        ASSAY_LAUNCH((backward_finish_kernel<Elem>), dim3(blocks(times(count, d), kFinishThreads)),
                     dim3(kFinishThreads), on.handle, a);
      }
    });
  });
}
