// assay_grok_grid against the formula.
#include <algorithm>

#include "arrays.h"

namespace {

struct Grid {
  int64_t p, heads, m;
  std::vector<double> scores, tables, constant, map;

  // What the neurons and the logits of a pair read.
  std::vector<double> combined(int64_t a, int64_t b) const {
    const int64_t rows = 2 * p + 1, columns = m + p;
    std::vector<double> z = constant;
    for (int64_t h = 0; h < heads; h++) {
      const int64_t at[3] = {h * rows + a, h * rows + p + b, h * rows + 2 * p};
      const double most = std::max({scores[at[0]], scores[at[1]], scores[at[2]]});
      double sum = 0;
      for (int64_t i : at) sum += std::exp(scores[i] - most);
      for (int64_t i : at) {
        const double share = std::exp(scores[i] - most) / sum;
        for (int64_t c = 0; c < columns; c++) z[c] += share * tables[i * columns + c];
      }
    }
    return z;
  }
};

void grid_case(int64_t p, int64_t heads, int64_t m, double spread, const Streams& streams) {
  const auto draw = [](int64_t n, double scale) { return random(ASSAY_F64, n, scale).values; };
  const Grid g{p,
               heads,
               m,
               draw(heads * (2 * p + 1), spread),
               draw(heads * (2 * p + 1) * (m + p), 1),
               draw(m + p, 1),
               draw(p * m, 1)};
  std::vector<double> logits(p * p * p), sums(4 * p * m), squares(m);
  assay_grok_grid_params a{};
  a.struct_bytes = sizeof a;
  a.numbers = p;
  a.heads = heads;
  a.neurons = m;
  a.scores = g.scores.data();
  a.tables = g.tables.data();
  a.constant = g.constant.data();
  a.map = g.map.data();
  a.logits = logits.data();
  a.sums = sums.data();
  a.squares = squares.data();
  int64_t bytes = 0;
  CHECK(assay_grok_grid_workspace(&a, &bytes) == ASSAY_OK, "%s", assay_last_error());
  std::vector<double> kept[3];
  for (int i = 0; i < kStreams; i++) {
    std::vector<unsigned char> workspace(static_cast<size_t>(bytes),
                                         0xff);  // doubles of it are NaN
    CHECK(assay_grok_grid(&a, workspace.data(), bytes, streams.of[i]) == ASSAY_OK, "%s",
          assay_last_error());
    CHECK(i == 0 || (kept[0] == logits && kept[1] == sums && kept[2] == squares),
          "results differ with %d threads", i);
    kept[0] = logits;
    kept[1] = sums;
    kept[2] = squares;
  }
  std::vector<double> want_sums(sums.size()), want_squares(m);
  for (int64_t x = 0; x < p; x++) {
    for (int64_t y = 0; y < p; y++) {
      const std::vector<double> z = g.combined(x, y);
      const int64_t rows[4] = {x, p + y, 2 * p + (x + y) % p, 3 * p + (x - y + p) % p};
      for (int64_t n = 0; n < m; n++) {
        const double active = std::fmax(0, z[n]);
        for (int64_t row : rows) want_sums[row * m + n] += active;
        want_squares[n] += active * active;
      }
      for (int64_t c = 0; c < p; c++) {
        double logit = z[m + c];
        for (int64_t n = 0; n < m; n++) logit += g.map[c * m + n] * std::fmax(0, z[n]);
        const int64_t at = (x * p + y) * p + c;
        close("logit", logits[at], logit, 1e-15 * static_cast<double>(m + 10 * heads), at);
      }
    }
  }
  const double pairs = static_cast<double>(p);
  for (size_t i = 0; i < sums.size(); i++) {
    close("sum", sums[i], want_sums[i], 1e-14 * (pairs + want_sums[i]), static_cast<int64_t>(i));
  }
  for (int64_t n = 0; n < m; n++) {
    close("square", squares[n], want_squares[n], 1e-13 * (pairs + want_squares[n]), n);
  }
  CHECK(assay_grok_grid(&a, nullptr, 0, nullptr) == ASSAY_ERROR_WORKSPACE,
        "no workspace was accepted");
  a.neurons = 0;
  CHECK(assay_grok_grid(&a, nullptr, 0, nullptr) == ASSAY_ERROR_ARGUMENT, "no neuron was accepted");
}

}  // namespace

void test_grok_grid(const Streams& streams) {
  grid_case(1, 1, 1, 1, streams);
  grid_case(2, 3, 5, 300, streams);
  grid_case(7, 2, 33, 1, streams);
  grid_case(33, 1, 32, 1, streams);
  grid_case(65, 4, 70, 300, streams);
  grid_case(131, 1, 3, 1, streams);
}
