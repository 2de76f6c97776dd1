// assay_token_swap_topk:
//   score[a,v] = E[v].gradient[a] + alpha[a] (W[v].hidden[a] + bias[v] - lse[a]) + unigram[v]
// for A audits and V tokens of width d, the best K of each audit kept (ARCA, Jones et
// al. 2023, arXiv 2303.04381, equation of the coordinate score; kernel K1). A tied head needs one
// product, with gradient + alpha hidden.
//
// Floor: V d elements once (twice for an untied head, once more where lse is asked for), 2AdV
// operations. GPT-2 small in float: 154 MB, 32 us at 4.8 TB/s; in bfloat16 77 MB, 16 us. Up to 28
// audits bytes bind in float arithmetic. Design: the products are those of product.cuh, with the
// same bits for every number of audits. Scores never leave the block: eight rows at a time go
// through shared memory, a warp each. It compares with the worst of K kept and with a floor that
// all blocks of an audit raise, and what passes, mostly nothing, is ranked against the list of this
// block at once: an element's place is the number of better ones, so no sort and no order of
// threads has a part in it. A floor only drops what K others surpass: when it rises cannot change
// the result. The lists, at most kListed tokens an audit, are merged by one block: a radix search
// for the K-th, then ranks. 8 bits a step keep it at four steps, some 6 us, of which blocks of
// other audits hide the most. With one audit and K = 32 the vocabulary is in 393 segments; more
// kept need fewer segments, and above K = 128 one audit no longer fills a large device.
//
// Three regimes, whose results have the same bits: a few rows, at most kFewRows, where bytes bind;
// many rows in float or double arithmetic; and, where arithmetic binds and a table is of float,
// half or bfloat16, token_swap_bound.cu first, which leaves a few candidates, 16 groups of tokens
// for a block, of one audit. Some 35 groups of K = 32 are 280 rows, of 256 audits 110 MB that the
// second cache has. Tables of few tokens, or more than 32768 columns, are not bounded.
//
// Figures of ptxas (registers, shared bytes, spilled bytes; sm_80, sm_90):
//   swap_merge_kernel<double>: 42 4124 0, 45 4124 0
//   swap_merge_kernel<float>: 40 3096 0, 43 3096 0
//   swap_pack_kernel<double>: 22 0 0, 22 0 0
//   swap_pack_kernel<float>: 20 0 0, 22 0 0
//   token_swap_kernel<Tile<Bf16, 1, 128, 1, 1>, false, true>: 127 21896 0, 120 21896 0
//   token_swap_kernel<Tile<Bf16, 1, 128, 1, 1>, true, true>: 117 21896 0, 114 21896 0
//   token_swap_kernel<Tile<Bf16, 1, 128, 8, 1>, false, false>: 168 25920 0, 168 25920 0
//   token_swap_kernel<Tile<Bf16, 1, 128, 8, 1>, true, false>: 128 25920 0, 128 25920 0
//   token_swap_kernel<Tile<Bf16, 8, 16, 4, 8>, true, false>: 243 18816 0, 244 18816 0
//   token_swap_kernel<Tile<Bf16, 8, 16, 8, 8>, false, false>: 231 21120 0, 242 21120 0
//   token_swap_kernel<Tile<Half, 1, 128, 1, 1>, false, true>: 127 21896 0, 120 21896 0
//   token_swap_kernel<Tile<Half, 1, 128, 1, 1>, true, true>: 117 21896 0, 112 21896 0
//   token_swap_kernel<Tile<Half, 1, 128, 8, 1>, false, false>: 168 25920 0, 168 25920 0
//   token_swap_kernel<Tile<Half, 1, 128, 8, 1>, true, false>: 127 25920 0, 128 25920 0
//   token_swap_kernel<Tile<Half, 8, 16, 4, 8>, true, false>: 243 18816 0, 244 18816 0
//   token_swap_kernel<Tile<Half, 8, 16, 8, 8>, false, false>: 231 21120 0, 242 21120 0
//   token_swap_kernel<Tile<double, 1, 128, 8, 1>, false, false>: 236 32064 0, 226 32064 0
//   token_swap_kernel<Tile<double, 1, 128, 8, 1>, true, false>: 168 32064 0, 165 32064 0
//   token_swap_kernel<Tile<double, 8, 16, 2, 8>, true, false>: 240 23808 0, 242 23808 0
//   token_swap_kernel<Tile<double, 8, 16, 4, 8>, false, false>: 255 24960 0, 255 24960 0
//   token_swap_kernel<Tile<float, 1, 128, 1, 1>, false, true>: 127 21896 0, 120 21896 0
//   token_swap_kernel<Tile<float, 1, 128, 1, 1>, true, true>: 117 21896 0, 112 21896 0
//   token_swap_kernel<Tile<float, 1, 128, 8, 1>, false, false>: 168 25920 0, 167 25920 0
//   token_swap_kernel<Tile<float, 1, 128, 8, 1>, true, false>: 128 25920 0, 128 25920 0
//   token_swap_kernel<Tile<float, 8, 16, 4, 8>, true, false>: 243 18816 0, 244 18816 0
//   token_swap_kernel<Tile<float, 8, 16, 8, 8>, false, false>: 232 21120 0, 232 21120 0
#include "head_rows.h"
#include "token_swap.cuh"

namespace assay {
namespace {

constexpr int kTileTokens = 128;
constexpr int kStageRows = 8;
// Tokens that the merging block looks through; blocks that are worth launching.
constexpr int64_t kListed = 16384;
constexpr int64_t kBlocks = 512;
constexpr int kMergeThreads = 256;
constexpr int kPackThreads = 128;

template <class Real>
struct Entry {
  Real score;
  int32_t id;
};

template <class Real>
__device__ bool better(const Entry<Real>& a, const Entry<Real>& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

__device__ inline bool masked(const assay_token_swap_topk_params& a, int64_t audit, int64_t token) {
  if (!allowed(a, token)) return true;
  if (a.forbidden_offsets == nullptr) return false;
  int64_t low = a.forbidden_offsets[audit];
  const int64_t end = a.forbidden_offsets[audit + 1];
  int64_t high = end;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (a.forbidden_ids[middle] < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < end && a.forbidden_ids[low] == token;
}

// Prepares floors, and the activations of a tied head.
template <class Real>
__global__ void __launch_bounds__(kPackThreads) swap_pack_kernel(SwapArgs a) {
  for (int64_t audit = blockIdx.y; audit < a.p.gradient.rows; audit += gridDim.y) {
    const int64_t c = static_cast<int64_t>(blockIdx.x) * kPackThreads + threadIdx.x;
    if (c == 0) a.floors[audit] = order_of(-infinity<Real>());
    if (c == 0 && a.bounds.groups > 0) a.bounds.exact[audit / kExactAudits] = 0;
    if (a.packed == nullptr || c >= a.p.gradient.columns) continue;
    Real x = static_cast<const Real*>(a.p.gradient.data)[audit * a.p.gradient.stride + c];
    const Real alpha = static_cast<const Real*>(a.p.alpha)[audit];
    if (alpha != 0) {
      x += alpha * static_cast<const Real*>(a.p.hidden.data)[audit * a.p.hidden.stride + c];
    }
    static_cast<Real*>(a.packed)[audit * a.p.gradient.columns + c] = x;
  }
}

// Takes m candidates of a row into its list; one warp. Returns how many it holds then.
template <class Real>
__device__ int64_t take(const SwapArgs& a, int64_t audit, int64_t list, int64_t count, int m,
                        Shared<Real> scores, Shared<int32_t> ids, int lane) {
  constexpr int kOld = ASSAY_MAX_KEPT / kWarp;
  constexpr int kNew = kTileTokens / kWarp;
  Real* list_scores = static_cast<Real*>(a.scores) + list * a.p.kept;
  int32_t* list_ids = a.ids + list * a.p.kept;
  Entry<Real> old[kOld];
  int old_rank[kOld];
#pragma unroll
  for (int k = 0; k < kOld; k++) {
    const int i = lane + k * kWarp;
    old_rank[k] = ASSAY_MAX_KEPT;
    if (i >= count) continue;
    old[k] = {list_scores[i], list_ids[i]};
    old_rank[k] = i;
    for (int j = 0; j < m; j++) {
      if (better<Real>({scores[j], ids[j]}, old[k])) old_rank[k]++;
    }
  }
  Entry<Real> fresh[kNew];
  int fresh_rank[kNew];
#pragma unroll
  for (int k = 0; k < kNew; k++) {
    const int i = lane + k * kWarp;
    fresh_rank[k] = ASSAY_MAX_KEPT;
    if (i >= m) continue;
    fresh[k] = {scores[i], ids[i]};
    // How many of the list, which is in order, are better.
    int low = 0;
    int high = static_cast<int>(count);
    while (low < high) {
      const int middle = (low + high) / 2;
      if (better<Real>({list_scores[middle], list_ids[middle]}, fresh[k])) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    fresh_rank[k] = low;
    for (int j = 0; j < m; j++) {
      if (better<Real>({scores[j], ids[j]}, fresh[k])) fresh_rank[k]++;
    }
  }
  // All of the list has been read.
  __syncwarp();
  auto put = [&](const Entry<Real>& e, int rank) {
    if (rank >= a.p.kept) return;
    list_scores[rank] = e.score;
    list_ids[rank] = e.id;
    if (rank == a.p.kept - 1) {
      atomicMax(reinterpret_cast<unsigned long long*>(a.floors + audit),
                static_cast<unsigned long long>(order_of(e.score)));
    }
  };
#pragma unroll
  for (int k = 0; k < kOld; k++) put(old[k], old_rank[k]);
#pragma unroll
  for (int k = 0; k < kNew; k++) put(fresh[k], fresh_rank[k]);
  return count + m < a.p.kept ? count + m : a.p.kept;
}

// Whether an audit's scores are those of its candidates alone.
__device__ inline bool chosen(const SwapArgs& a, int64_t audit) {
  return a.bounds.groups > 0 && a.bounds.exact[audit / kExactAudits] == 0;
}

// Token n of those in an audit's candidate groups, or -1.
__device__ inline int32_t listed_token(const SwapArgs& a, int64_t audit, int64_t n) {
  const int64_t group = a.bounds.candidates[audit * a.bounds.room + n / kGroup];
  const int64_t token = group / 8 * 64 + group % 8 + n % kGroup * 8;
  return token < a.p.embedding.rows ? static_cast<int32_t>(token) : -1;
}

// Block (s, t): segment s for the audits of tile t, t + gridDim.y, ... or, Listed, every s-th tile
// of their candidates, an audit at a time.
template <class T, bool Untied, bool Listed>
__global__ void __launch_bounds__(T::kThreads) token_swap_kernel(SwapArgs a) {
  using Real = typename T::Real;
  using Elem = typename T::Elem;
  static_assert(T::kTokens == kTileTokens && (!Listed || T::kRows == 1));
  constexpr int kStage = T::kRows < kStageRows ? T::kRows : kStageRows;
  constexpr int kEach = kTileTokens / kWarp;
  ASSAY_SHARED(Real, table_tile, T::kTable);
  ASSAY_SHARED(Real, active_tile, T::kActive);
  ASSAY_SHARED(Real, scores, kStage * kTileTokens);
  ASSAY_SHARED(Real, found_scores, T::kWarps * kTileTokens);
  ASSAY_SHARED(int32_t, found_ids, T::kWarps* kTileTokens);
  ASSAY_SHARED(int32_t, count_of, T::kRows);
  ASSAY_SHARED(int32_t, nans_of, T::kRows);
  ASSAY_SHARED(int32_t, listed_ids, Listed ? kTileTokens : 1);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const int row_thread = thread / T::kTokenThreads;
  const int token_thread = thread % T::kTokenThreads;
  const int64_t audits = a.p.gradient.rows;
  const int64_t d = a.p.embedding.columns;
  const int64_t first = blockIdx.x * (Listed ? kTileTokens : a.segments.length);
  const int64_t end = first + a.segments.length;
  auto active = [&](const Rows<char>& all, int64_t row0) {
    return rows_of(reinterpret_cast<const Real*>(all.data), all.stride, row0, audits - row0);
  };
  for (int64_t row0 = static_cast<int64_t>(blockIdx.y) * T::kRows; row0 < audits;
       row0 += static_cast<int64_t>(gridDim.y) * T::kRows) {
    if (Listed != chosen(a, row0)) continue;
    const int64_t last = Listed                     ? a.bounds.counts[row0] * kGroup
                         : end < a.p.embedding.rows ? end
                                                    : a.p.embedding.rows;
    for (int64_t v = first; v < last; v += Listed ? gridDim.x * kTileTokens : kTileTokens) {
      const int64_t left = last - v;
      if constexpr (Listed) {
        // Those of the tile before are not needed any more.
        __syncthreads();
        for (int n = thread; n < kTileTokens; n += T::kThreads) {
          listed_ids[n] = n < left ? listed_token(a, row0, v + n) : -1;
        }
        __syncthreads();
      }
      auto id_of = [&](int n) -> int64_t {
        if constexpr (Listed) return listed_ids[n];
        return v + n;
      };
      auto rows = [&](const assay_matrix& table) {
        const Elem* data = static_cast<const Elem*>(table.data);
        if constexpr (Listed) {
          return ListedRows<Elem>{data, table.stride, listed_ids};
        } else {
          return rows_of(data, table.stride, v, left);
        }
      };
      Real rest[T::kRowsEach][T::kTokensEach];
      if constexpr (Untied) {
        product<T>(rows(a.p.head), active(a.hidden, row0), d, table_tile, active_tile, rest);
      }
      Real acc[T::kRowsEach][T::kTokensEach];
      product<T>(rows(a.p.embedding), active(a.gradient, row0), d, table_tile, active_tile, acc);
      for (int stage = 0; stage < T::kRows; stage += kStage) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < T::kRowsEach; i++) {
          const int r = row_thread + i * T::kRowThreads - stage;
          const int64_t audit = row0 + stage + r;
          if (r < 0 || r >= kStage || audit >= audits) continue;
          const Real alpha =
              a.p.alpha == nullptr ? Real{0} : static_cast<const Real*>(a.p.alpha)[audit];
          const Real lse = a.lse == nullptr ? Real{0} : static_cast<const Real*>(a.lse)[audit];
#pragma unroll
          for (int j = 0; j < T::kTokensEach; j++) {
            const int n = token_thread + j * T::kTokenThreads;
            if (n >= left) continue;
            const int64_t id = id_of(n);
            if (id < 0) continue;
            Real score = acc[i][j];
            if (alpha != 0) {
              const Real logit = Untied ? rest[i][j] : Real{0};
              const Real bias =
                  a.p.bias == nullptr ? Real{0} : static_cast<const Real*>(a.p.bias)[id];
              score += alpha * (logit + bias - lse);
            }
            if (a.p.unigram != nullptr) score += static_cast<const Real*>(a.p.unigram)[id];
            scores[r * kTileTokens + n] = score;
          }
        }
        __syncthreads();
        for (int q = warp; q < kStage; q += T::kWarps) {
          const int r = stage + q;
          const int64_t audit = row0 + r;
          if (audit >= audits) continue;
          const int64_t list = audit * a.segments.count + blockIdx.x;
          const int64_t count = v == first ? 0 : count_of[r];
          // The worst that is kept, once K are.
          const bool full = count == a.p.kept;
          const Real worst =
              full ? static_cast<const Real*>(a.scores)[list * a.p.kept + a.p.kept - 1] : Real{0};
          const uint64_t floor = a.floors[audit];
          int m = 0;
          int nans = 0;
#pragma unroll
          for (int j = 0; j < kEach; j++) {
            const int n = lane + j * kWarp;
            Real score = 0;
            bool wanted = false;
            bool nan = false;
            const int64_t id = n < left ? id_of(n) : -1;
            if (id >= 0) {
              score = scores[q * kTileTokens + n];
              nan = score != score;
              wanted = !nan && (!full || score > worst) && order_of(score) >= floor;
              if ((nan || wanted) && masked(a.p, audit, id)) nan = wanted = false;
            }
            const unsigned all = __ballot_sync(kAllLanes, wanted);
            nans += __popc(__ballot_sync(kAllLanes, nan));
            if (wanted) {
              const int at = warp * kTileTokens + m + __popc(all & ((1u << lane) - 1));
              found_scores[at] = score;
              found_ids[at] = static_cast<int32_t>(id);
            }
            m += __popc(all);
          }
          // Candidates are written.
          __syncwarp();
          const int64_t now =
              m == 0 ? count
                     : take<Real>(a, audit, list, count, m, found_scores + warp * kTileTokens,
                                  found_ids + warp * kTileTokens, lane);
          if (lane != 0) continue;
          nans_of[r] = v == first ? nans : nans_of[r] + nans;
          count_of[r] = static_cast<int32_t>(now);
        }
      }
    }
    __syncthreads();
    for (int r = thread; r < T::kRows && row0 + r < audits; r += T::kThreads) {
      const int64_t list = (row0 + r) * a.segments.count + blockIdx.x;
      a.counts[list] = first < last ? static_cast<int32_t>(count_of[r]) : 0;
      a.nans[list] = first < last ? static_cast<int32_t>(nans_of[r]) : 0;
    }
  }
}

// The best K of an audit's lists: byte by byte of (score, id), from the highest, the K-th is found,
// then those that are not below it are put in order by their ranks. A block for each audit.
template <class Real>
__global__ void __launch_bounds__(kMergeThreads, 4) swap_merge_kernel(SwapArgs a) {
  ASSAY_SHARED(int32_t, digits, kDigits);
  ASSAY_SHARED(int32_t, search, 3);  // digit, how many are wanted of it, how many have it
  ASSAY_SHARED(int32_t, totals, 3);  // tokens listed, tokens not a number, tokens chosen
  ASSAY_SHARED(Real, best_scores, ASSAY_MAX_KEPT);
  ASSAY_SHARED(int32_t, best_ids, ASSAY_MAX_KEPT);
  constexpr int kScoreBytes = sizeof(Real);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t kept = a.p.kept;
  const int64_t audit = blockIdx.x;
  const int64_t lists = audit * a.segments.count;
  const int64_t count = chosen(a, audit) ? a.bounds.lists : a.segments.count;
  const Real* scores = static_cast<const Real*>(a.scores) + lists * kept;
  const int32_t* ids = a.ids + lists * kept;
  if (thread < 3) totals[thread] = 0;
  __syncthreads();
  for (int64_t s = thread; s < count; s += kMergeThreads) {
    atomicAdd(&totals[0], a.counts[lists + s]);
    atomicAdd(&totals[1], a.nans[lists + s]);
  }
  __syncthreads();
  const int listed = totals[0];
  const int found = listed < kept ? listed : static_cast<int>(kept);
  auto each = [&](auto use) {
    const int kept32 = static_cast<int>(kept);
    const int all = static_cast<int>(count) * kept32;
    for (int at = thread; at < all; at += kMergeThreads) {
      if (at % kept32 >= a.counts[lists + at / kept32]) continue;
      use(order_of(scores[at]), ~static_cast<uint32_t>(ids[at]), at);
    }
  };
  // What is known of the K-th: its highest bytes; lower ones are zero.
  uint64_t score_known = 0, score_mask = 0;
  uint32_t id_known = 0, id_mask = 0;
  int wanted = found;
  int have = listed;
  for (int byte = kScoreBytes + 3; byte >= 0 && wanted < have; byte--) {
    const bool of_score = byte >= 4;
    const int shift = 8 * (of_score ? byte - 4 : byte);
    for (int i = thread; i < kDigits; i += kMergeThreads) digits[i] = 0;
    __syncthreads();
    each([&](uint64_t score, uint32_t id, int) {
      if ((score & score_mask) != score_known || (id & id_mask) != id_known) return;
      const auto digit = static_cast<int>((of_score ? score >> shift : id >> shift) & 255);
      atomicAdd(&digits[digit], 1);
    });
    __syncthreads();
    if (thread < kWarp) find_digit(digits, wanted, search);
    __syncthreads();
    const auto digit = static_cast<uint32_t>(search[0]);
    wanted = search[1];
    have = search[2];
    if (of_score) {
      score_known |= static_cast<uint64_t>(digit) << shift;
      score_mask |= uint64_t{255} << shift;
    } else {
      id_known |= digit << shift;
      id_mask |= 255u << shift;
    }
  }
  each([&](uint64_t score, uint32_t id, int at) {
    const uint64_t high = score & score_mask;
    if (high < score_known || (high == score_known && (id & id_mask) < id_known)) return;
    const int place = atomicAdd(&totals[2], 1);
    best_scores[place] = scores[at];
    best_ids[place] = ids[at];
  });
  __syncthreads();
  for (int i = thread; i < kept; i += kMergeThreads) {
    int rank = i;
    Entry<Real> mine = {-infinity<Real>(), -1};
    if (i < found) {
      mine = {best_scores[i], best_ids[i]};
      rank = 0;
      for (int j = 0; j < found; j++) {
        if (better<Real>({best_scores[j], best_ids[j]}, mine)) rank++;
      }
    }
    a.p.ids[audit * kept + rank] = mine.id;
    static_cast<Real*>(a.p.scores)[audit * kept + rank] = mine.score;
  }
  if (thread == 0) {
    a.p.found[audit] = found;
    a.p.nans[audit] = totals[1];
  }
}

struct Work {
  SwapArgs args;
  HeadWork head;
};

// Segments are chosen for speed alone: they have no part in the result.
Segments segments_for(const assay_token_swap_topk_params& p) {
  const int64_t tiles = (p.embedding.rows + kTileTokens - 1) / kTileTokens;
  const int64_t row_tiles = p.gradient.rows <= kFewRows ? 1 : (p.gradient.rows + 63) / 64;
  int64_t most = kListed / p.kept < kBlocks ? kListed / p.kept : kBlocks;
  if (most > (kBlocks + row_tiles - 1) / row_tiles) most = (kBlocks + row_tiles - 1) / row_tiles;
  const int64_t length = (tiles + most - 1) / most * kTileTokens;
  return {length, (p.embedding.rows + length - 1) / length};
}

Work work_of(const assay_token_swap_topk_params& p, Workspace& w) {
  Work work{};
  SwapArgs& a = work.args;
  a.p = p;
  const int64_t audits = p.gradient.rows;
  const int64_t real = bytes_of(p.gradient.dtype);
  a.segments = segments_for(p);
  const int64_t lists = times(audits, a.segments.count);
  a.scores = w.take_bytes(times(times(lists, p.kept), real));
  a.ids = w.take<int32_t>(times(lists, p.kept));
  a.counts = w.take<int32_t>(lists);
  a.nans = w.take<int32_t>(lists);
  a.floors = w.take<uint64_t>(audits);
  a.bounds = swap_bounds(p, a.segments.count, w);
  a.gradient = {static_cast<const char*>(p.gradient.data), p.gradient.stride, audits};
  if (p.alpha != nullptr && tied(p)) {
    a.packed = w.take_bytes(times(times(audits, p.gradient.columns), real));
    a.gradient = {static_cast<const char*>(a.packed), p.gradient.columns, audits};
  }
  if (p.alpha != nullptr && !tied(p)) {
    a.hidden = {static_cast<const char*>(p.hidden.data), p.hidden.stride, audits};
  }
  a.lse = p.lse;
  if (p.lse != nullptr) work.head = head_work(audits, p.embedding.rows, w);
  return work;
}

template <class T, bool Untied, bool Listed = false>
void launch(const SwapArgs& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(Listed ? a.bounds.lists : a.segments.count),
                  row_blocks(a.p.gradient.rows, T::kRows));
  ASSAY_LAUNCH((token_swap_kernel<T, Untied, Listed>), grid, dim3(T::kThreads), stream, a);
}

template <class Elem>
void launch_all(const SwapArgs& a, cudaStream_t stream) {
  using Real = typename RealOf<Elem>::type;
  const int64_t audits = a.p.gradient.rows;
  const int64_t columns = a.packed == nullptr ? 1 : a.p.gradient.columns;
  ASSAY_LAUNCH((swap_pack_kernel<Real>),
               dim3(columns > 0 ? blocks(columns, kPackThreads) : 1, row_blocks(audits, 1)),
               dim3(kPackThreads), stream, a);
  const bool untied = a.hidden.data != nullptr;
  // Two products: half as many rows for the registers.
  using ManyUntied = Tile<Elem, 8, 16, 16 / sizeof(Real), 8>;
  if constexpr (!std::is_same_v<Real, double>) {
    using OneRow = Tile<Elem, 1, 128, 1, 1>;
    if (a.bounds.groups > 0) launch_swap_bounds(a, stream);
    if (a.bounds.groups > 0 && untied) launch<OneRow, true, true>(a, stream);
    if (a.bounds.groups > 0 && !untied) launch<OneRow, false, true>(a, stream);
  }
  if (audits <= kFewRows && untied) {
    launch<FewRows<Elem>, true>(a, stream);
  } else if (audits <= kFewRows) {
    launch<FewRows<Elem>, false>(a, stream);
  } else if (untied) {
    launch<ManyUntied, true>(a, stream);
  } else {
    launch<ManyRows<Elem>, false>(a, stream);
  }
  ASSAY_LAUNCH((swap_merge_kernel<Real>), dim3(static_cast<unsigned>(audits)), dim3(kMergeThreads),
               stream, a);
}

}  // namespace
}  // namespace assay

using namespace assay;

extern "C" int32_t assay_token_swap_topk_workspace(const struct assay_token_swap_topk_params* args,
                                                   int64_t* bytes) {
  return guard([&] {
    check_swap("assay_token_swap_topk_workspace", args);
    check_pointer("assay_token_swap_topk_workspace", "bytes", bytes);
    Workspace w;
    if (args->gradient.rows > 0) work_of(*args, w);
    *bytes = w.needed();
  });
}

extern "C" int32_t assay_token_swap_topk(const struct assay_token_swap_topk_params* args,
                                         void* workspace, int64_t workspace_bytes,
                                         struct assay_stream* stream) {
  return guard([&] {
    const char* f = "assay_token_swap_topk";
    check_swap(f, args);
    if (args->gradient.rows == 0) return;
    if ((args->forbidden_offsets == nullptr) != (args->forbidden_ids == nullptr)) {
      fail(ASSAY_ERROR_ARGUMENT,
           "%s: one of forbidden_offsets and forbidden_ids is NULL; give both or none", f);
    }
    check_pointer(f, "ids", args->ids);
    check_pointer(f, "scores", args->scores);
    check_pointer(f, "found", args->found);
    check_pointer(f, "nans", args->nans);
    Workspace w(workspace, workspace_bytes);
    const Work work = work_of(*args, w);
    w.check(f);
    const OnDevice on(stream);
    if (args->lse != nullptr) {
      assay_head_rows_params rows{};
      rows.struct_bytes = sizeof rows;
      rows.hidden = args->hidden;
      rows.hidden.dtype = args->gradient.dtype;
      rows.hidden.rows = args->gradient.rows;
      rows.head = tied(*args) ? args->embedding : args->head;
      rows.bias = args->bias;
      launch_head_rows(rows, work.head, {nullptr, args->lse, nullptr, nullptr}, on.handle);
    }
    by_element(args->embedding.dtype,
               [&](auto elem) { launch_all<decltype(elem)>(work.args, on.handle); });
  });
}
