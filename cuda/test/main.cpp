// kernels_test of the CUDA library, or of its emulation: the tests of native/test, and what
// differs: cuda_kernels_test [GROUP], all groups unless one is named; --groups lists them. So does
// cuda_device_test.
#include <cstring>
#include <string>
#include <vector>

#include "assay_cuda.h"
#include "check.h"

int failures = 0;

#if defined(ASSAY_TEST_DEVICE)
// Why there is no device to test on, or NULL.
const char* no_device();
#endif

namespace {

bool error_has(const char* text) { return std::strstr(assay_last_error(), text) != nullptr; }

void test_cuda_library() {
  CHECK(assay_abi_version() == ASSAY_ABI_VERSION, "%d", assay_abi_version());
  CHECK(std::strstr(assay_build_id(), "CUDA") != nullptr, "%s", assay_build_id());
  CHECK(std::strstr(assay_struct_layout(), "assay_matrix 40 data=0") != nullptr, "%s",
        assay_struct_layout());
  assay_stream* stream = nullptr;
  CHECK(assay_cuda_stream_create(4711, nullptr, &stream) == ASSAY_ERROR_DEVICE &&
            error_has("invalid device ordinal"),
        "%s", assay_last_error());
  CHECK(assay_cuda_stream_create(0, nullptr, nullptr) == ASSAY_ERROR_ARGUMENT, "%s",
        assay_last_error());
  assay_stream_destroy(nullptr);
  CHECK(assay_cuda_stream_wait(nullptr) == ASSAY_OK, "%s", assay_last_error());

  std::vector<float> table = {1, 2, 3, 4, 5, 6}, hidden = {1, 1}, out(3), gradient(2), one = {1};
  std::vector<int32_t> target(1), best(1);
  struct assay_head_rows_params a{};
  a.struct_bytes = sizeof a;
  a.head = {table.data(), ASSAY_F32, 0, 3, 2, 2};
  a.hidden = {hidden.data(), ASSAY_F32, 0, 1, 2, 2};
  a.targets = target.data();
  int64_t bytes = 0;
  CHECK(assay_head_rows_workspace(&a, &bytes) == ASSAY_OK && bytes > 0, "%s", assay_last_error());
  std::vector<char> work(static_cast<size_t>(bytes));
  auto call = [&](int64_t size) {
    return assay_head_rows(&a, &out[0], &out[1], best.data(), &out[2], work.data(), size, nullptr);
  };
  CHECK(call(bytes) == ASSAY_OK && best[0] == 2, "%s, best %d", assay_last_error(), best[0]);
  CHECK(call(bytes - 1) == ASSAY_ERROR_WORKSPACE && error_has("are needed"), "%s",
        assay_last_error());
  // Targets are not read on the host: one that is wrong is not followed.
  const assay_matrix to = {gradient.data(), ASSAY_F32, 0, 1, 2, 2};
  CHECK(assay_head_backward_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  work.resize(static_cast<size_t>(bytes) + 1);
  for (const int32_t wrong : {-1, 3}) {
    target[0] = wrong;
    CHECK(call(bytes) == ASSAY_OK && out[0] != out[0] && out[1] == out[1], "%s, log_prob %g",
          assay_last_error(), out[0]);
    CHECK(assay_head_backward(&a, &out[1], one.data(), &to, work.data(), bytes, nullptr) ==
                  ASSAY_OK &&
              gradient[0] != gradient[0],
          "%s, gradient %g", assay_last_error(), gradient[0]);
  }
  target[0] = 0;
  a.head.dtype = 9;
  CHECK(call(bytes) == ASSAY_ERROR_ARGUMENT && error_has("head has dtype 9"), "%s",
        assay_last_error());
  a.head.dtype = ASSAY_F32;
  a.hidden.rows = 0;
  out[0] = 42;
  CHECK(call(0) == ASSAY_OK && out[0] == 42, "no rows must write nothing");
}

// Starts and prompts are not read on the host: those that are wrong are not followed.
void test_wrong_sequences() {
  std::vector<float> rows = {1, 2, 3, 4}, past = {6, 7}, out(5);
  std::vector<int32_t> prompts(3), starts(3);
  struct assay_suffix_attention_params a{};
  a.struct_bytes = sizeof a;
  a.queries = a.keys = a.values = {rows.data(), ASSAY_F32, 0, 4, 1, 1};
  a.past_keys = a.past_values = {past.data(), ASSAY_F32, 0, 2, 1, 1};
  a.prompts = prompts.data();
  a.starts = starts.data();
  a.sequences = 3;
  a.positions = 2;
  a.heads = 1;
  a.scale = 1;
  const assay_matrix to = {out.data(), ASSAY_F32, 0, 4, 1, 1};
  int64_t bytes = 0;
  CHECK(assay_suffix_attention_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  std::vector<char> work(static_cast<size_t>(bytes));
  // Which of the rows are written where the second sequence begins at `start` behind `prompt`.
  auto written = [&](int32_t start, int32_t prompt) {
    starts[0] = 1;
    starts[1] = start;
    prompts[1] = prompt;
    for (float& x : out) x = 99;
    CHECK(assay_suffix_attention(&a, &to, work.data(), bytes, nullptr) == ASSAY_OK, "%s",
          assay_last_error());
    std::string text;
    for (float x : out) text += x == 99 ? '-' : 'x';
    return text;
  };
  CHECK(written(1, 0) == "xxxx-", "%s", written(1, 0).c_str());
  CHECK(written(-1, 0) == "x----", "%s", written(-1, 0).c_str());
  CHECK(written(2, 0) == "x----", "%s", written(2, 0).c_str());
  CHECK(written(1, 1) == "x-xx-", "%s", written(1, 1).c_str());
  CHECK(written(1, -1) == "x-xx-", "%s", written(1, -1).c_str());
  CHECK(written(0, 9) == "xxx--", "%s", written(0, 9).c_str());  // the third has a row too many
}

// Rows and sources likewise: a copy of one that is not there is left out.
void test_wrong_maps() {
  std::vector<float> z = {1, 2, 3}, weight = {2, 2}, flow = {4, 4, 5, 5}, out(8), norm(8);
  std::vector<int32_t> rows(4), sources(4);
  struct assay_patch_rows_params a{};
  a.struct_bytes = sizeof a;
  a.live = {z.data(), ASSAY_F32, 0, 2, 1, 1};
  a.bank = {z.data() + 2, ASSAY_F32, 0, 1, 1, 1};
  a.output = {weight.data(), ASSAY_F32, 0, 1, 2, 2};
  a.stream = {flow.data(), ASSAY_F32, 0, 2, 2, 2};
  a.rows = rows.data();
  a.sources = sources.data();
  a.count = 4;
  a.heads = 1;
  a.norm = ASSAY_RMS_NORM;
  const assay_matrix middle = {out.data(), ASSAY_F32, 0, 4, 2, 2};
  const assay_matrix normed = {norm.data(), ASSAY_F32, 0, 4, 2, 2};
  // Which of the copies are written where the second is of `row` and `source`.
  auto written = [&](int32_t row, int32_t source) {
    rows[1] = row;
    sources[1] = source;
    for (float& x : out) x = 99;
    for (float& x : norm) x = 99;
    CHECK(assay_patch_rows(&a, &middle, &normed, nullptr, 0, nullptr) == ASSAY_OK, "%s",
          assay_last_error());
    std::string text;
    for (int i = 0; i < 8; i++) text += out[i] == 99 && norm[i] == 99 ? '-' : 'x';
    return text;
  };
  CHECK(written(1, 2) == "xxxxxxxx", "%s", written(1, 2).c_str());
  CHECK(written(1, -1) == "xxxxxxxx", "%s", written(1, -1).c_str());
  CHECK(written(2, 0) == "xx--xxxx", "%s", written(2, 0).c_str());
  CHECK(written(-1, 0) == "xx--xxxx", "%s", written(-1, 0).c_str());
  CHECK(written(1, 3) == "xx--xxxx", "%s", written(1, 3).c_str());
  CHECK(written(1, -2) == "xx--xxxx", "%s", written(1, -2).c_str());
  a.bank.data = nullptr;
  CHECK(written(1, 2) == "xx--xxxx", "%s", written(1, 2).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string group = argc > 1 ? argv[1] : "";
  const std::string groups = "library " + test_groups();
  if (group == "--groups") {
    std::printf("%s\n", groups.c_str());
    return 0;
  }
#if defined(ASSAY_TEST_DEVICE)
  if (const char* reason = no_device()) {
    std::printf("skipped: %s\n", reason);
    return 77;
  }
#endif
  if (group.empty() || group == "library") {
    test_cuda_library();
    test_wrong_sequences();
    test_wrong_maps();
  }
  if (group != "library" && !test_kernels(group)) {
    std::fprintf(stderr, "no group of tests is called %s: %s\n", group.c_str(), groups.c_str());
    return 2;
  }
  std::printf("%s: %d failures\n", assay_build_id(), failures);
  return failures != 0 ? 1 : 0;
}
