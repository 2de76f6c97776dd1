// Token swap of many audits at once, where a library may bound scores before it computes them: the
// same ids, bits and counts as of a few audits at a time, whatever it takes to find them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

enum class Special {
  kNone,
  kNearTies,   // more tokens than can be told apart
  kTies,       // all of them
  kTokens,     // some are not numbers, or infinite
  kAudits,     // the same
  kOutlier,    // one column far above the others
  kTiny,       // below the normal range
  kHuge,       // near the end of the range
  kFewFinite,  // most have the score -infinity
  kForbidden,  // the best, one audit after the other
  kUnigram,    // that term alone is added
  kSums,       // attacks, see below
  kActivations,
  kTables,
  kOverflow,
  kRoundedTable,
  kRoundedActivations
};

// Fewer audits are not bounded: of the matrix units of a device, of a processor.
constexpr int64_t kBounded = kCoarse ? 24 : 17;

struct Inputs {
  Array e, w, g, h, alpha, bias, unigram;
};

struct BoundCase {
  int32_t dtype;
  int64_t audits, vocabulary, d, kept;
  bool tied, lse, extras;
  Special special;
};

// Attacks: the last token is the best by a bit, 2 K others are next, one in each 64. What their
// products lose in an approximation, and the other way round, is as much as the arithmetic of
// matrix units lets them lose.

// A sum of 1 and of many almost 2^-23, which a unit that cuts to 24 bits, towards zero, does not
// see; of the others all is negative, and the unigram term brings them up again.
void attack_sums(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d) {
  const double sign = best ? 1 : -1;
  for (int64_t c = 0; c < d; c++) in.e.set(v * ws + c, sign * (c == 0 ? 1 : 0x1p-12 * 255 / 256));
  in.unigram.set(v, best ? 0 : 2 + (2 * static_cast<double>(d) - 4) * 0x1p-23);
}

// Activations of two parts lack the first more than the second has: as much as they can.
void attack_activations(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d) {
  for (int64_t c = 0; c < d; c++) in.e.set(v * ws + c, c == (best ? 0 : 1));
  in.unigram.set(v, best ? 0 : in.g.values[0] - in.g.values[1] - 0x1p-22);
}

// Second parts of both, whose product is left out: 2^-8 times 2^-8, or -2^-9.
void attack_tables(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d) {
  for (int64_t c = 0; c < d; c++) {
    in.e.set(v * ws + c, c == 0 && best ? 1 + 0x1p-8 : c == 1 && !best ? 1 - 0x1p-9 : 0);
  }
  in.unigram.set(v, best ? 0 : 3 * 0x1p-9 * (1 + 0x1p-8) - 0x1p-22);
}

// All numbers of the best, or all activations that it sees, lose as much as one bfloat16 can, and
// of the others all gain as much.
double just_below() { return 1 + 0x1p-8 - 0x1p-10; }
double just_above() { return 1 + 0x1p-8 + 0x1p-10; }

void attack_rounded_table(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d) {
  for (int64_t c = 0; c < d; c++) in.e.set(v * ws + c, best ? just_below() : just_above());
  in.unigram.set(v, best ? 0 : -static_cast<double>(d) * 0x1p-9 - 0x1p-10);
}

void attack_rounded_activations(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d) {
  for (int64_t c = 0; c < d; c++) in.e.set(v * ws + c, (c < d / 2) == best ? 1 : 0);
  in.unigram.set(v, best ? 0 : -static_cast<double>(d / 2) * 0x1p-9 - 0x1p-10);
}

// The best is infinite as a sum in order, of which what comes last takes away half; not all at
// once.
void attack_range(Inputs& in, int64_t v, bool best, int64_t ws, int64_t d, double unit) {
  for (int64_t c = 0; c < d; c++) {
    in.e.set(v * ws + c, best ? (c == 2 ? -unit : unit) : c == 0 ? 1.5 * unit : 0);
  }
  in.unigram.set(v, 0);
}

void make_attack(Inputs& in, const BoundCase& k, int64_t ws) {
  const double unit = k.dtype == ASSAY_F16 ? 0x1p15 : 0x1p63;
  for (size_t i = 0; i < in.g.values.size(); i++) {
    const int64_t c = static_cast<int64_t>(i) % k.d;
    if (k.special == Special::kSums) in.g.set(i, c == 0 ? 1 : 0x1p-11);
    if (k.special == Special::kActivations) {
      const double lacks = 0x1p-17 - 0x1p-23;
      in.g.set(i, 1 + 0x1p-8 - 0x1p-16 * 3 + (c == 0 ? lacks : -lacks));
    }
    if (k.special == Special::kTables) in.g.set(i, 1 + 0x1p-8);
    if (k.special == Special::kOverflow) in.g.set(i, 0x1p127 / unit);
    if (k.special == Special::kRoundedTable) in.g.set(i, 1);
    if (k.special == Special::kRoundedActivations) {
      in.g.set(i, c < k.d / 2 ? just_below() : just_above());
    }
  }
  for (int64_t v = 0; v < k.vocabulary; v++) {
    const bool best = v == k.vocabulary - 1;
    if (!best && (v % 64 != 0 || v / 64 >= 2 * k.kept)) {
      // All different: ties at the end of a list would have everything computed exactly.
      for (int64_t c = 0; c < k.d; c++) in.e.set(v * ws + c, c == 0 ? -1 : 0);
      in.unigram.set(v, -static_cast<double>(v));
    } else if (k.special == Special::kSums) {
      attack_sums(in, v, best, ws, k.d);
    } else if (k.special == Special::kActivations) {
      attack_activations(in, v, best, ws, k.d);
    } else if (k.special == Special::kOverflow) {
      attack_range(in, v, best, ws, k.d, unit);
    } else if (k.special == Special::kRoundedTable) {
      attack_rounded_table(in, v, best, ws, k.d);
    } else if (k.special == Special::kRoundedActivations) {
      attack_rounded_activations(in, v, best, ws, k.d);
    } else {
      attack_tables(in, v, best, ws, k.d);
    }
  }
}

void make_special(Inputs& in, const BoundCase& k, int64_t ws) {
  const int64_t V = k.vocabulary, d = k.d;
  for (int64_t v = 0; v < V; v++) {
    for (int64_t c = 0; c < d; c++) {
      const int64_t at = v * ws + c;
      if (k.special == Special::kNearTies) {
        in.e.set(at, in.e.values[c] * (1 + static_cast<double>(v * 7919 % V) * 0x1p-22 / V));
      }
      if (k.special == Special::kTies) in.e.set(at, in.e.values[c]);
      if (k.special == Special::kOutlier && c == 3 % d) in.e.set(at, 1e4 * (v % 13));
      if (k.special == Special::kTiny) in.e.set(at, in.e.values[at] * 1e-39);
      if (k.special == Special::kHuge) in.e.set(at, in.e.values[at] * (v % 5 ? 1e30 : 3e37));
    }
    if (k.special == Special::kTokens && v % 97 == 5) {
      in.e.set(v * ws, v % 2 ? std::nan("") : k.dtype == ASSAY_F16 ? 6e4 : kInf);
    }
    if (k.special == Special::kFewFinite && v % 211 != 3) in.unigram.set(v, -kInf);
    if (k.special == Special::kNearTies || k.special == Special::kTies) in.unigram.set(v, 0);
  }
  if (k.special == Special::kAudits) {
    in.g.set(0, std::nan(""));
    in.g.set(d, kInf);
    in.alpha.set(2, std::nan(""));
  }
  if (k.special == Special::kTiny) {
    for (int64_t c = 0; c < d; c++) in.g.set(c, in.g.values[c] * 1e-38);
  }
}

// Emulated matrix units add in another way each time: over all orders of execution, in 6 ways.
#if defined(ASSAY_TEST_ORDERS)
constexpr int kAttacks = 6 / ASSAY_TEST_ORDERS;
#else
constexpr int kAttacks = 6;
#endif

struct Result {
  std::vector<int32_t> ids, found;
  std::vector<int64_t> nans;
  std::vector<unsigned char> scores, lse;
};

void bound_case(const BoundCase& k, const Streams& streams) {
  const int64_t A = k.audits, V = k.vocabulary, d = k.d, K = k.kept;
  // Rows whole vectors apart, and with two tables rows that no vector starts at.
  const int64_t ws = (d + 7) / 8 * 8 + (k.tied ? 0 : 3);
  const int32_t real = real_of(k.dtype);
  const bool attack = k.special >= Special::kSums;
  Inputs in = {random(k.dtype, V * ws, 1), random(k.dtype, V * ws, 1), random(real, A * d, 1),
               random(real, A * d, 1),     random(real, A, 1),         random(real, V, 1),
               random(real, V, 1)};
  in.alpha.set(A - 1, 0);
  if (attack) {
    make_attack(in, k, ws);
  } else {
    make_special(in, k, ws);
  }
  std::vector<uint8_t> allowed((V + 7) / 8);
  for (auto& byte : allowed) byte = static_cast<uint8_t>(generator() | generator());
  std::vector<int64_t> offsets(A + 1);
  std::vector<int32_t> forbidden;
  auto call = [&](int64_t first, int64_t rows, assay_stream* stream) {
    Result r;
    r.ids.assign(rows * K, -7);
    r.found.assign(rows, -7);
    r.nans.assign(rows, -7);
    const int64_t width = Array::width(real);
    r.scores.resize(rows * K * width);
    r.lse.resize(k.lse ? rows * width : 0);
    assay_token_swap_topk_params s{};
    s.struct_bytes = sizeof s;
    s.embedding = in.e.matrix(V, d, ws);
    if (!k.tied) s.head = in.w.matrix(V, d, ws);
    s.gradient = {in.g.memory.data() + first * d * width, real, 0, rows, d, d};
    if (k.extras) {
      s.hidden = {in.h.memory.data() + first * d * width, real, 0, rows, d, d};
      s.alpha = in.alpha.memory.data() + first * width;
      s.bias = in.bias.memory.data();
      s.allowed = allowed.data();
    }
    if (k.extras || k.special >= Special::kUnigram) s.unigram = in.unigram.memory.data();
    if (!forbidden.empty()) {
      s.forbidden_offsets = offsets.data() + first;
      s.forbidden_ids = forbidden.data();
    }
    s.kept = K;
    s.ids = r.ids.data();
    s.scores = r.scores.data();
    s.found = r.found.data();
    s.nans = r.nans.data();
    s.lse = k.lse ? r.lse.data() : nullptr;
    int64_t bytes = 0;
    CHECK(assay_token_swap_topk_workspace(&s, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(bytes + 1, 'x');
    CHECK(assay_token_swap_topk(&s, work.data() + 1, bytes, stream) == ASSAY_OK, "%s",
          assay_last_error());
    return r;
  };
  auto same_at_once = [&](int times) {
    constexpr int64_t kFew = 16;
    Result few;
    for (int64_t first = 0; first < A; first += kFew) {
      const Result r = call(first, std::min(kFew, A - first), nullptr);
      few.ids.insert(few.ids.end(), r.ids.begin(), r.ids.end());
      few.found.insert(few.found.end(), r.found.begin(), r.found.end());
      few.nans.insert(few.nans.end(), r.nans.begin(), r.nans.end());
      few.scores.insert(few.scores.end(), r.scores.begin(), r.scores.end());
      few.lse.insert(few.lse.end(), r.lse.begin(), r.lse.end());
    }
    for (int i = 0; i < times; i++) {
      const Result all = call(0, A, streams.of[i % kStreams]);
      CHECK(all.ids == few.ids && all.scores == few.scores && all.found == few.found &&
                all.nans == few.nans && all.lse == few.lse,
            "%d audits at once differ from %d: type %d, special %d, %s, call %d", int(A), int(kFew),
            int(k.dtype), int(k.special), k.tied ? "tied" : "untied", i);
    }
    return few;
  };
  const Result before = same_at_once(attack ? kAttacks : 1);
  // As sums in the order of that library have it.
  if (attack && !kCoarse) {
    CHECK(before.ids[0] == V - 1, "the best token of attack %d, type %d, is %d", int(k.special),
          int(k.dtype), before.ids[0]);
  }
  if (k.special != Special::kForbidden) return;
  // An audit's best are forbidden, and some more; of one all are, of one none.
  for (int64_t a = 0; a < A; a++) {
    std::vector<int32_t> of(before.ids.begin() + a * K, before.ids.begin() + (a + 1) * K);
    for (int32_t v = static_cast<int32_t>(a == 3 ? 0 : a % 50); v < V; v += a == 3 ? 1 : 50)
      of.push_back(v);
    std::sort(of.begin(), of.end());
    of.erase(std::unique(of.begin(), of.end()), of.end());
    if (a != 4) forbidden.insert(forbidden.end(), of.begin(), of.end());
    offsets[a + 1] = static_cast<int64_t>(forbidden.size());
  }
  const Result after = same_at_once(1);
  CHECK(after.found[3] == 0, "all tokens are forbidden, %d are found", after.found[3]);
  CHECK(after.ids[0] != before.ids[0], "a forbidden token is kept");
}

}  // namespace

void test_bound(const Streams& streams) {
  for (int32_t t : {ASSAY_BF16, ASSAY_F16, ASSAY_F32}) {
    for (const Special special :
         {Special::kNone, Special::kNearTies, Special::kTies, Special::kTokens, Special::kAudits,
          Special::kOutlier, Special::kTiny, Special::kHuge, Special::kFewFinite}) {
      bound_case({t, kBounded, 1300, 21, 7, true, false, true, special}, streams);
    }
    bound_case({t, kBounded, 1300, 35, 7, false, true, true, Special::kNone}, streams);
    bound_case({t, 33, 1300, 16, 7, false, false, true, Special::kTokens}, streams);
    bound_case({t, kBounded, 1300, 16, 7, false, false, true, Special::kAudits}, streams);
    bound_case({t, kBounded, 1300, 8, 7, true, false, true, Special::kForbidden}, streams);
    bound_case({t, 66, 1290, 48, 7, true, false, true, Special::kAudits}, streams);
    bound_case({t, kBounded, 1300, 64, 7, true, false, false, Special::kSums}, streams);
    bound_case({t, kBounded, 1300, 2, 7, true, false, false, Special::kActivations}, streams);
    bound_case({t, kBounded, 1300, 3, 7, true, false, false, Special::kOverflow}, streams);
    if (t != ASSAY_BF16) {
      bound_case({t, kBounded, 1300, 2, 7, true, false, false, Special::kTables}, streams);
    }
    bound_case({t, kBounded, 1300, 8, 7, true, false, false, Special::kUnigram}, streams);
    if (!kCoarse) continue;
    // What a processor's units have of their own: one part of activations and table, chunks of d.
    if (t != ASSAY_BF16) {
      bound_case({t, kBounded, 1300, 300, 7, true, false, false, Special::kRoundedTable}, streams);
    }
    bound_case({t, kBounded, 1300, 64, 7, true, false, false, Special::kRoundedActivations},
               streams);
    bound_case({t, kBounded, 1300, 333, 7, true, false, true, Special::kTokens}, streams);
  }
  // More audits than are bounded at a time, and lists of several tiles.
  bound_case({ASSAY_BF16, 258, 1300, 5, 7, true, true, true, Special::kNone}, streams);
  bound_case({ASSAY_BF16, kBounded, 9300, 3, ASSAY_MAX_KEPT, true, false, true, Special::kNone},
             streams);
}
