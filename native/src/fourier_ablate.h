// Cross-entropies after removing or keeping families of frequencies of a + b.
//
// For each s = a + b: rows E_i(c) = exp(L_i(c) - L_i(s) - max), columns X_F(c) = exp(D_F(s) -
// D_F(c) - max), both 0 at c = s, and the loss of row i is log1p(E_i . X_F exp(both maxima)). A row
// costs one dot product a family and p exponentials in all: p p F + N p of them and N p F
// multiplications. Kept alone, the only row of an s is the mean, and X has the other sign.
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
  double* alpha = j.alpha + task * j.stride;
  double* beta = j.beta + task * j.stride;
  for (int64_t c = 0; c < j.stride; c++) alpha[c] = beta[c] = 0;
  for (int64_t s = 0, angle = 0; s < p; s++, angle = (angle + task + 1) % p) {
    fourier_add(2 / pairs * j.cosines[angle], j.sums + s * j.stride, p, alpha);
    fourier_add(2 / pairs * j.sines[angle], j.sums + s * j.stride, p, beta);
  }
  if (j.args.rotation) {
    double amplitude = 0;
    for (int64_t c = 0, angle = 0; c < p; c++, angle = (angle + task + 1) % p) {
      amplitude += alpha[c] * j.cosines[angle] + beta[c] * j.sines[angle];
    }
    amplitude /= static_cast<double>(p);
    for (int64_t c = 0, angle = 0; c < p; c++, angle = (angle + task + 1) % p) {
      alpha[c] = amplitude * j.cosines[angle];
      beta[c] = amplitude * j.sines[angle];
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
  for (int64_t c = 0; c < stride; c++) x[c] = exponential<true>(x[c] - max);
  return max - target;
}

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
  double* spare;

  FourierSum(const assay::FourierJob& job, int64_t lane, int64_t sum)
      : j(job), p(job.args.modulus), s(sum) {
    double* base = j.scratch + lane * j.lane.size;
    waves = base + j.lane.waves;
    families = base + j.lane.families;
    rows = base + j.lane.rows;
    scales = base + j.lane.scales;
    row_scales = base + j.lane.row_scales;
    spare = base + j.lane.spare;
  }

  // D_F(s, :), with the sign with which it stands in the logits.
  void family(int64_t f, double* to) const {
    for (int64_t c = 0; c < j.stride; c++) to[c] = 0;
    for (int64_t i = j.offsets[f]; i < j.offsets[f + 1]; i++) {
      fourier_add(j.args.keep ? 1 : -1, waves + j.members[i] * j.stride, p, to);
    }
  }

  // The logits of row `a`, or the mean.
  void row(int64_t a, double* __restrict to) const {
    if (j.args.keep) {
      for (int64_t c = 0; c < p; c++) to[c] = j.mean[c];
      return;
    }
    const Elem* __restrict from = fourier_row<Elem>(j, a, s);
    for (int64_t c = 0; c < p; c++) to[c] = from[c];
  }

  // The first row that has a loss of its own, from `a` on; p if there is none.
  int64_t next(int64_t a) const {
    while (a < p && !j.args.keep && !group(a)) a++;
    return a;
  }

  int64_t b(int64_t a) const { return s >= a ? s - a : s - a + p; }
  uint8_t group(int64_t a) const { return j.args.groups[a * p + b(a)]; }

  // The loss of one row by itself: log(1 + e^l), l the log-sum-exp of the other classes.
  __attribute__((noinline)) double alone(int64_t a, int64_t f) const {
    double* x = spare;
    double* d = spare + j.stride;
    row(a, x);
    family(f, d);
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
      double* wave = waves + k * j.stride;
      for (int64_t c = 0; c < j.stride; c++) wave[c] = 0;
      fourier_add(j.cosines[angle], j.alpha + k * j.stride, p, wave);
      fourier_add(j.sines[angle], j.beta + k * j.stride, p, wave);
    }
    const int64_t F = j.args.family_count;
    for (int64_t f = 0; f < F; f++) {
      family(f, families + f * j.stride);
      scales[f] = fourier_exponentials(p, j.stride, s, families + f * j.stride);
    }
    for (int64_t f = 0; f < F; f++) scales[f] = exponential<true>(scales[f]);
    int64_t n = 0;
    for (int64_t a = next(0), after; a < p && !(j.args.keep && n == 1); a = after) {
      after = next(a + 1);
      if (after < p) fourier_fetch<Elem>(j, after, s);
      row(a, rows + n * j.stride);
      row_scales[n] = fourier_exponentials(p, j.stride, s, rows + n * j.stride);
      n++;
    }
    for (int64_t r = 0; r < n; r++) row_scales[r] = exponential<true>(row_scales[r]);
    double* parts = j.parts + s * F * j.args.group_count;
    for (int64_t i = 0; i < F * j.args.group_count; i++) parts[i] = 0;
    for (int64_t f = 0; f < F; f += assay::kTile) {
      const int nf = tile(f, F);
      for (int64_t a = 0, r = 0; r < n; r += assay::kRowBlock) {
        block(f, nf, r, static_cast<int>(n - r < assay::kRowBlock ? n - r : assay::kRowBlock), a);
      }
    }
  }

  // Rows r .. r + nr - 1 with families f .. f + nf - 1; `a` is where to look for the next row.
  void block(int64_t f, int nf, int64_t r, int nr, int64_t& a) {
    alignas(64) double loss[assay::kRowBlock * assay::kTile] = {};
    product(families + f * j.stride, j.stride, nf, rows + r * j.stride, j.stride, nr, j.stride,
            loss);
    const int64_t G = j.args.group_count;
    double* parts = j.parts + (s * j.args.family_count + f) * G;
    for (int i = 0; i < nr; i++) {
      double* __restrict of = loss + i * assay::kTile;
      a = next(a);
      int64_t odd[assay::kTile] = {};
      int64_t any = 0;
      for (int v = 0; v < nf; v++) {
        const double odds = of[v] * scales[f + v] * row_scales[r + i];
        odd[v] = !(of[v] > 1e-280) | !(odds < 1e300);
        any |= odd[v];
        of[v] = odds;
      }
      for (int v = 0; v < assay::kTile; v++) of[v] = log1p_positive(of[v]);
      for (int v = 0; any && v < nf; v++) {
        if (odd[v]) of[v] = alone(a, f + v);
      }
      if (j.args.keep) {
        for (int64_t each = 0; each < p; each++) add(of, nf, G, group(each), parts);
      } else {
        add(of, nf, G, group(a++), parts);
      }
    }
  }

  static void add(const double* loss, int nf, int64_t groups, uint8_t group, double* parts) {
    if (group) {
      for (int v = 0; v < nf; v++) parts[v * groups + group - 1] += loss[v];
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
