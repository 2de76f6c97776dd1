// All kernels in the tier "avx512".
#define ASSAY_TIER_AVX512
#include "tier_kernels.h"

const assay::Kernels assay::kernels_avx512 = all_kernels;
