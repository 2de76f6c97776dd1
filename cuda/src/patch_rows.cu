// assay_patch_rows: copies of rows of the stream, in each of which one head's output is that of a
// source row, and their norm (specs/ioi.md 7, kernels a and b); assay.h has the formula.
//
// Floor: of N rows and H heads the copies once, N H d elements, as many again where they are
// normed, the rows of z that they come from, 2 N H d_h, and W_O, H d_h d; 2 N H d_h d operations.
// The sweep of a prompt of 15 tokens through one layer of GPT-2 small: N = 15, H = 12, d_h = 64, d
// = 768 in float: 3.1 MB, of which 2.4 MB are W_O, 0.6 us at 4.8 TB/s, and 18 MFLOP, 0.3 us at 67
// TFLOP/s. Of 100 prompts at once: 59 MB, 12 us, and 1.8 GFLOP, 26 us: then arithmetic binds,
// without the norm.
//
// Design: a block takes 32 rows of one head and 128 columns at a time; 32 columns of the head at a
// time the differences of z and the rows of W_O go through shared memory. A thread has 8 copies and
// 4 columns, 32 multiply-adds for 12 reads of shared memory of which 8 are one word for all lanes:
// those bind at two thirds of the arithmetic rate. A warp without rows multiplies nothing, so that
// 15 rows cost 16. Where the norm is asked for a block takes all columns, one chunk after the
// other: a thread then reads again what it wrote, out of the first cache, so that nothing waits;
// else chunks are blocks of their own, 72 for the sweep of one prompt.
//
// Order of a sum: columns of the head ascending from zero, fused, then the stream's row. Sums of a
// norm: a lane's columns ascending, then the lanes by halves.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   patch_rows_kernel<double>: 156 40960 0, 134 40960 0
//   patch_rows_kernel<float>: 117 20480 0, 96 20480 0
#include <cmath>

#include "arguments.h"
#include "device.h"

namespace assay {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRowsEach = 8;  // of a warp
constexpr int kRows = kRowsEach * kWarps;
constexpr int kColumnsEach = 4;  // of a lane
constexpr int kColumns = kColumnsEach * kWarp;
constexpr int kDepth = 32;

struct PatchArgs {
  assay_patch_rows_params p;
  assay_matrix middle;
  assay_matrix normed;  // data NULL: not asked for
  int64_t width;        // of a head
};

// Where a copy comes from; row -1: out of the matrices, it is left out.
struct Copy {
  int64_t row, source;
};

__device__ inline Copy copy_of(const PatchArgs& a, int64_t n, int64_t head) {
  const int64_t bank = a.p.bank.data == nullptr ? 0 : a.p.bank.rows;
  const int64_t row = a.p.rows[n];
  const int64_t source = a.p.sources[n * a.p.heads + head];
  const bool there =
      row >= 0 && row < a.p.live.rows && source >= -1 && source < a.p.live.rows + bank;
  return {there ? row : -1, source};
}

// Element k of a head's part of row `row` of [live ; bank].
template <class Real>
__device__ Real z_of(const PatchArgs& a, int64_t row, int64_t head, int64_t k) {
  const assay_matrix& m = row < a.p.live.rows ? a.p.live : a.p.bank;
  const int64_t at = row < a.p.live.rows ? row : row - a.p.live.rows;
  return static_cast<const Real*>(m.data)[at * m.stride + head * a.width + k];
}

template <class Real>
__device__ Real sum_of_lanes(Real x) {
  for (int with = kWarp / 2; with > 0; with /= 2) x += __shfl_xor_sync(kAllLanes, x, with);
  return x;
}

// The norm of a copy by the lanes that wrote it, each of the columns that it wrote.
template <class Real>
__device__ void norm_of(const PatchArgs& a, const Real* x, Real* out, int lane) {
  const int64_t d = a.p.output.columns;
  Real mean = 0;
  if (a.p.norm == ASSAY_LAYER_NORM) {
    for (int64_t c = lane; c < d; c += kWarp) mean += x[c];
    mean = sum_of_lanes(mean) / static_cast<Real>(d);
  }
  Real squares = 0;
  for (int64_t c = lane; c < d; c += kWarp) squares = fma(x[c] - mean, x[c] - mean, squares);
  const double variance = static_cast<double>(sum_of_lanes(squares)) / static_cast<double>(d);
  const Real factor = static_cast<Real>(1 / sqrt(variance + a.p.epsilon));
  for (int64_t c = lane; c < d; c += kWarp) {
    Real y = (x[c] - mean) * factor;
    if (a.p.scale != nullptr) y *= static_cast<const Real*>(a.p.scale)[c];
    if (a.p.bias != nullptr) y += static_cast<const Real*>(a.p.bias)[c];
    out[c] = y;
  }
}

// Block (i, j): rows i / heads * kRows on of head i % heads, chunks j, j + gridDim.y, ... of
// columns.
template <class Real>
__global__ void __launch_bounds__(kThreads) patch_rows_kernel(PatchArgs a) {
  ASSAY_SHARED(Real, changes, kRows * kDepth);
  ASSAY_SHARED(Real, weights, kDepth * kColumns);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int first = thread / kWarp * kRowsEach;
  const int64_t head = blockIdx.x % a.p.heads;
  const int64_t block = blockIdx.x / a.p.heads * kRows;
  const int64_t d = a.p.output.columns;
  const int rows = a.p.count - block < kRows ? static_cast<int>(a.p.count - block) : kRows;
  const int own = rows - first < kRowsEach ? rows - first : kRowsEach;  // of the warp
  const Real* output =
      static_cast<const Real*>(a.p.output.data) + head * a.width * a.p.output.stride;
  for (int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns; column < d;
       column += static_cast<int64_t>(gridDim.y) * kColumns) {
    Real acc[kRowsEach][kColumnsEach];
#pragma unroll
    for (int i = 0; i < kRowsEach; i++) {
#pragma unroll
      for (int j = 0; j < kColumnsEach; j++) acc[i][j] = 0;
    }
    for (int64_t k0 = 0; k0 < a.width; k0 += kDepth) {
      // The tiles before have been used.
      __syncthreads();
      for (int at = thread; at < kRows * kDepth; at += kThreads) {
        const int64_t k = k0 + at % kDepth;
        Copy copy{-1, -1};
        if (at / kDepth < rows && k < a.width) copy = copy_of(a, block + at / kDepth, head);
        changes[at] = copy.row < 0 || copy.source < 0
                          ? Real{0}
                          : z_of<Real>(a, copy.source, head, k) - z_of<Real>(a, copy.row, head, k);
      }
#pragma unroll 8
      for (int at = thread; at < kDepth * kColumns; at += kThreads) {
        const int64_t k = k0 + at / kColumns;
        const int64_t c = column + at % kColumns;
        weights[at] = k < a.width && c < d ? output[k * a.p.output.stride + c] : Real{0};
      }
      __syncthreads();
      if (own <= 0) continue;
#pragma unroll 4
      for (int k = 0; k < kDepth; k++) {
        Real w[kColumnsEach];
#pragma unroll
        for (int j = 0; j < kColumnsEach; j++) w[j] = weights[k * kColumns + lane + j * kWarp];
#pragma unroll
        for (int i = 0; i < kRowsEach; i++) {
          const Real x = changes[(first + i) * kDepth + k];
#pragma unroll
          for (int j = 0; j < kColumnsEach; j++) acc[i][j] = fma(x, w[j], acc[i][j]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRowsEach; i++) {
      if (i >= own) break;
      const int64_t n = block + first + i;
      const Copy copy = copy_of(a, n, head);
      if (copy.row < 0) continue;
      const Real* from = static_cast<const Real*>(a.p.stream.data) + copy.row * a.p.stream.stride;
      Real* to = static_cast<Real*>(a.middle.data) + (n * a.p.heads + head) * a.middle.stride;
#pragma unroll
      for (int j = 0; j < kColumnsEach; j++) {
        const int64_t c = column + lane + j * kWarp;
        // A copy of the row as it is has its bits, whatever W_O holds.
        if (c < d) to[c] = copy.source < 0 ? from[c] : acc[i][j] + from[c];
      }
    }
  }
  if (a.normed.data == nullptr) return;
  for (int i = 0; i < own; i++) {
    const int64_t n = block + first + i;
    if (copy_of(a, n, head).row < 0) continue;
    const int64_t copy = n * a.p.heads + head;
    norm_of(a, static_cast<const Real*>(a.middle.data) + copy * a.middle.stride,
            static_cast<Real*>(a.normed.data) + copy * a.normed.stride, lane);
  }
}

template <class Real>
void launch(const PatchArgs& a, int64_t items, cudaStream_t stream) {
  const unsigned chunks = a.normed.data != nullptr ? 1 : row_blocks(a.p.output.columns, kColumns);
  const dim3 grid(static_cast<unsigned>(items), chunks);
  ASSAY_LAUNCH((patch_rows_kernel<Real>), grid, dim3(kThreads), stream, a);
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_patch_rows_workspace(const struct assay_patch_rows_params* args,
                                              int64_t* bytes) {
  return guard([&] {
    check_patch("assay_patch_rows_workspace", args);
    check_pointer("assay_patch_rows_workspace", "bytes", bytes);
    *bytes = 0;
  });
}

extern "C" int32_t assay_patch_rows(const struct assay_patch_rows_params* args,
                                    const struct assay_matrix* middle,
                                    const struct assay_matrix* normed, void*, int64_t,
                                    struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_patch_rows";
    check_patch(f, args);
    check_patched(f, *args, middle, normed);
    if (args->count == 0 || args->output.columns == 0) return;
    PatchArgs a{};
    a.p = *args;
    a.middle = *middle;
    if (normed != nullptr) a.normed = *normed;
    a.width = args->live.columns / args->heads;
    const int64_t items = times((args->count + kRows - 1) / kRows, args->heads);
    if (items > 0x7fffffff) {
      fail(ASSAY_ERROR_ARGUMENT, "%s: %lld rows times heads; at most 2147483647 times %d can be", f,
           static_cast<long long>(times(args->count, args->heads)), kRows);
    }
    const OnDevice on(stream);
    if (args->live.dtype == ASSAY_F64) {
      launch<double>(a, items, on.handle);
    } else {
      launch<float>(a, items, on.handle);
    }
  });
}
