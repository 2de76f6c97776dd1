package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#suffixAttention}: S sequences that begin at different positions, each
 * behind the keys and values of one of several whole prompts of T positions (specs/ioi.md 7). The
 * rows of a sequence, its positions start to T - 1, follow those of the sequence before.
 *
 * <p>All matrices are F32 or all F64; a head is {@code d / heads} neighbouring columns, at most
 * {@link Kernels#MAX_HEAD_WIDTH}.
 *
 * @param queries [R,d], or [S,d]: those of the last position alone
 * @param keys [R,d]
 * @param values [R,d]
 * @param pastKeys [prompts T,d]; null where all starts are 0
 * @param pastValues likewise
 * @param prompts int32 [S], whose past; null where there is none
 * @param starts int32 [S], in [0,T)
 * @param sequences S
 * @param positions T
 * @param scale of the scores
 */
public record SuffixAttention(
    Matrix queries,
    Matrix keys,
    Matrix values,
    Matrix pastKeys,
    Matrix pastValues,
    MemorySegment prompts,
    MemorySegment starts,
    int sequences,
    int positions,
    int heads,
    double scale) {}
