#include "assay_cuda.h"

int32_t header_is_c(void) { return ASSAY_ABI_VERSION; }
