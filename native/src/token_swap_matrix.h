// Token swap by the matrix units of an x86-64 processor (AMX), for many audits: products of
// bfloat16 bound every score from both sides. Arithmetic then costs next to nothing, and what is
// left is to read the table once.
//
// With E', X' the operands in bfloat16 and u = 2^-24, a score's product differs from the units' by
// at most ||E[v]|| error[a] + 2^-100, where error is, all of it a little larger,
//   ||x - x'||                  taken from x and x'
//   + 2^-8 (1 + 2^-8) ||x||     of E', if the table is not in bfloat16
//   + (d + 32) 2 u (1 + 2^-6) ||x||  of the units' sums, whatever their order and the direction in
//                               which they round, and of the bounds' own roundings
//   + (d + 8) u ||x||           of the sums that are bounded
// Units, and conversions, take numbers below the normal range as zero: ||E[v]|| is taken as at
// least 2^-60, and 2^-40 ||x|| is added for them. The length is a float sum: d <= kMatrixColumns,
// so that 1 + 2^-10 covers it.
#pragma once

#include <immintrin.h>

#include "token_swap_bounds.h"

// The file's other code must run where these are missing.
#define ASSAY_AMX __attribute__((target("avx512bf16,amx-tile,amx-bf16")))

namespace {

using assay::kMatrixAudits;
using assay::kMatrixStep;
using assay::kTile;

// Every tile register has 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Compilers do not know what memory tiles are loaded from and stored to.
inline void memory_is_read() { __asm__ volatile("" ::: "memory"); }

// Columns that are converted at a time, and what lies between rows of them: no power of two, so
// that rows fall on different lines of the first cache.
constexpr int64_t kMatrixChunk = 128;
constexpr int64_t kMatrixStride = kMatrixChunk + kMatrixStep;

constexpr int64_t kMatrixSums = kTile * kMatrixAudits;

// sums[group][v][16] = or += products of a block of kTile rows with groups of 16 activations, two
// groups at a time and a step of columns at each call: between calls the next block is on its way.
struct MatrixSteps {
  const uint16_t* rows;
  const uint16_t* x;
  int64_t group;  // elements between groups of x
  int64_t steps;
  int groups;
  bool first;
  float* sums;
  int g = 0;
  int64_t s = 0;

  ASSAY_AMX void next() {
    constexpr int64_t row = kMatrixStride * sizeof(uint16_t), line = 64, tile = 16 * 16;
    const bool two = g + 1 < groups;
    float* to = sums + g * kMatrixSums;
    if (s == 0 && first) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    } else if (s == 0) {
      _tile_loadd(0, to, line);
      _tile_loadd(1, to + tile, line);
      if (two) {
        _tile_loadd(2, to + kMatrixSums, line);
        _tile_loadd(3, to + kMatrixSums + tile, line);
      }
    }
    const uint16_t* e = rows + s * kMatrixStep;
    const uint16_t* active = x + g * group + s * kMatrixStep * kMatrixAudits;
    _tile_loadd(4, e, row);
    _tile_loadd(5, e + 16 * kMatrixStride, row);
    _tile_loadd(6, active, line);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    if (two) {
      _tile_loadd(7, active + group, line);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
    if (++s < steps) return;
    _tile_stored(0, to, line);
    _tile_stored(1, to + tile, line);
    if (two) {
      _tile_stored(2, to + kMatrixSums, line);
      _tile_stored(3, to + kMatrixSums + tile, line);
    }
    s = 0;
    g += 2;
  }
};

template <class Elem>
struct MatrixTask {
  // A row of the table as bfloat16, zero up to a whole step; the square of its length. What a tile
  // of rows further on holds is asked for meanwhile.
  ASSAY_AMX static float convert(const Elem* e, int64_t stride, int64_t columns, uint16_t* to) {
    using V = Vec<float>;
    const char* ahead = reinterpret_cast<const char*>(e + kTile * stride);
    V square = V::zero();
    int64_t c = 0;
    for (; c + kMatrixStep <= columns; c += kMatrixStep) {
      for (size_t b = 0; b < kMatrixStep * sizeof(Elem); b += 64) {
        __builtin_prefetch(ahead + c * sizeof(Elem) + b, 0, 2);
      }
      const V low = V::load(e + c), high = V::load(e + c + V::N);
      square = square.fma(low, low);
      square = square.fma(high, high);
      store(low, high, to + c);
    }
    if (c < columns) {
      const int n = static_cast<int>(columns - c);
      const V low = load_part<float>(e + c, n < V::N ? n : V::N);
      const V high = n > V::N ? load_part<float>(e + c + V::N, n - V::N) : V::zero();
      square = square.fma(low, low);
      square = square.fma(high, high);
      store(low, high, to + c);
    }
    return sum(square);
  }

  ASSAY_AMX static void store(Vec<float> low, Vec<float> high, uint16_t* to) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
  }

  // Which tokens of those of 16 audits have upper bounds that are not below the audit's bar: what
  // Bounds::keep asks first, with the same operations, of all of them at once.
  static void above(const assay::SwapJob& job, int64_t audit, __mmask16 audits, int64_t first,
                    int nv, const float* sums, const float* norms, const float* bars,
                    __mmask16* which) {
    const assay_token_swap_topk_params& a = *job.args;
    auto of_audits = [&](const void* values) {
      return values == nullptr
                 ? _mm512_setzero_ps()
                 : _mm512_maskz_loadu_ps(audits, static_cast<const float*>(values) + audit);
    };
    const float* unigram = static_cast<const float*>(a.unigram);
    const float* bias = static_cast<const float*>(a.bias);
    const __m512 alpha = of_audits(a.alpha), lse = of_audits(job.lse);
    const __m512 bar = _mm512_loadu_ps(bars), slack = of_audits(job.slacks);
    const __m512 most = _mm512_set1_ps(0x1p100f), least = _mm512_set1_ps(0x1p-100f);
    const __mmask16 moved = _mm512_cmp_ps_mask(alpha, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    for (int v = 0; v < nv; v++) {
      const __m512 error = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(norms[v]), slack), least);
      __m512 upper = _mm512_add_ps(_mm512_load_ps(sums + v * kMatrixAudits), error);
      if (moved != 0) {
        const __m512 b = _mm512_set1_ps(bias == nullptr ? 0 : bias[first + v]);
        const __m512 more = _mm512_mul_ps(alpha, _mm512_sub_ps(b, lse));
        upper = _mm512_mask_add_ps(upper, moved, upper, more);
      }
      if (unigram != nullptr) upper = _mm512_add_ps(upper, _mm512_set1_ps(unigram[first + v]));
      which[v] = audits & (_mm512_cmp_ps_mask(upper, bar, _CMP_NLT_UQ) |
                           _mm512_cmp_ps_mask(error, most, _CMP_NLT_UQ));
    }
  }

  static float bar_of(const assay::SwapJob& job, const Range& t, int64_t audit) {
    const Heap<float> heap = heap_of<float>(job, audit * job.segments.count + t.segment);
    return Bounds::bar_of(job, audit, heap);
  }

  static void keep(const assay::SwapJob& job, const Range& t, int64_t audit, int64_t token,
                   float sum, float norm) {
    const int64_t part = audit * job.segments.count + t.segment;
    if (job.listed[part] < 0) return;
    const float error = usable(norm * job.slacks[audit] + 0x1p-100f);
    float lower = sum - error, upper = sum + error;
    Bounds::keep(job, part, audit, token, 1, &lower, &upper);
  }

  // Lists what may be wanted of a tile of tokens, from the products and the squares of the lengths.
  static void bound(const assay::SwapJob& job, const Range& t, int64_t first, int nv,
                    const float* sums, float* norms, float* bars) {
    for (int i = 0; i < nv; i++) {
      const float norm = __builtin_sqrtf(norms[i]) * (1 + 0x1p-10f);
      norms[i] = norm < 0x1p-60f ? 0x1p-60f : norm;
    }
    if ((first - t.first) % (8 * kTile) == 0) {  // what other threads know by now
      for (int r = 0; r < t.rows; r++) bars[r] = bar_of(job, t, t.row + r);
    }
    for (int r = 0; r < t.rows; r += kMatrixAudits, sums += kMatrixSums, bars += kMatrixAudits) {
      const int64_t audit = t.row + r;
      const __mmask16 audits = t.rows - r < kMatrixAudits ? (1 << (t.rows - r)) - 1 : 0xffff;
      __mmask16 which[kTile];
      above(job, audit, audits, first, nv, sums, norms, bars, which);
      for (int i = 0; i < nv; i++) {
        for (unsigned wanted = which[i]; wanted != 0; wanted &= wanted - 1) {
          const int a = __builtin_ctz(wanted);
          keep(job, t, audit + a, first + i, sums[i * kMatrixAudits + a], norms[i]);
          bars[a] = bar_of(job, t, audit + a);
        }
      }
    }
  }

  ASSAY_AMX static void run(const assay::SwapJob& job, int64_t task) {
    const assay_matrix& table = job.args->embedding;
    const Range t = range(task, job.segments, job.gradient.rows, table.rows);
    const Elem* e = static_cast<const Elem*>(table.data);
    const int64_t d = table.columns;
    const int64_t group = assay::matrix_columns(d) * kMatrixAudits;
    const uint16_t* x = job.parts + t.row / kMatrixAudits * group;
    const int groups = (t.rows + kMatrixAudits - 1) / static_cast<int>(kMatrixAudits);
    alignas(64) uint16_t rows[2][kTile * kMatrixStride] = {};
    alignas(64) float sums[assay::kRowBlock * kTile];
    float norms[2][kTile], bars[assay::kRowBlock];
    for (int r = 0; r < t.rows; r++) {
      const int64_t part = (t.row + r) * job.segments.count + t.segment;
      job.counts[part] = 0;
      job.listed[part] = 0;
    }
    const TileShapes shapes;
    memory_is_read();
    _tile_loadconfig(&shapes);
    // Block b: chunk b % chunks of tile b / chunks. While the products of one are made, the next is
    // converted: arithmetic is done while memory is waited for.
    const int64_t chunks = (d + kMatrixChunk - 1) / kMatrixChunk;
    const int64_t blocks = (t.last - t.first + kTile - 1) / kTile * chunks;
    MatrixSteps work{};
    for (int64_t b = 0; b <= blocks; b++) {
      const int64_t next = t.first + b / chunks * kTile, c = b % chunks * kMatrixChunk;
      const int64_t columns = d - c < kMatrixChunk ? d - c : kMatrixChunk;
      const int nv = b < blocks ? tile(next, t.last) : 0;
      float* squares = norms[b / chunks % 2];
      const int64_t all = work.steps * ((work.groups + 1) / 2);
      int64_t done = 0;
      for (int i = 0; i < nv; i++) {
        const float square = convert(e + (next + i) * table.stride + c, table.stride, columns,
                                     rows[b % 2] + i * kMatrixStride);
        squares[i] = c == 0 ? square : squares[i] + square;
        for (; done < all * (i + 1) / kTile; done++) work.next();
      }
      for (; done < all; done++) work.next();
      memory_is_read();
      if (b > 0 && b % chunks == 0) {
        const int64_t first = next - kTile;
        bound(job, t, first, tile(first, t.last), sums, norms[(b / chunks - 1) % 2], bars);
      }
      work = {rows[b % 2], x + c * kMatrixAudits,
              group,       (columns + kMatrixStep - 1) / kMatrixStep,
              groups,      c == 0,
              sums};
    }
    _tile_release();
  }
};

ASSAY_AMX void token_swap_matrix_task(const void* job, int64_t task) {
  const auto& j = *static_cast<const assay::SwapJob*>(job);
  switch (j.args->embedding.dtype) {
    case ASSAY_F16: MatrixTask<Half>::run(j, task); break;
    case ASSAY_BF16: MatrixTask<Bf16>::run(j, task); break;
    default: MatrixTask<float>::run(j, task); break;
  }
}

}  // namespace
