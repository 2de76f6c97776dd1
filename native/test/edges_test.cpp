// assay_edge_scores against sums in double. A position's products err as a dot product of d terms;
// the positions are added in double.
#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

struct EdgeCase {
  int32_t dtype;
  int64_t sources, destinations, positions, width;
  bool layered;  // else any source may be the first that is behind
};

void edge_case(const EdgeCase& k, const Streams& streams) {
  const int64_t S = k.sources, E = k.destinations, columns = k.positions * k.width;
  const int64_t cs = columns + 3, gs = columns + 2;
  Array changes = random(k.dtype, S * cs, 1), gradients = random(k.dtype, E * gs, 1);
  // What is behind the rows must not be read, or not matter.
  for (int64_t s = 0; s < S * cs; s++) {
    if (s % cs >= columns) changes.set(s, std::nan(""));
  }
  for (int64_t e = 0; e < E * gs; e++) {
    if (e % gs >= columns) gradients.set(e, std::nan(""));
  }
  std::vector<int32_t> before(E);
  for (int64_t e = 0; e < E; e++) {
    before[e] = static_cast<int32_t>(k.layered ? (e + 1) * S / E : e * 13 % (S + 1));
  }
  struct assay_edge_scores_params a{};
  a.struct_bytes = sizeof a;
  a.changes = changes.matrix(S, columns, cs);
  a.gradients = gradients.matrix(E, columns, gs);
  a.before = before.data();
  a.width = k.width;
  auto call = [&](int64_t count, assay_stream* stream) {
    int64_t bytes = 0;
    CHECK(assay_edge_scores_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
    std::vector<char> work(bytes + 1, 'x');
    std::vector<double> scores(count + 1, 99);
    CHECK(assay_edge_scores(&a, scores.data(), work.data() + 1, bytes, stream) == ASSAY_OK, "%s",
          assay_last_error());
    CHECK(scores[count] == 99, "wrote behind the scores");
    return scores;
  };
  const std::vector<double> scores = call(S * E, nullptr);
  for (int i = 1; i < kStreams; i++) {
    CHECK(call(S * E, streams.of[i]) == scores, "bits differ with %d threads", i);
  }
  const double u = unit(k.dtype);
  for (int64_t s = 0; s < S; s++) {
    for (int64_t e = 0; e < E; e++) {
      const double got = scores[s * E + e];
      if (s >= before[e]) {
        CHECK(got == 0, "score[%d,%d] of no edge is %g", int(s), int(e), got);
        continue;
      }
      const Sum sum = dot(changes, s * cs, gradients, e * gs, columns);
      const double terms = (k.width + 2) * u + (columns + 2) * 0x1p-53;
      close("score", got, sum.value, terms * sum.magnitude, s * E + e);
    }
  }
  // One destination alone has the bits it has among others.
  const int64_t e = E - 1;
  a.gradients.data = gradients.memory.data() + e * gs * Array::width(k.dtype);
  a.gradients.rows = 1;
  a.before = before.data() + e;
  const std::vector<double> alone = call(S, nullptr);
  for (int64_t s = 0; s < S; s++) CHECK(alone[s] == scores[s * E + e], "one alone differs");
}

}  // namespace

void test_edges(const Streams& streams) {
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) {
    edge_case({t, 1, 1, 1, 1, true}, streams);
    edge_case({t, 5, 9, 3, 7, true}, streams);
    edge_case({t, 40, 101, 2, 33, true}, streams);
    edge_case({t, 71, 150, 5, 16, false}, streams);
    edge_case({t, 3, 4, 37, 5, false}, streams);
    edge_case({t, 33, 17, 1, 130, true}, streams);
  }
}
