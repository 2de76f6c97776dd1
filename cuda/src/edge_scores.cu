// assay_edge_scores: changes of what sources write against gradients by what destinations read,
// summed over positions (specs/ioi.md 7, kernel d); assay.h has the formula.
//
// Floor: S + E rows of P d elements once and 8 S E bytes written; 2 P d operations an edge. A pair
// of 15 tokens at GPT-2 small's shape: S = 157, E = 445, 32,491 edges, P d = 11,520 in float: 28.3
// MB, 5.9 us at 4.8 TB/s, and 0.75 GFLOP, 11 us at 67 TFLOP/s: arithmetic binds. Design: the tiled
// product of product.cuh, destinations as its table, in tiles of 32 sources and 64 destinations,
// with a block for each of at most kParts runs of positions. A tile of which no source comes before
// a destination costs nothing: 23 of 35 tiles are left, 1.4 times the products of the edges, in 345
// blocks for 132 multiprocessors. A multiply-add takes half a read of shared memory, and those bind
// at half the arithmetic rate; with larger tiles they are fewer, but most multiprocessors have one
// block then and some two. Each block adds its positions to a part of its own, in double, which a
// second kernel adds up: 8.4 MB, written and read out of the second cache.
//
// Order of a sum: the columns of a position ascending from zero, fused; positions of a part
// ascending, in double; parts ascending.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   edge_products_kernel<double>: 104 6272 0, 104 6272 0
//   edge_products_kernel<float>: 96 6272 0, 80 6272 0
//   edge_sums_kernel: 32 0 0, 32 0 0
#include "arguments.h"
#include "product.cuh"

namespace assay {
namespace {

constexpr int64_t kParts = 16;
constexpr int kAddThreads = 256;

template <class Real>
using EdgeTile = Tile<Real, 8, 16, 4, 4>;

struct EdgeArgs {
  assay_edge_scores_params p;
  double* scores;
  int64_t positions;
  int64_t parts;
  double* sums;  // [parts,S,E]
};

// Block (i, j): a tile of sources and destinations, for the j-th run of positions.
template <class Real>
__global__ void __launch_bounds__(EdgeTile<Real>::kThreads) edge_products_kernel(EdgeArgs a) {
  using T = EdgeTile<Real>;
  ASSAY_SHARED(Real, table_tile, T::kTable);
  ASSAY_SHARED(Real, active_tile, T::kActive);
  const int64_t sources = a.p.changes.rows, destinations = a.p.gradients.rows, d = a.p.width;
  const int64_t tiles = (destinations + T::kTokens - 1) / T::kTokens;
  const int64_t first = static_cast<int64_t>(blockIdx.x) / tiles * T::kRows;
  const int64_t destination = static_cast<int64_t>(blockIdx.x) % tiles * T::kTokens;
  const int64_t end =
      destination + T::kTokens < destinations ? destination + T::kTokens : destinations;
  bool any = false;
  for (int64_t e = destination; e < end; e++) any = any || a.p.before[e] > first;
  if (!any) return;
  const int row = static_cast<int>(threadIdx.x) / T::kTokenThreads;
  const int token = static_cast<int>(threadIdx.x) % T::kTokenThreads;
  const Real* changes = static_cast<const Real*>(a.p.changes.data);
  const Real* gradients = static_cast<const Real*>(a.p.gradients.data);
  const int64_t part = blockIdx.y;
  double* sums = a.sums + part * sources * destinations;
  const int64_t from = part * a.positions / a.parts, to = (part + 1) * a.positions / a.parts;
  for (int64_t p = from; p < to; p++) {
    Real acc[T::kRowsEach][T::kTokensEach];
    product<T>(rows_of(gradients + p * d, a.p.gradients.stride, destination, end - destination),
               rows_of(changes + p * d, a.p.changes.stride, first, sources - first), d, table_tile,
               active_tile, acc);
#pragma unroll
    for (int i = 0; i < T::kRowsEach; i++) {
      const int64_t s = first + row + i * T::kRowThreads;
#pragma unroll
      for (int j = 0; j < T::kTokensEach; j++) {
        const int64_t e = destination + token + j * T::kTokenThreads;
        if (s >= sources || e >= end) continue;
        double* sum = sums + s * destinations + e;
        *sum = (p == from ? 0 : *sum) + static_cast<double>(acc[i][j]);
      }
    }
  }
}

__global__ void __launch_bounds__(kAddThreads) edge_sums_kernel(EdgeArgs a) {
  const int64_t destinations = a.p.gradients.rows, count = a.p.changes.rows * destinations;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * kAddThreads + threadIdx.x; at < count;
       at += static_cast<int64_t>(gridDim.x) * kAddThreads) {
    double sum = 0;
    if (at / destinations < a.p.before[at % destinations]) {
      for (int64_t part = 0; part < a.parts; part++) sum += a.sums[part * count + at];
    }
    a.scores[at] = sum;
  }
}

EdgeArgs edge_args(const assay_edge_scores_params& p, Workspace& w) {
  EdgeArgs a{};
  a.p = p;
  a.positions = p.changes.columns / p.width;
  a.parts = a.positions < kParts ? a.positions : kParts;
  a.sums = w.take<double>(times(times(p.changes.rows, p.gradients.rows), a.parts));
  return a;
}

template <class Real>
void launch(const char* f, const EdgeArgs& a, cudaStream_t stream) {
  using T = EdgeTile<Real>;
  const int64_t tiles = times((a.p.changes.rows + T::kRows - 1) / T::kRows,
                              (a.p.gradients.rows + T::kTokens - 1) / T::kTokens);
  if (tiles > 0x7fffffff) {
    fail(ASSAY_ERROR_ARGUMENT, "%s: %lld sources and %lld destinations; there are too many edges",
         f, static_cast<long long>(a.p.changes.rows), static_cast<long long>(a.p.gradients.rows));
  }
  if (a.parts > 0) {
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(a.parts));
    ASSAY_LAUNCH((edge_products_kernel<Real>), grid, dim3(T::kThreads), stream, a);
  }
  const dim3 grid(row_blocks(a.p.changes.rows * a.p.gradients.rows, kAddThreads));
  ASSAY_LAUNCH((edge_sums_kernel), grid, dim3(kAddThreads), stream, a);
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_edge_scores_workspace(const struct assay_edge_scores_params* args,
                                               int64_t* bytes) {
  return guard([&] {
    check_edges("assay_edge_scores_workspace", args);
    check_pointer("assay_edge_scores_workspace", "bytes", bytes);
    Workspace w;
    edge_args(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_edge_scores(const struct assay_edge_scores_params* args, double* scores,
                                     void* workspace, int64_t workspace_bytes,
                                     struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_edge_scores";
    check_edges(f, args);
    if (args->changes.rows == 0 || args->gradients.rows == 0) return;
    check_pointer(f, "scores", scores);
    Workspace w(workspace, workspace_bytes);
    EdgeArgs a = edge_args(*args, w);
    w.check(f);
    a.scores = scores;
    const OnDevice on(stream);
    if (args->changes.dtype == ASSAY_F64) {
      launch<double>(f, a, on.handle);
    } else {
      launch<float>(f, a, on.handle);
    }
  });
}
