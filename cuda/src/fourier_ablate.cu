// assay_fourier_ablate: mean cross-entropy of F families of frequencies, removed or kept alone,
// over groups of the p x p pairs of a modular task (Nanda et al. 2023, arXiv 2301.05217; assay.h
// has the formulas, native/src/fourier_ablate.h the CPU's form of the same factorisation).
//
// For each s = a + b: rows E_i(c) = exp(L_i(c) - max), columns X_F(c) = exp(+-D_F(s,c) - max), both
// 0 at the right class c = s; the loss of row i is log1p(E_i . X_F times both scales). A family
// costs a product; nothing of size F p^3 is written.
//
// Floor: p^3 logits once, p^3 + p^2 F exponentials and 2 p^3 F operations in double, and as many
// again over 2h/p = 1 for the waves of families. p = 113, F = 92: 5.8 MB in float, 1.4 + 1.2
// million exponentials, 0.27 + 0.13 GFLOP: below 15 us for 34 TFLOP/s in double, and 6 launches
// cost as much. Design: one kernel for each dependence, so that every step has p F or p^2 warps;
// tables of at most kSums values of s at a time, which at p = 113 is all of them and stays in the
// second cache (11 MB of rows, 9 MB of columns). The product is that of product.cuh; its block goes
// over all rows of an s, so that the losses of a family are added by one thread in ascending order
// of a. A row whose product leaves the range of doubles is marked and, once the sums are out of the
// registers, done anew by a thread: rare, and worth no kernel. At least four blocks a
// multiprocessor are asked for, since the compiler would spill for a fifth.
//
// Order of a loss: columns ascending, fused; rows of an s by ascending a; s ascending.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   fourier_families_kernel: 40 0 0, 32 0 0
//   fourier_loss_kernel<double>: 122 22912 0, 122 22912 0
//   fourier_loss_kernel<float>: 122 22912 0, 124 22912 0
//   fourier_mean_kernel: 34 0 0, 32 0 0
//   fourier_rows_kernel<double>: 30 0 0, 32 0 0
//   fourier_rows_kernel<float>: 32 0 0, 32 0 0
//   fourier_sums_kernel<double>: 32 0 0, 36 0 0
//   fourier_sums_kernel<float>: 34 0 0, 36 0 0
//   fourier_waves_kernel: 48 0 0, 48 0 0
#include "arguments.h"
#include "product.cuh"

namespace assay {
namespace {

constexpr int64_t kSums = 128;
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

struct FourierArgs {
  assay_fourier_ablate_params p;
  int64_t frequencies;   // h
  int64_t first, count;  // the values of s whose rows and columns are in the workspace
  int64_t rows_each;     // rows of an s: p, or 1 where the mean is the only one
  double* loss;
  double* cosines;     // [p] cos(2 pi i / p)
  double* sines;       // [p]
  double* sums;        // [p, p]: M(s,c), the sum of L over the pairs with a + b = s
  int32_t* broken;     // [p]: 1 if a sum of s is not finite
  double* alpha;       // [h, p]
  double* beta;        // [h, p]
  double* mean;        // [p]
  double* families;    // [count, F, p]
  double* scales;      // [count, F]
  double* rows;        // [count, rows_each, p]
  double* row_scales;  // [count, rows_each]
  double* parts;       // [p, F, G]: sum of the losses of the pairs with a + b = s
};

__device__ inline double max_of_lanes(double x) {
  for (int with = kWarp / 2; with > 0; with /= 2) {
    const double other = __shfl_xor_sync(kAllLanes, x, with);
    if (other > x) x = other;
  }
  return x;
}

__device__ inline int64_t b_of(int64_t p, int64_t s, int64_t a) {
  return s >= a ? s - a : s - a + p;
}

// A block for each s.
template <class Elem>
__global__ void __launch_bounds__(kThreads) fourier_sums_kernel(FourierArgs a) {
  const int64_t p = a.p.modulus;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t s = blockIdx.x;
  int broken = 0;
  for (int64_t c = thread; c < p; c += kThreads) {
    double sum = 0;
    for (int64_t i = 0; i < p; i++) {
      sum += static_cast<const Elem*>(
          a.p.logits.data)[(i * p + b_of(p, s, i)) * a.p.logits.stride + c];
    }
    a.sums[s * p + c] = sum;
    if (!(sum - sum == 0)) broken = 1;
  }
  broken = __syncthreads_count(broken);
  if (thread != 0) return;
  a.broken[s] = broken;
  a.cosines[s] = cos_of_turn(static_cast<double>(s) / static_cast<double>(p));
  a.sines[s] = sin_of_turn(static_cast<double>(s) / static_cast<double>(p));
}

// A warp for each frequency, and the last for the mean.
__global__ void __launch_bounds__(kThreads) fourier_waves_kernel(FourierArgs a) {
  const int64_t p = a.p.modulus;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t k = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (k > a.frequencies) return;
  const double pairs = static_cast<double>(p) * static_cast<double>(p);
  double amplitude = 0;
  for (int64_t c = lane; c < p; c += kWarp) {
    double alpha = 0;
    double beta = 0;
    for (int64_t s = 0, angle = 0; s < p; s++) {
      const double sum = a.sums[s * p + c];
      if (k == a.frequencies) {
        alpha += 1 / pairs * sum;
        continue;
      }
      alpha += 2 / pairs * a.cosines[angle] * sum;
      beta += 2 / pairs * a.sines[angle] * sum;
      angle = (angle + k + 1) % p;
    }
    if (k == a.frequencies) {
      a.mean[c] = alpha;
      continue;
    }
    a.alpha[k * p + c] = alpha;
    a.beta[k * p + c] = beta;
    const int64_t angle = (k + 1) * c % p;
    amplitude += alpha * a.cosines[angle] + beta * a.sines[angle];
  }
  if (!a.p.rotation || k == a.frequencies) return;
  for (int with = kWarp / 2; with > 0; with /= 2) {
    amplitude += __shfl_xor_sync(kAllLanes, amplitude, with);
  }
  amplitude /= static_cast<double>(p);
  for (int64_t c = lane; c < p; c += kWarp) {
    const int64_t angle = (k + 1) * c % p;
    a.alpha[k * p + c] = amplitude * a.cosines[angle];
    a.beta[k * p + c] = amplitude * a.sines[angle];
  }
}

// D_F(s,c), with the sign with which it stands in the logits.
__device__ inline double wave(const FourierArgs& a, int64_t family, int64_t s, int64_t c) {
  const int64_t p = a.p.modulus;
  const uint8_t* members = a.p.families + family * a.frequencies;
  double sum = 0;
  for (int64_t k = 0, angle = s % p; k < a.frequencies; k++, angle = (angle + s) % p) {
    if (members[k] == 0) continue;
    const double x = a.cosines[angle] * a.alpha[k * p + c] + a.sines[angle] * a.beta[k * p + c];
    sum += a.p.keep != 0 ? x : -x;
  }
  return sum;
}

// The logit of row i of s, or the mean.
template <class Elem>
__device__ double logit(const FourierArgs& a, int64_t i, int64_t s, int64_t c) {
  if (a.p.keep != 0) return a.mean[c];
  const int64_t p = a.p.modulus;
  return static_cast<const Elem*>(a.p.logits.data)[(i * p + b_of(p, s, i)) * a.p.logits.stride + c];
}

// to(c) = exp(value(c) - max), 0 at c = s; the scale is exp(max - value(s)), max over c != s. One
// warp.
template <class Value>
__device__ void exponentials(int64_t p, int64_t s, int lane, Value value, double* to,
                             double* scale) {
  double max = -infinity<double>();
  double target = 0;
  for (int64_t c = lane; c < p; c += kWarp) {
    const double x = value(c);
    to[c] = x;
    if (c == s) {
      target = x;
    } else if (x > max) {
      max = x;
    }
  }
  max = max_of_lanes(max);
  target = __shfl_sync(kAllLanes, target, static_cast<int>(s % kWarp));
  for (int64_t c = lane; c < p; c += kWarp) to[c] = c == s ? 0 : exp(to[c] - max);
  if (lane == 0) *scale = exp(max - target);
}

// Block (i, s): columns of kWarps families of an s.
__global__ void __launch_bounds__(kThreads) fourier_families_kernel(FourierArgs a) {
  const int64_t p = a.p.modulus;
  const int64_t f = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (f >= a.p.family_count) return;
  const int64_t s = a.first + blockIdx.y;
  const int64_t at = blockIdx.y * a.p.family_count + f;
  exponentials(
      p, s, static_cast<int>(threadIdx.x) % kWarp, [&](int64_t c) { return wave(a, f, s, c); },
      a.families + at * p, a.scales + at);
}

// Block (i, s): kWarps rows of an s.
template <class Elem>
__global__ void __launch_bounds__(kThreads) fourier_rows_kernel(FourierArgs a) {
  const int64_t p = a.p.modulus;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (i >= a.rows_each) return;
  const int64_t s = a.first + blockIdx.y;
  const int64_t at = blockIdx.y * a.rows_each + i;
  exponentials(
      p, s, static_cast<int>(threadIdx.x) % kWarp,
      [&](int64_t c) { return logit<Elem>(a, i, s, c); }, a.rows + at * p, a.row_scales + at);
}

// The loss of one row by itself: log(1 + e^l), l the log-sum-exp of the other classes.
template <class Elem>
__device__ double alone(const FourierArgs& a, int64_t i, int64_t family, int64_t s) {
  const int64_t p = a.p.modulus;
  double max = -infinity<double>();
  for (int64_t c = 0; c < p; c++) {
    const double x = logit<Elem>(a, i, s, c) + wave(a, family, s, c);
    if (c != s && x > max) max = x;
  }
  double sum = 0;
  for (int64_t c = 0; c < p; c++) {
    if (c != s) sum += exp(logit<Elem>(a, i, s, c) + wave(a, family, s, c) - max);
  }
  const double l = max - (logit<Elem>(a, i, s, s) + wave(a, family, s, s)) + log(sum);
  return l > 0 ? l + log1p(exp(-l)) : log1p(exp(l));
}

// In the place of a loss that is still to be computed by itself.
constexpr double kAlone = -1;

using LossTile = Tile<double, 8, 16, 4, 4>;

// Block (i, s): losses of a tile of families over all rows of an s.
template <class Elem>
__global__ void __launch_bounds__(LossTile::kThreads, 4) fourier_loss_kernel(FourierArgs a) {
  using T = LossTile;
  constexpr int kPadded = T::kTokens + 1;
  ASSAY_SHARED(double, table_tile, T::kTable);
  ASSAY_SHARED(double, active_tile, T::kActive);
  ASSAY_SHARED(double, losses, T::kRows* kPadded);
  const int64_t p = a.p.modulus;
  const int64_t F = a.p.family_count;
  const int64_t G = a.p.group_count;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t f0 = static_cast<int64_t>(blockIdx.x) * T::kTokens;
  const int64_t s = a.first + blockIdx.y;
  auto group = [&](int64_t i) -> int64_t {
    const uint8_t g = a.p.groups[i * p + b_of(p, s, i)];
    return g <= G ? g : 0;
  };
  // Thread t adds the losses of family f0 + t.
  const bool adds = thread < T::kTokens && f0 + thread < F;
  double* parts = a.parts + (s * F + f0 + thread) * G;
  for (int64_t g = 0; adds && g < G; g++) parts[g] = 0;
  for (int64_t row0 = 0; row0 < a.rows_each; row0 += T::kRows) {
    double acc[T::kRowsEach][T::kTokensEach];
    product<T>(rows_of(static_cast<const double*>(a.families) + blockIdx.y * F * p, p, f0, F - f0),
               rows_of(static_cast<const double*>(a.rows) + blockIdx.y * a.rows_each * p, p, row0,
                       a.rows_each - row0),
               p, table_tile, active_tile, acc);
    for (int i = 0; i < T::kRowsEach; i++) {
      const int r = thread / T::kTokenThreads + i * T::kRowThreads;
      const int64_t row = row0 + r;
      const bool counts = row < a.rows_each && (a.p.keep != 0 || group(row) != 0);
      for (int j = 0; j < T::kTokensEach; j++) {
        const int n = thread % T::kTokenThreads + j * T::kTokenThreads;
        const int64_t f = f0 + n;
        double loss = 0;
        if (counts && f < F) {
          const double odds = acc[i][j] * a.scales[blockIdx.y * F + f] *
                              a.row_scales[blockIdx.y * a.rows_each + row];
          const bool usual = acc[i][j] > 1e-280 && odds < 1e300;
          loss = usual ? log1p(odds) : kAlone;
        }
        losses[r * kPadded + n] = loss;
      }
    }
    __syncthreads();
    for (int at = thread; at < T::kRows * T::kTokens; at += T::kThreads) {
      const int r = at / T::kTokens;
      const int n = at % T::kTokens;
      if (losses[r * kPadded + n] == kAlone) {
        losses[r * kPadded + n] = alone<Elem>(a, row0 + r, f0 + n, s);
      }
    }
    __syncthreads();
    for (int64_t i = row0; adds && a.p.keep == 0 && i < row0 + T::kRows && i < p; i++) {
      const int64_t g = group(i);
      if (g != 0) parts[g - 1] += losses[static_cast<int>(i - row0) * kPadded + thread];
    }
    for (int64_t i = 0; adds && a.p.keep != 0 && i < p; i++) {
      const int64_t g = group(i);
      if (g != 0) parts[g - 1] += losses[thread];
    }
  }
}

// A warp for each family and group.
__global__ void __launch_bounds__(kThreads) fourier_mean_kernel(FourierArgs a) {
  const int64_t p = a.p.modulus;
  const int64_t F = a.p.family_count;
  const int64_t G = a.p.group_count;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (at >= F * G) return;
  const int64_t f = at / G;
  const int64_t g = at % G;
  int64_t count = 0;
  for (int64_t i = lane; i < p * p; i += kWarp) count += a.p.groups[i] == g + 1 ? 1 : 0;
  for (int with = kWarp / 2; with > 0; with /= 2) count += __shfl_xor_sync(kAllLanes, count, with);
  if (lane != 0) return;
  double sum = 0;
  bool broken = count == 0;
  for (int64_t s = 0; s < p; s++) {
    sum += a.parts[(s * F + f) * G + g];
    broken = broken || a.broken[s] != 0;
  }
  a.loss[at] = broken ? not_a_number<double>() : sum / static_cast<double>(count);
}

FourierArgs fourier_args(const assay_fourier_ablate_params& p, Workspace& w) {
  FourierArgs a{};
  a.p = p;
  const int64_t m = p.modulus;
  const int64_t F = p.family_count;
  const int64_t most = m < kSums ? m : kSums;
  a.frequencies = (m - 1) / 2;
  a.rows_each = p.keep != 0 ? 1 : m;
  a.cosines = w.take<double>(m);
  a.sines = w.take<double>(m);
  a.sums = w.take<double>(times(m, m));
  a.broken = w.take<int32_t>(m);
  a.alpha = w.take<double>(times(a.frequencies, m));
  a.beta = w.take<double>(times(a.frequencies, m));
  a.mean = w.take<double>(m);
  a.families = w.take<double>(times(times(most, F), m));
  a.scales = w.take<double>(times(most, F));
  a.rows = w.take<double>(times(times(most, a.rows_each), m));
  a.row_scales = w.take<double>(times(most, a.rows_each));
  a.parts = w.take<double>(times(times(m, F), p.group_count));
  return a;
}

template <class Elem>
void launch(FourierArgs a, cudaStream_t stream) {
  const int64_t p = a.p.modulus;
  const int64_t F = a.p.family_count;
  const dim3 block(kThreads);
  ASSAY_LAUNCH((fourier_sums_kernel<Elem>), dim3(blocks(p, 1)), block, stream, a);
  ASSAY_LAUNCH((fourier_waves_kernel), dim3(blocks(a.frequencies + 1, kWarps)), block, stream, a);
  for (a.first = 0; a.first < p; a.first += kSums) {
    a.count = p - a.first < kSums ? p - a.first : kSums;
    const auto count = static_cast<unsigned>(a.count);
    ASSAY_LAUNCH((fourier_families_kernel), dim3(blocks(F, kWarps), count), block, stream, a);
    ASSAY_LAUNCH((fourier_rows_kernel<Elem>), dim3(blocks(a.rows_each, kWarps), count), block,
                 stream, a);
    ASSAY_LAUNCH((fourier_loss_kernel<Elem>), dim3(blocks(F, LossTile::kTokens), count),
                 dim3(LossTile::kThreads), stream, a);
  }
  ASSAY_LAUNCH((fourier_mean_kernel), dim3(blocks(times(F, a.p.group_count), kWarps)), block,
               stream, a);
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_fourier_ablate_workspace(const struct assay_fourier_ablate_params* args,
                                                  int64_t* bytes) {
  return guard([&] {
    check_fourier("assay_fourier_ablate_workspace", args);
    check_pointer("assay_fourier_ablate_workspace", "bytes", bytes);
    *bytes = 0;
    for (const auto* each = args; each != nullptr; each = each->next) {
      Workspace w;
      if (each->family_count > 0) fourier_args(*each, w);
      *bytes = w.needed() > *bytes ? w.needed() : *bytes;
    }
  });
}

extern "C" int32_t assay_fourier_ablate(const struct assay_fourier_ablate_params* args,
                                        double* loss, void* workspace, int64_t workspace_bytes,
                                        struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_fourier_ablate";
    check_fourier(f, args);
    for (const auto* each = args; each != nullptr; each = each->next) {
      if (each->family_count == 0) continue;
      check_pointer(f, "families", each->families);
      check_pointer(f, "groups", each->groups);
      check_pointer(f, "loss", loss);
      Workspace w(workspace, workspace_bytes);
      FourierArgs a = fourier_args(*each, w);
      w.check(f);
      a.loss = loss;
      const OnDevice on(stream);
      if (each->logits.dtype == ASSAY_F64) {
        launch<double>(a, on.handle);
      } else {
        launch<float>(a, on.handle);
      }
      loss += each->family_count * each->group_count;
    }
  });
}
