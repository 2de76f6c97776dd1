// Version, layout, errors, streams and bad arguments.
#include <cstring>
#include <string>
#include <vector>

#include "assay.h"
#include "check.h"

static bool error_has(const char* text) { return std::strstr(assay_last_error(), text) != nullptr; }

void test_library() {
  CHECK(assay_abi_version() == ASSAY_ABI_VERSION, "%d", assay_abi_version());
  CHECK(std::strstr(assay_build_id(), "assay abi 1") != nullptr, "%s", assay_build_id());
  const std::string layout = assay_struct_layout();
  CHECK(layout.find("assay_matrix 40 data=0 dtype=8 reserved=12 rows=16") == 0, "%s",
        layout.c_str());
  CHECK(layout.find("assay_token_swap " + std::to_string(sizeof(assay_token_swap))) !=
            std::string::npos, "%s", layout.c_str());

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
  struct assay_head_rows a{};
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
