// What the tests of kernels share: numbers in every type beside their doubles, one seeded
// generator, streams of several thread counts, and comparison within a bound.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "assay.h"
#include "check.h"
#if defined(ASSAY_TEST_CUDA)
#include "assay_cuda.h"
#endif

constexpr double kInf = std::numeric_limits<double>::infinity();

// Numbers kept as double, exactly representable in the given type; bytes() is what a kernel reads.
struct Array {
  int32_t dtype;
  std::vector<double> values;
  std::vector<unsigned char> memory;

  static int64_t width(int32_t dtype) {
    return dtype == ASSAY_F64 ? 8 : dtype == ASSAY_F32 ? 4 : 2;
  }
  Array(int32_t type, size_t n) : dtype(type), values(n), memory(n * width(type)) {}
  void set(size_t i, double x) {
    if (dtype == ASSAY_F64) {
      std::memcpy(&memory[i * 8], &x, 8);
    } else if (dtype == ASSAY_F32) {
      const float f = static_cast<float>(x);
      std::memcpy(&memory[i * 4], &f, 4);
      x = f;
    } else if (dtype == ASSAY_BF16) {
      float f = static_cast<float>(x);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      bits &= 0xffff0000u;
      const uint16_t upper = static_cast<uint16_t>(bits >> 16);
      std::memcpy(&memory[i * 2], &upper, 2);
      std::memcpy(&f, &bits, 4);
      x = f;
    } else {  // binary16, truncated: sign, 5 bits of exponent, 10 of fraction
      uint16_t bits = std::signbit(x) ? 0x8000 : 0;
      const double m = std::fabs(x);
      int e = 0;
      std::frexp(m, &e);
      double rounded = 0;
      if (std::isnan(x)) {
        bits |= 0x7e00;
        rounded = x;
      } else if (m >= 65504) {
        bits |= 0x7bff;
        rounded = 65504;
      } else if (e < -13 || m == 0) {
        const int f = static_cast<int>(m * 0x1p24);
        bits |= static_cast<uint16_t>(f);
        rounded = f * 0x1p-24;
      } else {
        const int f = static_cast<int>(std::ldexp(m, 11 - e));
        bits |= static_cast<uint16_t>((e + 14) << 10 | (f & 1023));
        rounded = std::ldexp(f, e - 11);
      }
      std::memcpy(&memory[i * 2], &bits, 2);
      x = std::copysign(rounded, x);
    }
    values[i] = x;
  }
  void read() {
    for (size_t i = 0; i < values.size(); i++) {
      if (dtype == ASSAY_F64) {
        std::memcpy(&values[i], &memory[i * 8], 8);
      } else {
        float f;
        std::memcpy(&f, &memory[i * 4], 4);
        values[i] = f;
      }
    }
  }
  assay_matrix matrix(int64_t rows, int64_t columns, int64_t stride) {
    return {memory.data(), dtype, 0, rows, columns, stride};
  }
};

extern std::mt19937_64 generator;

inline Array random(int32_t dtype, int64_t n, double scale) {
  Array a(dtype, static_cast<size_t>(n));
  std::normal_distribution<double> normal(0, scale);
  for (size_t i = 0; i < a.values.size(); i++) a.set(i, normal(generator));
  return a;
}

// Whether the library under test makes use of coarse tables.
#if defined(ASSAY_TEST_CUDA)
constexpr bool kCoarse = false;
#else
constexpr bool kCoarse = true;
#endif

inline int32_t stream_create(int32_t threads, assay_stream** stream) {
#if defined(ASSAY_TEST_CUDA)
  static_cast<void>(threads);
  return assay_cuda_stream_create(0, nullptr, stream);
#else
  return assay_stream_create(threads, stream);
#endif
}

// NULL, and pools of one thread, two and three; streams of a device do not differ.
#if defined(ASSAY_TEST_CUDA)
constexpr int kStreams = 2;
#else
constexpr int kStreams = 4;
#endif

struct Streams {
  assay_stream* of[kStreams] = {};
  Streams() {
    for (int i = 1; i < kStreams; i++) {
      CHECK(stream_create(i, &of[i]) == ASSAY_OK, "%s", assay_last_error());
    }
  }
  ~Streams() {
    for (assay_stream* s : of) assay_stream_destroy(s);
  }
};

inline double unit(int32_t real) { return real == ASSAY_F64 ? 0x1p-53 : 0x1p-24; }
inline int32_t real_of(int32_t table) { return table == ASSAY_F64 ? ASSAY_F64 : ASSAY_F32; }

struct Sum {
  double value = 0, magnitude = 0;
};

inline Sum dot(const Array& w, int64_t w_at, const Array& x, int64_t x_at, int64_t d) {
  Sum s;
  for (int64_t c = 0; c < d; c++) {
    const double term = w.values[w_at + c] * x.values[x_at + c];
    s.value += term;
    s.magnitude += std::fabs(term);
  }
  return s;
}

inline bool same(const Array& a, const Array& b) { return a.memory == b.memory; }

inline void close(const char* what, double got, double wanted, double bound, int64_t at) {
  const bool ok =
      std::isnan(wanted) ? std::isnan(got) : got == wanted || std::fabs(got - wanted) <= bound;
  CHECK(ok, "%s[%lld] is %.17g (%a), wanted %.17g within %g", what, static_cast<long long>(at), got,
        got, wanted, bound);
}

void test_bound(const Streams& streams);
void test_coarse(const Streams& streams);
void test_fourier(const Streams& streams);
void test_grok(const Streams& streams);
void test_grok_grid(const Streams& streams);
void test_edges(const Streams& streams);
void test_patch(const Streams& streams);
