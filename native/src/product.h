// Products of table rows with packed activations, a register tile at a time.
//
// Order of a dot product: lane l sums columns l, l+N, l+2N, ... ascending; then the lanes are added
// as sum() in simd.h says. No other row takes part, so the bits depend on the two rows only.
#pragma once

#include <type_traits>

#include "internal.h"
#include "simd.h"

namespace {

// Columns of a table whose rows are copied before they meet several activations.
constexpr int64_t kCopied = 4096;

// Table rows that are asked for before they are needed.
constexpr int64_t kAhead = 8;

// Memory that is wanted soon, evenly over the steps of a product, at most Lines cache lines each.
// It goes to the second cache: the first has few lines in flight, and holds the activations.
template <int Lines>
struct Ahead {
  const char* at;
  int64_t step;
  Ahead(const void* from, int64_t bytes, int64_t steps)
      : at(static_cast<const char*>(from)), step(steps > 0 ? bytes / steps + 1 : 0) {}
  void touch() {
    for (int i = 0; i < Lines; i++) __builtin_prefetch(at + 64 * i, 0, 2);
    at += step;
  }
};

// Of a block of `bytes` bytes of which a step takes Step, each read by `groups` groups of
// activations; the block wanted soon is `distance` bytes behind w.
template <int Step>
inline auto ahead_of(const void* w, int64_t distance, int64_t bytes, int64_t groups) {
  return Ahead<(Step + 127) / 128>(static_cast<const char*>(w) + distance, bytes,
                                   groups * (bytes / Step));
}

// Bytes from one of several places that are read at once to what is asked for beside it.
constexpr int64_t kAheadOfPlace = 2048;

// The same of NV places that are read at once.
template <int NV>
struct AheadOfEach {
  const char* at;
  int64_t apart, step;
  void touch() {
    for (int i = 0; i < NV; i++) __builtin_prefetch(at + i * apart, 0, 2);
    at += step;
  }
};

// out[j * kTile + i * Apart] = w[i * Apart] . x[j] for NV table rows and NR activations: each table
// vector is loaded once for NR rows.
template <int NV, int NR, int Apart, class Real, class Elem, class Ahead>
inline void dots(const Elem* w, int64_t w_stride, const Real* x, int64_t x_stride, int64_t d,
                 Real* out, Ahead& ahead) {
  using V = Vec<Real>;
  V acc[NV][NR];
  for (int i = 0; i < NV; i++) {
    for (int j = 0; j < NR; j++) acc[i][j] = V::zero();
  }
  int64_t c = 0;
  for (; c + V::N <= d; c += V::N) {
    ahead.touch();
    V b[NR];
    for (int j = 0; j < NR; j++) b[j] = V::load(x + j * x_stride + c).held();
    for (int i = 0; i < NV; i++) {
      const V a = V::load(w + i * Apart * w_stride + c).held();
      for (int j = 0; j < NR; j++) acc[i][j] = acc[i][j].fma(a, b[j]);
    }
  }
  if (c < d) {
    V b[NR];
    for (int j = 0; j < NR; j++) b[j] = V::load(x + j * x_stride + c);
    for (int i = 0; i < NV; i++) {
      const V a = load_part<Real>(w + i * Apart * w_stride + c, static_cast<int>(d - c));
      for (int j = 0; j < NR; j++) acc[i][j] = acc[i][j].fma(a, b[j]);
    }
  }
  for (int j = 0; j < NR; j++) {
    if constexpr (NV % 4 == 0) {
      Real all[NV];
      for (int i = 0; i < NV; i += 4) {
        const V four[4] = {acc[i][j], acc[i + 1][j], acc[i + 2][j], acc[i + 3][j]};
        sums(four, all + i);
      }
      for (int i = 0; i < NV; i++) out[j * assay::kTile + i * Apart] = all[i];
    } else {
      for (int i = 0; i < NV; i++) out[j * assay::kTile + i * Apart] = sum(acc[i][j]);
    }
  }
}

// Blocks times NV table rows with nr activations, NR at a time and fewer at the end. Blocks are
// adjacent: there is one where a block's rows are not.
template <int NV, int NR, int Blocks, int Apart, class Real, class Elem, class Ahead>
inline void dot_rows(const Elem* w, int64_t w_stride, const Real* x, int64_t x_stride, int nr,
                     int64_t d, Real* out, Ahead& ahead) {
  static_assert(Blocks == 1 || Apart == 1);
  int r = 0;
  for (; r + NR <= nr; r += NR) {
    for (int b = 0; b < Blocks * NV; b += NV) {
      dots<NV, NR, Apart>(w + b * w_stride, w_stride, x + r * x_stride, x_stride, d,
                          out + r * assay::kTile + b, ahead);
    }
  }
  if constexpr (NR > 1) {
    dot_rows<NV, NR - 1, Blocks, Apart>(w, w_stride, x + r * x_stride, x_stride, nr - r, d,
                                        out + r * assay::kTile, ahead);
  }
}

// A whole tile, read at NV places at the same time: a processor asks ahead at each of them by
// itself. Where several activations meet what is read, it stops meanwhile: prefetches go on.
template <int NV, int NR, class Real, class Elem>
inline void dot_tile(const Elem* w, int64_t w_stride, const Real* x, int64_t x_stride, int nr,
                     int64_t d, Real* out) {
  constexpr int apart = assay::kTile / NV;
  constexpr int64_t step = Vec<Real>::N * sizeof(Elem);
  const int64_t groups = (nr + NR - 1) / NR;
  for (int v = 0; v < apart; v++, w += w_stride) {
    if constexpr (NR == 1) {
      Ahead<0> none(w, 0, 0);
      dot_rows<NV, 1, 1, apart>(w, w_stride, x, x_stride, nr, d, out + v, none);
    } else {
      AheadOfEach<NV> ahead{reinterpret_cast<const char*>(w) + kAheadOfPlace,
                            apart * w_stride * static_cast<int64_t>(sizeof(Elem)), step / groups};
      dot_rows<NV, NR, 1, apart>(w, w_stride, x, x_stride, nr, d, out + v, ahead);
    }
  }
}

// to[i * stride + c] = w[i][c], zero behind column d.
template <class Real, class Elem>
inline void copy_rows(const Elem* w, int64_t w_stride, int64_t d, int64_t stride, Real* to) {
  using V = Vec<Real>;
  for (int i = 0; i < 4; i++, w += w_stride, to += stride) {
    int64_t c = 0;
    for (; c + V::N <= d; c += V::N) V::load(w + c).store(to + c);
    for (; c < stride; c++) to[c] = c < d ? widen(w[c]) : Real(0);
  }
}

// Whether a row's vectors can be used where they lie: of the right type, on whole lines, no tail.
template <class Real, class Elem>
inline bool in_place(const Elem* w, int64_t w_stride, int64_t d) {
  constexpr uintptr_t mask = 63;
  return std::is_same_v<Real, Elem> && d % Vec<Real>::N == 0 &&
         ((reinterpret_cast<uintptr_t>(w) | (w_stride * sizeof(Elem))) & mask) == 0;
}

// out[r * kTile + v] = w[v] . x[r] for nv <= kTile table rows and nr activations. Table rows that
// meet several activations are first copied, aligned and widened, unless they are so already.
template <class Real, class Elem>
inline void product(const Elem* w, int64_t w_stride, int nv, const Real* x, int64_t x_stride,
                    int nr, int64_t d, Real* out) {
  constexpr int NR = Vec<Real>::Rows;
  alignas(64) Real copy[4 * kCopied];
  constexpr int step = 4 * Vec<Real>::N * sizeof(Elem);
  const bool copied = nr > NR && d <= kCopied && !in_place<Real>(w, w_stride, d);
  const int64_t row = w_stride * static_cast<int64_t>(sizeof(Elem));
  const int64_t groups = (nr + NR - 1) / NR;
  int v = 0;
  if (nv == assay::kTile && nr <= 2 * NR && !copied) {
    if (nr == 1) {
      dot_tile<8, 1>(w, w_stride, x, x_stride, nr, d, out);
    } else {
      dot_tile<4, NR>(w, w_stride, x, x_stride, nr, d, out);
    }
    return;
  }
  // Many activations do not stay in the first cache: each group of them meets eight rows.
  if (nr > 2 * NR && !copied) {
    for (; v + 8 <= nv; v += 8, w += 8 * w_stride, out += 8) {
      auto ahead = ahead_of<step>(w, kAhead * row, 8 * row, groups);
      dot_rows<4, NR, 2, 1>(w, w_stride, x, x_stride, nr, d, out, ahead);
    }
  }
  for (; v + 4 <= nv; v += 4, w += 4 * w_stride, out += 4) {
    auto ahead = ahead_of<step>(w, kAhead * row, 4 * row, groups);
    if (copied) {
      copy_rows(w, w_stride, d, x_stride, copy);
      dot_rows<4, NR, 1, 1>(copy, x_stride, x, x_stride, nr, x_stride, out, ahead);
    } else {
      dot_rows<4, NR, 1, 1>(w, w_stride, x, x_stride, nr, d, out, ahead);
    }
  }
  for (; v < nv; v++, w += w_stride, out++) {
    Ahead<0> none(w, 0, 0);
    dot_rows<1, NR, 1, 1>(w, w_stride, x, x_stride, nr, d, out, none);
  }
}

template <class Real>
inline void add_bias(const void* bias, int64_t first, int nv, int nr, Real* logits) {
  if (bias == nullptr) return;
  const Real* b = static_cast<const Real*>(bias) + first;
  for (int r = 0; r < nr; r++) {
    for (int v = 0; v < nv; v++) logits[r * assay::kTile + v] += b[v];
  }
}

// The rows and tokens of a task.
struct Range {
  int64_t row, segment, first, last;
  int rows;
};

inline Range range(int64_t task, assay::Segments s, int64_t rows, int64_t vocabulary) {
  Range r;
  r.row = task / s.count * assay::kRowBlock;
  r.rows = static_cast<int>(rows - r.row < assay::kRowBlock ? rows - r.row : assay::kRowBlock);
  r.segment = task % s.count;
  r.first = r.segment * s.length;
  r.last = r.first + s.length < vocabulary ? r.first + s.length : vocabulary;
  return r;
}

inline int tile(int64_t v, int64_t last) {
  return static_cast<int>(last - v < assay::kTile ? last - v : assay::kTile);
}

// Runs Body<Real, Elem>::run(job, task) for the table's element type.
template <template <class, class> class Body, class Job>
inline void by_type(int32_t dtype, const Job& job, int64_t task) {
  switch (dtype) {
    case ASSAY_F64: Body<double, double>::run(job, task); break;
    case ASSAY_F16: Body<float, Half>::run(job, task); break;
    case ASSAY_BF16: Body<float, Bf16>::run(job, task); break;
    default: Body<float, float>::run(job, task); break;
  }
}

}  // namespace
