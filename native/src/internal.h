// What the kernel files, the tiers and the entry points share. Types only: nothing inline that a
// tier's flags could compile differently from the baseline.
#pragma once

#include <stdint.h>

#include "assay.h"

namespace assay {

// Rows of activations that one task holds while the table streams by, and table rows per tile.
constexpr int kRowBlock = 96;
constexpr int kTile = 32;
// The vocabulary is cut in at most this many segments, whatever the number of threads; partial
// results of segments are merged in ascending order. That fixes the bits.
constexpr int64_t kSegments = 16;
constexpr int64_t kBackwardSegments = 4;
// Room for candidates of one audit and segment where scores are bounded first.
constexpr int64_t listed(int64_t kept) { return 4 * kept + 64; }
// Audits and columns that a product of the matrix units takes; columns that its bounds allow for.
constexpr int64_t kMatrixAudits = 16;
constexpr int64_t kMatrixStep = 32;
constexpr int64_t kMatrixColumns = 8192;
constexpr int64_t matrix_columns(int64_t d) {
  return (d + kMatrixStep - 1) / kMatrixStep * kMatrixStep;
}
// Elements of one AdamW task.
constexpr int64_t kAdamwChunk = 16384;

// Activations copied to rows of `stride` elements, zero behind `d`, so that tails need no care.
struct Packed {
  const void* data;
  int64_t rows;
  int64_t stride;
};

struct Segments {
  int64_t length;  // a multiple of kTile
  int64_t count;
};

// What one segment of the vocabulary says about one row.
struct HeadPart {
  double max;     // largest logit
  double sum;     // sum of exp(logit - max)
  double second;  // second largest logit
  double wanted;  // the target's logit, if the segment has it
  int32_t best;   // lowest id of the largest logit
  int32_t nan;    // 1 if some logit is not a number
};

// Task t: row block t / segments, segment t % segments.
struct HeadJob {
  assay_matrix head;
  Packed hidden;
  const void* bias;
  const int32_t* targets;  // NULL: wanted is not asked for
  Segments segments;
  HeadPart* parts;  // [R, segments]
};

struct SwapJob {
  const assay_token_swap_topk_params* args;
  Packed gradient;  // tied: gradient + alpha * hidden
  Packed hidden;    // data NULL: no second product
  const void* lse;  // [A] real or NULL
  Segments segments;
  void* scores;     // [A, segments, K] real: heaps, worst first
  int32_t* ids;     // [A, segments, K]
  int32_t* counts;  // [A, segments]
  int64_t* nans;    // [A, segments]
  void* floors;     // [A] real: some K tokens have at least this score; rises while tasks run
  // Where scores are bounded first the heaps hold lower bounds, and the following is in use.
  const float* norms;  // [A] length of the row x of gradient, rounded up
  int16_t* whole;      // [A, stride of gradient] whole numbers near x / unit
  float* units;        // [A]
  float* slacks;       // [A] a coarse row's greatest length times ||x - unit * whole||, rounded up;
                       // by matrix units: what is between a product and its bounds, of ||E[v]||
  // x as bfloat16, zeros behind its columns and the last audit; [A / kMatrixAudits, pairs of
  // columns, kMatrixAudits, 2].
  uint16_t* parts;
  float* uppers;        // [A, segments, listed]: upper bounds of tokens that may be among the best
  int32_t* candidates;  // [A, segments, listed]: their ids
  int32_t* listed;      // [A, segments]: how many; -1: more than there is room for
};

template <class Real>
struct Entry {
  Real score;
  int32_t id;
};

// Scores of candidates, as the product gives them, in the place of what is known of them. Task t:
// every kSegments-th of audit t / kSegments.
struct ScoreJob {
  const SwapJob* swap;
  Entry<float>* candidates;  // [A, room]
  int64_t room;
  int64_t* first;  // [A]: from this of an audit's candidates on
  int64_t* last;   // [A]: up to, without, this
};

struct BackwardJob {
  assay_matrix head;
  Packed hidden;
  const void* bias;
  const void* lse;
  Segments segments;
  void* sums;  // [R, segments, stride of hidden] real: sum of p W
};

// Task t: row t / chunks, chunk t % chunks.
struct AdamwJob {
  assay_matrix p, g, m, v;
  double keep;  // 1 - lr * decay
  double rate;  // lr / (1 - beta1^t)
  double root;  // sqrt(1 - beta2^t)
  double beta1, beta2, epsilon;
  int64_t chunks;
};

// Lanes of a Fourier ablation: lane t takes the sums s = t, t + kFourierLanes, ... of a + b.
constexpr int64_t kFourierLanes = 32;
// Its tables over c have rows of whole cache lines: so many doubles.
constexpr int kFourierLine = 8;

// Scratch of one lane, in doubles; see fourier_ablate.h. F: the families of all calls.
struct FourierLane {
  int64_t waves;       // [h, stride]: D_k at one s
  int64_t families;    // [F, stride]: exponentials of -D_F, or of D_F where it is kept
  int64_t rows;        // [p + 1, stride]: exponentials of L, and of its mean
  int64_t scales;      // [F]: what the exponentials of a family were divided by
  int64_t row_scales;  // [p + 1]
  int64_t losses;      // [p, kTile]
  int64_t spare;       // [2, stride]
  int64_t size;
};

// One of the list of a call.
struct FourierCall {
  assay_fourier_ablate_params args;
  int64_t first;     // its first family among those of all
  int64_t* offsets;  // [F+1]: where each family begins in members
  int64_t* members;  // [F h] at most: frequencies of the families, from 0
  double* parts;     // [p, F, G]: sum of the losses of the pairs with a + b = s
};

struct FourierJob {
  assay_fourier_ablate_params args;  // of the first call, and so the logits of all
  FourierCall calls[ASSAY_MAX_ABLATIONS];
  int64_t call_count;
  bool keeps, turns;    // whether one keeps its families, or takes multiples of cos(w_k (a+b-c))
  uint8_t* used;        // [h]: whether some D_k is asked for
  int64_t frequencies;  // h
  int64_t stride;       // of all tables over c: p rounded up to whole lines
  int64_t lanes;
  FourierLane lane;
  double* cosines;  // [p] cos(2 pi i / p)
  double* sines;    // [p]
  double* sums;     // [p, stride]: M(s,c), the sum of L over the pairs with a + b = s
  double* alpha;    // [h, stride]
  double* beta;     // [h, stride]
  double* turning;  // [2, h, stride]: both of the multiples of cos(w_k (a+b-c)), if one turns
  double* mean;     // [stride]
  double* scratch;  // [lanes, lane.size]
  int32_t* order;   // [lanes, p]: the rows of an s that are wanted
};

// Columns of assay_grok that lie together, rows of a block of pairs, and pairs of one task.
constexpr int64_t kGrokPanel = 64;
constexpr int64_t kGrokBlock = 128;
constexpr int64_t kGrokChunk = 256;

// What the tasks of assay_grok share. Columns are those of R = [W_in ; W_U^T], the neurons and then
// the outputs, each padded with zeros to whole panels; "rows" are the p numbers, the first two
// positions and x2. Tables are [panel, row, head, kGrokPanel].
struct GrokJob {
  assay_grok_params args;
  int64_t rows;           // p + 3
  int64_t inner;          // H d_h
  int64_t neuron_panels;  // of all panels, the first
  int64_t panels;
  int64_t blocks, chunks;
  float* x;              // [rows, D]
  float* kappa;          // [H, D]: W_K^T W_Q x2 / sqrt(d_h)
  float* query;          // [inner]: W_Q x2
  float* scores;         // [rows, H]: of x, not yet of positions added to numbers
  float* out;            // [columns, inner]: R W_O
  float* value;          // [rows, inner]: W_V x
  float* neuron_logit;   // [output panel, m, kGrokPanel]: W_out^T W_U
  float* logit_neuron;   // [neuron panel, q, kGrokPanel]: its transpose
  float* table;          // R W_O W_V x
  float* first;          // the same of x0 - x2, without the rows behind the numbers
  float* second;         // of x1 - x2
  float* base;           // [columns]: what every pair has
  float* attention;      // [3, N, H]
  double* exponentials;  // [chunk, padded outputs]
  float* z;  // [block, panel, kGrokBlock, kGrokPanel]: activations, then their gradients
  const int32_t* order[2];    // [N]: pairs by their first and by their second number
  const int32_t* offsets[2];  // [p+1]
  float* d_neuron_logit;      // [chunk, neuron panel, q, kGrokPanel]: gradients of logit_neuron
  float* d_first;
  float* d_second;
  float* d_attention;  // [2, N, H]
  float* d_bases;      // [p, columns]: gradients of base by first number
  float* d_base;       // [columns]
  float* d_table;
  float* d_out;     // [columns, inner]
  float* d_value;   // [rows, inner]
  float* d_x;       // [rows, D]
  float* d_scores;  // [rows, H]
};

// Columns of assay_grok_grid that lie together (their activity is a mask of 32 bits), numbers a and
// at most so many b of one block of pairs, blocks that are under way at once, and doubles of a
// cache line.
constexpr int64_t kGridPanel = 32;
constexpr int64_t kGridRows = 16;
constexpr int64_t kGridColumns = 32;
constexpr int64_t kGridLanes = 16;
constexpr int64_t kGridLine = 8;

// What the tasks of assay_grok_grid share. Columns are the neurons and then the classes, each
// padded with zeros to whole panels; tables are [panel, p, H, kGridPanel].
struct GridJob {
  assay_grok_grid_params args;
  int64_t neuron_panels;  // of all panels, the first
  int64_t panels;
  int64_t stride;     // of map: p rounded up to whole lines
  int64_t columns;    // numbers b of one block, p cut evenly
  int64_t blocks;     // of pairs: all b, and then the next a
  int64_t lanes;      // lane t takes the blocks t, t + lanes, ...
  double* first;      // what attention to a adds beyond what it takes from "="
  double* second;     // the same of b
  double* base;       // [panel, kGridPanel]: what every pair has
  double* attention;  // [p, p, 2, H]: to a, to b
  double* map;        // [neurons, stride]: W_L by neuron
  double* sums;       // [neuron panel, 4 p + 1, kGridPanel]: as the outputs, squares behind
  double* logits;     // [lane, kGridRows columns, classes]
  // Of the neurons of one panel, for the pairs of one block:
  double* activations;  // [lane, kGridRows columns, kGridPanel]
  uint32_t* active;     // [lane, kGridRows columns]: a bit for each that is not 0
};

// Task t: sequence t.
struct AttentionJob {
  const assay_suffix_attention_params* args;
  assay_matrix out;
  const int64_t* rows;  // [S] first row of each sequence
  bool last;            // whether the last position alone asks
};

// Rows of one task of assay_patch_rows. Task t: head t % heads of block t / heads.
constexpr int kPatchRows = 16;

struct PatchJob {
  const assay_patch_rows_params* args;
  assay_matrix middle;
  assay_matrix normed;  // data NULL: not asked for
};

// Destinations of one task of assay_edge_scores.
constexpr int kEdgeRows = kRowBlock;

struct EdgeJob {
  const assay_edge_scores_params* args;
  double* scores;
  void* packed;    // [E, stride]: of one position, rows of the gradients with zeros behind them
  int64_t stride;  // in elements
  double* sums;    // [E, S]
};

// Of a matrix product: most rows of a task, most of a left matrix for which the right one is copied
// piece by piece, what of the inner dimension meets at once, and what of it stays near. Of sums
// over rows: rows of a task, and, segment by segment, most rows and panels of one.
constexpr int64_t kProductBlock = 96;
constexpr int64_t kProductFew = 288;
constexpr int64_t kProductDepth = 128;
constexpr int64_t kProductDeep = 1024;
constexpr int64_t kProductTurned = 72;
constexpr int64_t kProductRows = 288;
constexpr int64_t kProductPanels = 4;
constexpr int64_t kProductMerged = 16;  // rows whose segments are added by one task

// What becomes of the sums of a product; in the order of io.assay.engine.graph.OwnProducts.
enum class Activation { kNone, kRelu, kGelu };

// Y [m, n] = C + A B, B in panels of kGrokPanel columns; or C + A^T B of A [k, m] and B [k, n].
struct ProductJob {
  const float* a;
  const float* b;  // element (l, j) is at b[l * b_row + j * b_column]
  const float* c;  // NULL: 0; element (i, j) is at c[i * c_row + j]
  float* out;
  int64_t m, n, k, b_row, b_column, c_row;
  const float* more;      // NULL: 0; [m, n], added to C
  Activation activation;  // of Y
  const float* gate;      // NULL: none; [m, n]: where it is not above 0, Y is 0
  float* packed;          // [panel, k, kGrokPanel]: B, where all of it is copied first
  // Task t of product_rows has block_rows rows from t % row_blocks * block_rows on, and `panels`
  // panels; of product_turned, kProductTurned rows. Task t of product_sums sums `segment` rows from
  // t / blocks * segment on of block t % blocks: block_rows rows and kProductPanels panels.
  int64_t segments, segment, blocks, row_blocks, block_rows, panels;
  float* sums;  // [segment, panel, m, kGrokPanel]
};

// Products of one task.
constexpr int64_t kSmallProducts = 64;

// How far apart the elements of matrices [outer, inner, row, column] are along each axis.
struct Apart {
  int64_t outer, inner, row, column;
};

// `count` products Y [m, n] = A [m, k] B [k, n], `inner` for each number of the outer axis. Either
// rows of A and columns of B lie in one piece (dots), or rows of B and of Y.
struct SmallJob {
  const float* at_a;
  const float* at_b;
  float* at_y;
  Apart a, b, y;
  int64_t count, inner, m, n, k;
  bool dots;
};

// Chains of element-wise steps. io.assay.engine.graph.OwnChains has the same enumerations and
// limits, in the same order. A value has all elements, or is one row for all rows, a number for
// each row, or a number.
enum class ChainKind : int32_t { kFull, kRow, kColumn, kNumber };
enum class ChainOp : int32_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kNegate,
  kRoot,
  kTanh,
  kExponential,
  kLogarithm,  // of a number for each row
  kSum,        // of a row
  kMean,       // of a row
  kLargest,    // of a row; NaN is not
  kSpread,     // a number for each row to all elements of it
};

constexpr int64_t kChainPiece = 1024;    // elements at once where rows do not matter
constexpr int64_t kChainRoom = 1 << 15;  // floats of all buffers; of doubles half as many
constexpr int64_t kChainValues = 256;    // inputs and steps

struct ChainStep {
  ChainOp op;
  ChainKind kind;  // of the result: kFull or kColumn
  int32_t a, b;    // values: inputs, then steps
  int32_t output;  // -1: none
  int32_t buffer;  // of a full result that is no output
};

struct ChainJob {
  int64_t elements, columns, rows, task_rows;
  int64_t inputs, steps;
  bool wide;                 // elements are doubles, not floats
  const ChainKind* kinds;    // [inputs]
  const void* const* input;  // [inputs]
  const ChainStep* step;     // [steps]
  void* const* output;
};

using Task = void (*)(const void* job, int64_t task);

// The kernels of one tier. Tasks of a job may run in any order and on any thread.
struct Kernels {
  Task head_rows;
  Task token_swap;
  Task token_swap_coarse;
  Task token_swap_matrix;  // NULL: there are no matrix units
  Task token_score;
  Task head_backward;
  Task adamw;
  Task fourier_sums;   // task s: M(s,:)
  Task fourier_waves;  // task k < h: alpha and beta of frequency k + 1; task h: the mean
  Task fourier_loss;   // task t: lane t
  Task grok_weights;
  Task grok_tables;
  Task grok_pairs;
  Task grok_numbers;
  Task grok_sums;
  Task grok_table_gradients;
  Task grok_weight_gradients;
  Task grid_tables;     // task t: panel t
  Task grid_attention;  // task a: pairs of number a
  Task grid_logits;     // task t: lane t
  Task grid_sums;       // task t: panel t of the neurons
  Task suffix_attention;
  Task patch_rows;
  Task edge_scores;
  Task product_pack;    // task t: panel t
  Task product_rows;    // task t: block_rows rows and `panels` panels
  Task product_panel;   // task t: panel t of at most kProductFew rows
  Task product_turned;  // task t: kProductTurned rows and `panels` panels
  Task product_sums;
  Task product_merge;   // task t: kProductMerged rows
  Task small_products;  // task t: kSmallProducts products
  Task chain;           // task t: task_rows rows
};

extern const Kernels kernels_scalar;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_amx;
extern const Kernels kernels_neon;

}  // namespace assay
