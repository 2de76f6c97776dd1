// The token swap beside an 8-bit table: whatever the table lacks, results are those of the full
// one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

// A table of whole numbers near another one: scales are powers of two, so that what a row stands
// for is a float as well.
struct Coarse {
  int64_t d, stride;
  std::vector<int8_t> whole;
  std::vector<float> scale;

  Coarse(const Array& e, int64_t V, int64_t columns, int64_t ws)
      : d(columns), stride(ws), whole(V * ws), scale(V) {
    for (int64_t v = 0; v < V; v++) {
      double largest = 0;
      for (int64_t i = 0; i < d; i++) {
        largest = std::max(largest, std::fabs(e.values[v * ws + i]));
      }
      const double unit = largest / 127;
      if (!std::isfinite(unit)) continue;
      scale[v] = static_cast<float>(std::exp2(std::ceil(std::log2(std::max(unit, 1e-37)))));
      for (int64_t i = 0; i < d; i++) set(v, i, e.values[v * ws + i]);
    }
  }

  void set(int64_t v, int64_t i, double x) {
    whole[v * stride + i] = static_cast<int8_t>(std::lrint(x / scale[v]));
  }
  double at(int64_t v, int64_t i) const { return double(scale[v]) * whole[v * stride + i]; }
};

// The best token's coarse score is as wrong as its error allows, the rows of g being what its
// coarse row lacks; 2 K other tokens, exact in both tables, lie in between.
void attack(Array& e, Coarse& c, Array& g, int64_t V, int64_t ws, int64_t K) {
  const int64_t best = V - 1, d = c.d;
  double score = 0, apart = 0;
  for (size_t i = 0; i < g.values.size(); i++) {
    const int64_t at = static_cast<int64_t>(i) % d;
    g.set(i, e.values[best * ws + at] - c.at(best, at));
  }
  for (int64_t i = 0; i < d; i++) {
    score += g.values[i] * e.values[best * ws + i];
    apart += g.values[i] * g.values[i];
  }
  // A score is met by multiples of the largest number of g, what is left by those of smaller ones.
  std::vector<int64_t> order(d);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int64_t i, int64_t j) { return std::fabs(g.values[i]) > std::fabs(g.values[j]); });
  for (int64_t v = 0; v < best; v++) {
    double rest = score - (v < 2 * K ? 0.1 : 10) * apart;
    const double unit = std::fabs(rest / g.values[order[0]]) / 80;
    c.scale[v] = static_cast<float>(std::exp2(std::ceil(std::log2(std::max(unit, 1e-30)))));
    for (int64_t i : order) {
      const double multiple = rest / g.values[i] / c.scale[v];
      c.set(v, i, std::fabs(multiple) < 120 ? multiple * c.scale[v] : 0);
      rest -= c.at(v, i) * g.values[i];
    }
    for (int64_t i = 0; i < d; i++) e.set(v * ws + i, c.at(v, i));
  }
}

// The same for the activations: all but the first are below half of what 1 stands for in the whole
// numbers near them. The best token is made of the others, K others have half its score.
void attack_activations(Array& e, Array& g, int64_t V, int64_t d, int64_t ws, int64_t K) {
  for (size_t i = 0; i < g.values.size(); i++) {
    g.set(i, static_cast<int64_t>(i) % d == 0 ? 1 : 1.4e-5);
  }
  for (int64_t v = 0; v < V; v++) {
    for (int64_t i = 0; i < d; i++) e.set(v * ws + i, v == V - 1 && i > 0 ? 1 : 0);
    if (v < V - 1 && v < 2 * K) e.set(v * ws, 0.7e-5 * (d - 1));
  }
}

// A call with the coarse table gives what it gives without: the same ids, bits and counts.
void coarse_case(int64_t A, int64_t V, int64_t d, int64_t K, int special, const Streams& streams) {
  const int64_t ws = d + 3;
  Array e = random(ASSAY_F32, V * ws, special == 4 ? 1e-39 : 1);
  Array g = random(ASSAY_F32, A * d, special == 4 ? 1e-3 : 1), h = random(ASSAY_F32, A * d, 1);
  Array alpha = random(ASSAY_F32, A, 1), unigram = random(ASSAY_F32, V, 1);
  for (int64_t v = 0; v < V; v++) {
    if (special == 1) {  // scores that differ in the last bits of the full table only
      for (int64_t i = 0; i < d; i++) {
        e.set(v * ws + i, e.values[i] * (1 + (v * 7919 % V) * 0x1p-22 / V));
      }
    }
    if (special == 2 && v % 97 == 5) e.set(v * ws, v % 2 ? std::nan("") : kInf);
    if (special == 3) e.set(v * ws + v % d, 1e6 * (v % 13));  // one column far above the others
  }
  if (special == 6) g.set(0, std::nan(""));
  if (special == 7) g.set(d - 1, 1e4);
  if (special == 8) attack_activations(e, g, V, d, ws, K);
  Coarse c(e, V, d, ws);
  if (special == 5) attack(e, c, g, V, ws, K);
  std::vector<float> error(V);
  const double n = (d + 8) * 0x1p-24;
  for (int64_t v = 0; v < V; v++) {
    double apart = 0, full = 0, coarse = 0;
    for (int64_t i = 0; i < d; i++) {
      const double x = e.values[v * ws + i], y = c.at(v, i);
      apart += (x - y) * (x - y);
      full += x * x;
      coarse += y * y;
    }
    const double bound = std::sqrt(apart) + n / (1 - n) * (std::sqrt(full) + std::sqrt(coarse));
    error[v] = std::isfinite(bound) ? std::nextafterf(static_cast<float>(bound * (1 + 1e-12)), kInf)
                                    : static_cast<float>(kInf);
  }
  std::vector<uint8_t> allowed((V + 7) / 8, special == 5 || special >= 8 ? 0xff : 0xb7);
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
  if (special == 5 || special == 8) CHECK(ids[0] == V - 1, "the attack's best token is %d", ids[0]);
  if (special == 9) {  // of K tokens little is known: of one of the best, and of K - 1 others
    for (int64_t i = 0; i < K; i++) error[i == 0 ? ids[0] : (ids[0] + i) % V] = 1e3f;
  }
  s.coarse = {c.whole.data(), ASSAY_I8, 0, V, d, ws};
  s.coarse_scale = c.scale.data();
  s.coarse_error = error.data();
  for (int i = 0; i < kStreams; i++) {
    call(streams.of[i]);
    CHECK(ids == ids1 && found == found1 && nans == nans1 && same(scores, scores1),
          "the coarse table changes the result of case %d", special);
  }
  if (!kCoarse || special != 0 || K > 8 || V < 1000) return;
  // The error counts: without it near ties come out wrong, so that equal results mean something.
  std::fill(error.begin(), error.end(), 0.0f);
  std::fill(c.whole.begin(), c.whole.end(), int8_t{0});
  std::fill(c.scale.begin(), c.scale.end(), 0.0f);
  call(nullptr);
  CHECK(ids != ids1, "a coarse table of zeros without errors was not used");
}

}  // namespace

void test_coarse(const Streams& streams) {
  if (!kCoarse) {  // what is given is not looked at
    coarse_case(9, 530, 64, 40, 0, streams);
    return;
  }
  for (int special = 0; special < 10; special++) {
    coarse_case(3, 2001, 33, 7, special, streams);
    coarse_case(9, 530, 64, 40, special, streams);
    coarse_case(1, 40, 5, 50, special, streams);
  }
}
