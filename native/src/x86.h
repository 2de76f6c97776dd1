// What an x86-64 processor lacks for a tier. A tier's test lists exactly the features in its flags.
#pragma once

#include <cpuid.h>
#include <stdint.h>

namespace assay {

// Feature bits of cpuid leaf 1 (ecx), leaf 7 (ebx, ecx, edx) and its subleaf 1 (eax), and what the
// operating system keeps.
struct Cpu {
  uint32_t c1 = 0, b7 = 0, c7 = 0;
  uint64_t xcr0 = 0;
  uint32_t d7 = 0, a71 = 0;
};

inline Cpu this_cpu() {
  Cpu cpu;
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d)) cpu.c1 = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    cpu.b7 = b;
    cpu.c7 = c;
    cpu.d7 = d;
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.a71 = a;
  if (cpu.c1 & bit_OSXSAVE) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpu.xcr0 = static_cast<uint64_t>(high) << 32 | low;
  }
  return cpu;
}

// What the processor lacks is told before what the operating system does not keep: without the
// former the latter says nothing.

// kernels_avx2.cpp is compiled with -mavx2 -mfma -mf16c.
inline const char* missing_avx2(const Cpu& cpu) {
  if (!(cpu.c1 & bit_AVX)) return "this processor lacks AVX";
  if (!(cpu.b7 & bit_AVX2)) return "this processor lacks AVX2";
  if (!(cpu.c1 & bit_FMA)) return "this processor lacks FMA";
  if (!(cpu.c1 & bit_F16C)) return "this processor lacks F16C";
  if ((cpu.xcr0 & 0x6) != 0x6) return "the operating system does not keep 256-bit registers";
  return nullptr;
}

// kernels_avx512.cpp is compiled with -mavx512f -mavx512bw -mavx512vnni -mavx2 -mfma
// -mf16c.
inline const char* missing_avx512(const Cpu& cpu) {
  if (!(cpu.b7 & bit_AVX512F)) return "this processor lacks AVX-512 F";
  if (!(cpu.b7 & bit_AVX512BW)) return "this processor lacks AVX-512 BW";
  if (!(cpu.c7 & bit_AVX512VNNI)) return "this processor lacks AVX-512 VNNI";
  if (const char* why = missing_avx2(cpu)) return why;
  if ((cpu.xcr0 & 0xe6) != 0xe6) return "the operating system does not keep 512-bit registers";
  return nullptr;
}

// token_swap_matrix.h has code for avx512bf16, amx-tile and amx-bf16.
inline const char* missing_amx(const Cpu& cpu) {
  constexpr uint32_t bf16 = 1u << 22, tile = 1u << 24, avx512bf16 = 1u << 5;
  if (!(cpu.d7 & tile) || !(cpu.d7 & bf16)) return "this processor lacks AMX BF16";
  if (!(cpu.a71 & avx512bf16)) return "this processor lacks AVX-512 BF16";
  if (const char* why = missing_avx512(cpu)) return why;
  if ((cpu.xcr0 & 0x60000) != 0x60000) return "the operating system does not keep matrix tiles";
  return nullptr;
}

}  // namespace assay
