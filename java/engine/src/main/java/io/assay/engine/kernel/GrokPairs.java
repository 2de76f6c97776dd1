package io.assay.engine.kernel;

import java.lang.foreign.MemorySegment;

/**
 * Arguments of {@link Kernels#grok}: N pairs of numbers with their labels, and what is asked of the
 * network (specs/grokking.md 3.2).
 *
 * @param weights of the network
 * @param gradients out: of the mean loss; null: not asked for
 * @param first int32 [N], a, in [0,p)
 * @param second int32 [N], b, in [0,p)
 * @param labels int32 [N], in [0,q)
 * @param losses out, F64 [N], nats
 * @param best out, int32 [N]: lowest output of the largest logit, -1 where a logit is NaN
 */
public record GrokPairs(
    GrokWeights weights,
    GrokWeights gradients,
    MemorySegment first,
    MemorySegment second,
    MemorySegment labels,
    MemorySegment losses,
    MemorySegment best) {

  /** N. */
  long count() {
    return first.byteSize() / Integer.BYTES;
  }
}
