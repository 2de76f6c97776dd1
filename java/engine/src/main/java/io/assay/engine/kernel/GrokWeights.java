package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * The weights of the network of {@link Kernels#grok}, or their gradients; F32 and dense.
 *
 * <p>Letters: p numbers, D width, H heads, d_h width of a head, m neurons, q outputs.
 *
 * @param embedding W_E [D,p+1]
 * @param positions W_pos [3,D]
 * @param keys W_K [H,d_h,D]
 * @param queries W_Q [H,d_h,D]
 * @param values W_V [H,d_h,D]
 * @param attentionOut W_O [D,H*d_h]
 * @param neuronsIn W_in [m,D]
 * @param neuronsBias b_in [m], or null for zeros
 * @param neuronsOut W_out [D,m]
 * @param outBias b_out [D], or null for zeros
 * @param unembedding W_U [D,q]
 */
public record GrokWeights(
    Tensor embedding,
    Tensor positions,
    Tensor keys,
    Tensor queries,
    Tensor values,
    Tensor attentionOut,
    Tensor neuronsIn,
    Tensor neuronsBias,
    Tensor neuronsOut,
    Tensor outBias,
    Tensor unembedding) {

  /**
   * @throws IllegalArgumentException if a tensor is missing, not F32, or its shape does not go with
   *     the others'
   */
  public GrokWeights {
    long width = require("embedding", embedding, -1, -1).dim(0);
    require("positions", positions, 3, width);
    Tensor k = require("keys", keys, -1, -1, width);
    require("queries", queries, k.dim(0), k.dim(1), width);
    require("values", values, k.dim(0), k.dim(1), width);
    require("attentionOut", attentionOut, width, k.dim(0) * k.dim(1));
    long neurons = require("neuronsIn", neuronsIn, -1, width).dim(0);
    require("neuronsOut", neuronsOut, width, neurons);
    require("unembedding", unembedding, width, -1);
    if (neuronsBias != null) {
      require("neuronsBias", neuronsBias, neurons);
    }
    if (outBias != null) {
      require("outBias", outBias, width);
    }
  }

  private static Tensor require(String name, Tensor t, long... shape) {
    return KernelArguments.tensor(name, t, DType.F32, shape);
  }

  /** p. */
  public int numbers() {
    return (int) embedding.dim(1) - 1;
  }

  /** H. */
  public int heads() {
    return (int) keys.dim(0);
  }

  /** q. */
  public int outputs() {
    return (int) unembedding.dim(1);
  }

  /** The memory of a tensor that may be null. */
  static MemorySegment data(Tensor t) {
    return t == null ? null : t.data();
  }

  /** All tensors, null where there is no bias, in the order of the record. */
  Tensor[] all() {
    return new Tensor[] {
      embedding,
      positions,
      keys,
      queries,
      values,
      attentionOut,
      neuronsIn,
      neuronsBias,
      neuronsOut,
      outBias,
      unembedding
    };
  }
}
