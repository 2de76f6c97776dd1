// CUDA, or its emulation on the host: the only place that knows which. And what all kernels share:
// element types, an order of scores as whole numbers.
//
// A shared array is declared by ASSAY_SHARED and passed on as Shared<T>; a kernel is launched by
// ASSAY_LAUNCH, which throws if the device refuses.
#pragma once

#include <cstdint>

#include "assay_cuda.h"
#include "support.h"

#if defined(__CUDACC__)

#include <cuda_fp16.h>

#define ASSAY_SHARED(type, name, count) __shared__ type name[count]
#define ASSAY_BARE(...) __VA_ARGS__
#define ASSAY_LAUNCH(kernel, grid, block, stream, ...)                \
  do {                                                                \
    ASSAY_BARE kernel<<<(grid), (block), 0, (stream)>>>(__VA_ARGS__); \
    assay::check_device(#kernel, cudaGetLastError());                 \
  } while (0)

namespace assay {
template <class T>
using Shared = T*;
}

#else

#include "emulate.h"

#define ASSAY_SHARED(type, name, count) \
  emulate::Shared<type> name(           \
      emulate::shared_array(#name, count, sizeof(type), emulate::Place::current()))
#define ASSAY_BARE(...) __VA_ARGS__
#define ASSAY_LAUNCH(kernel, grid, block, stream, ...)                              \
  do {                                                                              \
    static_cast<void>(stream);                                                      \
    assay::emulated(#kernel, grid, block, [&] { ASSAY_BARE kernel(__VA_ARGS__); }); \
  } while (0)

namespace assay {
using emulate::Shared;

template <class Body>
void emulated(const char* kernel, dim3 grid, dim3 block, Body body) {
  try {
    emulate::launch(kernel, grid, block, body);
  } catch (const emulate::Fault& fault) {
    fail(ASSAY_ERROR_INTERNAL, "%s", fault.what());
  }
}
}  // namespace assay

#endif

// A stream as launchers need it.
struct assay_stream {
  int32_t device;
  cudaStream_t handle;
};

namespace assay {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

inline void check_device(const char* what, cudaError_t error) {
  if (error != cudaSuccess) fail(ASSAY_ERROR_DEVICE, "%s: %s", what, cudaGetErrorString(error));
}

// Makes the stream's device the thread's while it lives.
class OnDevice {
 public:
  explicit OnDevice(const assay_stream* stream) {
    if (stream == nullptr) return;
    check_device("cudaGetDevice", cudaGetDevice(&before_));
    handle = stream->handle;
    if (stream->device == before_) {
      before_ = -1;
      return;
    }
    check_device("cudaSetDevice", cudaSetDevice(stream->device));
  }
  ~OnDevice() {
    if (before_ >= 0) static_cast<void>(cudaSetDevice(before_));
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  cudaStream_t handle = nullptr;

 private:
  int before_ = -1;
};

inline unsigned blocks(int64_t items, int64_t each) {
  return static_cast<unsigned>((items + each - 1) / each);
}

// Blocks of a grid's second dimension, which has at most 65535; kernels stride over the rest.
inline unsigned row_blocks(int64_t items, int64_t each) {
  const int64_t n = (items + each - 1) / each;
  return static_cast<unsigned>(n < 65535 ? n : 65535);
}

struct Half {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

template <class Elem>
struct RealOf {
  using type = float;
};
template <>
struct RealOf<double> {
  using type = double;
};

template <class To, class From>
__device__ inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(Bf16 x) { return same_bits<float>(uint32_t{x.bits} << 16); }
__device__ inline float widen(Half x) {
#if defined(__CUDACC__)
  return __half2float(same_bits<__half>(x.bits));
#else
  const uint32_t fraction = x.bits & 1023u;
  const uint32_t exponent = x.bits >> 10 & 31u;
  float size = std::ldexp(static_cast<float>(fraction), -24);
  if (exponent == 31) size = fraction != 0 ? NAN : INFINITY;
  if (exponent > 0 && exponent < 31)
    size = same_bits<float>((exponent + 112) << 23 | fraction << 13);
  return x.bits & 0x8000u ? -size : size;
#endif
}

template <class Real>
__device__ inline Real infinity() {
  return static_cast<Real>(__builtin_huge_val());
}

template <class Real>
__device__ inline Real not_a_number() {
  return static_cast<Real>(__builtin_nan(""));
}

// Of an angle in turns.
__device__ inline double cos_of_turn(double turns) {
#if defined(__CUDACC__)
  return cospi(2 * turns);
#else
  return std::cos(2 * 3.14159265358979323846 * turns);
#endif
}
__device__ inline double sin_of_turn(double turns) {
#if defined(__CUDACC__)
  return sinpi(2 * turns);
#else
  return std::sin(2 * 3.14159265358979323846 * turns);
#endif
}

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

// Whole numbers in the order of the numbers; both zeros have one.
__device__ inline uint64_t order_of(float x) {
  const auto bits = same_bits<uint32_t>(x == 0 ? 0.0f : x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline uint64_t order_of(double x) {
  const auto bits = same_bits<uint64_t>(x == 0 ? 0.0 : x);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}

}  // namespace assay
