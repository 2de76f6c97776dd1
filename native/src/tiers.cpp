// Which tiers this machine has, why, and which one is in use.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "support.h"

#if defined(ASSAY_HAVE_X86)
#include "x86.h"
#endif
#if defined(ASSAY_HAVE_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace assay {
namespace {

constexpr int32_t kTiers = 5;
const char* const kNames[kTiers] = {"scalar", "avx2", "avx512", "amx", "neon"};
constexpr const char* kPresent = "present";
constexpr const char* kOther = "not built for this architecture";

struct Tier {
  const Kernels* kernels;  // NULL: absent
  const char* reason;
};

#if defined(ASSAY_HAVE_AMX)
// Linux gives the large registers to processes that ask (arch_prctl, Documentation/x86/xstate.rst).
bool tiles_granted() {
  constexpr long request = 0x1023, tile_data = 18;
  static const bool granted = syscall(SYS_arch_prctl, request, tile_data) == 0;
  return granted;
}
#endif

Tier detect(int32_t i) {
  if (i == 0) return {&kernels_scalar, kPresent};
#if defined(ASSAY_HAVE_X86)
  static const Cpu cpu = this_cpu();
  if (i == 1) {
    const char* why = missing_avx2(cpu);
    return why ? Tier{nullptr, why} : Tier{&kernels_avx2, kPresent};
  }
  if (i == 2) {
    const char* why = missing_avx512(cpu);
    return why ? Tier{nullptr, why} : Tier{&kernels_avx512, kPresent};
  }
#if defined(ASSAY_HAVE_AMX)
  if (i == 3) {
    const char* why = missing_amx(cpu);
    if (why == nullptr && !tiles_granted())
      why = "the operating system does not grant matrix tiles";
    return why ? Tier{nullptr, why} : Tier{&kernels_amx, kPresent};
  }
#else
  if (i == 3) return {nullptr, "not built: the compiler does not know AMX"};
#endif
#elif defined(ASSAY_HAVE_NEON)
  if (i == 4) return {&kernels_neon, kPresent};
#endif
  return {nullptr, kOther};
}

std::atomic<int32_t> chosen{-1};

int32_t choose(const char* function, const char* name) {
  if (name == nullptr) name = std::getenv("ASSAY_CPU_TIER");
  if (name == nullptr || *name == '\0') {
    int32_t best = 0;
    for (int32_t i = 1; i < kTiers; i++) best = detect(i).kernels != nullptr ? i : best;
    return best;
  }
  for (int32_t i = 0; i < kTiers; i++) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    const Tier tier = detect(i);
    if (tier.kernels != nullptr) return i;
    fail(ASSAY_ERROR_TIER, "%s: tier %s is absent: %s", function, name, tier.reason);
  }
  fail(ASSAY_ERROR_TIER, "%s: tier is \"%s\"; scalar, avx2, avx512, amx or neon is needed",
       function, name);
}

int32_t current(const char* function) {
  int32_t i = chosen.load(std::memory_order_acquire);
  if (i < 0) {
    const int32_t best = choose(function, nullptr);
    if (chosen.compare_exchange_strong(i, best)) i = best;
  }
  return i;
}

}  // namespace

const Kernels& kernels() { return *detect(current("kernels")).kernels; }

}  // namespace assay

extern "C" {

int32_t assay_cpu_tier_count(void) { return assay::kTiers; }

const char* assay_cpu_tier_name(int32_t i) {
  return i < 0 || i >= assay::kTiers ? nullptr : assay::kNames[i];
}

int32_t assay_cpu_tier_present(int32_t i) {
  return i >= 0 && i < assay::kTiers && assay::detect(i).kernels != nullptr;
}

const char* assay_cpu_tier_reason(int32_t i) {
  return i < 0 || i >= assay::kTiers ? nullptr : assay::detect(i).reason;
}

int32_t assay_cpu_tier_current(void) {
  int32_t tier = 0;
  const int32_t status = assay::guard([&] { tier = assay::current("assay_cpu_tier_current"); });
  return status == ASSAY_OK ? tier : status;
}

int32_t assay_cpu_tier_force(const char* name) {
  return assay::guard([&] { assay::chosen.store(assay::choose("assay_cpu_tier_force", name)); });
}

}  // extern "C"
