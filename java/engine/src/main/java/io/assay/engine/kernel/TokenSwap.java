package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#tokenSwapTopk}: score every vocabulary token as a swap, for A audits.
 *
 * <pre>
 *   score[a,v] = E[v].gradient[a] + alpha[a] * (W[v].hidden[a] + bias[v]) + unigram[v]
 * </pre>
 *
 * <p>With one table (W = E) this is one product with {@code gradient[a] + alpha[a] * hidden[a]}
 * (specs/arca.md 7.3). Tables are F32, F16, BF16 or F64; every other float argument is F32, or F64
 * where the tables are F64. A null segment leaves its term or mask out.
 *
 * @param embedding E [V,d]
 * @param head W [V,d], or null where the head is tied to the embedding
 * @param gradient [A,d], the averaged gradient at the swapped position
 * @param hidden [A,d], final hidden state of the position before it; may be null where alpha is
 * @param alpha [A], weight of the exact autoregressive term, or null for 0
 * @param bias [V], bias of the head, or null
 * @param unigram [V], added as it is (already weighted), or null
 * @param allowed bit v of [(V+7)/8] bytes, least significant first, set where v may be chosen; null
 *     allows all
 * @param forbiddenOffsets int64 [A+1], where each audit's list starts in {@code forbiddenIds}, or
 *     null
 * @param forbiddenIds int32, ascending within an audit, ids in [0,V)
 * @param kept best tokens to keep per audit, 1 to {@link Kernels#MAX_KEPT}
 * @param ids out, int32 [A,kept]: by score descending, id ascending among equals; -1 behind the
 *     last
 * @param scores out [A,kept]; -infinity behind the last
 * @param found out, int32 [A]: how many were kept, less than {@code kept} where fewer are allowed
 * @param nans out, int64 [A]: allowed tokens whose score is not a number; they are never kept
 * @param lse out [A], or null: log-sum-exp over v in [0,V) of W[v].hidden[a] + bias[v]; when asked
 *     for, alpha[a] * lse[a] is subtracted from the scores, which makes them comparable with J
 */
public record TokenSwap(
    Matrix embedding,
    Matrix head,
    Matrix gradient,
    Matrix hidden,
    MemorySegment alpha,
    MemorySegment bias,
    MemorySegment unigram,
    MemorySegment allowed,
    MemorySegment forbiddenOffsets,
    MemorySegment forbiddenIds,
    int kept,
    MemorySegment ids,
    MemorySegment scores,
    MemorySegment found,
    MemorySegment nans,
    MemorySegment lse) {}
