// kernels_test TIER: every test on one tier; 77 (skipped) and the reason where it is absent.
#include <cstring>

#include "assay.h"
#include "check.h"

int failures = 0;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: kernels_test TIER\n");
    return 2;
  }
  for (int32_t i = 0; i < assay_cpu_tier_count(); i++) {
    if (std::strcmp(argv[1], assay_cpu_tier_name(i)) != 0) continue;
    if (!assay_cpu_tier_present(i)) {
      CHECK(assay_cpu_tier_force(argv[1]) == ASSAY_ERROR_TIER, "an absent tier was accepted");
      std::printf("skipped: %s: %s\n", argv[1], assay_cpu_tier_reason(i));
      return failures != 0 ? 1 : 77;
    }
    CHECK(assay_cpu_tier_force(argv[1]) == ASSAY_OK, "%s", assay_last_error());
    CHECK(assay_cpu_tier_current() == i, "%d", assay_cpu_tier_current());
    test_library();
    test_kernels("");
    std::printf("%s: %d failures\n", argv[1], failures);
    return failures != 0 ? 1 : 0;
  }
  std::fprintf(stderr, "no tier is called %s\n", argv[1]);
  return 2;
}
