// The vector wrapper: Vec<float> and Vec<double> of this tier. A kernel needs load, held (the same
// vector, from a register: else gcc loads it again for each product), store, broadcast, fma and
// sums, some positive() (negative lanes are 0, NaN stays), of floats
// where_positive(by) (lanes where `by` is not above 0 are 0), of doubles active() (a bit for each
// lane that positive() does not make 0) and larger() (of numbers); all else is written once for
// every tier. Internal linkage throughout. N lanes; Rows activations are what the registers hold
// beside 4 table rows (product.h).
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
  static constexpr int Rows = 6;
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
  Vec held() const {
    __m512 x = v;
    __asm__("" : "+v"(x));
    return {x};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm512_fmadd_ps(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm512_add_ps(v, a.v)}; }
  Vec positive() const { return {_mm512_max_ps(_mm512_setzero_ps(), v)}; }
  Vec where_positive(Vec by) const {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(by.v, _mm512_setzero_ps(), _CMP_GT_OQ), v)};
  }
};

template <>
struct Vec<double> {
  static constexpr int N = 8;
  static constexpr int Rows = 6;
  __m512d v;
  static Vec zero() { return {_mm512_setzero_pd()}; }
  static Vec all(double x) { return {_mm512_set1_pd(x)}; }
  static Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
  Vec held() const {
    __m512d x = v;
    __asm__("" : "+v"(x));
    return {x};
  }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm512_fmadd_pd(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm512_add_pd(v, a.v)}; }
  Vec positive() const { return {_mm512_max_pd(_mm512_setzero_pd(), v)}; }
  Vec larger(Vec a) const { return {_mm512_max_pd(v, a.v)}; }
  uint32_t active() const { return _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NLE_UQ); }
};

#elif defined(ASSAY_TIER_AVX2)

template <>
struct Vec<float> {
  static constexpr int N = 8;
  static constexpr int Rows = 3;
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
  Vec held() const { return *this; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm256_fmadd_ps(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm256_add_ps(v, a.v)}; }
  Vec positive() const { return {_mm256_max_ps(_mm256_setzero_ps(), v)}; }
  Vec where_positive(Vec by) const {
    return {_mm256_and_ps(_mm256_cmp_ps(by.v, _mm256_setzero_ps(), _CMP_GT_OQ), v)};
  }
};

template <>
struct Vec<double> {
  static constexpr int N = 4;
  static constexpr int Rows = 3;
  __m256d v;
  static Vec zero() { return {_mm256_setzero_pd()}; }
  static Vec all(double x) { return {_mm256_set1_pd(x)}; }
  static Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
  Vec held() const { return *this; }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  Vec fma(Vec a, Vec b) const { return {_mm256_fmadd_pd(a.v, b.v, v)}; }
  Vec plus(Vec a) const { return {_mm256_add_pd(v, a.v)}; }
  Vec positive() const { return {_mm256_max_pd(_mm256_setzero_pd(), v)}; }
  Vec larger(Vec a) const { return {_mm256_max_pd(v, a.v)}; }
  uint32_t active() const {
    return static_cast<uint32_t>(
        _mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_NLE_UQ)));
  }
};

#elif defined(ASSAY_TIER_NEON)

template <>
struct Vec<float> {
  static constexpr int N = 4;
  static constexpr int Rows = 6;
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
  Vec held() const { return *this; }
  void store(float* p) const { vst1q_f32(p, v); }
  Vec fma(Vec a, Vec b) const { return {vfmaq_f32(v, a.v, b.v)}; }
  Vec plus(Vec a) const { return {vaddq_f32(v, a.v)}; }
  Vec positive() const { return {vbslq_f32(vcltq_f32(v, vdupq_n_f32(0)), vdupq_n_f32(0), v)}; }
  Vec where_positive(Vec by) const {
    return {vreinterpretq_f32_u32(
        vandq_u32(vcgtq_f32(by.v, vdupq_n_f32(0)), vreinterpretq_u32_f32(v)))};
  }
};

template <>
struct Vec<double> {
  static constexpr int N = 2;
  static constexpr int Rows = 6;
  float64x2_t v;
  static Vec zero() { return {vdupq_n_f64(0)}; }
  static Vec all(double x) { return {vdupq_n_f64(x)}; }
  static Vec load(const double* p) { return {vld1q_f64(p)}; }
  Vec held() const { return *this; }
  void store(double* p) const { vst1q_f64(p, v); }
  Vec fma(Vec a, Vec b) const { return {vfmaq_f64(v, a.v, b.v)}; }
  Vec plus(Vec a) const { return {vaddq_f64(v, a.v)}; }
  Vec positive() const { return {vbslq_f64(vcltq_f64(v, vdupq_n_f64(0)), vdupq_n_f64(0), v)}; }
  Vec larger(Vec a) const { return {vmaxq_f64(v, a.v)}; }
  uint32_t active() const {
    const uint64x2_t below = vcleq_f64(v, vdupq_n_f64(0));
    return (vgetq_lane_u64(below, 0) ? 0u : 1u) | (vgetq_lane_u64(below, 1) ? 0u : 2u);
  }
};

#else

// Lanes as an array; the multiplication is rounded before the addition.
template <class Real>
struct Vec {
  static constexpr int N = 16 / sizeof(Real);
  static constexpr int Rows = 3;
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
  Vec held() const { return *this; }
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
  Vec positive() const {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = v[i] < 0 ? 0 : v[i];
    return r;
  }
  Vec larger(Vec a) const {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = a.v[i] > v[i] ? a.v[i] : v[i];
    return r;
  }
  Vec where_positive(Vec by) const {
    Vec r;
    for (int i = 0; i < N; i++) r.v[i] = by.v[i] > 0 ? v[i] : 0;
    return r;
  }
  uint32_t active() const {
    uint32_t bits = 0;
    for (int i = 0; i < N; i++) bits |= (v[i] <= 0 ? 0u : 1u) << i;
    return bits;
  }
};

#endif

// Whole numbers of 16 bits, read from 8 or 16, and sums of their products modulo 2^32: exact, so
// that their order is free.
#if defined(ASSAY_TIER_AVX512)

struct Whole {
  static constexpr int N = 32;
  static constexpr int Rows = 6;
  __m512i v;
  static Whole load(const int16_t* p) { return {_mm512_loadu_si512(p)}; }
  static Whole load(const int8_t* p) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
};

struct WholeSum {
  __m512i v;
  static WholeSum zero() { return {_mm512_setzero_si512()}; }
  WholeSum add(Whole a, Whole b) const {
    __m512i sum = _mm512_dpwssd_epi32(v, a.v, b.v);
    // Else gcc moves and stores sums between the products: twice the time.
    __asm__ volatile("" : "+v"(sum));
    return {sum};
  }
};

// The sums of two halves.
inline __m256i fold(__m512i x) {
  return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}

// out[i] = the sum of x[i].
__attribute__((always_inline)) inline void sums(const WholeSum (&x)[4], int32_t* out) {
  const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(fold(x[0].v), fold(x[1].v)),
                                          _mm256_hadd_epi32(fold(x[2].v), fold(x[3].v)));
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(out),
      _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
}

#elif defined(ASSAY_TIER_AVX2)

struct Whole {
  static constexpr int N = 16;
  static constexpr int Rows = 3;
  __m256i v;
  static Whole load(const int16_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  static Whole load(const int8_t* p) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
};

struct WholeSum {
  __m256i v;
  static WholeSum zero() { return {_mm256_setzero_si256()}; }
  WholeSum add(Whole a, Whole b) const {
    __m256i sum = _mm256_add_epi32(v, _mm256_madd_epi16(a.v, b.v));
    // Else gcc makes all products of a step first, for which there are not registers enough.
    __asm__ volatile("" : "+x"(sum));
    return {sum};
  }
};

// out[i] = the sum of x[i].
__attribute__((always_inline)) inline void sums(const WholeSum (&x)[4], int32_t* out) {
  const __m256i pairs =
      _mm256_hadd_epi32(_mm256_hadd_epi32(x[0].v, x[1].v), _mm256_hadd_epi32(x[2].v, x[3].v));
  _mm_storeu_si128(
      reinterpret_cast<__m128i*>(out),
      _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
}

#else

struct Whole {
  static constexpr int N = 8;
  static constexpr int Rows = 3;
  int16_t v[N];
  template <class Elem>
  static Whole load(const Elem* p) {
    Whole r;
    for (int i = 0; i < N; i++) r.v[i] = p[i];
    return r;
  }
};

struct WholeSum {
  uint32_t v[Whole::N];
  static WholeSum zero() { return {}; }
  WholeSum add(Whole a, Whole b) const {
    WholeSum r;
    for (int i = 0; i < Whole::N; i++) {
      r.v[i] = v[i] + static_cast<uint32_t>(static_cast<int32_t>(a.v[i]) * b.v[i]);
    }
    return r;
  }
};

__attribute__((always_inline)) inline void sums(const WholeSum (&x)[4], int32_t* out) {
  for (int i = 0; i < 4; i++) {
    uint32_t sum = 0;
    for (int l = 0; l < Whole::N; l++) sum += x[i].v[l];
    out[i] = static_cast<int32_t>(sum);
  }
}

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

// out[i] = sum(x[i]) of four vectors, in the same order of additions.
template <class Real>
__attribute__((always_inline)) inline void sums(const Vec<Real> (&x)[4], Real* out) {
  for (int i = 0; i < 4; i++) out[i] = sum(x[i]);
}

#if defined(ASSAY_TIER_AVX2) || defined(ASSAY_TIER_AVX512)

inline __m128 fold(__m256 x) {
  return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
}

inline __m128d fold(__m256d x) {
  return _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
}

#if defined(ASSAY_TIER_AVX512)

inline __m128 fold(__m512 x) {
  const __m256d upper = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);
  return fold(_mm256_add_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(upper)));
}

inline __m128d fold(__m512d x) {
  return fold(_mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)));
}

#endif

template <>
__attribute__((always_inline)) inline void sums(const Vec<float> (&x)[4], float* out) {
  const __m128 a = fold(x[0].v), b = fold(x[1].v), c = fold(x[2].v), d = fold(x[3].v);
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
  const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
  _mm_storeu_ps(out, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
}

template <>
__attribute__((always_inline)) inline void sums(const Vec<double> (&x)[4], double* out) {
  const __m128d a = fold(x[0].v), b = fold(x[1].v), c = fold(x[2].v), d = fold(x[3].v);
  _mm_storeu_pd(out, _mm_add_pd(_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b)));
  _mm_storeu_pd(out + 2, _mm_add_pd(_mm_unpacklo_pd(c, d), _mm_unpackhi_pd(c, d)));
}

#endif

// e^x within 2 ulp, denormal results included, written so that compilers turn loops over it into
// vector code: e^x = 2^n e^r, n = round(x / ln 2), e^r by its series to r^7 (|r| <= 0.347: the rest
// is below 2^-25.6). 2^n is applied in two factors, since it may lie outside the normal range.
__attribute__((always_inline)) inline float exponential(float x) {
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  x = x > 89.0f ? 89.0f : x;           // e^89 overflows, e^-105 rounds to zero; NaN stays
  x = x < -105.0f ? -105.0f : x;
  const float shifted = x * 0x1.715476p+0f + kRound;
  const float n = shifted - kRound;
  const float r =
      (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // ln 2 in two parts, the first short
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r + 1.0f;
  const int32_t exponent =
      __builtin_bit_cast(int32_t, shifted) - __builtin_bit_cast(int32_t, kRound);
  const int32_t half = exponent >> 1;
  return p * __builtin_bit_cast(float, (half + 127) << 23) *
         __builtin_bit_cast(float, (exponent - half + 127) << 23);
}

// a b + c, as one operation where the tier has it and Fused is set.
template <bool Fused>
__attribute__((always_inline)) inline double multiply_add(double a, double b, double c) {
#if defined(__FMA__)
  if constexpr (Fused) return __builtin_fma(a, b, c);
#endif
  return a * b + c;
}

// The same of doubles, by the series to r^13 (the rest is below 2^-57). Fused takes two thirds of
// the time and gives other bits; trainings that are to be repeated hang on those without.
template <bool Fused = false>
__attribute__((always_inline)) inline double exponential(double x) {
  constexpr double kRound = 0x1.8p52;
  x = x > 710.0 ? 710.0 : x;  // e^710 overflows, e^-746 rounds to zero; NaN stays
  x = x < -746.0 ? -746.0 : x;
  const double n = multiply_add<Fused>(x, 0x1.71547652b82fep+0, kRound) - kRound;
  // ln 2 in two parts.
  const double r =
      multiply_add<Fused>(n, -0x1.a39ef35793c76p-33, multiply_add<Fused>(n, -0x1.62e42feep-1, x));
  double p = 1.0 / 6227020800;
  p = multiply_add<Fused>(p, r, 1.0 / 479001600);
  p = multiply_add<Fused>(p, r, 1.0 / 39916800);
  p = multiply_add<Fused>(p, r, 1.0 / 3628800);
  p = multiply_add<Fused>(p, r, 1.0 / 362880);
  p = multiply_add<Fused>(p, r, 1.0 / 40320);
  p = multiply_add<Fused>(p, r, 1.0 / 5040);
  p = multiply_add<Fused>(p, r, 1.0 / 720);
  p = multiply_add<Fused>(p, r, 1.0 / 120);
  p = multiply_add<Fused>(p, r, 1.0 / 24);
  p = multiply_add<Fused>(p, r, 1.0 / 6);
  p = multiply_add<Fused>(p, r, 0.5);
  p = multiply_add<Fused>(p, r * r, r) + 1.0;
  const double shifted = n * 0.5 + kRound;
  const int64_t zero = __builtin_bit_cast(int64_t, kRound);
  const int64_t half = __builtin_bit_cast(int64_t, shifted) - zero;
  const int64_t rest = __builtin_bit_cast(int64_t, (n - (shifted - kRound)) + kRound) - zero;
  return p * __builtin_bit_cast(double, (half + 1023) << 52) *
         __builtin_bit_cast(double, (rest + 1023) << 52);
}

#if defined(ASSAY_TIER_AVX512)

// exponential<true> of x - max <= 0, M vectors of it step by step, so that the units do not wait
// for one chain of dependent operations.
template <int M>
__attribute__((always_inline)) inline void exponentials(double max, double* x) {
  constexpr double kRound = 0x1.8p52;
  constexpr double kSeries[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                                1.0 / 120,        1.0 / 24,        1.0 / 6,        0.5};
  const auto all = [](double value) { return _mm512_set1_pd(value); };
  __m512d n[M], r[M], p[M];
  for (int i = 0; i < M; i++) {
    const __m512d shifted = _mm512_sub_pd(_mm512_loadu_pd(x + 8 * i), all(max));
    r[i] = _mm512_max_pd(all(-746.0), shifted);  // NaN stays
    n[i] = _mm512_fmadd_pd(r[i], all(0x1.71547652b82fep+0), all(kRound));
  }
  for (int i = 0; i < M; i++) n[i] = _mm512_sub_pd(n[i], all(kRound));
  for (int i = 0; i < M; i++) r[i] = _mm512_fmadd_pd(n[i], all(-0x1.62e42feep-1), r[i]);
  for (int i = 0; i < M; i++) {
    r[i] = _mm512_fmadd_pd(n[i], all(-0x1.a39ef35793c76p-33), r[i]);
    p[i] = all(kSeries[0]);
  }
#pragma GCC unroll 16
  for (int k = 1; k < 12; k++) {
    for (int i = 0; i < M; i++) p[i] = _mm512_fmadd_pd(p[i], r[i], all(kSeries[k]));
  }
  for (int i = 0; i < M; i++) p[i] = _mm512_fmadd_pd(p[i], _mm512_mul_pd(r[i], r[i]), r[i]);
  for (int i = 0; i < M; i++) p[i] = _mm512_add_pd(p[i], all(1.0));
  for (int i = 0; i < M; i++) _mm512_storeu_pd(x + 8 * i, _mm512_scalef_pd(p[i], n[i]));
}

// The same of n numbers, a multiple of 8.
inline void exponentials(int64_t n, double max, double* x) {
  constexpr int kOnce = 5;
  int64_t c = 0;
  for (; c + 8 * kOnce <= n; c += 8 * kOnce) exponentials<kOnce>(max, x + c);
  for (; c < n; c += 8) exponentials<1>(max, x + c);
}

#else

// exponential<true> of x - max <= 0, n numbers.
inline void exponentials(int64_t n, double max, double* __restrict x) {
  for (int64_t c = 0; c < n; c++) x[c] = exponential<true>(x[c] - max);
}

#endif

// log(1 + x) for x >= 0 below 1e300, within a few ulp however small x is, as vector code too: with
// u = 1 + x rounded, log u + (x - (u - 1)) / u; u = 2^e m, log m = 2 atanh(f / (2 + f)), f = m - 1,
// |f / (2 + f)| < 0.172, by its series to the 23rd power.
__attribute__((always_inline)) inline double log1p_positive(double x) {
  const double u = 1.0 + x;
  const uint64_t bits = __builtin_bit_cast(uint64_t, u);
  const uint64_t e =
      (bits - 0x3fe6a09e667f3bcdULL) >> 52;  // from sqrt(1/2) on: m in [0.707, 1.414)
  const double m = __builtin_bit_cast(double, bits - (e << 52));
  const double exponent = __builtin_bit_cast(double, e | 0x4330000000000000ULL) - 0x1p52;
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 1.0 / 23;
  p = p * z + 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  const double log_m = 2.0 * s + 2.0 * s * z * p;
  return exponent * 0x1.62e42fefa39efp-1 + (log_m + (x - (u - 1.0)) / u);
}

// While it lives, denormal numbers count as zero.
class WithoutDenormals {
 public:
#if defined(__x86_64__)
  WithoutDenormals() : mode_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(mode_ | 0x8040u); }
  ~WithoutDenormals() { __builtin_ia32_ldmxcsr(mode_); }

 private:
  uint32_t mode_;
#elif defined(__aarch64__)
  WithoutDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode_));
    __asm__ volatile("msr fpcr, %0" ::"r"(mode_ | uint64_t{1} << 24));
  }
  ~WithoutDenormals() { __asm__ volatile("msr fpcr, %0" ::"r"(mode_)); }

 private:
  uint64_t mode_;
#endif
};

}  // namespace
