// All kernels in the tier "scalar".
#define ASSAY_TIER_SCALAR
#include "tier_kernels.h"

const assay::Kernels assay::kernels_scalar = all_kernels;
