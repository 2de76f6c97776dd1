// assay_patch_rows against the formulas in assay.h, in double. A copy errs by its own sum: a
// difference, (d_h + 2) products and two additions; its norm by that and by the two sums over d.
#include <cmath>
#include <cstdint>
#include <vector>

#include "arrays.h"
#include "assay.h"
#include "check.h"

namespace {

struct PatchCase {
  int32_t dtype;
  int64_t live, bank, count, heads, width, d;
  int32_t norm;  // 0: not asked for
  bool affine;
};

void patch_case(const PatchCase& k, const Streams& streams) {
  const int64_t H = k.heads, w = k.width, columns = H * w, zs = columns + 3, ds = k.d + 2;
  const int64_t copies = k.count * H;
  Array live = random(k.dtype, k.live * zs, 1), bank = random(k.dtype, k.bank * zs, 1);
  Array output = random(k.dtype, columns * ds, 0.3), stream = random(k.dtype, k.live * ds, 1);
  Array scale = random(k.dtype, k.d, 1), bias = random(k.dtype, k.d, 1);
  std::vector<int32_t> rows(k.count), sources(copies);
  for (int64_t n = 0; n < k.count; n++) rows[n] = static_cast<int32_t>((n * 5 + 2) % k.live);
  for (int64_t at = 0; at < copies; at++) {
    sources[at] = static_cast<int32_t>(at * 7 % (k.live + k.bank + 1)) - 1;
  }
  struct assay_patch_rows_params a{};
  a.struct_bytes = sizeof a;
  a.live = live.matrix(k.live, columns, zs);
  if (k.bank > 0) a.bank = bank.matrix(k.bank, columns, zs);
  a.output = output.matrix(columns, k.d, ds);
  a.stream = stream.matrix(k.live, k.d, ds);
  a.rows = rows.data();
  a.sources = sources.data();
  a.count = k.count;
  a.heads = H;
  if (k.affine) a.scale = scale.memory.data();
  if (k.affine) a.bias = bias.memory.data();
  a.epsilon = 1e-3;
  a.norm = k.norm;
  int64_t bytes = -1;
  CHECK(assay_patch_rows_workspace(&a, &bytes) == ASSAY_OK && bytes == 0, "%s", assay_last_error());
  Array middle(k.dtype, copies * ds), normed(k.dtype, copies * ds);
  for (int i = 0; i < kStreams; i++) {
    Array m(k.dtype, copies * ds), n(k.dtype, copies * ds);
    for (size_t at = 0; at < m.values.size(); at++) {
      m.set(at, 99);
      n.set(at, 99);
    }
    const assay_matrix mm = m.matrix(copies, k.d, ds), nn = n.matrix(copies, k.d, ds);
    CHECK(assay_patch_rows(&a, &mm, k.norm == 0 ? nullptr : &nn, nullptr, 0, streams.of[i]) ==
              ASSAY_OK,
          "%s", assay_last_error());
    m.read();
    n.read();
    if (i == 0) middle = m;
    if (i == 0) normed = n;
    CHECK(same(m, middle) && same(n, normed), "bits differ with %d threads", i);
  }
  const double u = unit(k.dtype);
  for (int64_t copy = 0; copy < copies; copy++) {
    const int64_t head = copy % H, row = rows[copy / H], source = sources[copy];
    std::vector<double> is(k.d), off(k.d);
    for (int64_t c = 0; c < k.d; c++) {
      Sum sum;
      for (int64_t i = head * w; source >= 0 && i < (head + 1) * w; i++) {
        const double will = source < k.live ? live.values[source * zs + i]
                                            : bank.values[(source - k.live) * zs + i];
        const double weight = output.values[i * ds + c];
        sum.value += (will - live.values[row * zs + i]) * weight;
        sum.magnitude +=
            (std::fabs(will) + std::fabs(live.values[row * zs + i])) * std::fabs(weight);
      }
      is[c] = stream.values[row * ds + c] + sum.value;
      off[c] = source < 0 ? 0 : u * ((w + 3) * sum.magnitude + 2 * std::fabs(is[c]));
      close("middle", middle.values[copy * ds + c], is[c], off[c], copy * k.d + c);
    }
    for (int64_t c = k.d; c < ds; c++) {
      CHECK(middle.values[copy * ds + c] == 99 && normed.values[copy * ds + c] == 99,
            "wrote behind copy %d", int(copy));
    }
    if (k.norm == 0) continue;
    double mean = 0, shift = 0, square = 0, worst = 0;
    for (int64_t c = 0; c < k.d && k.norm == ASSAY_LAYER_NORM; c++) {
      mean += is[c] / k.d;
      shift += (off[c] + (k.d + 2) * u * std::fabs(is[c])) / k.d;
    }
    for (int64_t c = 0; c < k.d; c++) {
      square += (is[c] - mean) * (is[c] - mean) / k.d;
      worst = std::fmax(worst, off[c] + shift + u * std::fabs(is[c] - mean));
    }
    const double root = std::sqrt(square + 1e-3);
    // Of the root, relative: each x - mean is off by at most `worst`, and their squares are summed.
    const double relative = worst / root + worst * worst / (root * root) + (k.d + 6) * u;
    for (int64_t c = 0; c < k.d; c++) {
      const double by = k.affine ? scale.values[c] : 1, plus = k.affine ? bias.values[c] : 0;
      const double part = by * (is[c] - mean) / root;
      const double bound = std::fabs(by) * worst / root + std::fabs(part) * (relative + 6 * u) +
                           4 * u * (std::fabs(part) + std::fabs(plus));
      close("normed", normed.values[copy * ds + c], part + plus, 1.01 * bound, copy * k.d + c);
    }
  }
  // What is added to one copy alone has the bits it has among others.
  const int64_t n = k.count - 1;
  a.rows = rows.data() + n;
  a.sources = sources.data() + n * H;
  a.count = 1;
  Array alone(k.dtype, H * ds);
  const assay_matrix m = alone.matrix(H, k.d, ds);
  CHECK(assay_patch_rows(&a, &m, nullptr, nullptr, 0, nullptr) == ASSAY_OK, "%s",
        assay_last_error());
  alone.read();
  for (int64_t at = 0; at < H * ds; at++) {
    CHECK(at % ds >= k.d || alone.values[at] == middle.values[n * H * ds + at], "one row alone");
  }
}

// A source of -1 keeps the row, whatever W_O holds; a NaN stays in its copy.
void special_numbers() {
  Array live = random(ASSAY_F32, 2 * 4, 1), bank = random(ASSAY_F32, 4, 1);
  Array output = random(ASSAY_F32, 4 * 5, 1), stream = random(ASSAY_F32, 2 * 5, 1);
  output.set(0, kInf);
  bank.set(2, std::nan(""));
  stream.set(5, -0.0);
  const std::vector<int32_t> rows = {1, 0}, sources = {-1, 2, 0, -1};
  struct assay_patch_rows_params a{};
  a.struct_bytes = sizeof a;
  a.live = live.matrix(2, 4, 4);
  a.bank = bank.matrix(1, 4, 4);
  a.output = output.matrix(4, 5, 5);
  a.stream = stream.matrix(2, 5, 5);
  a.rows = rows.data();
  a.sources = sources.data();
  a.count = 2;
  a.heads = 2;
  Array middle(ASSAY_F32, 4 * 5);
  const assay_matrix m = middle.matrix(4, 5, 5);
  CHECK(assay_patch_rows(&a, &m, nullptr, nullptr, 0, nullptr) == ASSAY_OK, "%s",
        assay_last_error());
  middle.read();
  for (int64_t c = 0; c < 5; c++) {
    CHECK(middle.values[c] == stream.values[5 + c] && middle.values[15 + c] == stream.values[c],
          "a copy that is kept");
    CHECK(std::isnan(middle.values[5 + c]), "a NaN in the source");
    CHECK(std::isfinite(middle.values[10 + c]) == (c != 0), "an infinity in W_O");
  }
  CHECK(std::signbit(middle.values[0]), "a zero lost its sign");
}

}  // namespace

void test_patch(const Streams& streams) {
  for (int32_t t : {ASSAY_F32, ASSAY_F64}) {
    patch_case({t, 1, 0, 1, 1, 1, 1, 0, false}, streams);
    patch_case({t, 3, 2, 5, 2, 3, 7, ASSAY_LAYER_NORM, true}, streams);
    patch_case({t, 7, 7, 33, 3, 16, 67, ASSAY_RMS_NORM, false}, streams);
    patch_case({t, 15, 15, 15, 2, 64, 161, ASSAY_LAYER_NORM, false}, streams);
    patch_case({t, 4, 1, 40, 1, 37, 300, 0, false}, streams);
    patch_case({t, 2, 1, 3, 2, 1, 129, ASSAY_RMS_NORM, true}, streams);
    patch_case({t, 2, 1, 2, 1, ASSAY_MAX_HEAD_WIDTH, 9, ASSAY_LAYER_NORM, true}, streams);
  }
  special_numbers();
}
