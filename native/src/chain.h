// Chains of element-wise operators in graphs (runtime_chain.cpp), and of sums over rows between
// them: a task takes some rows through all steps, from buffer to buffer in the nearest cache, where
// an operator each would read and write memory. Steps are those of the operators, each rounded by
// itself, so that bits are theirs; a tanh is within 3 ulp, e^x within 2. Sums are of 16 lanes. A
// row's bits depend on nothing but the row. Elements are floats, or doubles, of which there is no
// tanh.
#pragma once

#include <limits>
#include <type_traits>

#include "simd.h"

namespace {

using assay::ChainKind;
using assay::ChainOp;

// tanh x: x + x^3 p(x^2) up to 0.7, where what is left out is below 2^-30 of it, and
// 1 - 2 / (e^2x + 1) beyond; NaN stays.
__attribute__((always_inline)) inline float hyperbolic_tangent(float x) {
  const float size = __builtin_fabsf(x);
  const float z = x * x;
  float p = 0x1.f0f00ap-10f;
  p = p * z - 0x1.0251fep-7f;
  p = p * z + 0x1.616b96p-6f;
  p = p * z - 0x1.b9b87p-5f;
  p = p * z + 0x1.110f3cp-3f;
  p = p * z - 0x1.55555p-2f;
  const float near = size + size * (z * p);
  const float far = 1 - 2 / (exponential(size + size) + 1);
  return __builtin_copysignf(size < 0.7f ? near : far, x);
}

// A value while a row is worked on: its elements, or one number for all of them.
template <class Real>
struct Cell {
  const Real* at;
  Real number;
};

// `to` may be where an operand is.
template <class Real, class F>
__attribute__((always_inline)) inline void each(int64_t n, Cell<Real> a, Cell<Real> b, Real* to,
                                                F f) {
  if (a.at != nullptr && b.at != nullptr) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) to[i] = f(a.at[i], b.at[i]);
  } else if (a.at != nullptr) {
    const Real y = b.number;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) to[i] = f(a.at[i], y);
  } else {
    const Real x = a.number;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) to[i] = f(x, b.at[i]);
  }
}

// All elements of a row, from `first` on, taken together lane by lane and then the lanes by halves.
template <class Real, class F>
inline Real together(int64_t n, const Real* x, Real first, F f) {
  constexpr int kLanes = 16;
  Real lanes[kLanes];
  for (int l = 0; l < kLanes; l++) lanes[l] = first;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; l++) lanes[l] = f(lanes[l], x[i + l]);
  }
  for (int l = 0; i < n; i++, l++) lanes[l] = f(lanes[l], x[i]);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; l++) lanes[l] = f(lanes[l], lanes[l + half]);
  }
  return lanes[0];
}

template <class Real>
inline Real sum_of_row(int64_t n, const Real* x) {
  return together(n, x, Real(0), [](Real sum, Real y) { return sum + y; });
}

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline float logarithm(float x) { return __builtin_logf(x); }
inline double logarithm(double x) { return __builtin_log(x); }

// One step: its elements go to `to`, or the number that it gives is returned.
template <class Real>
inline Real chain_step(ChainOp op, int64_t n, Cell<Real> a, Cell<Real> b, Real* to) {
  const auto apply = [&](auto f) {
    if (to == nullptr) return f(a.number, b.number);
    each(n, a, b, to, f);
    return Real(0);
  };
  switch (op) {
    case ChainOp::kAdd: return apply([](Real x, Real y) { return x + y; });
    case ChainOp::kSubtract: return apply([](Real x, Real y) { return x - y; });
    case ChainOp::kMultiply: return apply([](Real x, Real y) { return x * y; });
    case ChainOp::kDivide: return apply([](Real x, Real y) { return x / y; });
    case ChainOp::kNegate: return apply([](Real x, Real) { return -x; });
    case ChainOp::kRoot: return apply([](Real x, Real) { return root(x); });
    case ChainOp::kTanh:
      if constexpr (std::is_same_v<Real, float>) {
        if (to == nullptr) return hyperbolic_tangent(a.number);
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) to[i] = hyperbolic_tangent(a.at[i]);
      }
      return 0;
    case ChainOp::kExponential:
      if (to == nullptr) return exponential(a.number);
#pragma GCC ivdep
      for (int64_t i = 0; i < n; i++) to[i] = exponential(a.at[i]);
      return 0;
    case ChainOp::kLogarithm: return logarithm(a.number);
    case ChainOp::kLargest:
      return together(n, a.at, -std::numeric_limits<Real>::infinity(),
                      [](Real x, Real y) { return y > x ? y : x; });
    case ChainOp::kSum: return sum_of_row(n, a.at);
    case ChainOp::kMean: return sum_of_row(n, a.at) / static_cast<Real>(n);
    case ChainOp::kSpread:
      for (int64_t i = 0; i < n; i++) to[i] = a.number;
  }
  return 0;
}

template <class Real>
void chain_rows(const assay::ChainJob& j, int64_t first, int64_t last) {
  alignas(64) Real room[assay::kChainRoom * sizeof(float) / sizeof(Real)];
  Cell<Real> cells[assay::kChainValues];
  for (int64_t row = first; row < last; row++) {
    const int64_t start = row * j.columns;
    const int64_t n = j.elements - start < j.columns ? j.elements - start : j.columns;
    for (int64_t i = 0; i < j.inputs; i++) {
      const Real* x = static_cast<const Real*>(j.input[i]);
      switch (j.kinds[i]) {
        case ChainKind::kFull: cells[i] = {x + start, 0}; break;
        case ChainKind::kRow: cells[i] = {x, 0}; break;
        case ChainKind::kColumn: cells[i] = {nullptr, x[row]}; break;
        case ChainKind::kNumber: cells[i] = {nullptr, x[0]};
      }
    }
    for (int64_t s = 0; s < j.steps; s++) {
      const assay::ChainStep& step = j.step[s];
      const bool full = step.kind == ChainKind::kFull;
      Real* out = step.output < 0 ? nullptr : static_cast<Real*>(j.output[step.output]);
      Real* to = !full ? nullptr : out != nullptr ? out + start : room + step.buffer * j.columns;
      const Real number = chain_step(step.op, n, cells[step.a], cells[step.b], to);
      cells[j.inputs + s] = {to, number};
      if (out != nullptr && !full) out[row] = number;
    }
  }
}

// Task t: job.task_rows rows.
void chain_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::ChainJob*>(job);
  const int64_t first = task * j.task_rows;
  const int64_t last = first + j.task_rows < j.rows ? first + j.task_rows : j.rows;
  if (j.wide) {
    chain_rows<double>(j, first, last);
  } else {
    chain_rows<float>(j, first, last);
  }
}

}  // namespace
