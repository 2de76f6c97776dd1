// kernels_test of the CUDA library, or of its emulation: the tests of native/test, and what
// differs.
#include <cstring>
#include <vector>

#include "assay_cuda.h"
#include "check.h"

int failures = 0;

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

  float table[6] = {1, 2, 3, 4, 5, 6}, hidden[2] = {1, 1}, out[4], gradient[2];
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
  // Targets are not read on the host: one that is wrong is not followed.
  const assay_matrix to = {gradient, ASSAY_F32, 0, 1, 2, 2};
  const float one = 1;
  CHECK(assay_head_backward_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  work.resize(static_cast<size_t>(bytes) + 1);
  for (const int32_t wrong : {-1, 3}) {
    target = wrong;
    CHECK(call(bytes) == ASSAY_OK && out[0] != out[0] && out[1] == out[1], "%s, log_prob %g",
          assay_last_error(), out[0]);
    CHECK(assay_head_backward(&a, out + 1, &one, &to, work.data(), bytes, nullptr) == ASSAY_OK &&
              gradient[0] != gradient[0],
          "%s, gradient %g", assay_last_error(), gradient[0]);
  }
  target = 0;
  a.head.dtype = 9;
  CHECK(call(bytes) == ASSAY_ERROR_ARGUMENT && error_has("head has dtype 9"), "%s",
        assay_last_error());
  a.head.dtype = ASSAY_F32;
  a.hidden.rows = 0;
  out[0] = 42;
  CHECK(call(0) == ASSAY_OK && out[0] == 42, "no rows must write nothing");
}

}  // namespace

int main() {
  test_cuda_library();
  test_kernels();
  std::printf("%s: %d failures\n", assay_build_id(), failures);
  return failures != 0 ? 1 : 0;
}
