// Every kernel against brute force in double, written from the formulas in assay.h; bits equal for
// every number of threads and for one row alone. Bounds: a float dot product of d terms errs by at
// most (d+2) u sum|terms|, u = 2^-24 (2^-53 for F64); exp, log and one rounding add 4 u.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

std::mt19937_64 generator;

namespace {

// ---- head rows and backward ----

struct HeadCase {
  int32_t dtype;
  int64_t rows, vocabulary, d;
  bool bias;
  int special;  // 0 none, 1 ties, 2 NaN in row 0, 3 huge logits
};

void head_case(const HeadCase& k, const Streams& streams) {
  const int32_t real = real_of(k.dtype);
  const int64_t ws = k.d + 3, xs = k.d + 1, R = k.rows, V = k.vocabulary;
  Array w = random(k.dtype, V * ws, 1);
  Array x = random(real, R * xs, k.special == 3 ? 1000 : 0.7);
  Array bias = random(real, V, 0.5);
  if (k.special == 1) {  // every token has the same row: all logits tie
    for (int64_t v = 0; v < V; v++) {
      for (int64_t c = 0; c < k.d; c++) w.set(v * ws + c, w.values[c]);
    }
  }
  if (k.special == 2) x.set(0, std::nan(""));
  std::vector<int32_t> targets(R);
  for (int64_t r = 0; r < R; r++) targets[r] = static_cast<int32_t>(r % 2 ? V - 1 : r * 7 % V);
  struct assay_head_rows_params a{};
  a.struct_bytes = sizeof a;
  a.hidden = x.matrix(R, k.d, xs);
  a.head = w.matrix(V, k.d, ws);
  a.bias = k.bias ? bias.memory.data() : nullptr;
  a.targets = targets.data();
  int64_t bytes = 0;
  CHECK(assay_head_rows_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  struct Out {
    Array log_prob, lse, margin;
    std::vector<int32_t> best;
  };
  auto rows = [&](assay_stream* stream) {
    Out o{Array(real, R), Array(real, R), Array(real, R), std::vector<int32_t>(R)};
    std::vector<char> work(bytes + 1, 'x');
    // An odd base: element alignment of the workspace is the callee's business.
    CHECK(assay_head_rows(&a, o.log_prob.memory.data(), o.lse.memory.data(), o.best.data(),
                          o.margin.memory.data(), work.data() + 1, bytes, stream) == ASSAY_OK,
          "%s", assay_last_error());
    o.log_prob.read();
    o.lse.read();
    o.margin.read();
    return o;
  };
  const Out o = rows(nullptr);
  for (int i = 1; i < kStreams; i++) {
    const Out p = rows(streams.of[i]);
    CHECK(same(o.lse, p.lse) && same(o.log_prob, p.log_prob) && same(o.margin, p.margin) &&
              o.best == p.best,
          "bits differ with %d threads", i);
  }
  Array weight = random(real, R, 1);
  auto backward = [&](assay_stream* stream) {
    Array g(real, R * xs);
    for (size_t i = 0; i < g.values.size(); i++) g.set(i, 99);
    const assay_matrix m = g.matrix(R, k.d, xs);
    int64_t size = 0;
    CHECK(assay_head_backward_workspace(&a, &size) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(size + 1, 'x');
    CHECK(assay_head_backward(&a, o.lse.memory.data(), weight.memory.data(), &m, work.data(), size,
                              stream) == ASSAY_OK,
          "%s", assay_last_error());
    g.read();
    return g;
  };
  const Array g = backward(nullptr);
  for (int i = 1; i < kStreams; i++)
    CHECK(same(g, backward(streams.of[i])), "bits differ, %d threads", i);

  const double u = unit(real);
  std::vector<double> logit(V), bound(V);
  for (int64_t r = 0; r < R; r++) {
    double worst = 0;
    bool nan = false;
    for (int64_t v = 0; v < V; v++) {
      const Sum s = dot(w, v * ws, x, r * xs, k.d);
      logit[v] = s.value + (k.bias ? bias.values[v] : 0);
      bound[v] = u * ((k.d + 2) * s.magnitude + 2 * std::fabs(logit[v]));
      worst = std::fmax(worst, bound[v]);
      nan |= std::isnan(logit[v]);
    }
    if (nan) {
      CHECK(std::isnan(o.lse.values[r]) && std::isnan(o.log_prob.values[r]) &&
                std::isnan(o.margin.values[r]) && o.best[r] == -1,
            "row %d has a NaN logit", int(r));
      continue;
    }
    const double max = *std::max_element(logit.begin(), logit.end());
    double sum = 0;
    for (double z : logit) sum += std::exp(z - max);
    const double lse = max + std::log(sum);
    const double tolerance = worst + 4 * u * (1 + std::fabs(lse)) + 40 * u;
    close("lse", o.lse.values[r], lse, tolerance, r);
    close("log_prob", o.log_prob.values[r], logit[targets[r]] - lse,
          2 * tolerance + u * std::fabs(logit[targets[r]] - lse), r);
    const int32_t best = o.best[r];
    CHECK(best >= 0 && best < V && logit[best] >= max - 2 * worst, "best of row %d is %d", int(r),
          best);
    if (k.special == 1 && !k.bias) CHECK(best == 0 && o.margin.values[r] == 0, "ties go to 0");
    double second = -kInf;
    for (int64_t v = 0; v < V; v++) {
      if (v != best) second = std::fmax(second, logit[v]);
    }
    close("margin", o.margin.values[r], V == 1 ? kInf : logit[best] - second,
          2 * worst + 4 * u * std::fabs(max), r);
    for (int64_t c = 0; c < k.d; c++) {
      double total = 0, magnitude = 0, drift = 0;
      for (int64_t v = 0; v < V; v++) {
        const double p = std::exp(logit[v] - o.lse.values[r]);
        const double term = p * w.values[v * ws + c];
        total += term;
        magnitude += std::fabs(term);
        drift += std::fabs(term) * std::expm1(bound[v] + u * std::fabs(logit[v] - lse) + 4 * u);
      }
      const double wanted = weight.values[r] * (w.values[targets[r] * ws + c] - total);
      close("gradient", g.values[r * xs + c], wanted,
            std::fabs(weight.values[r]) * (drift * 1.01 + (40 + V / 32.0) * u * magnitude) +
                2 * u * std::fabs(wanted) + 1e-300,
            r * k.d + c);
    }
    CHECK(g.values[r * xs + k.d] == 99, "wrote behind row %d", int(r));
  }
  // One row alone has the bits it has among others.
  const int64_t r = R - 1;
  a.hidden.data = x.memory.data() + r * xs * Array::width(real);
  a.hidden.rows = 1;
  a.targets = targets.data() + r;
  Array alone(real, 3);
  std::vector<int32_t> best(1);
  std::vector<char> work(bytes);
  unsigned char* m = alone.memory.data();
  const int64_t e = Array::width(real);
  CHECK(assay_head_rows(&a, m, m + e, best.data(), m + 2 * e, work.data(), bytes, nullptr) ==
            ASSAY_OK,
        "%s", assay_last_error());
  CHECK(std::memcmp(m, &o.log_prob.memory[r * e], e) == 0 &&
            std::memcmp(m + e, &o.lse.memory[r * e], e) == 0 &&
            std::memcmp(m + 2 * e, &o.margin.memory[r * e], e) == 0 && best[0] == o.best[r],
        "one row alone differs");
}

// ---- token swap ----

struct SwapCase {
  int32_t dtype;
  int64_t audits, vocabulary, d, kept;
  bool tied, alpha, lse, extras, masks;
  int special;  // 0 none, 1 ties, 2 NaN, 3 ties with a few late better tokens
};

void swap_case(const SwapCase& k, const Streams& streams) {
  const int32_t real = real_of(k.dtype);
  const int64_t A = k.audits, V = k.vocabulary, d = k.d, ws = d + 5, K = k.kept;
  Array e = random(k.dtype, V * ws, 1), w = random(k.dtype, V * ws, 1);
  Array g = random(real, A * d, 1), h = random(real, A * d, 0.5);
  Array alpha = random(real, A, 1), bias = random(real, V, 1), unigram = random(real, V, 1);
  if (k.special == 1 || k.special == 3) {
    // 3: a better token must push out the highest id of those that tie, within one heap.
    for (int64_t i = 0; i < V * ws; i++) {
      e.set(i, k.special == 1 ? 1 + i / ws % 3 : i / ws % 500 == 100 ? 2 : 1);
    }
    for (int64_t i = 0; i < A * d; i++) g.set(i, 1);
  }
  if (k.special == 2) {
    for (int64_t v = 0; v < V; v += 3) e.set(v * ws, std::nan(""));
  }
  if (A > 1) alpha.set(1, 0);
  std::vector<uint8_t> allowed((V + 7) / 8);
  for (auto& byte : allowed) byte = static_cast<uint8_t>(generator());
  std::vector<int64_t> offsets{0};
  std::vector<int32_t> forbidden;
  for (int64_t a = 0; a < A; a++) {
    for (int64_t v = a % 3; v < V && a % 4 != 3; v += 2 + a % 5) {
      forbidden.push_back(static_cast<int32_t>(v));
    }
    offsets.push_back(static_cast<int64_t>(forbidden.size()));
  }
  forbidden.push_back(0);
  std::vector<int32_t> ids, found;
  std::vector<int64_t> nans;
  Array scores(real, A * K), lse(real, A);
  assay_token_swap_topk_params s{};
  s.struct_bytes = sizeof s;
  s.embedding = e.matrix(V, d, ws);
  if (!k.tied) s.head = w.matrix(V, d, ws);
  s.gradient = g.matrix(A, d, d);
  if (k.alpha || k.lse) s.hidden = h.matrix(A, d, d);
  if (k.alpha) s.alpha = alpha.memory.data();
  if (k.extras) s.bias = bias.memory.data();
  if (k.extras) s.unigram = unigram.memory.data();
  if (k.masks) {
    s.allowed = allowed.data();
    s.forbidden_offsets = offsets.data();
    s.forbidden_ids = forbidden.data();
  }
  s.kept = K;
  auto swap = [&](assay_stream* stream) {
    ids.assign(A * K, -7);
    found.assign(A, -7);
    nans.assign(A, -7);
    s.ids = ids.data();
    s.scores = scores.memory.data();
    s.found = found.data();
    s.nans = nans.data();
    s.lse = k.lse ? lse.memory.data() : nullptr;
    int64_t bytes = 0;
    CHECK(assay_token_swap_topk_workspace(&s, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(bytes, 'x');
    CHECK(assay_token_swap_topk(&s, work.data(), bytes, stream) == ASSAY_OK, "%s",
          assay_last_error());
  };
  swap(nullptr);
  const auto ids1 = ids, found1 = found;
  const auto nans1 = nans;
  const Array scores1 = scores, lse1 = lse;
  for (int i = 1; i < kStreams; i++) {
    swap(streams.of[i]);
    CHECK(
        ids == ids1 && found == found1 && nans == nans1 && same(scores, scores1) && same(lse, lse1),
        "bits differ with %d threads", i);
  }
  scores.read();
  lse.read();
  const double u = unit(real);
  const Array& head = k.tied ? e : w;
  for (int64_t a = 0; a < A; a++) {
    std::vector<double> logit(V), score(V), bound(V);
    double max = -kInf, worst = 0;
    for (int64_t v = 0; v < V; v++) {
      const Sum z = dot(head, v * ws, h, a * d, d);
      logit[v] = z.value + (k.extras ? bias.values[v] : 0);
      max = std::fmax(max, logit[v]);
      bound[v] = u * ((d + 6) * z.magnitude + 4 * std::fabs(logit[v]) +
                      (k.extras ? 4 * std::fabs(bias.values[v]) : 0));
      worst = std::fmax(worst, bound[v]);
    }
    double sum = 0, normaliser = 0;
    for (double z : logit) sum += std::exp(z - max);
    const double slack = worst + 4 * u * (std::fabs(max + std::log(sum)) + 1) + 40 * u;
    if (k.lse) {
      normaliser = max + std::log(sum);
      close("lse", lse.values[a], normaliser, slack, a);
      if (std::isnan(sum)) normaliser = std::nan("");
    }
    const double al = k.alpha ? alpha.values[a] : 0;
    int64_t count = 0, not_numbers = 0;
    std::vector<char> usable(V);
    for (int64_t v = 0; v < V; v++) {
      const Sum z = dot(e, v * ws, g, a * d, d);
      const double rest = al == 0 ? 0 : al * (logit[v] - normaliser);
      const double side = k.extras ? unigram.values[v] : 0;
      score[v] = z.value + rest + side;
      bound[v] = al == 0 ? 0 : std::fabs(al) * (bound[v] + (k.lse ? slack : 0));
      bound[v] += u * ((d + 6) * z.magnitude + 6 * (std::fabs(z.value) + std::fabs(rest) +
                                                    std::fabs(al * normaliser) + std::fabs(side)));
      if (k.masks) {
        const bool listed = std::binary_search(forbidden.begin() + offsets[a],
                                               forbidden.begin() + offsets[a + 1], v);
        if (listed || !(allowed[v / 8] >> (v % 8) & 1)) continue;
      }
      if (std::isnan(score[v])) {
        not_numbers++;
        continue;
      }
      usable[v] = 1;
      count++;
    }
    CHECK(nans[a] == not_numbers, "nans[%d] is %lld, wanted %lld", int(a),
          static_cast<long long>(nans[a]), static_cast<long long>(not_numbers));
    const int64_t wanted = std::min(count, K);
    CHECK(found[a] == wanted, "found[%d] is %d of %d", int(a), found[a], int(wanted));
    if (found[a] != wanted) continue;
    std::vector<char> kept(V);
    for (int64_t i = 0; i < K; i++) {
      const int32_t id = ids[a * K + i];
      const double got = scores.values[a * K + i];
      if (i >= wanted) {
        CHECK(id == -1 && got == -kInf, "filler %d: %d %g", int(i), id, got);
        continue;
      }
      CHECK(id >= 0 && id < V && usable[id] && !kept[id], "id %d kept", id);
      if (id < 0 || id >= V) continue;
      kept[id] = 1;
      close("score", got, score[id], bound[id], a * K + i);
      if (i > 0) {
        const double before = scores.values[a * K + i - 1];
        CHECK(got < before || (got == before && id > ids[a * K + i - 1]), "order at %d", int(i));
      }
    }
    if (wanted == 0) continue;
    const int32_t last = ids[a * K + wanted - 1];
    const double floor = score[last];
    for (int64_t v = 0; v < V; v++) {
      if (!usable[v] || kept[v]) continue;
      CHECK(score[v] <= floor + bound[v] + bound[last], "token %d was missed", int(v));
      if ((k.special == 1 || k.special == 3) && !k.alpha && !k.extras) {
        CHECK(score[v] < floor || v > last, "tie: %d before %d", int(v), last);
      }
    }
  }
  // One audit alone has the bits it has among others.
  const int64_t a = A - 1, element = Array::width(real);
  s.gradient = {g.memory.data() + a * d * element, real, 0, 1, d, d};
  if (s.hidden.data) s.hidden = {h.memory.data() + a * d * element, real, 0, 1, d, d};
  if (s.alpha) s.alpha = alpha.memory.data() + a * element;
  if (k.masks) s.forbidden_offsets = offsets.data() + a;
  swap(streams.of[kStreams - 1]);
  CHECK(std::equal(ids.begin(), ids.begin() + K, ids1.begin() + a * K) &&
            std::memcmp(scores.memory.data(), &scores1.memory[a * K * element], K * element) == 0,
        "one audit alone differs");
}

// ---- AdamW ----

void adamw_case(int32_t dtype, int64_t rows, int64_t columns, int64_t gap, int64_t step,
                const Streams& streams) {
  const int64_t stride = columns + gap, n = rows * stride;
  const Array p = random(dtype, n, 1), g = random(dtype, n, 1), m = random(dtype, n, 0.1);
  Array v = random(dtype, n, 0.1);
  for (int64_t i = 0; i < n; i++) v.set(i, i % 5 ? std::fabs(v.values[i]) : 0);
  assay_adamw_params s{sizeof s, 1e-2, 0.9, 0.99, 1e-8, 0.1, step};
  Array first_p = p;
  for (int i = 0; i < kStreams; i++) {
    Array P = p, G = g, M = m, W = v;
    const assay_matrix mp = P.matrix(rows, columns, stride), mg = G.matrix(rows, columns, stride),
                       mm = M.matrix(rows, columns, stride), mv = W.matrix(rows, columns, stride);
    CHECK(assay_adamw(&s, &mg, &mp, &mm, &mv, nullptr, 0, streams.of[i]) == ASSAY_OK, "%s",
          assay_last_error());
    P.read();
    M.read();
    W.read();
    if (i == 0) first_p = P;
    CHECK(same(P, first_p), "bits differ with %d threads", i);
    const double u = unit(dtype);
    for (int64_t at = 0; at < n; at++) {
      if (at % stride == columns) {
        CHECK(P.values[at] == p.values[at], "wrote behind a row");
        continue;
      }
      const double x = g.values[at];
      const double mean = 0.9 * m.values[at] + (1 - 0.9) * x;
      const double square = 0.99 * v.values[at] + (1 - 0.99) * x * x;
      const double hat = mean / (1 - std::pow(0.9, step));
      const double root = std::sqrt(square / (1 - std::pow(0.99, step)));
      const double decayed = p.values[at] - 1e-2 * 0.1 * p.values[at];
      const double move = 1e-2 * hat / (root + 1e-8);
      close("m", M.values[at], mean, u * std::fabs(mean) + 0x1p-51, at);
      close("v", W.values[at], square, u * std::fabs(square) + 0x1p-51, at);
      close("p", P.values[at], decayed - move,
            u * std::fabs(decayed - move) + 0x1p-49 * (std::fabs(decayed) + std::fabs(move)), at);
    }
  }
}

// ---- suffix attention ----

struct AttentionCase {
  int32_t dtype;
  int64_t positions, heads, width;  // of one head
  std::vector<int32_t> starts;
  bool last, nan;
};

void attention_case(const AttentionCase& k, const Streams& streams) {
  const int64_t T = k.positions, d = k.heads * k.width, stride = d + 3;
  const int64_t S = static_cast<int64_t>(k.starts.size()), prompts = 2;
  std::vector<int64_t> first(S);
  std::vector<int32_t> whose(S);
  int64_t R = 0;
  for (int64_t s = 0; s < S; s++) {
    first[s] = R;
    whose[s] = static_cast<int32_t>(s % prompts);
    R += T - k.starts[s];
  }
  const int64_t Q = k.last ? S : R;
  Array q = random(k.dtype, Q * stride, 1), key = random(k.dtype, R * stride, 1);
  Array value = random(k.dtype, R * stride, 1);
  Array past_key = random(k.dtype, prompts * T * stride, 1);
  Array past_value = random(k.dtype, prompts * T * stride, 1);
  if (k.nan) q.set(0, std::nan(""));
  struct assay_suffix_attention_params a{};
  a.struct_bytes = sizeof a;
  a.queries = q.matrix(Q, d, stride);
  a.keys = key.matrix(R, d, stride);
  a.values = value.matrix(R, d, stride);
  a.past_keys = past_key.matrix(prompts * T, d, stride);
  a.past_values = past_value.matrix(prompts * T, d, stride);
  a.prompts = whose.data();
  a.starts = k.starts.data();
  a.sequences = S;
  a.positions = T;
  a.heads = k.heads;
  a.scale = 0.3;
  int64_t bytes = 0;
  CHECK(assay_suffix_attention_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  Array out(k.dtype, Q * stride);
  for (int i = 0; i < kStreams; i++) {
    Array o(k.dtype, Q * stride);
    for (size_t at = 0; at < o.values.size(); at++) o.set(at, 99);
    const assay_matrix m = o.matrix(Q, d, stride);
    std::vector<char> work(bytes + 1, 'x');
    CHECK(assay_suffix_attention(&a, &m, work.data() + 1, bytes, streams.of[i]) == ASSAY_OK, "%s",
          assay_last_error());
    o.read();
    if (i == 0) out = o;
    CHECK(same(o, out), "bits differ with %d threads", i);
  }
  const double u = unit(k.dtype);
  for (int64_t s = 0; s < S; s++) {
    for (int64_t t = k.last ? T - 1 : k.starts[s]; t < T; t++) {
      const int64_t r = k.last ? s : first[s] + t - k.starts[s];
      for (int64_t c = d; c < stride && r * stride + c < Q * stride; c++) {
        CHECK(out.values[r * stride + c] == 99, "wrote behind a row");
      }
      for (int64_t h = 0; h < k.heads; h++) {
        std::vector<double> score(t + 1), error(t + 1);
        double max = -kInf;
        for (int64_t at = 0; at <= t; at++) {
          const bool past = at < k.starts[s];
          const int64_t row = past ? whose[s] * T + at : first[s] + at - k.starts[s];
          const Sum sum = dot(past ? past_key : key, row * stride + h * k.width, q,
                              r * stride + h * k.width, k.width);
          score[at] = 0.3 * sum.value;
          error[at] = 0.3 * sum.magnitude * (k.width + 4) * u;
          max = std::fmax(max, score[at]);
        }
        double total = 0, worst = 0;
        for (int64_t at = 0; at <= t; at++) {
          total += std::exp(score[at] - max);
          worst = std::fmax(worst, error[at] + std::fabs(score[at] - max) * u);
        }
        for (int64_t c = h * k.width; c < (h + 1) * k.width; c++) {
          Sum sum;
          for (int64_t at = 0; at <= t; at++) {
            const bool past = at < k.starts[s];
            const int64_t row = past ? whose[s] * T + at : first[s] + at - k.starts[s];
            const double term = std::exp(score[at] - max) / total *
                                (past ? past_value : value).values[row * stride + c];
            sum.value += term;
            sum.magnitude += std::fabs(term);
          }
          // A share errs by its score and the greatest, e^x, and the sum it is divided by.
          const double bound = sum.magnitude * (4 * worst + (2.0 * T + 16) * u);
          close("out", out.values[r * stride + c],
                k.nan && r == 0 && h == 0 ? std::nan("") : sum.value, bound, r * stride + c);
        }
      }
    }
  }
}

constexpr int32_t kTypes[] = {ASSAY_F32, ASSAY_F64, ASSAY_F16, ASSAY_BF16};

void test_heads(const Streams& streams) {
  for (int32_t t : kTypes) {
    head_case({t, 1, 1, 1, false, 0}, streams);
    head_case({t, 2, 33, 7, true, 0}, streams);
    head_case({t, 5, 100, 16, false, 1}, streams);
    head_case({t, 4, 70, 19, true, 2}, streams);
    head_case({t, 3, 257, 33, true, 3}, streams);
    // Several blocks of rows; rows too long to be copied, as processors do.
    head_case({t, kCoarse ? 101 : 71, kCoarse ? 1031 : 515, 35, true, 0}, streams);
    if (kCoarse) head_case({t, 9, 37, 4100, true, 0}, streams);
  }
  // Vocabularies of which every segment has several tiles.
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) head_case({t, 3, 33100, 3, true, 0}, streams);
  head_case({ASSAY_F32, 17, 33100, 2, false, 0}, streams);
}

void test_swap(const Streams& streams) {
  for (int32_t t : kTypes) {
    swap_case({t, 1, 1, 1, 1, true, false, false, false, false, 0}, streams);
    swap_case({t, 2, 40, 8, 256, true, true, false, false, true, 0}, streams);
    swap_case({t, 5, 611, 17, 10, true, true, true, true, true, 0}, streams);
    swap_case({t, 4, 611, 17, 10, false, true, true, true, true, 0}, streams);
    swap_case({t, 3, 300, 9, 32, false, true, false, true, false, 0}, streams);
    swap_case({t, 3, 300, 9, 32, true, false, false, false, true, 1}, streams);
    swap_case({t, 3, 300, 9, 32, true, false, false, false, false, 1}, streams);
    swap_case({t, 2, 2000, 5, 10, true, false, false, false, false, 3}, streams);
    swap_case({t, 3, 100, 31, 5, true, true, false, true, true, 2}, streams);
    swap_case({t, 100, 515, 35, 7, true, true, true, true, true, 0}, streams);
    swap_case({t, 21, 515, 35, 7, false, true, true, true, true, 0}, streams);
  }
  // Vocabularies of which every segment has several tiles.
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) {
    swap_case({t, 2, 9001, 3, 256, true, true, false, true, true, 0}, streams);
  }
  swap_case({ASSAY_F32, 17, 33100, 2, 40, true, false, true, true, true, 0}, streams);
}

void test_adamw(const Streams& streams) {
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) {
    adamw_case(t, 1, 1, 1, 1, streams);
    adamw_case(t, 3, 17, 1, 5, streams);
    adamw_case(t, 31, 17, 0, 2, streams);
    adamw_case(t, 2, 16385, 1, 1000, streams);
  }
}

void test_attention(const Streams& streams) {
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) {
    for (bool last : {false, true}) {
      attention_case({t, 1, 1, 1, {0}, last, false}, streams);
      attention_case({t, 5, 2, 3, {0, 0, 1, 4}, last, false}, streams);
      attention_case({t, 15, 3, 64, {0, 0, 7, 7, 14}, last, false}, streams);
      attention_case({t, 71, 2, 17, {0, 31, 32, 33, 70}, last, false}, streams);
      attention_case({t, 40, 2, 8, {3, 39}, last, true}, streams);
      attention_case({t, 9, 1, ASSAY_MAX_HEAD_WIDTH, {2, 8}, last, false}, streams);
    }
  }
  std::vector<int32_t> many(300);
  for (size_t s = 0; s < many.size(); s++) many[s] = static_cast<int32_t>(s * s % 3);
  attention_case({ASSAY_F32, 3, 1, 2, many, false, false}, streams);
}

const struct {
  const char* name;
  void (*test)(const Streams&);
} groups[] = {
    {"heads", test_heads},   {"swap", test_swap},           {"bound", test_bound},
    {"coarse", test_coarse}, {"fourier", test_fourier},     {"adamw", test_adamw},
    {"patch", test_patch},   {"attention", test_attention}, {"edge", test_edges},
#if !defined(ASSAY_TEST_CUDA)  // that library has neither
    {"grok", test_grok},     {"grok_grid", test_grok_grid},
#endif
};

}  // namespace

std::string test_groups() {
  std::string names;
  for (const auto& g : groups) names += std::string(names.empty() ? "" : " ") + g.name;
  return names;
}

bool test_kernels(const std::string& group) {
  const Streams streams;
  bool any = false;
  for (const auto& g : groups) {
    if (!group.empty() && group != g.name) continue;
    any = true;
    generator.seed(20230308);
    g.test(streams);
  }
  return any;
}
