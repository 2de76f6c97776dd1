// What the kernels of assay_token_swap_topk share.
#pragma once

#include "arguments.h"
#include "matrix_product.cuh"

namespace assay {

// Bounds of the scores, by which tokens are left out before any is computed: where there are many
// audits, and of no table of doubles. Tokens 64 s + g, 64 s + g + 8, ... of g < 8, kGroup of them,
// are group 8 s + g: what one lane has of an audit.
constexpr int kGroup = 8;
// Audits that are bounded at a time: what is written of them stays near.
constexpr int64_t kBoundAudits = 256;
// Audits that are computed exactly together if one of them has too many candidates.
constexpr int64_t kExactAudits = 64;

struct SwapBounds {
  int64_t groups;         // 0: there are none of these, all scores are computed
  int64_t room;           // C, for candidates of an audit
  int64_t columns;        // of the parts
  int64_t lists;          // of those an audit has, filled from its candidates
  uint16_t* gradient;     // [kBoundAudits, kActiveParts, columns]
  uint16_t* hidden;       // the same, of an untied head
  float* gradient_error;  // [kBoundAudits]: times ||e||, what the bound of a product is
  float* hidden_error;
  float* upper;         // [kBoundAudits, groups] highest bound; NaN: no token may be chosen
  float* lower;         // [kBoundAudits, groups] of the lower bounds the highest, or -infinity
  int32_t* candidates;  // [A,C] groups
  int32_t* counts;      // [A]
  int32_t* exact;       // [A/kExactAudits]: 1: some audit has more than C
};

struct SwapArgs {
  assay_token_swap_topk_params p;
  Rows<char> gradient, hidden;  // data NULL: no second product; strides are elements
  const void* lse;
  Segments segments;
  void* scores;      // [A, segments, K] real: lists, best first
  int32_t* ids;      // [A, segments, K]
  int32_t* counts;   // [A, segments]
  int32_t* nans;     // [A, segments]
  uint64_t* floors;  // [A] order of a score that some K tokens have or surpass
  void* packed;      // [A,d] real: gradient + alpha hidden, where a tied head needs it
  SwapBounds bounds;
};

constexpr int kDigits = 256;

// Of the digits from 255 downwards the one at which `wanted` are reached: search is that digit, how
// many are wanted of it, and how many have it, behind the next barrier. For the first warp.
__device__ inline void find_digit(Shared<int32_t> digits, int wanted, Shared<int32_t> search) {
  // Lane l has digits 255 - 8l downwards.
  constexpr int kEach = kDigits / kWarp;
  const int lane = static_cast<int>(threadIdx.x);
  int mine = 0;
  for (int i = 0; i < kEach; i++) mine += digits[kDigits - 1 - lane * kEach - i];
  int above = 0;
  for (int l = 0; l < kWarp - 1; l++) {
    const int of_lane = __shfl_sync(kAllLanes, mine, l);
    if (l < lane) above += of_lane;
  }
  for (int i = 0; i < kEach; i++) {
    const int digit = kDigits - 1 - lane * kEach - i;
    const int n = digits[digit];
    if (above < wanted && above + n >= wanted) {
      search[0] = digit;
      search[1] = wanted - above;
      search[2] = n;
    }
    above += n;
  }
}

__device__ inline bool allowed(const assay_token_swap_topk_params& a, int64_t token) {
  return a.allowed == nullptr || (a.allowed[token >> 3] >> (token & 7) & 1) != 0;
}

// Whether the tokens are bounded before they are scored, and the workspace for it.
SwapBounds swap_bounds(const assay_token_swap_topk_params& p, int64_t lists, Workspace& w);
// Fills candidates, counts and exact, and raises floors.
void launch_swap_bounds(const SwapArgs& a, cudaStream_t stream);

}  // namespace assay
