#include "assay_cuda.h"

int32_t header_is_cpp() { return ASSAY_ABI_VERSION; }
