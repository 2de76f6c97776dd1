// Products of table rows with activations on the matrix units, near enough to bound the exact ones.
//
// Numbers are split in bfloat16 parts, each the nearest to what the ones before it lack:
// activations in two, tables in as many as they need, two of a float or a half, one of a bfloat16.
// Products of parts are exact; of two times two the smallest is left out.
//
// Error. u = 2^-24, e a table row, x an activation, x' the sum of its parts, P products of parts
// (2, or 3), d columns, D with zeros up to a whole step. What this computes differs from e.x by at
// most
//
//   ||e|| ||x - x'||                        by Cauchy and Schwarz; the norm is measured
//   + 2^-15 (1 + 2^-7) ||e|| ||x||          where e has two parts: what they lack, and the product
//                                           left out. A part is within 2^-8 of what it is the part
//                                           of, so each of these is below 2^-16 (1 + 2^-7)
//   + P (2 d + D) u (1 + 2^-5) ||e|| ||x||  of the sums: a unit takes n >= 4 products and the sum
//                                           so far at once, and cuts those that are not zero, and
//                                           the result, by at most 2 u of the largest. That is at
//                                           most all magnitudes together, with the parts'
//                                           (1 + 2^-5) ||e|| ||x||; P (d + 2 D / 4) are cut
//
// which holds for whatever order and direction of the cuts (Fasi et al. 2021, PeerJ Computer
// Science 7:e330, for sm_80; Khattak and Mikaitis 2025, arXiv 2512.07004, for sm_90 and sm_100:
// there 8 or 16 products, 24 bits or more, towards zero). Numbers below the normal range may come
// out as zero: norms are taken as at least 2^-60, and 2^-100 is added to the whole.
//
// Design: mma.sync m16n8k16, which all targets have, rather than wgmma with tiles brought by TMA.
// Those are of sm_90a alone: the driver would not compile them for newer devices, which want yet
// another instruction, and tables of float or half could not be split on the way. What they would
// give on sm_90 is the difference between some 60 % of the matrix rate, which measurements allow
// mma.sync there (Luo et al. 2025, arXiv 2501.12084), and all of it: 25 us of 65 at 256 audits of
// GPT-2 small's vocabulary.
//
// A block has 128 tokens and 32 audits for each pair of warps, a warp 64 x 32: for 32 mma it reads
// 4 KB of shared memory. A step is 16 columns; the next one comes through registers, so that
// tables are converted on the way, into the other of two buffers: one barrier a step. Rows are 8
// words; in rows 4 to 7 of 8 the halves change places, which keeps the stores of 16 bytes and the
// loads of fragments in different banks. Tables are loaded 16 bytes at a time where address and
// stride allow, else element by element.
#pragma once

#include <type_traits>

#include "product.cuh"

namespace assay {

constexpr int kActiveParts = 2;
// Rows of activations behind the last are zero up to a multiple of this, columns to one of
// kColumns.
constexpr int64_t kActiveRows = 128;
constexpr int kColumns = 16;

template <class ElemType, int AuditWarps>
struct MatrixTile {
  using Elem = ElemType;
  static constexpr int kTableParts = std::is_same_v<Elem, Bf16> ? 1 : 2;
  static constexpr int kProducts = kTableParts + 1;
  static constexpr int kTokens = 128;
  static constexpr int kAudits = 32 * AuditWarps;
  static constexpr int kThreads = 2 * kWarp * AuditWarps;
  // Of a multiprocessor, as registers allow without spilling.
  static constexpr int kBlocks = AuditWarps == 4 && sizeof(Elem) == 2 ? 2 : 1;
  static constexpr int kRowWords = kColumns / 2;
  // Of each thread in a step: 8 columns of a row, of the table and of the activations.
  static constexpr int kTableChunks = 2 * kTokens / kThreads;
  static constexpr int kActiveChunks = 2 * kActiveParts * kAudits / kThreads;
  // Elements of the shared arrays.
  static constexpr int kTable = 2 * kTableParts * kTokens * kRowWords / 4;
  static constexpr int kActive = 2 * kActiveParts * kAudits * kRowWords / 4;
  static constexpr int kSquares = 2 * kTokens;
  // Tiles of a warp's 64 tokens and 32 audits.
  static constexpr int kTokenTiles = 4;
  static constexpr int kAuditTiles = 4;
};

// The error of products of d columns but for ||x - x'||, as a multiple of ||e|| ||x||.
template <class Elem>
double matrix_error(int64_t d, int64_t columns) {
  constexpr double parts = std::is_same_v<Elem, Bf16> ? 0 : 0x1p-15 * (1 + 0x1p-7);
  const double cuts = static_cast<double>(MatrixTile<Elem, 2>::kProducts * (2 * d + columns));
  return parts + cuts * 0x1p-24 * (1 + 0x1p-5);
}

// Activations in parts: [rows, kActiveParts, columns], zeros behind rows and columns.
struct Parts {
  const uint16_t* data;
  int columns;
};

// sums[i][j]: of the warp's tokens 16 i .. and audits 8 j .., as mma_bf16 has them. squares[2 n],
// squares[2 n + 1]: together the square of row n's norm, behind the next barrier. The table has
// rows up to table.rows, and columns up to d; `aligned`: rows begin at multiples of 16 bytes.
template <class M>
__device__ void matrix_product(const Rows<typename M::Elem>& table, bool aligned,
                               const Parts& active, int64_t first_row, int d,
                               Shared<Words> table_tile, Shared<Words> active_tile,
                               Shared<float> squares,
                               float (&sums)[M::kTokenTiles][M::kAuditTiles][4]) {
  using Elem = typename M::Elem;
  constexpr int kPartTokens = M::kTokens * M::kRowWords / 4;
  constexpr int kPartAudits = M::kAudits * M::kRowWords / 4;
  constexpr int kRegisters = 8 * sizeof(Elem) / sizeof(Words);
  union Chunk {
    Words words[kRegisters];
    Elem of[8];
  };
  const int thread = static_cast<int>(threadIdx.x);
  const int half = thread % 2;
  // A thread loads 8 columns of every kThreads / 2-th row of the table, and of every kThreads /
  // 4-th of the activations one of the parts; all these rows are equal modulo 8.
  const int row = thread / 2;
  const int audit = thread / 4;
  const int part = thread / 2 % 2;
  const int table_at = 2 * row + (half ^ (row >> 2 & 1));
  const int active_at = part * kPartAudits + 2 * audit + (half ^ (audit >> 2 & 1));
  const Elem* table_from = table.data + row * table.stride + half * 8;
  const uint16_t* active_from =
      active.data + ((first_row + audit) * kActiveParts + part) * active.columns + half * 8;
  const int rows = table.rows < M::kTokens ? static_cast<int>(table.rows) : M::kTokens;
  Chunk next_table[M::kTableChunks];
  Words next_active[M::kActiveChunks];
  float square[M::kTableChunks] = {};
  auto load = [&](int column) {
#pragma unroll
    for (int i = 0; i < M::kTableChunks; i++) {
      const Elem* from = table_from + i * (M::kThreads / 2) * table.stride + column;
      const bool exists = row + i * (M::kThreads / 2) < rows;
      const int left = exists ? d - column - half * 8 : 0;
      if (aligned && left >= 8) {
#pragma unroll
        for (int w = 0; w < kRegisters; w++) {
          next_table[i].words[w] = load_words(from + w * 8 / kRegisters);
        }
      } else {
#pragma unroll
        for (int k = 0; k < 8; k++) next_table[i].of[k] = k < left ? from[k] : Elem{};
      }
    }
#pragma unroll
    for (int i = 0; i < M::kActiveChunks; i++) {
      next_active[i] =
          load_words(active_from + i * (M::kThreads / 4) * kActiveParts * active.columns + column);
    }
  };
  auto store = [&](int buffer) {
#pragma unroll
    for (int i = 0; i < M::kTableChunks; i++) {
      Words first, second;
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const float low = widen(next_table[i].of[2 * k]);
        const float high = widen(next_table[i].of[2 * k + 1]);
        square[i] = fma(low, low, fma(high, high, square[i]));
        if constexpr (M::kTableParts == 2) {
          first.of[k] = bf16_pair(low, high);
          second.of[k] = bf16_pair(low - low_of(first.of[k]), high - high_of(first.of[k]));
        }
      }
      if constexpr (M::kTableParts == 1) first = next_table[i].words[0];
      const int at = buffer * M::kTableParts * kPartTokens + table_at + i * M::kThreads;
      table_tile[at] = first;
      if constexpr (M::kTableParts == 2) table_tile[at + kPartTokens] = second;
    }
#pragma unroll
    for (int i = 0; i < M::kActiveChunks; i++) {
      active_tile[buffer * kActiveParts * kPartAudits + active_at + i * (M::kThreads / 2)] =
          next_active[i];
    }
  };
  // Fragments: columns 2t, 2t + 1 of row g, in words, and those 8 behind are 4 words away, on one
  // side or the other.
  const int lane = thread % kWarp;
  const int g = lane / 4;
  const int near = lane % 4 ^ (g & 4);
  const int token_at = (thread / kWarp % 2 * 64 + g) * M::kRowWords;
  const int audit_at = (thread / (2 * kWarp) * 32 + g) * M::kRowWords;
#pragma unroll
  for (int i = 0; i < M::kTokenTiles; i++) {
#pragma unroll
    for (int j = 0; j < M::kAuditTiles; j++) {
#pragma unroll
      for (int k = 0; k < 4; k++) sums[i][j][k] = 0;
    }
  }
  load(0);
  // Of a product before this one the last step has been multiplied.
  __syncthreads();
  store(0);
  int buffer = 0;
  for (int column = 0; column < active.columns; column += kColumns) {
    const bool more = column + kColumns < active.columns;
    // This step is stored, and the one before it multiplied.
    __syncthreads();
    if (more) load(column + kColumns);
    // The smallest products first, which need the second parts of the table.
#pragma unroll
    for (int table_part = M::kTableParts - 1; table_part >= 0; table_part--) {
      const Shared<Words> tokens =
          table_tile + (buffer * M::kTableParts + table_part) * kPartTokens;
      uint32_t a[M::kTokenTiles][4];
#pragma unroll
      for (int i = 0; i < M::kTokenTiles; i++) {
#pragma unroll
        for (int k = 0; k < 4; k++) {
          const int at = token_at + (16 * i + k % 2 * 8) * M::kRowWords;
          a[i][k] = word_of(tokens, at + (k < 2 ? near : near ^ 4));
        }
      }
#pragma unroll
      for (int j = 0; j < M::kAuditTiles; j++) {
        // Tiles in turn, so that none waits for its own sum.
#pragma unroll
        for (int other = kActiveParts - 1 - table_part; other >= 0; other--) {
          const Shared<Words> audits = active_tile + (buffer * kActiveParts + other) * kPartAudits;
          const int at = audit_at + 8 * j * M::kRowWords;
          const uint32_t b[2] = {word_of(audits, at + near), word_of(audits, at + (near ^ 4))};
#pragma unroll
          for (int i = 0; i < M::kTokenTiles; i++) mma_bf16(sums[i][j], a[i], b);
        }
      }
    }
    buffer ^= 1;
    if (more) store(buffer);
  }
#pragma unroll
  for (int i = 0; i < M::kTableChunks; i++) squares[thread + i * M::kThreads] = square[i];
}

}  // namespace assay
