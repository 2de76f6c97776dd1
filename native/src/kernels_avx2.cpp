// All kernels in the tier "avx2".
#define ASSAY_TIER_AVX2
#include "tier_kernels.h"

const assay::Kernels assay::kernels_avx2 = all_kernels;
