// Cross-entropies after removing or keeping families of frequencies of a + b.
//
// For each s = a + b: rows E_i(c) = exp(L_i(c) - L_i(s) - max), columns X_F(c) = exp(D_F(s) -
// D_F(c) - max), both 0 at c = s, and the loss of row i is log1p(E_i . X_F exp(both maxima)). A row
// costs one dot product a family and p exponentials in all: p p F + N p of them and N p F
// multiplications. Kept alone, the only row of an s is the mean, and X has the other sign. Several
// calls over the same logits share the rows, which are put in order by the calls that want them.
//
// Order of a loss: dot products as in product.h; rows of an s by ascending a; s ascending.
#pragma once

#include "product.h"

namespace {

// The logits of the pair a, s - a.
template <class Elem>
inline const Elem* fourier_row(const assay::FourierJob& j, int64_t a, int64_t s) {
  const int64_t p = j.args.modulus, b = s >= a ? s - a : s - a + p;
  return static_cast<const Elem*>(j.args.logits.data) + (a * p + b) * j.args.logits.stride;
}

// Asks for a row that is wanted soon: those of an s lie far apart.
template <class Elem>
inline void fourier_fetch(const assay::FourierJob& j, int64_t a, int64_t s) {
  const char* row = reinterpret_cast<const char*>(fourier_row<Elem>(j, a, s));
  const int64_t bytes = j.args.modulus * static_cast<int64_t>(sizeof(Elem));
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i);
}

template <class Elem>
inline void fourier_sums_of(const assay::FourierJob& j, int64_t s) {
  constexpr int64_t kSoon = 4;
  const int64_t p = j.args.modulus;
  double* __restrict to = j.sums + s * j.stride;
  for (int64_t c = 0; c < j.stride; c++) to[c] = 0;
  for (int64_t a = 0; a < p; a++) {
    if (a + kSoon < p) fourier_fetch<Elem>(j, a + kSoon, s);
    const Elem* __restrict row = fourier_row<Elem>(j, a, s);
    for (int64_t c = 0; c < p; c++) to[c] += row[c];
  }
}

void fourier_sums_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::FourierJob*>(job);
  if (j.args.logits.dtype == ASSAY_F64) {
    fourier_sums_of<double>(j, task);
  } else {
    fourier_sums_of<float>(j, task);
  }
}

inline void fourier_add(double factor, const double* __restrict from, int64_t n,
                        double* __restrict to) {
  for (int64_t c = 0; c < n; c++) to[c] += factor * from[c];
}

void fourier_waves_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::FourierJob*>(job);
  const int64_t p = j.args.modulus;
  const double pairs = static_cast<double>(p) * static_cast<double>(p);
  if (task == j.frequencies) {
    for (int64_t c = 0; c < j.stride; c++) j.mean[c] = 0;
    for (int64_t s = 0; s < p; s++) fourier_add(1 / pairs, j.sums + s * j.stride, p, j.mean);
    return;
  }
  if (!j.used[task]) return;
  double* alpha = j.alpha + task * j.stride;
  double* beta = j.beta + task * j.stride;
  for (int64_t c = 0; c < j.stride; c++) alpha[c] = beta[c] = 0;
  for (int64_t s = 0, angle = 0; s < p; s++, angle = (angle + task + 1) % p) {
    fourier_add(2 / pairs * j.cosines[angle], j.sums + s * j.stride, p, alpha);
    fourier_add(2 / pairs * j.sines[angle], j.sums + s * j.stride, p, beta);
  }
  if (j.turns) {
    double* turning = j.turning + task * j.stride;
    double* across = turning + j.frequencies * j.stride;
    double amplitude = 0;
    for (int64_t c = 0, angle = 0; c < p; c++, angle = (angle + task + 1) % p) {
      amplitude += alpha[c] * j.cosines[angle] + beta[c] * j.sines[angle];
    }
    amplitude /= static_cast<double>(p);
    for (int64_t c = 0, angle = 0; c < p; c++, angle = (angle + task + 1) % p) {
      turning[c] = amplitude * j.cosines[angle];
      across[c] = amplitude * j.sines[angle];
    }
  }
}

// x(c) becomes exp(x(c) - max), 0 at c = s and behind p; returns max - x(s), max being over c != s.
inline double fourier_exponentials(int64_t p, int64_t stride, int64_t s, double* __restrict x) {
  using V = Vec<double>;
  const double target = x[s];
  x[s] = -__builtin_inf();
  for (int64_t c = p; c < stride; c++) x[c] = -__builtin_inf();
  V lanes = V::load(x);
  for (int64_t c = V::N; c < stride; c += V::N) lanes = lanes.larger(V::load(x + c));
  double each[V::N];
  lanes.store(each);
  double max = each[0];
  for (int l = 1; l < V::N; l++) max = each[l] > max ? each[l] : max;
  // Not of -infinity, whose exponentials are denormal on the way, for which processors take a
  // detour.
  x[s] = max;
  for (int64_t c = p; c < stride; c++) x[c] = max;
  exponentials(stride, max, x);
  x[s] = 0;
  for (int64_t c = p; c < stride; c++) x[c] = 0;
  return max - target;
}

// Rows of an s, in `order`, of which the same calls want the losses: a bit for each call.
struct FourierRun {
  uint8_t mask;
  int64_t begin, end;
};

// The work on one s: what fourier_loss_task does for each of a lane's.
template <class Elem>
struct FourierSum {
  const assay::FourierJob& j;
  int64_t p, s;
  double* waves;
  double* families;
  double* rows;
  double* __restrict scales;
  double* __restrict row_scales;
  double* losses;
  double* spare;
  int32_t* order;
  FourierRun runs[1 << ASSAY_MAX_ABLATIONS];
  int run_count = 0;

  FourierSum(const assay::FourierJob& job, int64_t lane, int64_t sum)
      : j(job), p(job.args.modulus), s(sum) {
    double* base = j.scratch + lane * j.lane.size;
    waves = base + j.lane.waves;
    families = base + j.lane.families;
    rows = base + j.lane.rows;
    scales = base + j.lane.scales;
    row_scales = base + j.lane.row_scales;
    losses = base + j.lane.losses;
    spare = base + j.lane.spare;
    order = j.order + lane * p;
  }

  // D_F(s, :), with the sign with which it stands in the logits.
  void family(const assay::FourierCall& call, int64_t f, double* to) const {
    for (int64_t c = 0; c < j.stride; c++) to[c] = 0;
    const double sign = call.args.keep ? 1 : -1;
    for (int64_t i = call.offsets[f]; i < call.offsets[f + 1]; i++) {
      const int64_t k = call.members[i];
      if (call.args.rotation) {
        const int64_t angle = (k + 1) * s % p;
        const double* turning = j.turning + k * j.stride;
        fourier_add(sign * j.cosines[angle], turning, p, to);
        fourier_add(sign * j.sines[angle], turning + j.frequencies * j.stride, p, to);
      } else {
        fourier_add(sign, waves + k * j.stride, p, to);
      }
    }
  }

  // The logits of row `a`, or the mean.
  void row(bool mean, int64_t a, double* __restrict to) const {
    if (mean) {
      for (int64_t c = 0; c < p; c++) to[c] = j.mean[c];
      return;
    }
    const Elem* __restrict from = fourier_row<Elem>(j, a, s);
    for (int64_t c = 0; c < p; c++) to[c] = from[c];
  }

  int64_t b(int64_t a) const { return s >= a ? s - a : s - a + p; }
  uint8_t group(const assay::FourierCall& call, int64_t a) const {
    return call.args.groups[a * p + b(a)];
  }

  // The calls that want a loss of row a itself.
  int mask(int64_t a) const {
    int bits = 0;
    for (int64_t i = 0; i < j.call_count; i++) {
      bits |= (!j.calls[i].args.keep && group(j.calls[i], a) != 0) << i;
    }
    return bits;
  }

  // order and runs: by mask and then a. Returns the number of rows.
  int64_t list_rows() {
    int64_t ends[1 << ASSAY_MAX_ABLATIONS] = {};
    const int masks = 1 << j.call_count;
    for (int64_t a = 0; a < p; a++) ends[mask(a)]++;
    int64_t n = 0;
    ends[0] = 0;
    run_count = 0;
    for (int m = 1; m < masks; m++) {
      if (ends[m] > 0) runs[run_count++] = {static_cast<uint8_t>(m), n, n + ends[m]};
      n += ends[m];
      ends[m] = n - ends[m];
    }
    for (int64_t a = 0; a < p; a++) {
      const int m = mask(a);
      if (m != 0) order[ends[m]++] = static_cast<int32_t>(a);
    }
    return n;
  }

  // The loss of one row by itself: log(1 + e^l), l the log-sum-exp of the other classes.
  __attribute__((noinline)) double alone(const assay::FourierCall& call, int64_t a,
                                         int64_t f) const {
    double* x = spare;
    double* d = spare + j.stride;
    row(call.args.keep, a, x);
    family(call, f, d);
    fourier_add(1, d, p, x);
    const double max = fourier_exponentials(p, j.stride, s, x);
    double sum = 0;
    for (int64_t c = 0; c < p; c++) sum += x[c];
    const double l = max + __builtin_log(sum);
    return l > 0 ? l + __builtin_log1p(__builtin_exp(-l)) : __builtin_log1p(__builtin_exp(l));
  }

  void run() {
    for (int64_t k = 0, angle = 0; k < j.frequencies; k++) {
      angle = (angle + s) % p;
      if (!j.used[k]) continue;
      double* wave = waves + k * j.stride;
      for (int64_t c = 0; c < j.stride; c++) wave[c] = 0;
      fourier_add(j.cosines[angle], j.alpha + k * j.stride, p, wave);
      fourier_add(j.sines[angle], j.beta + k * j.stride, p, wave);
    }
    int64_t all = 0;
    for (int64_t i = 0; i < j.call_count; i++) {
      for (int64_t f = 0; f < j.calls[i].args.family_count; f++, all++) {
        family(j.calls[i], f, families + all * j.stride);
        scales[all] = fourier_exponentials(p, j.stride, s, families + all * j.stride);
      }
    }
    for (int64_t f = 0; f < all; f++) scales[f] = exponential<true>(scales[f]);
    int64_t n = list_rows();
    for (int64_t r = 0; r < n; r++) {
      if (r + 1 < n) fourier_fetch<Elem>(j, order[r + 1], s);
      row(false, order[r], rows + r * j.stride);
      row_scales[r] = fourier_exponentials(p, j.stride, s, rows + r * j.stride);
    }
    const int64_t mean = n;
    if (j.keeps) {
      row(true, 0, rows + n * j.stride);
      row_scales[n] = fourier_exponentials(p, j.stride, s, rows + n * j.stride);
      n++;
    }
    for (int64_t r = 0; r < n; r++) row_scales[r] = exponential<true>(row_scales[r]);
    for (int64_t i = 0; i < j.call_count; i++) call(j.calls[i], 1 << i, mean);
  }

  // The losses of one call; row `mean` is the mean.
  void call(const assay::FourierCall& call, int bit, int64_t mean) {
    const int64_t F = call.args.family_count, G = call.args.group_count;
    double* parts = call.parts + s * F * G;
    for (int64_t i = 0; i < F * G; i++) parts[i] = 0;
    for (int64_t f = 0; f < F; f += assay::kTile) {
      const int nf = tile(f, F);
      if (call.args.keep) {
        block(call, f, nf, mean, 1, true);
      } else {
        for (int r = 0; r < run_count; r++) {
          if (!(runs[r].mask & bit)) continue;
          for (int64_t at = runs[r].begin; at < runs[r].end; at += assay::kRowBlock) {
            const int64_t left = runs[r].end - at;
            block(call, f, nf, at,
                  static_cast<int>(left < assay::kRowBlock ? left : assay::kRowBlock), false);
          }
        }
      }
      for (int64_t a = 0; a < p; a++) {
        const uint8_t g = group(call, a);
        if (g == 0) continue;
        const double* loss = losses + (call.args.keep ? 0 : a) * assay::kTile;
        for (int v = 0; v < nf; v++) parts[(f + v) * G + g - 1] += loss[v];
      }
    }
  }

  // losses [a, kTile] of rows r .. r + nr - 1 with families f .. f + nf - 1; of the mean at a = 0.
  void block(const assay::FourierCall& call, int64_t f, int nf, int64_t r, int nr, bool mean) {
    constexpr int kOnce = 8;
    alignas(64) double odds[assay::kRowBlock * assay::kTile] = {};
    product(families + (call.first + f) * j.stride, j.stride, nf, rows + r * j.stride, j.stride, nr,
            j.stride, odds);
    const double* factors = scales + call.first + f;
    for (int i = 0; i < nr; i++) {
      const int64_t a = mean ? 0 : order[r + i];
      double* __restrict of = losses + a * assay::kTile;
      int64_t odd[assay::kTile] = {};
      int64_t any = 0;
      for (int v = 0; v < nf; v++) {
        const double product = odds[i * assay::kTile + v];
        const double x = product * factors[v] * row_scales[r + i];
        odd[v] = !(product > 1e-280) | !(x < 1e300);
        any |= odd[v];
        of[v] = x;
      }
      for (int v = nf; v < assay::kTile; v++) of[v] = 0;
      for (int v = 0; v < nf; v += kOnce) {
        for (int w = 0; w < kOnce; w++) of[v + w] = log1p_positive(of[v + w]);
      }
      for (int v = 0; any && v < nf; v++) {
        if (odd[v]) of[v] = alone(call, a, f + v);
      }
    }
  }
};

template <class Elem>
void fourier_loss_of(const assay::FourierJob& j, int64_t lane) {
  for (int64_t s = lane; s < j.args.modulus; s += j.lanes) FourierSum<Elem>(j, lane, s).run();
}

void fourier_loss_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::FourierJob*>(job);
  if (j.args.logits.dtype == ASSAY_F64) {
    fourier_loss_of<double>(j, task);
  } else {
    fourier_loss_of<float>(j, task);
  }
}

}  // namespace
