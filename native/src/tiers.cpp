// Which tiers this machine has, why, and which one is in use.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "support.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace assay {
namespace {

constexpr int32_t kTiers = 4;
const char* const kNames[kTiers] = {"scalar", "avx2", "avx512", "neon"};
constexpr const char* kPresent = "present";
constexpr const char* kOther = "not built for this architecture";

struct Tier {
  const Kernels* kernels;  // NULL: absent
  const char* reason;
};

#if defined(ASSAY_HAVE_X86)

struct Cpu {
  uint32_t c1 = 0, b7 = 0;
  uint64_t xcr0 = 0;
  Cpu() {
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) c1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) b7 = b;
    if (c1 & bit_OSXSAVE) {
      uint32_t low, high;
      __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
      xcr0 = static_cast<uint64_t>(high) << 32 | low;
    }
  }
};

// kernels_avx2.cpp is compiled with -mavx2 -mfma -mf16c.
const char* missing_avx2(const Cpu& cpu) {
  if ((cpu.xcr0 & 0x6) != 0x6) return "the operating system does not keep 256-bit registers";
  if (!(cpu.c1 & bit_AVX)) return "the processor lacks avx";
  if (!(cpu.b7 & bit_AVX2)) return "the processor lacks avx2";
  if (!(cpu.c1 & bit_FMA)) return "the processor lacks fma";
  if (!(cpu.c1 & bit_F16C)) return "the processor lacks f16c";
  return nullptr;
}

// kernels_avx512.cpp is compiled with -mavx512f -mavx2 -mfma -mf16c.
const char* missing_avx512(const Cpu& cpu) {
  if (const char* why = missing_avx2(cpu)) return why;
  if ((cpu.xcr0 & 0xe6) != 0xe6) return "the operating system does not keep 512-bit registers";
  if (!(cpu.b7 & bit_AVX512F)) return "the processor lacks avx512f";
  return nullptr;
}

#endif

Tier detect(int32_t i) {
  if (i == 0) return {&kernels_scalar, kPresent};
#if defined(ASSAY_HAVE_X86)
  static const Cpu cpu;
  if (i == 1) {
    const char* why = missing_avx2(cpu);
    return why ? Tier{nullptr, why} : Tier{&kernels_avx2, kPresent};
  }
  if (i == 2) {
    const char* why = missing_avx512(cpu);
    return why ? Tier{nullptr, why} : Tier{&kernels_avx512, kPresent};
  }
#elif defined(ASSAY_HAVE_NEON)
  if (i == 3) return {&kernels_neon, kPresent};
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
  fail(ASSAY_ERROR_TIER, "%s: tier is \"%s\"; scalar, avx2, avx512 or neon is needed", function,
       name);
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
  const int32_t status =
      assay::guard([&] { tier = assay::current("assay_cpu_tier_current"); });
  return status == ASSAY_OK ? tier : status;
}

int32_t assay_cpu_tier_force(const char* name) {
  return assay::guard([&] { assay::chosen.store(assay::choose("assay_cpu_tier_force", name)); });
}

}  // extern "C"
