package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;

/**
 * Arguments of {@link Kernels#grokGrid}: the network of {@link Kernels#grok} on all pairs (a, b),
 * in double, from what its weights make of each number (specs/grokking.md 3.2 and 7.2). Rows of
 * scores and tables are the p numbers as a, the p numbers as b, and "="; columns are what the m
 * neurons read, and what p classes get past them.
 *
 * <pre>
 *   A[h] = softmax over (scores[h,a], scores[h,p+b], scores[h,2p])
 *   (x, skip) = constant + sum_h A[h,0] tables[h,a] + A[h,1] tables[h,p+b] + A[h,2] tables[h,2p]
 *   n = relu(x)
 *   logits[a,b] = skip + W_L n
 * </pre>
 *
 * <p>All tensors are F64.
 *
 * @param scores [H,2p+1]
 * @param tables [H,2p+1,m+p]
 * @param constant [m+p]
 * @param map W_L [p,m]
 * @param logits out [p p,p]; row a p + b
 * @param sums out [4,p,m]: n summed over the pairs of each a, of each b, of each a + b and of each
 *     a - b mod p
 * @param squares out [m]: n squared, summed over all pairs
 */
public record GrokGrid(
    Tensor scores,
    Tensor tables,
    Tensor constant,
    Tensor map,
    Tensor logits,
    Tensor sums,
    Tensor squares) {

  /**
   * @throws IllegalArgumentException if a tensor is missing, not F64, or its shape does not go with
   *     the others', or what is written overlaps something else
   */
  public GrokGrid {
    long p = require("map", map, -1, -1).dim(0);
    long m = map.dim(1);
    long heads = require("scores", scores, -1, 2 * p + 1).dim(0);
    require("tables", tables, heads, 2 * p + 1, m + p);
    require("constant", constant, m + p);
    require("logits", logits, p * p, p);
    require("sums", sums, 4, p, m);
    require("squares", squares, m);
    Tensor[] all = {logits, sums, squares, scores, tables, constant, map};
    String[] names = {"logits", "sums", "squares", "scores", "tables", "constant", "map"};
    for (int i = 0; i < 3; i++) {
      for (int j = i + 1; j < all.length; j++) {
        KernelArguments.apart(names[i], all[i].data(), names[j], all[j].data());
      }
    }
  }

  private static Tensor require(String name, Tensor t, long... shape) {
    return KernelArguments.tensor(name, t, DType.F64, shape);
  }

  /** p. */
  public int numbers() {
    return (int) map.dim(0);
  }

  /** H. */
  public int heads() {
    return (int) scores.dim(0);
  }

  /** m. */
  public int neurons() {
    return (int) map.dim(1);
  }
}
