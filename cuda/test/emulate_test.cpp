// The emulation itself: what correct kernels do, and planted faults, each caught by name, on every
// seed.
#include "emulate.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "check.h"

int failures = 0;

namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kThreads = 64;

#define SHARED(type, name, count) \
  emulate::Shared<type> name(     \
      emulate::shared_array(#name, count, sizeof(type), emulate::Place::current()))

// ---- correct ----

// Sum over a block: shuffles within warps, one element of shared memory each, the rest by thread 0.
void block_sum(const int* in, int* out) {
  SHARED(int, parts, kThreads / 32);
  const auto t = threadIdx.x;
  int x = in[blockIdx.x * kThreads + t];
  for (int with = 16; with > 0; with /= 2) x += __shfl_xor_sync(kAll, x, with);
  if (t % 32 == 0) parts[t / 32] = x;
  __syncthreads();
  if (t == 0) out[blockIdx.x] = parts[0] + parts[1];
}

// Half of the threads return at once; the others still meet.
void early_return(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  if (t >= kThreads / 2) return;
  x[t] = static_cast<int>(t);
  __syncthreads();
  out[t] = x[kThreads / 2 - 1 - t];
}

// The halves of a warp meet on their own, a different number of times.
void sub_masks(int* out) {
  const auto t = threadIdx.x;
  const bool low = t % 32 < 16;
  const unsigned mask = low ? 0xffffu : 0xffff0000u;
  int x = static_cast<int>(t);
  const int times = low ? 1 : 3;
  for (int i = 0; i < times; i++) x = __shfl_xor_sync(mask, x, 1);
  __syncwarp(mask);
  out[t] = x + 100 * __popc(__ballot_sync(mask, t % 2));
}

// Elements pass from lane to lane behind __syncwarp.
void warp_exchange(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  x[t] = static_cast<int>(t);
  __syncwarp();
  const int next = x[t / 32 * 32 + (t + 1) % 32];
  __syncwarp();
  x[t] = next;
  __syncthreads();
  out[t] = x[kThreads - 1 - t];
}

void histogram(int* out) {
  SHARED(int, counts, 4);
  const auto t = threadIdx.x;
  if (t < 4) counts[t] = 0;
  __syncthreads();
  atomicAdd(&counts[t % 4], static_cast<int>(t));
  __syncthreads();
  if (t < 4) out[t] = counts[t];
}

void votes(int* out) {
  const auto t = threadIdx.x;
  const int count = __syncthreads_count(t % 3 == 0);
  out[t] = count + 1000 * __any_sync(kAll, t == 40) + 10000 * __all_sync(kAll, t < 32);
}

// Each warp multiplies: a has 10 row + column, b row - column, the sums begin with 1000. All whole
// and small, so that no way to add them errs.
void matrix(float* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4;
  const int t = lane % 4;
  auto word = [](int low, int high) {
    const float parts[] = {static_cast<float>(low), static_cast<float>(high)};
    return static_cast<uint32_t>(emulate::bits_of(parts[0]) >> 16 |
                                 (emulate::bits_of(parts[1]) & 0xffff0000u));
  };
  auto a = [&](int row, int k) { return word(10 * row + k, 10 * row + k + 1); };
  auto b = [&](int k) { return word(k - g, k + 1 - g); };
  const uint32_t of_a[] = {a(g, 2 * t), a(g + 8, 2 * t), a(g, 2 * t + 8), a(g + 8, 2 * t + 8)};
  const uint32_t of_b[] = {b(2 * t), b(2 * t + 8)};
  float sums[] = {1000, 1000, 1000, 1000};
  mma_bf16(sums, of_a, of_b);
  for (int i = 0; i < 4; i++) {
    out[threadIdx.x / 32 * 128 + (g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
  }
}

// Rows of a are 1 and 15 times 2^-24, b is 1.
void matrix_cut(float* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const uint32_t one = 0x3f80u, least = 0x3380u;
  const uint32_t rest = least << 16 | least;
  const uint32_t first = lane % 4 == 0 ? least << 16 | one : rest;
  const uint32_t a[] = {first, first, rest, rest};
  const uint32_t b[] = {one << 16 | one, one << 16 | one};
  float sums[4] = {};
  mma_bf16(sums, a, b);
  out[threadIdx.x] = sums[0];
}

// ---- faults ----

void missing_barrier(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  x[t] = static_cast<int>(t);
  // Here __syncthreads() is missing: also the write that comes later may be the first.
  x[kThreads - 1 - t] = 0;
  __syncthreads();
  out[t] = x[t];
}

void missing_barrier_behind_reads(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  x[t] = static_cast<int>(t);
  __syncthreads();
  out[t] = x[(t + 1) % kThreads];
  x[t] = 0;
}

void missing_syncwarp(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  x[t] = static_cast<int>(t);
  __syncthreads();
  const int other = x[t ^ 1];
  // A shuffle does not order memory.
  x[t] = __shfl_xor_sync(kAll, other, 2);
  __syncthreads();
  out[t] = x[t];
}

void divergent_barrier(int* out) {
  const auto t = threadIdx.x;
  if (t < 40) {
    __syncthreads();
  } else {
    out[t] = 1;
    __syncthreads();
  }
}

void barrier_beside_collective() {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

void wrong_mask(int* out) {
  const auto t = threadIdx.x;
  if (t % 32 < 20) out[t] = __shfl_xor_sync(0x0000ffffu, 1, 1);
}

void mask_of_absent(int* out) {
  const auto t = threadIdx.x;
  if (t % 32 >= 8) return;
  out[t] = __any_sync(kAll, 1);
}

void reads_outside_of_mask(int* out) {
  const auto t = threadIdx.x;
  if (t % 32 < 16) out[t] = __shfl_sync(0x0000ffffu, 1, 20);
}

void mismatched_masks(int* out) {
  const auto t = threadIdx.x;
  out[t] = __any_sync(t % 32 < 16 ? kAll : 0xffff0000u, 1);
}

void mismatched_kinds(int* out) {
  const auto t = threadIdx.x;
  if (t % 32 == 5) {
    out[t] = __shfl_sync(kAll, 1, 0);
  } else {
    out[t] = __any_sync(kAll, 1);
  }
}

void product_in_half_a_warp() {
  const uint32_t a[4] = {}, b[2] = {};
  float sums[4] = {};
  if (threadIdx.x % 32 < 16) mma_bf16(sums, a, b);
}

void divergent_product() {
  const uint32_t a[4] = {}, b[2] = {};
  float sums[4] = {};
  if (threadIdx.x % 2 == 0) {
    mma_bf16(sums, a, b);
  } else {
    mma_bf16(sums, a, b);
  }
}

void product_beside_shuffle(int* out) {
  const uint32_t a[4] = {}, b[2] = {};
  float sums[4] = {};
  if (threadIdx.x % 32 != 3) {
    mma_bf16(sums, a, b);
  } else {
    *out = __shfl_sync(kAll, 1, 0);
  }
}

void out_of_bounds() {
  SHARED(float, x, kThreads);
  x[threadIdx.x + 1] = 0;
}

void below_bounds(int* out) {
  SHARED(int, x, kThreads);
  const int t = static_cast<int>(threadIdx.x);
  x[t] = t;
  __syncthreads();
  out[t] = x[t - 1];
}

void uninitialised(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  if (t != 17) x[t] = 1;
  __syncthreads();
  out[t] = x[t];
}

void atomic_beside_write() {
  SHARED(int, x, 1);
  if (threadIdx.x == 0) x[0] = 0;
  __syncthreads();
  if (threadIdx.x == 1) {
    x[0] = 5;
  } else {
    atomicAdd(&x[0], 1);
  }
}

// Two barriers, each needed.
constexpr int kFirstBarrier = __LINE__ + 5;
void two_barriers(int* out) {
  SHARED(int, x, kThreads);
  const auto t = threadIdx.x;
  x[t] = static_cast<int>(t);
  __syncthreads();
  const int other = x[kThreads - 1 - t];
  __syncwarp();
  const int count = __syncthreads_count(t < 3);
  x[t] = other + count;
  out[t] = x[t];
}

template <class Body>
std::string run(const char* name, Body body) {
  try {
    emulate::launch(name, 3, kThreads, body);
    return "";
  } catch (const emulate::Fault& fault) {
    return fault.what();
  }
}

// The report has all of the words.
void caught(const std::string& report, std::vector<const char*> words) {
  words.push_back("emulate_test.cpp:");
  for (const char* word : words) {
    CHECK(report.find(word) != std::string::npos, "\"%s\" is not in \"%s\"", word, report.c_str());
  }
}

void test_correct() {
  std::vector<int> in(3 * kThreads), out(kThreads);
  for (size_t i = 0; i < in.size(); i++) in[i] = static_cast<int>(i * i % 31);
  int* o = out.data();
  auto passes = [&](const char* name, auto body, auto wanted) {
    std::fill(out.begin(), out.end(), -1);
    const std::string report = run(name, body);
    CHECK(report.empty(), "%s", report.c_str());
    for (int t = 0; t < kThreads; t++) {
      CHECK(out[t] == wanted(t), "%s: %d has %d, wanted %d", name, t, out[t], wanted(t));
    }
  };
  passes(
      "block_sum", [&] { block_sum(in.data(), o); },
      [&](int t) {
        int sum = 0;
        for (int i = 0; i < kThreads && t < 3; i++) sum += in[t * kThreads + i];
        return t < 3 ? sum : -1;
      });
  passes(
      "early_return", [&] { early_return(o); },
      [](int t) { return t < kThreads / 2 ? kThreads / 2 - 1 - t : -1; });
  passes("sub_masks", [&] { sub_masks(o); }, [](int t) { return (t ^ 1) + 800; });
  passes(
      "warp_exchange", [&] { warp_exchange(o); },
      [](int t) {
        const int from = kThreads - 1 - t;
        return from / 32 * 32 + (from + 1) % 32;
      });
  passes(
      "histogram", [&] { histogram(o); },
      [](int t) { return t < 4 ? 16 * t + 4 * 16 * 15 / 2 : -1; });
  passes(
      "votes", [&] { votes(o); },
      [](int t) { return 22 + (t >= 32 ? 1000 : 0) + (t < 32 ? 10000 : 0); });
}

// The products, and that sums are cut as devices cut them, or worse, some way or other.
void test_matrix() {
  std::vector<float> out(kThreads * 4);
  std::string report = run("matrix", [&] { matrix(out.data()); });
  CHECK(report.empty(), "%s", report.c_str());
  for (int i = 0; i < kThreads * 4; i++) {
    const int row = i % 128 / 8;
    const int column = i % 8;
    float wanted = 1000;
    for (int k = 0; k < 16; k++) wanted += static_cast<float>((10 * row + k) * (k - column));
    CHECK(out[i] == wanted, "sum %d is %g, wanted %g", i, out[i], wanted);
  }
  bool below = false, above = false;
  for (int launch = 0; launch < 20; launch++) {
    report = run("matrix_cut", [&] { matrix_cut(out.data()); });
    CHECK(report.empty(), "%s", report.c_str());
    const float error = out[0] - (1 + 15 * 0x1p-24f);
    CHECK(std::fabs(error) <= 18 * 0x1p-23f, "an error of %g", error);
    below |= out[0] == 1;
    above |= error > 0x1p-21f;
  }
  CHECK(below && above, "sums are not cut: below %d, above %d", below, above);
}

void test_faults() {
  std::vector<int> out(kThreads + 1);
  int* o = out.data();
  caught(run("missing_barrier", [&] { missing_barrier(o); }),
         {"kernel missing_barrier: race: thread ", " writes x[", "which thread ", "has written"});
  caught(run("behind_reads", [&] { missing_barrier_behind_reads(o); }),
         {"kernel behind_reads: race: ", "x["});
  caught(run("missing_syncwarp", [&] { missing_syncwarp(o); }),
         {"race: ", " writes x[", "has read"});
  caught(run("divergent", [&] { divergent_barrier(o); }),
         {"kernel divergent: divergent barrier: ", "__syncthreads"});
  caught(run("beside", [] { barrier_beside_collective(); }),
         {"mismatched collective: ", "__syncwarp", "__syncthreads"});
  caught(run("wrong_mask", [&] { wrong_mask(o); }),
         {"kernel wrong_mask: wrong mask: thread ", "0000ffff", "leaves it out"});
  caught(run("absent", [&] { mask_of_absent(o); }),
         {"mismatched collective: ", "ffffffff", "has returned"});
  caught(run("outside", [&] { reads_outside_of_mask(o); }),
         {"wrong mask: ", "reads lane 20, which it leaves out"});
  caught(run("masks", [&] { mismatched_masks(o); }),
         {"mismatched collective: ", "ffffffff", "has returned"});
  caught(run("kinds", [&] { mismatched_kinds(o); }),
         {"mismatched collective: ", "a shuffle", "a vote"});
  caught(run("half", [] { product_in_half_a_warp(); }),
         {"kernel half: mismatched collective: ", "a product of matrices", "ffffffff",
          "has returned"});
  caught(run("divergent_product", [] { divergent_product(); }),
         {"kernel divergent_product: mismatched collective: ", "a product of matrices"});
  caught(run("beside_shuffle", [&] { product_beside_shuffle(o); }),
         {"mismatched collective: ", "a product of matrices", "a shuffle"});
  caught(run("bounds", [] { out_of_bounds(); }),
         {"kernel bounds: out of bounds: thread 63", "writes x[64]", "64 elements"});
  caught(run("below", [&] { below_bounds(o); }), {"out of bounds: thread 0", "reads x[-1]"});
  caught(run("uninitialised", [&] { uninitialised(o); }),
         {"kernel uninitialised: uninitialised read: thread 17", "reads x[17]"});
  caught(run("atomic", [] { atomic_beside_write(); }), {"kernel atomic: race: ", "x[0]"});
}

// A barrier that is left out is missed, and no other.
void test_left_out() {
  std::vector<int> out(kThreads);
  auto go = [&](int line) {
    emulate::without(line == 0 ? "" : "emulate_test.cpp:" + std::to_string(line));
    const std::string report = run("two_barriers", [&] { two_barriers(out.data()); });
    emulate::without("");
    return report;
  };
  CHECK(go(0).empty() && out[0] == kThreads - 1 + 3, "%s", go(0).c_str());
  caught(go(kFirstBarrier), {"kernel two_barriers: uninitialised read: ", " reads x["});
  CHECK(go(kFirstBarrier + 2).empty(), "%s", go(kFirstBarrier + 2).c_str());
  caught(go(kFirstBarrier + 3), {"kernel two_barriers: race: ", " writes x["});
}

}  // namespace

int main() {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    emulate::seed(seed);
    test_correct();
    test_matrix();
    test_faults();
    test_left_out();
  }
  std::printf("emulation: %d failures\n", failures);
  return failures != 0 ? 1 : 0;
}
