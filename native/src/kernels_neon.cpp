// All kernels in the tier "neon".
#define ASSAY_TIER_NEON
#include "tier_kernels.h"

const assay::Kernels assay::kernels_neon = all_kernels;
