// The token swap beside a 16-bit table: whatever the table lacks, results are those of the full
// one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

// The best token's coarse score is as wrong as its error allows, the rows of g being what its
// coarse row lacks; K other tokens, exact in both tables, lie in between.
void attack(Array& e, Array& c, Array& g, int64_t V, int64_t d, int64_t ws, int64_t K) {
  const int64_t best = V - 1;
  double score = 0, apart = 0;
  for (size_t i = 0; i < g.values.size(); i++) {
    const int64_t at = best * ws + static_cast<int64_t>(i) % d;
    g.set(i, e.values[at] - c.values[at]);
  }
  for (int64_t i = 0; i < d; i++) {
    score += g.values[i] * e.values[best * ws + i];
    apart += g.values[i] * g.values[i];
  }
  for (int64_t v = 0; v < best; v++) {
    for (int64_t i = 0; i < d; i++) c.set(v * ws + i, 0);
    double rest = v < 2 * K ? score - 0.1 * apart : 0;
    for (int64_t i = 0; i < d && i < 3; i++) {
      c.set(v * ws + i, rest / g.values[i]);
      rest -= c.values[v * ws + i] * g.values[i];
    }
    for (int64_t i = 0; i < d; i++) e.set(v * ws + i, c.values[v * ws + i]);
  }
}

// A call with the coarse table gives what it gives without: the same ids, bits and counts.
void coarse_case(int32_t dtype, int64_t A, int64_t V, int64_t d, int64_t K, int special,
                 const Streams& streams) {
  const int64_t ws = d + 3;
  Array e = random(ASSAY_F32, V * ws, special == 4 ? 1e-39 : 1), c(dtype, V * ws);
  Array g = random(ASSAY_F32, A * d, special == 4 ? 1e-3 : 1), h = random(ASSAY_F32, A * d, 1);
  Array alpha = random(ASSAY_F32, A, 1), unigram = random(ASSAY_F32, V, 1);
  for (int64_t v = 0; v < V; v++) {
    if (special == 1) {  // scores that differ in the last bits of the full table only
      for (int64_t i = 0; i < d; i++) {
        e.set(v * ws + i, e.values[i] * (1 + (v * 7919 % V) * 0x1p-22 / V));
      }
    }
    if (special == 2 && v % 97 == 5) e.set(v * ws, v % 2 ? std::nan("") : kInf);
    if (special == 3) e.set(v * ws + v % d, 1e6 * (v % 13));  // too large for binary16
  }
  for (size_t i = 0; i < e.values.size(); i++) c.set(i, e.values[i]);
  if (special == 5) attack(e, c, g, V, d, ws, K);
  std::vector<float> error(V);
  const double n = (d + 8) * 0x1p-24;
  for (int64_t v = 0; v < V; v++) {
    double apart = 0, full = 0, half = 0;
    for (int64_t i = v * ws; i < v * ws + d; i++) {
      apart += (e.values[i] - c.values[i]) * (e.values[i] - c.values[i]);
      full += e.values[i] * e.values[i];
      half += c.values[i] * c.values[i];
    }
    const double bound = std::sqrt(apart) + n / (1 - n) * (std::sqrt(full) + std::sqrt(half));
    error[v] = std::isfinite(bound) ? std::nextafterf(static_cast<float>(bound * (1 + 1e-12)), kInf)
                                    : static_cast<float>(kInf);
  }
  std::vector<uint8_t> allowed((V + 7) / 8, special == 5 ? 0xff : 0xb7);
  std::vector<int32_t> ids(A * K), found(A);
  std::vector<int64_t> nans(A);
  Array scores(ASSAY_F32, A * K);
  assay_token_swap_topk_params s{};
  s.struct_bytes = sizeof s;
  s.embedding = e.matrix(V, d, ws);
  s.gradient = g.matrix(A, d, d);
  if (special < 4) {
    s.hidden = h.matrix(A, d, d);
    s.alpha = alpha.memory.data();
    s.unigram = special == 1 ? nullptr : unigram.memory.data();
  }
  s.allowed = allowed.data();
  s.kept = K;
  s.ids = ids.data();
  s.scores = scores.memory.data();
  s.found = found.data();
  s.nans = nans.data();
  auto call = [&](assay_stream* stream) {
    int64_t bytes = 0;
    CHECK(assay_token_swap_topk_workspace(&s, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(bytes, 'x');
    std::fill(ids.begin(), ids.end(), -7);
    CHECK(assay_token_swap_topk(&s, work.data(), bytes, stream) == ASSAY_OK, "%s",
          assay_last_error());
  };
  call(nullptr);
  const auto ids1 = ids, found1 = found;
  const auto nans1 = nans;
  const Array scores1 = scores;
  if (special == 5) CHECK(ids[0] == V - 1, "the attack's best token is %d", ids[0]);
  s.coarse = c.matrix(V, d, ws);
  s.coarse_error = error.data();
  for (int i = 0; i < 4; i++) {
    call(streams.of[i]);
    CHECK(ids == ids1 && found == found1 && nans == nans1 && same(scores, scores1),
          "coarse table of type %d changes the result of case %d", dtype, special);
  }
  if (special != 0 || K > 8 || V < 1000) return;
  // The error counts: without it near ties come out wrong, so that equal results mean something.
  std::fill(error.begin(), error.end(), 0.0f);
  for (int64_t i = 0; i < V * ws; i++) c.set(i, 0);
  call(nullptr);
  CHECK(ids != ids1, "a coarse table of zeros without errors was not used");
}

}  // namespace

void test_coarse(const Streams& streams) {
  for (int32_t t : {ASSAY_F16, ASSAY_BF16}) {
    for (int special = 0; special < 6; special++) {
      coarse_case(t, 3, 2001, 33, 7, special, streams);
      coarse_case(t, 9, 530, 64, 40, special, streams);
      coarse_case(t, 1, 40, 5, 50, special, streams);
    }
  }
}
