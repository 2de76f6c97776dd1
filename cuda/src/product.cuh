// Products of table rows with activations, a tile of a block's threads at a time.
//
// Order of a dot product: columns ascending from zero, one fused multiply-add each. No other row
// takes part and no shape of a tile changes it, so a few rows and many give the same bits.
//
// A tile goes through shared memory in steps of kDepth columns: the loads of the next step are in
// flight, in registers, while this one is multiplied. Lanes load neighbouring columns, whole lines
// where rows are as wide; they store them a column apart, with one element of padding, so that
// neither the stores nor the reads, where lanes differ in the token, meet in a bank. Strides and
// addresses may be anything, so nothing is loaded in vectors.
#pragma once

#include <type_traits>

#include "device.h"

namespace assay {

// Threads are RowThreads x TokenThreads; thread (i, j) has activations i, i + RowThreads, ... and
// tokens j, j + TokenThreads, ...
template <class ElemType, int RowThreadCount, int TokenThreadCount, int RowsEach, int TokensEach>
struct Tile {
  using Elem = ElemType;
  using Real = typename RealOf<Elem>::type;
  static constexpr int kRowThreads = RowThreadCount;
  static constexpr int kTokenThreads = TokenThreadCount;
  static constexpr int kRowsEach = RowsEach;
  static constexpr int kTokensEach = TokensEach;
  static constexpr int kThreads = kRowThreads * kTokenThreads;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kRows = kRowThreads * kRowsEach;
  static constexpr int kTokens = kTokenThreads * kTokensEach;
  // Columns of a step: a line of a float table, half of one where sums need the registers.
  static constexpr int kDepth = (kRowsEach * kTokensEach > 8 ? 64 : 128) / sizeof(Real);
  // Rows that the threads load at a time, each thread always the same column.
  static constexpr int kStride = kThreads / kDepth;
  // Elements of the two shared arrays.
  static constexpr int kTable = kDepth * (kTokens + 1);
  static constexpr int kActive = kDepth * (kRows + 1);
  // Loads of one thread in a step.
  static constexpr int kTableLoads = kTokens / kStride;
  static constexpr int kActiveLoads = (kRows + kStride - 1) / kStride;
  static_assert(kThreads % kDepth == 0 && kTokens % kStride == 0);
};

// Rows of equal length, of which the first `rows` exist; elements behind count as zero.
template <class Elem>
struct Rows {
  const Elem* data;
  int64_t stride, rows;
};

// Rows in any order: token n's is ids[n], or where that is -1 zero.
template <class Elem>
struct ListedRows {
  const Elem* data;
  int64_t stride;
  Shared<int32_t> ids;
};

// acc[i][j] = table row of token j . activation of row i. All threads of the block take part; the
// shared arrays may be used otherwise behind the next barrier only.
template <class T, class Table>
__device__ void product(const Table& table, const Rows<typename T::Real>& active, int64_t d,
                        Shared<typename T::Real> table_tile, Shared<typename T::Real> active_tile,
                        typename T::Real (&acc)[T::kRowsEach][T::kTokensEach]) {
  using Real = typename T::Real;
  using Elem = typename T::Elem;
  constexpr int kTableRow = T::kTokens + 1;
  constexpr int kActiveRow = T::kRows + 1;
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / T::kTokenThreads;
  const int token = thread % T::kTokenThreads;
  Elem next_table[T::kTableLoads];
  Real next_active[T::kActiveLoads];
  const int load_column = thread % T::kDepth;
  const int load_row = thread / T::kDepth;
  auto load = [&](int64_t column) {
    const int64_t c = column + load_column;
    if constexpr (std::is_same_v<Table, ListedRows<Elem>>) {
#pragma unroll
      for (int i = 0; i < T::kTableLoads; i++) {
        const int32_t id = table.ids[load_row + i * T::kStride];
        next_table[i] = id >= 0 && c < d ? table.data[id * table.stride + c] : Elem{};
      }
    } else {
      const Elem* w = table.data + load_row * table.stride + c;
      const int table_rows = c >= d                    ? 0
                             : table.rows < T::kTokens ? static_cast<int>(table.rows)
                                                       : T::kTokens;
#pragma unroll
      for (int i = 0; i < T::kTableLoads; i++) {
        next_table[i] = load_row + i * T::kStride < table_rows ? *w : Elem{};
        w += T::kStride * table.stride;
      }
    }
    const Real* x = active.data + load_row * active.stride + c;
    const int active_rows = c >= d                   ? 0
                            : active.rows < T::kRows ? static_cast<int>(active.rows)
                                                     : T::kRows;
#pragma unroll
    for (int i = 0; i < T::kActiveLoads; i++) {
      next_active[i] = load_row + i * T::kStride < active_rows ? *x : Real{};
      x += T::kStride * active.stride;
    }
  };
#pragma unroll
  for (int i = 0; i < T::kRowsEach; i++) {
#pragma unroll
    for (int j = 0; j < T::kTokensEach; j++) acc[i][j] = 0;
  }
  if (d > 0) load(0);
  for (int64_t column = 0; column < d; column += T::kDepth) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < T::kTableLoads; i++) {
      table_tile[load_column * kTableRow + load_row + i * T::kStride] = widen(next_table[i]);
    }
#pragma unroll
    for (int i = 0; i < T::kActiveLoads; i++) {
      const int r = load_row + i * T::kStride;
      if (r < T::kRows) active_tile[load_column * kActiveRow + r] = next_active[i];
    }
    __syncthreads();
    if (column + T::kDepth < d) load(column + T::kDepth);
#pragma unroll 4
    for (int c = 0; c < T::kDepth; c++) {
      Real a[T::kRowsEach];
      Real b[T::kTokensEach];
#pragma unroll
      for (int i = 0; i < T::kRowsEach; i++) {
        a[i] = active_tile[c * kActiveRow + row + i * T::kRowThreads];
      }
#pragma unroll
      for (int j = 0; j < T::kTokensEach; j++) {
        b[j] = table_tile[c * kTableRow + token + j * T::kTokenThreads];
      }
#pragma unroll
      for (int i = 0; i < T::kRowsEach; i++) {
#pragma unroll
        for (int j = 0; j < T::kTokensEach; j++) acc[i][j] = fma(b[j], a[i], acc[i][j]);
      }
    }
  }
}

// A table's rows [first, first + count).
template <class Elem>
__device__ Rows<Elem> rows_of(const Elem* data, int64_t stride, int64_t first, int64_t count) {
  return {data + first * stride, stride, count};
}

// Rows of a block where there are a few, at most kFewRows: tables are read as fast as memory gives
// them. Where there are many, arithmetic binds: as large as registers allow.
constexpr int64_t kFewRows = 16;
template <class Elem>
using FewRows = Tile<Elem, 1, 128, 8, 1>;
template <class Elem>
using ManyRows = Tile<Elem, 8, 16, 32 / sizeof(typename RealOf<Elem>::type), 8>;

// Calls run(Elem{}) with the table's element type.
template <class Run>
void by_element(int32_t dtype, Run run) {
  switch (dtype) {
    case ASSAY_F64: run(double{}); break;
    case ASSAY_F16: run(Half{}); break;
    case ASSAY_BF16: run(Bf16{}); break;
    default: run(float{}); break;
  }
}

}  // namespace assay
