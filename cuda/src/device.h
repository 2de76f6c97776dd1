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

#include <cuda_bf16.h>
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

// sums += a b: matrices [16,16] and [16,8] of bfloat16, the fragments of a warp's lanes as PTX lays
// them out for this instruction. All lanes take part.
__device__ inline void mma_bf16(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
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

// Two numbers rounded to bfloat16, to nearest, the first in the lower half.
__device__ inline uint32_t bf16_pair(float low, float high) {
#if defined(__CUDACC__)
  return same_bits<uint32_t>(__floats2bfloat162_rn(low, high));
#else
  auto rounded = [](float x) {
    const auto bits = same_bits<uint32_t>(x);
    return x != x ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  };
  return rounded(high) << 16 | rounded(low);
#endif
}
__device__ inline float low_of(uint32_t pair) { return same_bits<float>(pair << 16); }
__device__ inline float high_of(uint32_t pair) { return same_bits<float>(pair & 0xffff0000u); }

// What goes to and from memory at once where addresses are multiples of 16.
struct alignas(16) Words {
  uint32_t of[4];
};
__device__ inline Words load_words(const void* from) {
#if defined(__CUDACC__)
  return *static_cast<const Words*>(from);
#else
  Words words;
  __builtin_memcpy(&words, from, sizeof words);
  return words;
#endif
}
// Word i of a shared array.
__device__ inline uint32_t word_of(Shared<Words> array, int i) {
#if defined(__CUDACC__)
  return reinterpret_cast<const uint32_t*>(array)[i];
#else
  return static_cast<Words>(array[i / 4]).of[i % 4];
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
