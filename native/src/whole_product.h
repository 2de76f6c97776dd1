// Products of a coarse table's rows, 8 bits, with activations of 16: whole numbers, exact.
#pragma once

#include "product.h"

namespace {

// out[j * kTile + i * Apart] = w[i * Apart] . x[j] for NV <= 4 table rows and NR activations, which
// are padded with zeros to whole vectors.
template <int NV, int NR, int Apart, class Ahead>
inline void whole_dots(const int8_t* w, int64_t w_stride, const int16_t* x, int64_t x_stride,
                       int64_t d, int32_t* out, Ahead& ahead) {
  WholeSum acc[NR][4];
  for (int j = 0; j < NR; j++) {
    for (int i = 0; i < 4; i++) acc[j][i] = WholeSum::zero();
  }
  int64_t c = 0;
  for (; c + Whole::N <= d; c += Whole::N) {
    ahead.touch();
    for (int i = 0; i < NV; i++) {
      const Whole a = Whole::load(w + i * Apart * w_stride + c);
      for (int j = 0; j < NR; j++) acc[j][i] = acc[j][i].add(a, Whole::load(x + j * x_stride + c));
    }
  }
  if (c < d) {
    for (int i = 0; i < NV; i++) {
      int8_t lanes[Whole::N] = {};
      for (int64_t k = c; k < d; k++) lanes[k - c] = w[i * Apart * w_stride + k];
      const Whole a = Whole::load(lanes);
      for (int j = 0; j < NR; j++) acc[j][i] = acc[j][i].add(a, Whole::load(x + j * x_stride + c));
    }
  }
  for (int j = 0; j < NR; j++) {
    int32_t four[4];
    sums(acc[j], four);
    for (int i = 0; i < NV; i++) out[j * assay::kTile + i * Apart] = four[i];
  }
}

template <int NV, int NR, int Apart, class Ahead>
inline void whole_rows(const int8_t* w, int64_t w_stride, const int16_t* x, int64_t x_stride,
                       int nr, int64_t d, int32_t* out, Ahead& ahead) {
  int r = 0;
  for (; r + NR <= nr; r += NR) {
    whole_dots<NV, NR, Apart>(w, w_stride, x + r * x_stride, x_stride, d, out + r * assay::kTile,
                              ahead);
  }
  if constexpr (NR > 1) {
    whole_rows<NV, NR - 1, Apart>(w, w_stride, x + r * x_stride, x_stride, nr - r, d,
                                  out + r * assay::kTile, ahead);
  }
}

// out[r * kTile + v] = w[v] . x[r] for nv <= kTile table rows and nr activations.
inline void whole_product(const int8_t* w, int64_t w_stride, int nv, const int16_t* x,
                          int64_t x_stride, int nr, int64_t d, int32_t* out) {
  constexpr int NR = Whole::Rows;
  const int64_t row = w_stride * static_cast<int64_t>(sizeof *w);
  int v = 0;
  if (nv == assay::kTile && nr <= 2 * NR) {  // as dot_tile
    constexpr int apart = assay::kTile / 4;
    for (; v < apart; v++, w += w_stride) {
      AheadOfEach<4> ahead{reinterpret_cast<const char*>(w) + kAheadOfPlace, apart * row,
                           Whole::N / ((nr + NR - 1) / NR)};
      whole_rows<4, NR, apart>(w, w_stride, x, x_stride, nr, d, out + v, ahead);
    }
    return;
  }
  for (; v + 4 <= nv; v += 4, w += 4 * w_stride, out += 4) {
    auto ahead = ahead_of<4 * Whole::N * sizeof *w>(w, kAhead * row, 4 * row, (nr + NR - 1) / NR);
    whole_rows<4, NR, 1>(w, w_stride, x, x_stride, nr, d, out, ahead);
  }
  for (; v < nv; v++, w += w_stride, out++) {
    Ahead<0> none(w, 0, 0);
    whole_rows<1, NR, 1>(w, w_stride, x, x_stride, nr, d, out, none);
  }
}

}  // namespace
