// assay_fourier_ablate against dense projections on the unit vectors u_k and v_k over all pairs and
// a log-sum-exp of each row. A projection of p^2 terms errs by at most 2^-53 p^2 of the largest
// logit, and so does the logarithm of the loss: below 1e-9 for what is tried here.
#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

constexpr double kPi = 3.14159265358979323846;

struct FourierCase {
  int32_t dtype;
  int64_t p;
  bool keep, rotation;
  double gap;        // about how far logits are apart
  bool many = true;  // families
};

// What remains of logits [p,p,p] without, or with only, the family.
std::vector<double> ablated(const FourierCase& k, const std::vector<double>& logits,
                            const uint8_t* family) {
  const int64_t p = k.p, pairs = p * p;
  std::vector<double> out = logits;
  std::vector<double> u(pairs), v(pairs);
  if (k.keep) {
    for (int64_t c = 0; c < p; c++) {
      double mean = 0;
      for (int64_t i = 0; i < pairs; i++) mean += logits[i * p + c] / static_cast<double>(pairs);
      for (int64_t i = 0; i < pairs; i++) out[i * p + c] = mean;
    }
  }
  const double sign = k.keep ? 1 : -1;
  for (int64_t f = 0; f < (p - 1) / 2; f++) {
    if (!family[f]) continue;
    const double w = 2 * kPi * static_cast<double>(f + 1) / static_cast<double>(p);
    if (k.rotation) {
      double dot = 0;
      auto g = [&](int64_t i, int64_t c) {
        return std::cos(w * static_cast<double>(((i / p + i % p - c) % p + p) % p));
      };
      for (int64_t i = 0; i < pairs; i++) {
        for (int64_t c = 0; c < p; c++) dot += logits[i * p + c] * g(i, c);
      }
      const double amplitude = 2 * dot / static_cast<double>(pairs * p);
      for (int64_t i = 0; i < pairs; i++) {
        for (int64_t c = 0; c < p; c++) out[i * p + c] += sign * amplitude * g(i, c);
      }
      continue;
    }
    for (int64_t i = 0; i < pairs; i++) {
      const double s = static_cast<double>((i / p + i % p) % p);
      u[i] = std::sqrt(2.0) / static_cast<double>(p) * std::cos(w * s);
      v[i] = std::sqrt(2.0) / static_cast<double>(p) * std::sin(w * s);
    }
    for (int64_t c = 0; c < p; c++) {
      double a = 0, b = 0;
      for (int64_t i = 0; i < pairs; i++) {
        a += logits[i * p + c] * u[i];
        b += logits[i * p + c] * v[i];
      }
      for (int64_t i = 0; i < pairs; i++) out[i * p + c] += sign * (a * u[i] + b * v[i]);
    }
  }
  return out;
}

double cross_entropy(const double* row, int64_t p, int64_t target) {
  double max = -kInf, sum = 0;
  for (int64_t c = 0; c < p; c++) {
    if (c != target) max = std::fmax(max, row[c]);
  }
  for (int64_t c = 0; c < p; c++) {
    if (c != target) sum += std::exp(row[c] - max);
  }
  const double l = max - row[target] + std::log(sum);
  return l > 0 ? l + std::log1p(std::exp(-l)) : std::log1p(std::exp(l));
}

void fourier_case(const FourierCase& k, const Streams& streams) {
  const int64_t p = k.p, h = (p - 1) / 2, pairs = p * p, stride = p + 2, groups = 3;
  Array logits(k.dtype, static_cast<size_t>(pairs * stride));
  std::normal_distribution<double> normal(0, 1);
  std::vector<double> plain(static_cast<size_t>(pairs * p));
  for (int64_t i = 0; i < pairs; i++) {
    for (int64_t c = 0; c < p; c++) {
      const double angle =
          2 * kPi * static_cast<double>((i / p + i % p + p - c) % p) / static_cast<double>(p);
      const double x =
          normal(generator) + k.gap * (std::cos(angle) * (i % 7 ? 1 : -1) + (i % 5 == c % 5)) / 3;
      logits.set(static_cast<size_t>(i * stride + c), x);
      plain[static_cast<size_t>(i * p + c)] = logits.values[static_cast<size_t>(i * stride + c)];
    }
  }
  const int64_t families = k.many ? h + 35 : 5;
  std::vector<uint8_t> family(static_cast<size_t>(families * h));
  for (int64_t f = 1; f < families; f++) {  // none, each alone, many drawn, all
    for (int64_t m = 0; m < h; m++) {
      family[static_cast<size_t>(f * h + m)] =
          f <= h ? m == f - 1 : f == families - 1 || generator() % 2;
    }
  }
  std::vector<uint8_t> group(static_cast<size_t>(pairs));
  for (uint8_t& g : group) g = static_cast<uint8_t>(generator() % 3);  // none has group 3
  struct assay_fourier_ablate_params a{};
  a.struct_bytes = sizeof a;
  a.logits = logits.matrix(pairs, p, stride);
  a.modulus = p;
  a.families = family.data();
  a.family_count = families;
  a.groups = group.data();
  a.group_count = groups;
  a.keep = k.keep;
  a.rotation = k.rotation;
  auto losses = [&](int64_t first, int64_t count, assay_stream* stream) {
    struct assay_fourier_ablate_params some = a;
    some.families = family.data() + first * h;
    some.family_count = count;
    int64_t bytes = 0;
    CHECK(assay_fourier_ablate_workspace(&some, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(static_cast<size_t>(bytes + 1), 'x');
    std::vector<double> loss(static_cast<size_t>(count * groups + 1), 99);
    CHECK(assay_fourier_ablate(&some, loss.data(), work.data() + 1, bytes, stream) == ASSAY_OK,
          "%s", assay_last_error());
    CHECK(loss.back() == 99, "wrote behind the losses");
    loss.pop_back();
    return loss;
  };
  const std::vector<double> all = losses(0, families, nullptr);
  auto same_bits = [](const double* x, const double* y, size_t n) {
    return std::memcmp(x, y, n * sizeof(double)) == 0;
  };
  for (int i = 1; i < kStreams; i++) {
    const std::vector<double> again = losses(0, families, streams.of[i]);
    CHECK(same_bits(all.data(), again.data(), all.size()), "bits differ with %d threads", i);
  }
  for (int64_t f : {int64_t{0}, h, families - 1}) {
    if (!k.many) break;
    const std::vector<double> one = losses(f, 1, nullptr);
    CHECK(same_bits(one.data(), all.data() + f * groups, groups), "bits differ of one family");
  }
  for (int64_t f = 0; f < families; f++) {
    if (f > 2 && f < families - 2 && f % 7) continue;
    const std::vector<double> rest = ablated(k, plain, family.data() + f * h);
    double sum[4] = {};
    int64_t count[4] = {};
    for (int64_t i = 0; i < pairs; i++) {
      sum[group[static_cast<size_t>(i)]] +=
          cross_entropy(&rest[static_cast<size_t>(i * p)], p, (i / p + i % p) % p);
      count[group[static_cast<size_t>(i)]]++;
    }
    for (int64_t g = 1; g <= groups; g++) {
      const double wanted = count[g] ? sum[g] / static_cast<double>(count[g]) : std::nan("");
      close("loss", all[static_cast<size_t>(f * groups + g - 1)], wanted,
            1e-9 * std::fabs(wanted) + 1e-300, f);
    }
  }
}

// Several calls in one give the bits of each by itself, whatever pairs they count and in whatever
// order they come.
void list_case(const Streams& streams) {
  constexpr int64_t p = 37, h = 18, pairs = p * p;
  constexpr int kCalls = 4;
  Array logits(ASSAY_F64, pairs * p);
  std::normal_distribution<double> normal(0, 4);
  for (size_t i = 0; i < pairs * p; i++) logits.set(i, normal(generator));
  logits.set(5, 900);  // a row that is computed by itself
  const int64_t families[kCalls] = {3, 40, 2, 5};
  std::vector<uint8_t> members[kCalls], groups[kCalls];
  struct assay_fourier_ablate_params calls[kCalls] = {};
  int64_t all = 0;
  for (int i = 0; i < kCalls; i++) {
    members[i].resize(static_cast<size_t>(families[i] * h));
    for (uint8_t& m : members[i]) m = generator() % 3 == 0;
    groups[i].resize(pairs);
    for (uint8_t& g : groups[i]) g = static_cast<uint8_t>(generator() % 3);
    struct assay_fourier_ablate_params& a = calls[i];
    a.struct_bytes = sizeof a;
    a.logits = logits.matrix(pairs, p, p);
    a.modulus = p;
    a.families = members[i].data();
    a.family_count = families[i];
    a.groups = groups[i].data();
    a.group_count = 2;
    a.keep = i == 2;
    a.rotation = i == 3;
    all += families[i] * a.group_count;
  }
  const auto losses = [](const struct assay_fourier_ablate_params* a, int64_t count,
                         assay_stream* stream) {
    int64_t bytes = 0;
    CHECK(assay_fourier_ablate_workspace(a, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(static_cast<size_t>(bytes), 'x');
    std::vector<double> loss(static_cast<size_t>(count + 1), 99);
    CHECK(assay_fourier_ablate(a, loss.data(), work.data(), bytes, stream) == ASSAY_OK, "%s",
          assay_last_error());
    CHECK(loss.back() == 99, "wrote behind the losses");
    loss.pop_back();
    return loss;
  };
  std::vector<double> wanted;
  for (const auto& a : calls) {
    for (double loss : losses(&a, a.family_count * a.group_count, nullptr)) wanted.push_back(loss);
  }
  for (int i = 0; i + 1 < kCalls; i++) calls[i].next = &calls[i + 1];
  for (int i = 0; i < kStreams; i++) {
    const std::vector<double> got = losses(calls, all, streams.of[i]);
    CHECK(std::memcmp(got.data(), wanted.data(), wanted.size() * sizeof(double)) == 0,
          "bits differ of a list of calls");
  }
  int64_t bytes = 0;
  calls[3].modulus = 35;
  CHECK(assay_fourier_ablate_workspace(calls, &bytes) == ASSAY_ERROR_ARGUMENT,
        "another modulus was accepted");
  calls[3].modulus = p;
  calls[3].next = calls;
  CHECK(assay_fourier_ablate_workspace(calls, &bytes) == ASSAY_ERROR_ARGUMENT,
        "a list without an end was accepted");
}

// One logit that is not finite makes every loss NaN: also where nothing is removed, and nothing but
// the count of such logits makes it so.
void broken_case(double logit, bool right) {
  constexpr int64_t p = 5;
  Array logits(ASSAY_F64, p * p * p);
  logits.set(7 * p + 3 + (right ? 0 : 1), logit);  // of pair (1,2)
  const std::vector<uint8_t> families = {0, 0, 1, 1}, groups(p * p, 1);
  struct assay_fourier_ablate_params a{};
  a.struct_bytes = sizeof a;
  a.logits = logits.matrix(p * p, p, p);
  a.modulus = p;
  a.families = families.data();
  a.family_count = 2;
  a.groups = groups.data();
  a.group_count = 1;
  int64_t bytes = 0;
  CHECK(assay_fourier_ablate_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  std::vector<char> work(static_cast<size_t>(bytes));
  std::vector<double> loss(2);
  CHECK(assay_fourier_ablate(&a, loss.data(), work.data(), bytes, nullptr) == ASSAY_OK, "%s",
        assay_last_error());
  CHECK(std::isnan(loss[0]) && std::isnan(loss[1]), "the losses are %g and %g with a logit of %g",
        loss[0], loss[1], logit);
}

}  // namespace

void test_fourier(const Streams& streams) {
  for (double logit : {kInf, -kInf, std::nan("")}) {
    for (bool right : {false, true}) broken_case(logit, right);
  }
  for (int32_t dtype : {ASSAY_F32, ASSAY_F64}) {
    for (double gap : {1.0, 80.0, 300.0, 1500.0}) {
      fourier_case({dtype, 13, false, false, gap}, streams);
      fourier_case({dtype, 13, true, false, gap}, streams);
      fourier_case({dtype, 11, false, true, gap}, streams);
      fourier_case({dtype, 11, true, true, gap}, streams);
    }
    fourier_case({dtype, 3, false, false, 5}, streams);
    fourier_case({dtype, 9, true, false, 5}, streams);
  }
  list_case(streams);
  // More families, and more sums a + b, than are done at a time.
  fourier_case({ASSAY_F64, 61, false, false, 20}, streams);
  fourier_case({ASSAY_F64, 131, false, false, 20, false}, streams);
}
