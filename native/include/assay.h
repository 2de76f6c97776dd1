/*
 * Assay's native kernels: the C ABI.
 *
 * Rules that hold for every function here:
 *   - A function that can fail returns int32_t: 0 is success, a negative value is one of the
 *     ASSAY_ERROR_ codes; assay_last_error() then tells what was wrong. After a failure the
 *     outputs are unspecified.
 *   - Pointers are not NULL unless the comment says so. Sizes are elements unless a name ends in
 *     _bytes. Strides are elements between the starts of two rows. Everything is row-major.
 *   - Outputs and workspace overlap nothing else. Element alignment suffices for all memory.
 *   - Work of size zero succeeds and writes nothing.
 *   - A result's bits depend on the tier and on the row's own inputs only: not on the number of
 *     threads, and not on how many rows or audits share the call.
 *   - Functions may be called from several threads at once, also with the same stream (calls with
 *     one stream then take turns).
 *   - Nothing here prints, exits, throws or installs handlers.
 *
 * Letters: A audits, R rows, V vocabulary, d width, K kept, S sequences, T positions; those of
 * assay_grok stand there.
 */
#ifndef ASSAY_H
#define ASSAY_H

#include <stdint.h>

#if defined(_WIN32)
#define ASSAY_API __declspec(dllexport)
#else
#define ASSAY_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Status codes; a value is never given a second meaning. */
#define ASSAY_OK 0
#define ASSAY_ERROR_ARGUMENT (-1)  /* an argument is outside of what its comment allows */
#define ASSAY_ERROR_MEMORY (-2)    /* memory or a thread could not be had */
#define ASSAY_ERROR_WORKSPACE (-3) /* the workspace is smaller than its query says */
#define ASSAY_ERROR_TIER (-4)      /* the tier asked for is unknown or absent here */
#define ASSAY_ERROR_STRUCT (-5)    /* struct_bytes is not a size this library knows */
#define ASSAY_ERROR_INTERNAL (-6)  /* a defect of the library */

/* Element types. A "real" is ASSAY_F32, or ASSAY_F64 where the table is ASSAY_F64. */
#define ASSAY_F32 1
#define ASSAY_F64 2
#define ASSAY_F16 3  /* IEEE binary16 */
#define ASSAY_BF16 4 /* upper half of a float */
#define ASSAY_I8 5   /* whole numbers: coarse tables only */

/* Largest K of assay_token_swap_topk. */
#define ASSAY_MAX_KEPT 256

/* Longest row of whole numbers: sums of products of two such rows fit in 32 bits. */
#define ASSAY_COARSE_LENGTH 46340

/* Longest list of assay_fourier_ablate. */
#define ASSAY_MAX_ABLATIONS 8

/* Widest head of assay_suffix_attention and assay_patch_rows. */
#define ASSAY_MAX_HEAD_WIDTH 1024

/* Norms of assay_patch_rows. */
#define ASSAY_LAYER_NORM 1
#define ASSAY_RMS_NORM 2

/* Version of this header; changes whenever a caller built against an older one would break. */
#define ASSAY_ABI_VERSION 9

/* ---- the library ---- */

/* Version of the ABI the library was built with, to compare with ASSAY_ABI_VERSION. */
ASSAY_API int32_t assay_abi_version(void);

/* One line, static storage: version, compiler and target. Never NULL. */
ASSAY_API const char *assay_build_id(void);

/*
 * Text of the calling thread's last failure: function, argument, value got, values allowed. Valid
 * until the thread's next call into the library; "" if none failed yet. Never NULL.
 */
ASSAY_API const char *assay_last_error(void);

/*
 * Layout of the structs below as compiled, for a handshake with generated bindings: one line per
 * struct, "name size field=offset field=offset ...\n", static storage. Never NULL.
 */
ASSAY_API const char *assay_struct_layout(void);

/* ---- instruction set tiers ---- */

/*
 * Tiers are numbered from 0 (scalar) upwards in the order of preference within an architecture:
 * scalar, avx2, avx512, amx, neon. The best one that is present is chosen at the first use; the
 * environment variable ASSAY_CPU_TIER, read at that moment, names another one.
 */

/* How many tiers this library knows, present or not. */
ASSAY_API int32_t assay_cpu_tier_count(void);

/* Name of tier i, or NULL if i is outside [0, assay_cpu_tier_count()). */
ASSAY_API const char *assay_cpu_tier_name(int32_t i);

/* 1 if tier i can run here, else 0. */
ASSAY_API int32_t assay_cpu_tier_present(int32_t i);

/*
 * Why tier i is present or not ("present", "not built for this architecture", "the processor lacks
 * avx512f", ...), static storage; NULL if i is outside of the range.
 */
ASSAY_API const char *assay_cpu_tier_reason(int32_t i);

/*
 * Index of the tier in use, chosen now if none was; ASSAY_ERROR_TIER if ASSAY_CPU_TIER names one
 * that is unknown or absent.
 */
ASSAY_API int32_t assay_cpu_tier_current(void);

/*
 * Uses the named tier for all later calls of the process. NULL chooses anew (environment, else the
 * best). Fails with ASSAY_ERROR_TIER and changes nothing if it is unknown or absent. Calls that
 * are under way finish on the tier they began with.
 */
ASSAY_API int32_t assay_cpu_tier_force(const char *name);

/* ---- streams ---- */

/* Where work runs: on the cpu, a pool of threads. */
struct assay_stream;

/*
 * Creates a pool for calls that use at most `threads` threads, the calling one among them.
 *   threads  1 to 1024
 *   stream   out; to be released with assay_stream_destroy
 */
ASSAY_API int32_t assay_stream_create(int32_t threads, struct assay_stream **stream);

/* Releases a pool that no call uses any more. NULL is allowed and does nothing. */
ASSAY_API void assay_stream_destroy(struct assay_stream *stream);

/* ---- arguments ---- */

/* Rows of equal length. data may be NULL where rows or columns is 0, or where a comment says so. */
struct assay_matrix {
  void *data;       /* first element; kernels write only matrices named as output */
  int32_t dtype;    /* ASSAY_F32, ... */
  int32_t reserved; /* 0 */
  int64_t rows;
  int64_t columns;
  int64_t stride; /* >= columns */
};

/*
 * Score of every token v as a swap, for A audits (ARCA, Jones et al. 2023, arXiv 2303.04381):
 *
 *   score[a,v] = E[v].gradient[a] + alpha[a] * (W[v].hidden[a] + bias[v] - lse[a]) + unigram[v]
 *
 * lse[a] is log sum_v exp(W[v].hidden[a] + bias[v]) where the output lse is asked for, else 0.
 * Where alpha[a] is 0 its whole term is left out, infinities and NaN in it included.
 */
struct assay_token_swap_topk_params {
  int64_t struct_bytes;             /* sizeof(struct assay_token_swap_topk_params) */
  struct assay_matrix embedding;    /* E [V,d], any element type, 1 <= V <= 2^31-1 */
  struct assay_matrix head;         /* W [V,d], type of E; data NULL: tied, W = E */
  struct assay_matrix gradient;     /* [A,d] real */
  struct assay_matrix hidden;       /* [A,d] real; data NULL where alpha and lse are */
  const void *alpha;                /* [A] real; NULL: 0 */
  const void *bias;                 /* [V] real; NULL: 0 */
  const void *unigram;              /* [V] real; NULL: 0 */
  const uint8_t *allowed;           /* [(V+7)/8] bits, lowest first, 1 = may be chosen; NULL: all */
  const int64_t *forbidden_offsets; /* [A+1] ascending; NULL: none */
  const int32_t *forbidden_ids;     /* ascending within an audit, in [0,V); NULL: none */
  int64_t kept;                     /* K, 1 to ASSAY_MAX_KEPT */
  int32_t *ids;   /* out [A,K]: score descending, id ascending among equals; -1 behind the last */
  void *scores;   /* out [A,K] real; -infinity behind the last */
  int32_t *found; /* out [A]: how many were kept */
  int64_t *nans;  /* out [A]: tokens not masked whose score is NaN; they are never kept */
  void *lse;      /* out [A] real, or NULL */
  /*
   * An 8-bit table near E, or data NULL: it decides how fast a call is, never what it returns. Used
   * where E is ASSAY_F32 and the head is tied: it finds the few tokens that may be among the best,
   * whose scores E then gives. Rows are whole numbers I[v], their Euclidean length at most
   * ASSAY_COARSE_LENGTH, and stand for C[v] = coarse_scale[v] I[v]. With n = d + 8, u = 2^-24 and
   * g = n u / (1 - n u), each
   *   coarse_error[v] >= ||E[v] - C[v]|| + g (||E[v]|| + ||C[v]||)   (+infinity: nothing is known)
   * so that two float products with any x, of E[v] and of C[v], differ by at most that times ||x||.
   */
  struct assay_matrix coarse; /* I [V,d], ASSAY_I8 */
  const float *coarse_scale;  /* [V], finite, >= 0; NULL where coarse.data is */
  const float *coarse_error;  /* [V]; NULL where coarse.data is */
};

/* The output head at R rows: logit[r,v] = W[v].hidden[r] + bias[v], never stored. */
struct assay_head_rows_params {
  int64_t struct_bytes;       /* sizeof(struct assay_head_rows_params) */
  struct assay_matrix hidden; /* [R,d] real */
  struct assay_matrix head;   /* W [V,d], any element type, 1 <= V <= 2^31-1 */
  const void *bias;           /* [V] real; NULL: 0 */
  const int32_t *targets;     /* [R], in [0,V) */
};

/*
 * Cross-entropies of a modular task after removing, or keeping alone, families of frequencies of
 * a + b (Nanda et al. 2023, arXiv 2301.05217, section 5). L [p,p,p] are the logits of class c for
 * all pairs (a,b), (a + b) mod p is the right class, w_k = 2 pi k / p for k = 1 .. (p-1)/2, and
 *
 *   D_k(s,c) = alpha_k(c) cos(w_k s) + beta_k(c) sin(w_k s)
 *
 * is the projection of L on cos(w_k (a+b)) and sin(w_k (a+b)), at s = a + b. A family F is a set of
 * frequencies, D_F the sum of its D_k. Removed: L - D_F. Kept alone: mean of L over all pairs +
 * D_F. With `rotation` only the multiple of cos(w_k (a+b-c)) counts as D_k.
 *
 * Letters: p modulus, h = (p-1)/2 frequencies, F families, G groups.
 */
struct assay_fourier_ablate_params {
  int64_t struct_bytes;       /* sizeof(struct assay_fourier_ablate_params) */
  struct assay_matrix logits; /* L [p p, p], ASSAY_F32 or ASSAY_F64; row a p + b */
  int64_t modulus;            /* p, odd, >= 3 */
  const uint8_t *families;    /* [F,h]: 1 where frequency column + 1 is in the family, else 0 */
  int64_t family_count;       /* F */
  const uint8_t *groups;      /* [p p]: the mean that a pair counts in, 1 .. G; 0: none */
  int64_t group_count;        /* G, 1 .. 255 */
  int32_t keep;               /* 0: the families are removed, 1: they are kept alone */
  int32_t rotation;           /* 0: all of D_k, 1: the multiple of cos(w_k (a+b-c)) */
  const struct assay_fourier_ablate_params *next; /* further families, or NULL: of the same logits
                                                     and modulus, ASSAY_MAX_ABLATIONS in all */
};

/* Hyperparameters of assay_adamw. */
struct assay_adamw_params {
  int64_t struct_bytes; /* sizeof(struct assay_adamw_params) */
  double learning_rate; /* finite */
  double beta1;         /* in [0,1) */
  double beta2;         /* in [0,1) */
  double epsilon;       /* >= 0 */
  double weight_decay;  /* finite */
  int64_t step;         /* t, from 1 */
};

/* The weights of assay_grok, or their gradients; F32, each in one piece. */
struct assay_grok_weights {
  float *embedding;     /* W_E [D,p+1] */
  float *positions;     /* W_pos [3,D] */
  float *keys;          /* W_K [H,d_h,D] */
  float *queries;       /* W_Q [H,d_h,D] */
  float *values;        /* W_V [H,d_h,D] */
  float *attention_out; /* W_O [D,H*d_h] */
  float *neurons_in;    /* W_in [m,D] */
  float *neurons_bias;  /* b_in [m], or NULL: 0 */
  float *neurons_out;   /* W_out [D,m] */
  float *out_bias;      /* b_out [D], or NULL: 0 */
  float *unembedding;   /* W_U [D,q] */
};

/*
 * The one-layer transformer of Nanda et al. 2023 (arXiv 2301.05217) on inputs (a, b, "=") at its
 * last position, for N pairs. With x0 = W_E[:,a] + W_pos[0], x1 = W_E[:,b] + W_pos[1],
 * x2 = W_E[:,p] + W_pos[2]:
 *
 *   A[h] = softmax over j of (W_Q[h] x2).(W_K[h] xj) / sqrt(d_h)
 *   r = x2 + sum_h W_O[h] W_V[h] sum_j A[h,j] xj
 *   logits = W_U^T (r + W_out relu(W_in r + b_in) + b_out)
 *   loss[i] = log sum_c exp(logits[c] - logits[label[i]])
 *
 * Letters: p numbers, D width, H heads, d_h width of a head, m neurons, q outputs, N pairs.
 */
struct assay_grok_params {
  int64_t struct_bytes; /* sizeof(struct assay_grok_params) */
  int64_t numbers;      /* p, 1 to 32767 */
  int64_t width;        /* D, 1 to 65536; so are the next four */
  int64_t heads;        /* H */
  int64_t head_width;   /* d_h */
  int64_t neurons;      /* m */
  int64_t outputs;      /* q */
  struct assay_grok_weights weights;
  struct assay_grok_weights gradients; /* out: of the mean loss; embedding NULL: not asked for,
                                          else NULL only where the weight is */
  int64_t pairs;                       /* N */
  const int32_t *first;                /* a [N], in [0,p); fastest where they ascend */
  const int32_t *second;               /* b [N], in [0,p) */
  const int32_t *labels;               /* [N], in [0,q) */
  double *losses;                      /* out [N], nats */
  int32_t *best; /* out [N]: lowest output of the largest logit, -1 where one is NaN */
};

/*
 * The network of assay_grok on all pairs (a, b), in double, from what its weights make of each
 * number (Nanda et al. 2023; the exact collapse to tables), and sums over the pairs, of which the
 * neurons' frequencies follow. Rows of scores and tables are the p numbers as a, the p numbers as
 * b, and "="; columns are what the m neurons read, and what p classes get past them.
 *
 *   A[h] = softmax over (scores[h,a], scores[h,p+b], scores[h,2p])
 *   (x, skip) = constant + sum_h A[h,0] tables[h,a] + A[h,1] tables[h,p+b] + A[h,2] tables[h,2p]
 *   n = relu(x)
 *   logits[a,b] = skip + W_L n
 *   sums = sum of n over the pairs of each a, of each b, of each a + b and of each a - b, mod p
 *   squares = sum of n^2 over all pairs
 *
 * A neuron that is 0 writes nothing. Letters: p numbers, H heads, m neurons.
 */
struct assay_grok_grid_params {
  int64_t struct_bytes;   /* sizeof(struct assay_grok_grid_params) */
  int64_t numbers;        /* p, 1 to 32767 */
  int64_t heads;          /* H, 1 to 65536 */
  int64_t neurons;        /* m, 1 to 65536 */
  const double *scores;   /* [H,2p+1] */
  const double *tables;   /* [H,2p+1,m+p] */
  const double *constant; /* [m+p] */
  const double *map;      /* W_L [p,m] */
  double *logits;         /* out [p p,p]; row a p + b */
  double *sums;           /* out [4,p,m]: by a, b, a + b, a - b */
  double *squares;        /* out [m] */
};

/*
 * Causal attention of S sequences that begin at different positions, each behind the keys and
 * values of one of several whole prompts of T positions (specs/ioi.md 7). Sequence s holds the
 * positions starts[s] .. T-1; its rows follow those of sequence s-1. Where q, k and v are the
 * columns of one head, the row of position t reads
 *
 *   out = sum_u p[u] v[u],  p = softmax over u <= t of scale * (q . k[u])
 *
 * with k[u] and v[u] of row prompts[s] * T + u of the past where u < starts[s], else its own.
 */
struct assay_suffix_attention_params {
  int64_t struct_bytes;            /* sizeof(struct assay_suffix_attention_params) */
  struct assay_matrix queries;     /* [R,d] real, or [S,d]: those of position T-1 alone */
  struct assay_matrix keys;        /* [R,d], R = sum_s (T - starts[s]) */
  struct assay_matrix values;      /* [R,d] */
  struct assay_matrix past_keys;   /* [prompts T,d]; data NULL where all starts are 0 */
  struct assay_matrix past_values; /* [prompts T,d]; likewise */
  const int32_t *prompts;          /* [S], whose past */
  const int32_t *starts;           /* [S], in [0,T) */
  int64_t sequences;               /* S */
  int64_t positions;               /* T, 1 to 2^31-1 */
  int64_t heads;                   /* H, divides d; d / H is at most ASSAY_MAX_HEAD_WIDTH */
  double scale;                    /* of the scores */
};

/*
 * Rows of a run in which one head's output is that of a source row (specs/ioi.md 7): for each of N
 * rows and each of H heads a copy of its own. With z = [live ; bank], i = rows[n], j =
 * sources[n,h], where (h) are a head's columns of z and rows of W_O:
 *
 *   middle[n H + h] = stream[i] + (z[j] - z[i])(h) W_O(h)
 *   normed[n H + h] = scale * (middle[n H + h] - m) / sqrt(v + epsilon) + bias
 *
 * with m the mean of the copy and v the mean of (middle - m)^2, or, of ASSAY_RMS_NORM, m = 0. Where
 * j is -1 the copy is the row as it is.
 */
struct assay_patch_rows_params {
  int64_t struct_bytes;       /* sizeof(struct assay_patch_rows_params) */
  struct assay_matrix live;   /* [L,H d_h] real: what the run's heads give */
  struct assay_matrix bank;   /* [B,H d_h], what else they may; data NULL: nothing, B = 0 */
  struct assay_matrix output; /* W_O [H d_h,d] */
  struct assay_matrix stream; /* [L,d], with the heads' part in it */
  const int32_t *rows;        /* [N], in [0,L) */
  const int32_t *sources;     /* [N,H], in [-1,L+B) */
  int64_t count;              /* N */
  int64_t heads;              /* H; d_h is at most ASSAY_MAX_HEAD_WIDTH */
  const void *scale;          /* [d] real; NULL: 1 */
  const void *bias;           /* [d] real; NULL: 0 */
  double epsilon;             /* >= 0 */
  int32_t norm;               /* ASSAY_LAYER_NORM or ASSAY_RMS_NORM where normed is asked for */
  int32_t reserved;           /* 0 */
};

/*
 * Scores of edges (edge attribution patching, specs/ioi.md 2.8): with the changes of what S sources
 * write at P positions, and the gradients by what E destinations read there,
 *
 *   scores[s,e] = sum over p and c of changes[s, p d + c] * gradients[e, p d + c]   for s <
 * before[e]
 *
 * and 0 for the others, whose products are not computed but for what falls into a tile.
 */
struct assay_edge_scores_params {
  int64_t struct_bytes;          /* sizeof(struct assay_edge_scores_params) */
  struct assay_matrix changes;   /* [S,P d] real */
  struct assay_matrix gradients; /* [E,P d] */
  const int32_t *before;         /* [E], in [0,S]: the sources that come before a destination */
  int64_t width;                 /* d, divides the columns */
};

/* ---- kernels ---- */

/* Workspace that assay_token_swap_topk needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_token_swap_topk_workspace(const struct assay_token_swap_topk_params *args,
                                                  int64_t *bytes);

/*
 * Scores all tokens and keeps the best K per audit; see struct assay_token_swap_topk_params. Reads
 * each table once for 96 audits (twice where lse is asked for); memory does not grow with A x V.
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_token_swap_topk(const struct assay_token_swap_topk_params *args,
                                        void *workspace, int64_t workspace_bytes,
                                        struct assay_stream *stream);

/* Workspace that assay_head_rows needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_head_rows_workspace(const struct assay_head_rows_params *args,
                                            int64_t *bytes);

/*
 * Log-probability of the target, log-sum-exp, arg max and margin of each row, by online
 * log-sum-exp over tiles of the vocabulary. A NaN logit makes the row's outputs NaN, arg max -1.
 *   log_prob   out [R] real, nats
 *   lse        out [R] real
 *   arg_max    out [R], lowest id among equals
 *   margin     out [R] real, best minus second logit, >= 0; +infinity where V is 1
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_head_rows(const struct assay_head_rows_params *args, void *log_prob,
                                  void *lse, int32_t *arg_max, void *margin, void *workspace,
                                  int64_t workspace_bytes, struct assay_stream *stream);

/* Workspace that assay_head_backward needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_head_backward_workspace(const struct assay_head_rows_params *args,
                                                int64_t *bytes);

/*
 * Gradient of sum_r weight[r] * log p(target[r]) with respect to hidden:
 *   gradient[r] = weight[r] * (W[target[r]] - sum_v exp(logit[r,v] - lse[r]) W[v])
 *   lse        [R] real, from assay_head_rows
 *   weight     [R] real
 *   gradient   out [R,d] real; only the elements data points to are written
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_head_backward(const struct assay_head_rows_params *args, const void *lse,
                                      const void *weight, const struct assay_matrix *gradient,
                                      void *workspace, int64_t workspace_bytes,
                                      struct assay_stream *stream);

/* Workspace that assay_adamw needs: always 0. */
ASSAY_API int32_t assay_adamw_workspace(const struct assay_matrix *parameters, int64_t *bytes);

/*
 * One AdamW step in place (Loshchilov and Hutter 2019, algorithm 2, as PyTorch applies it). The
 * four matrices have one shape and one type, ASSAY_F32 or ASSAY_F64, and overlap nowhere.
 * Arithmetic is in double and rounded once per stored value; denormals count as zero.
 *   parameters, first, second  in and out
 *   gradients                  in
 *   stream                     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_adamw(const struct assay_adamw_params *args,
                              const struct assay_matrix *gradients,
                              const struct assay_matrix *parameters,
                              const struct assay_matrix *first, const struct assay_matrix *second,
                              void *workspace, int64_t workspace_bytes,
                              struct assay_stream *stream);

/* Workspace that assay_fourier_ablate needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_fourier_ablate_workspace(const struct assay_fourier_ablate_params *args,
                                                 int64_t *bytes);

/*
 * Mean cross-entropy of each family over each group; see struct assay_fourier_ablate_params. All
 * families share the exponentials of the logits: exp(L - D) = exp(L) exp(-D), so that a family
 * costs one product; so do those of all that `next` names, whose losses have the bits that they
 * have by themselves. Arithmetic is in double; a row whose product leaves the range of doubles is
 * computed by itself. Losses have full relative precision, however small.
 *   loss       out [F,G], nats; NaN where a group has no pair, and all where a logit is not finite;
 *              those of `next` behind
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_fourier_ablate(const struct assay_fourier_ablate_params *args, double *loss,
                                       void *workspace, int64_t workspace_bytes,
                                       struct assay_stream *stream);

/* Workspace that assay_grok needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_grok_workspace(const struct assay_grok_params *args, int64_t *bytes);

/*
 * Losses of pairs and the gradient of their mean; see struct assay_grok_params. What does not
 * depend on the pair is multiplied out once (2 H (m + q) + m q products a pair are left). Logits
 * are float; the exponentials of their differences, their sum and the loss are double, so that a
 * loss of 1e-8 keeps its digits. Denormals count as zero. Sums over pairs are taken in a fixed
 * order of blocks.
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_grok(const struct assay_grok_params *args, void *workspace,
                             int64_t workspace_bytes, struct assay_stream *stream);

/* Workspace that assay_grok_grid needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_grok_grid_workspace(const struct assay_grok_grid_params *args,
                                            int64_t *bytes);

/*
 * Logits and sums of activations of all pairs; see struct assay_grok_grid_params. Activations are
 * made twice and never stored. An input that is not finite makes what it reaches not finite.
 *   workspace  of workspace_bytes bytes
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_grok_grid(const struct assay_grok_grid_params *args, void *workspace,
                                  int64_t workspace_bytes, struct assay_stream *stream);

/* Workspace that assay_suffix_attention needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_suffix_attention_workspace(const struct assay_suffix_attention_params *args,
                                                   int64_t *bytes);

/*
 * What the rows of the queries read; see struct assay_suffix_attention_params. The past is read
 * where it lies, and no scores are stored. All matrices are ASSAY_F32, or all ASSAY_F64.
 *   out        out, of the queries' shape; only the elements data points to are written
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_suffix_attention(const struct assay_suffix_attention_params *args,
                                         const struct assay_matrix *out, void *workspace,
                                         int64_t workspace_bytes, struct assay_stream *stream);

/* Workspace that assay_patch_rows needs: always 0. */
ASSAY_API int32_t assay_patch_rows_workspace(const struct assay_patch_rows_params *args,
                                             int64_t *bytes);

/*
 * Patched rows of the stream, and their norm; see struct assay_patch_rows_params. No row of z is
 * copied, and a copy is normed while it is in the cache. All matrices are ASSAY_F32, or all
 * ASSAY_F64.
 *   middle     out [N H,d]; only the elements data points to are written
 *   normed     out, of the same shape; NULL: not asked for
 *   workspace  NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_patch_rows(const struct assay_patch_rows_params *args,
                                   const struct assay_matrix *middle,
                                   const struct assay_matrix *normed, void *workspace,
                                   int64_t workspace_bytes, struct assay_stream *stream);

/* Workspace that assay_edge_scores needs for these sizes, whatever the stream. */
ASSAY_API int32_t assay_edge_scores_workspace(const struct assay_edge_scores_params *args,
                                              int64_t *bytes);

/*
 * Scores of edges; see struct assay_edge_scores_params. The products of one position are summed in
 * the matrices' type, both ASSAY_F32 or both ASSAY_F64, and the positions in double, in an order
 * that the sizes fix.
 *   scores     out [S,E]
 *   workspace  of workspace_bytes bytes; NULL where the query says 0
 *   stream     NULL: the calling thread alone
 */
ASSAY_API int32_t assay_edge_scores(const struct assay_edge_scores_params *args, double *scores,
                                    void *workspace, int64_t workspace_bytes,
                                    struct assay_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
