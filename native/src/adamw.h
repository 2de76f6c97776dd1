// AdamW: element-wise, in double, rounded once per stored value; no contraction, so every tier
// gives the same bits. Denormals count as zero: the moments of what gets no gradient any more would
// else stay among them for ever, and each costs a hundred times a number.
#pragma once

#include "internal.h"
#include "simd.h"

namespace {

template <class Real>
void adamw_chunk(const assay::AdamwJob& j, int64_t task) {
  const int64_t row = task / j.chunks;
  const int64_t first = task % j.chunks * assay::kAdamwChunk;
  const int64_t left = j.p.columns - first;
  const int64_t n = left < assay::kAdamwChunk ? left : assay::kAdamwChunk;
  Real* __restrict p = static_cast<Real*>(j.p.data) + row * j.p.stride + first;
  Real* __restrict m = static_cast<Real*>(j.m.data) + row * j.m.stride + first;
  Real* __restrict v = static_cast<Real*>(j.v.data) + row * j.v.stride + first;
  const Real* __restrict g = static_cast<const Real*>(j.g.data) + row * j.g.stride + first;
  for (int64_t i = 0; i < n; i++) {
    const double gradient = g[i];
    const double mean = j.beta1 * m[i] + (1 - j.beta1) * gradient;
    const double square = j.beta2 * v[i] + (1 - j.beta2) * gradient * gradient;
    const double step = j.rate * mean / (__builtin_sqrt(square) / j.root + j.epsilon);
    m[i] = static_cast<Real>(mean);
    v[i] = static_cast<Real>(square);
    p[i] = static_cast<Real>(p[i] * j.keep - step);
  }
}

void adamw_task(const void* job, int64_t task) {
  const WithoutDenormals mode;
  const auto& j = *static_cast<const assay::AdamwJob*>(job);
  if (j.p.dtype == ASSAY_F64) {
    adamw_chunk<double>(j, task);
  } else {
    adamw_chunk<float>(j, task);
  }
}

}  // namespace
