// assay_adamw: one AdamW step in place (Loshchilov and Hutter 2019, algorithm 2), element by
// element over four matrices [rows, columns] of float or double.
//
// Floor: four elements read and three written, 28 bytes an element in float and 56 in double; some
// 20 operations in double. At 4.8 TB/s a float element takes 5.8 ps, and its double operations as
// long at 3.4 TFLOP/s, which sm_80, sm_90 and sm_100 have several times over; sm_120 has about half
// of that, and is bound by arithmetic. Design: one thread an element, neighbours in neighbouring
// threads, so that every access is a whole line; each element is touched once, so there is nothing
// to keep in shared memory, and enough threads are resident to cover the latency. Matrices without
// gaps are one long row, so that short rows leave no thread idle. Arithmetic is in double and
// without contraction, as the CPU's is: its bits are the same.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   adamw_kernel<double>: 48 0 0, 48 0 0
//   adamw_kernel<float>: 48 0 0, 48 0 0
#include <cmath>

#include "arguments.h"
#include "device.h"

namespace assay {
namespace {

constexpr int kThreads = 256;

template <class Real>
struct Step {
  Real* p;
  const Real* g;
  Real* m;
  Real* v;
  int64_t rows, columns, p_stride, g_stride, m_stride, v_stride;
  double keep, rate, root, beta1, beta2, epsilon;
};

// Zero, with its sign, in place of a denormal number.
__device__ inline float normal(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
__device__ inline double normal(double x) { return fabs(x) < 0x1p-1022 ? copysign(0.0, x) : x; }

template <class Real>
__global__ void __launch_bounds__(kThreads) adamw_kernel(Step<Real> s) {
  for (int64_t row = blockIdx.y; row < s.rows; row += gridDim.y) {
    const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < s.columns;
         i += step) {
      Real* p = s.p + row * s.p_stride + i;
      Real* m = s.m + row * s.m_stride + i;
      Real* v = s.v + row * s.v_stride + i;
      const double gradient = normal(s.g[row * s.g_stride + i]);
      const double mean = s.beta1 * normal(*m) + (1 - s.beta1) * gradient;
      const double square = s.beta2 * normal(*v) + (1 - s.beta2) * gradient * gradient;
      const double move = s.rate * mean / (sqrt(square) / s.root + s.epsilon);
      *m = normal(static_cast<Real>(mean));
      *v = normal(static_cast<Real>(square));
      *p = normal(static_cast<Real>(normal(*p) * s.keep - move));
    }
  }
}

template <class Real>
void launch(const assay_adamw_params& a, const assay_matrix& g, const assay_matrix& p,
            const assay_matrix& m, const assay_matrix& v, cudaStream_t stream) {
  Step<Real> s{};
  s.p = static_cast<Real*>(p.data);
  s.g = static_cast<const Real*>(g.data);
  s.m = static_cast<Real*>(m.data);
  s.v = static_cast<Real*>(v.data);
  s.rows = p.rows;
  s.columns = p.columns;
  s.p_stride = p.stride;
  s.g_stride = g.stride;
  s.m_stride = m.stride;
  s.v_stride = v.stride;
  if (p.stride == p.columns && g.stride == p.columns && m.stride == p.columns &&
      v.stride == p.columns) {
    s.columns *= s.rows;
    s.rows = 1;
  }
  s.keep = 1 - a.learning_rate * a.weight_decay;
  s.rate = a.learning_rate / (1 - std::pow(a.beta1, static_cast<double>(a.step)));
  s.root = std::sqrt(1 - std::pow(a.beta2, static_cast<double>(a.step)));
  s.beta1 = a.beta1;
  s.beta2 = a.beta2;
  s.epsilon = a.epsilon;
  const dim3 grid(blocks(s.columns < int64_t{1} << 30 ? s.columns : int64_t{1} << 30, kThreads),
                  row_blocks(s.rows, 1));
  ASSAY_LAUNCH((adamw_kernel<Real>), grid, dim3(kThreads), stream, s);
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_adamw_workspace(const struct assay_matrix* parameters, int64_t* bytes) {
  return guard([&] {
    check_pointer("assay_adamw_workspace", "parameters", parameters);
    check_pointer("assay_adamw_workspace", "bytes", bytes);
    *bytes = 0;
  });
}

extern "C" int32_t assay_adamw(const struct assay_adamw_params* args,
                               const struct assay_matrix* gradients,
                               const struct assay_matrix* parameters,
                               const struct assay_matrix* first, const struct assay_matrix* second,
                               void*, int64_t, struct assay_stream* stream) {
  return guard([&] {
    check_adamw("assay_adamw", args, gradients, parameters, first, second);
    if (parameters->rows == 0 || parameters->columns == 0) return;
    const OnDevice on(stream);
    if (parameters->dtype == ASSAY_F64) {
      launch<double>(*args, *gradients, *parameters, *first, *second, on.handle);
    } else {
      launch<float>(*args, *gradients, *parameters, *first, *second, on.handle);
    }
  });
}
