// Version, layout, errors, streams and bad arguments.
#include <cstring>
#include <string>
#include <vector>

#include "assay.h"
#include "check.h"
#if defined(__x86_64__)
#include "x86.h"
#endif

static bool error_has(const char* text) { return std::strstr(assay_last_error(), text) != nullptr; }

#if defined(__x86_64__)

static bool same(const char* a, const char* b) {
  return a == nullptr || b == nullptr ? a == b : std::strcmp(a, b) == 0;
}

static void reason_of_amx(const assay::Cpu& cpu, const char* wanted) {
  const char* got = assay::missing_amx(cpu);
  CHECK(same(got, wanted), "amx: %s, wanted %s", got ? got : "-", wanted ? wanted : "-");
}

static void reason(const assay::Cpu& cpu, const char* avx2, const char* avx512) {
  const char* got2 = assay::missing_avx2(cpu);
  const char* got512 = assay::missing_avx512(cpu);
  CHECK(same(got2, avx2), "avx2: %s, wanted %s", got2 ? got2 : "-", avx2 ? avx2 : "-");
  CHECK(same(got512, avx512), "avx512: %s, wanted %s", got512 ? got512 : "-",
        avx512 ? avx512 : "-");
}

// Bit numbers are those of Intel's manual, volume 2, CPUID.
static void test_reasons() {
  const uint32_t fma = 1u << 12, avx = 1u << 28, f16c = 1u << 29;
  const uint32_t avx2 = 1u << 5, avx512f = 1u << 16, avx512bw = 1u << 30;
  const uint32_t c1 = fma | avx | f16c, b7 = avx2 | avx512f | avx512bw, vnni = 1u << 11;
  const char* none512 = "this processor lacks AVX-512 F";
  reason({c1, b7, vnni, 0xe7}, nullptr, nullptr);
  reason({c1, avx2, 0, 0x7}, nullptr, none512);
  reason({c1, avx2, 0, 0}, "the operating system does not keep 256-bit registers", none512);
  reason({c1, b7, vnni, 0x7}, nullptr, "the operating system does not keep 512-bit registers");
  reason({c1, b7 & ~avx512bw, vnni, 0xe7}, nullptr, "this processor lacks AVX-512 BW");
  reason({c1, b7, 0, 0xe7}, nullptr, "this processor lacks AVX-512 VNNI");
  reason({c1, b7 & ~avx2, vnni, 0xe7}, "this processor lacks AVX2", "this processor lacks AVX2");
  reason({c1 & ~avx, b7, vnni, 0xe7}, "this processor lacks AVX", "this processor lacks AVX");
  reason({c1 & ~fma, b7, vnni, 0xe7}, "this processor lacks FMA", "this processor lacks FMA");
  reason({c1 & ~f16c, b7, vnni, 0xe7}, "this processor lacks F16C", "this processor lacks F16C");
  reason({0, 0, 0, 0}, "this processor lacks AVX", none512);
  const uint32_t amx = 1u << 24 | 1u << 22, bf16 = 1u << 5;
  reason_of_amx({c1, b7, vnni, 0x600e7, amx, bf16}, nullptr);
  reason_of_amx({c1, b7, vnni, 0x600e7, 1u << 24, bf16}, "this processor lacks AMX BF16");
  reason_of_amx({c1, b7, vnni, 0x600e7, 1u << 22, bf16}, "this processor lacks AMX BF16");
  reason_of_amx({c1, b7, vnni, 0x600e7, amx, 0}, "this processor lacks AVX-512 BF16");
  reason_of_amx({c1, b7, 0, 0x600e7, amx, bf16}, "this processor lacks AVX-512 VNNI");
  reason_of_amx({c1, b7, vnni, 0xe7, amx, bf16}, "the operating system does not keep matrix tiles");
}

#endif

void test_library() {
#if defined(__x86_64__)
  test_reasons();
#endif
  CHECK(assay_abi_version() == ASSAY_ABI_VERSION, "%d", assay_abi_version());
  const std::string version = "assay abi " + std::to_string(ASSAY_ABI_VERSION) + ",";
  CHECK(std::strstr(assay_build_id(), version.c_str()) != nullptr, "%s", assay_build_id());
  const std::string layout = assay_struct_layout();
  CHECK(layout.find("assay_matrix 40 data=0 dtype=8 reserved=12 rows=16") == 0, "%s",
        layout.c_str());
  const std::string swap =
      "assay_token_swap_topk_params " + std::to_string(sizeof(assay_token_swap_topk_params));
  CHECK(layout.find(swap) != std::string::npos, "%s", layout.c_str());

  CHECK(assay_cpu_tier_name(-1) == nullptr, "a name for tier -1");
  CHECK(assay_cpu_tier_name(assay_cpu_tier_count()) == nullptr, "a name behind the last tier");
  const int32_t before = assay_cpu_tier_current();
  CHECK(assay_cpu_tier_force("sse9") == ASSAY_ERROR_TIER && error_has("sse9"), "%s",
        assay_last_error());
  CHECK(assay_cpu_tier_current() == before, "a failed force changed the tier");

  assay_stream* stream = nullptr;
  CHECK(assay_stream_create(0, &stream) == ASSAY_ERROR_ARGUMENT && error_has("threads is 0"), "%s",
        assay_last_error());
  assay_stream_destroy(nullptr);

  float table[6] = {1, 2, 3, 4, 5, 6}, hidden[2] = {1, 1}, out[4];
  int32_t target = 0, best = 0;
  struct assay_head_rows_params a{};
  a.struct_bytes = sizeof a;
  a.head = {table, ASSAY_F32, 0, 3, 2, 2};
  a.hidden = {hidden, ASSAY_F32, 0, 1, 2, 2};
  a.targets = &target;
  int64_t bytes = 0;
  CHECK(assay_head_rows_workspace(&a, &bytes) == ASSAY_OK && bytes > 0, "%s", assay_last_error());
  std::vector<char> work(static_cast<size_t>(bytes));
  auto call = [&](int64_t size) {
    return assay_head_rows(&a, out, out + 1, &best, out + 2, work.data(), size, nullptr);
  };
  CHECK(call(bytes) == ASSAY_OK && best == 2, "%s, best %d", assay_last_error(), best);
  CHECK(call(bytes - 1) == ASSAY_ERROR_WORKSPACE && error_has("are needed"), "%s",
        assay_last_error());
  target = 3;
  CHECK(call(bytes) == ASSAY_ERROR_ARGUMENT && error_has("targets[0] is 3"), "%s",
        assay_last_error());
  target = 0;
  a.struct_bytes = 8;
  CHECK(call(bytes) == ASSAY_ERROR_STRUCT, "%s", assay_last_error());
  a.struct_bytes = sizeof a;
  a.head.dtype = 9;
  CHECK(call(bytes) == ASSAY_ERROR_ARGUMENT && error_has("head has dtype 9"), "%s",
        assay_last_error());
  a.head.dtype = ASSAY_F32;
  a.hidden.rows = 0;
  out[0] = 42;
  CHECK(call(0) == ASSAY_OK && out[0] == 42, "no rows must write nothing");
}
