// The matrix units of the emulated device: m16n8k16 products of bfloat16, added into float32.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "emulate.h"

namespace emulate {

// How matrix units add. Those of NVIDIA take 4, 8 or 16 products and the sum so far at a time,
// align them to the largest, and cut off, towards zero, what lies behind 24 bits or a few more,
// before they add and after it (Fasi et al. 2021, PeerJ Computer Science 7:e330; Khattak and
// Mikaitis 2025, arXiv 2512.07004). Here they keep 24 bits, and which products come together, and
// where to a number is cut, is drawn.
struct Adder {
  int at_once;
  int towards;  // 0 zero, 1 below, 2 above
  std::array<int, 16> order;
};

// One that is drawn.
inline Adder draw_adder(std::mt19937_64& random) {
  Adder adder;
  adder.at_once = 4 << random() % 3;
  adder.towards = static_cast<int>(random() % 3);
  for (int i = 0; i < 16; i++) adder.order[i] = i;
  std::shuffle(adder.order.begin(), adder.order.end(), random);
  return adder;
}

inline double power_of_two(int exponent) {
  return of_bits<double>(static_cast<uint64_t>(exponent + 1023) << 52);
}

// Exponent of the last of the 24 bits of x, which is not zero.
inline int last_bit(double x) {
  return std::max(static_cast<int>(bits_of(x) >> 52 & 2047) - 1023, -126) - 23;
}

// How many units x has.
inline int64_t cut(const Adder& how, double x, int unit) {
  const double units = x * power_of_two(-unit);
  const auto whole = static_cast<int64_t>(units);
  const auto rounded = static_cast<double>(whole);
  return whole + (how.towards == 1 ? -(rounded > units) : how.towards == 2 ? rounded < units : 0);
}

inline float add(const Adder& how, double sum, const std::array<double, 16>& products) {
  for (int first = 0; first < 16; first += how.at_once) {
    double largest = std::fabs(sum);
    double plain = sum;
    for (int i = first; i < first + how.at_once; i++) {
      const double product = products[how.order[i]];
      largest = std::fmax(largest, std::fabs(product));
      plain += product;
    }
    if (plain - plain != 0) {  // infinite, or not a number
      sum = plain;
      continue;
    }
    if (largest == 0) continue;
    const int unit = last_bit(largest);
    int64_t units = cut(how, sum, unit);
    for (int i = first; i < first + how.at_once; i++) {
      units += cut(how, products[how.order[i]], unit);
    }
    const double total = static_cast<double>(units) * power_of_two(unit);
    if (units == 0) {
      sum = 0;
    } else {
      const int last = last_bit(total);
      sum = static_cast<double>(cut(how, total, last)) * power_of_two(last);
    }
    if (std::fabs(sum) > std::numeric_limits<float>::max()) {
      sum = std::copysign(std::numeric_limits<double>::infinity(), sum);
    }
  }
  return static_cast<float>(sum);
}

// The products of a warp, whose lanes give their Fragments: into their sums.
inline void multiply(const Adder& how, const std::array<uint64_t, kWarp>& lanes) {
  auto of = [&](int lane) { return reinterpret_cast<const Fragments*>(lanes[lane]); };
  auto half = [](uint32_t word, int which) {
    return double{of_bits<float>(which == 0 ? word << 16 : word & 0xffff0000u)};
  };
  double a[16][16], b[8][16];
  for (int lane = 0; lane < kWarp; lane++) {
    const int g = lane / 4;
    for (int k = 0; k < 2; k++) {
      for (int far = 0; far < 2; far++) {
        const int at = 2 * (lane % 4) + k + 8 * far;
        a[g][at] = half(of(lane)->a[2 * far], k);
        a[g + 8][at] = half(of(lane)->a[2 * far + 1], k);
        b[g][at] = half(of(lane)->b[far], k);
      }
    }
  }
  for (int lane = 0; lane < kWarp; lane++) {
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + i / 2 * 8;
      const int column = 2 * (lane % 4) + i % 2;
      std::array<double, 16> products;
      for (int k = 0; k < 16; k++) products[k] = a[row][k] * b[column][k];
      float& sum = of(lane)->sums[i];
      sum = add(how, sum, products);
    }
  }
}

}  // namespace emulate
