// The vector wrapper: Vec<float> and Vec<double> of this tier. A kernel needs load, store,
// broadcast, fma and sum; all else is written once for every tier. Internal linkage throughout.
#pragma once

#include <stdint.h>

#if defined(ASSAY_TIER_AVX2) || defined(ASSAY_TIER_AVX512)
#include <immintrin.h>
#elif defined(ASSAY_TIER_NEON)
#include <arm_neon.h>
#endif

namespace {

struct Half {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(Bf16 x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16);
}
inline float widen(Half x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t rest = x.bits & 0x7fffu;
  if (rest >= 0x7c00u) {  // infinity and NaN, made quiet as the processors do
    const uint32_t quiet = rest > 0x7c00u ? 0x00400000u : 0u;
    return __builtin_bit_cast(float, sign | 0x7f800000u | quiet | (rest & 0x3ffu) << 13);
  }
  if (rest < 0x0400u) {  // zero and denormals: a multiple of 2^-24
    const float magnitude = static_cast<float>(rest) * 0x1p-24f;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, magnitude));
  }
  return __builtin_bit_cast(float, sign | ((rest << 13) + 0x38000000u));
}

template <class Real>
struct Vec;

#if defined(ASSAY_TIER_AVX512)

template <>
struct Vec<float> {
  static constexpr int N = 16;
  __m512 v;
  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec all(float x) { return {_mm512_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec load(const Half* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Vec load(const Bf16* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm512_fmadd_ps(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm512_add_ps(v, a.v)}; }
};

template <>
struct Vec<double> {
  static constexpr int N = 8;
  __m512d v;
  static Vec zero() { return {_mm512_setzero_pd()}; }
  static Vec all(double x) { return {_mm512_set1_pd(x)}; }
  static Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm512_fmadd_pd(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm512_add_pd(v, a.v)}; }
};

#elif defined(ASSAY_TIER_AVX2)

template <>
struct Vec<float> {
  static constexpr int N = 8;
  __m256 v;
  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec all(float x) { return {_mm256_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec load(const Half* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static Vec load(const Bf16* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm256_fmadd_ps(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm256_add_ps(v, a.v)}; }
};

template <>
struct Vec<double> {
  static constexpr int N = 4;
  __m256d v;
  static Vec zero() { return {_mm256_setzero_pd()}; }
  static Vec all(double x) { return {_mm256_set1_pd(x)}; }
  static Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm256_fmadd_pd(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm256_add_pd(v, a.v)}; }
};

#elif defined(ASSAY_TIER_NEON)

template <>
struct Vec<float> {
  static constexpr int N = 4;
  float32x4_t v;
  static Vec zero() { return {vdupq_n_f32(0)}; }
  static Vec all(float x) { return {vdupq_n_f32(x)}; }
  static Vec load(const float* p) { return {vld1q_f32(p)}; }
  static Vec load(const Half* p) {
    return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))))};
  }
  static Vec load(const Bf16* p) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p)), 16))};
  }
  void store(float* p) const { vst1q_f32(p, v); }
  Vec fma(Vec a, Vec b) const { return {vfmaq_f32(v, a.v, b.v)}; }
  Vec plus(Vec a) const { return {vaddq_f32(v, a.v)}; }
};

template <>
struct Vec<double> {
  static constexpr int N = 2;
  float64x2_t v;
  static Vec zero() { return {vdupq_n_f64(0)}; }
  static Vec all(double x) { return {vdupq_n_f64(x)}; }
  static Vec load(const double* p) { return {vld1q_f64(p)}; }
  void store(double* p) const { vst1q_f64(p, v); }
  Vec fma(Vec a, Vec b) const { return {vfmaq_f64(v, a.v, b.v)}; }
  Vec plus(Vec a) const { return {vaddq_f64(v, a.v)}; }
};

#else

// Lanes as an array; the multiplication is rounded before the addition.
template <class Real>
struct Vec {
  static constexpr int N = 16 / sizeof(Real);
  Real v[N];
  static Vec all(Real x) {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = x;
    return r;
  }
  static Vec zero() { return all(0); }
  template <class Elem>
  static Vec load(const Elem* p) {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = widen(p[i]);
    return r;
  }
  void store(Real* p) const {
    for (int i = 0; i < N; i++) p[i] = v[i];
  }
  Vec fma(Vec a, Vec b) const {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = v[i] + a.v[i] * b.v[i];
    return r;
  }
  Vec plus(Vec a) const {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = v[i] + a.v[i];
    return r;
  }
};

#endif

// The first n elements, zeros behind; never reads past them.
template <class Real, class Elem>
inline Vec<Real> load_part(const Elem* p, int n) {
  Elem lanes[Vec<Real>::N] = {};
  for (int i = 0; i < n; i++) lanes[i] = p[i];
  return Vec<Real>::load(lanes);
}

// Sum of the lanes: halves are added until one is left.
template <class Real>
inline Real sum(Vec<Real> x) {
  Real lanes[Vec<Real>::N];
  x.store(lanes);
  for (int n = Vec<Real>::N / 2; n > 0; n /= 2) {
    for (int i = 0; i < n; i++) lanes[i] += lanes[i + n];
  }
  return lanes[0];
}

inline float exponential(float x) { return __builtin_expf(x); }
inline double exponential(double x) { return __builtin_exp(x); }

}  // namespace
