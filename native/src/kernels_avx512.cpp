// All kernels in the tiers "avx512" and "amx", which differ in one.
#define ASSAY_TIER_AVX512
#include "tier_kernels.h"

const assay::Kernels assay::kernels_avx512 = all_kernels;

#if defined(ASSAY_HAVE_AMX)
#include "token_swap_matrix.h"

namespace {

constexpr assay::Kernels with_matrix_units() {
  assay::Kernels all = all_kernels;
  all.token_swap_matrix = token_swap_matrix_task;
  return all;
}

}  // namespace

const assay::Kernels assay::kernels_amx = with_matrix_units();
#endif
