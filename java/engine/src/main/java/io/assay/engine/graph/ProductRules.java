package io.assay.engine.graph;

import java.util.Arrays;
import java.util.Map;

/** Gradients of matrix products. */
final class ProductRules {
  private ProductRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("MatMul", ProductRules::matmul);
    rules.put("Gemm", ProductRules::gemm);
  }

  /**
   * {@code dA = G B^T}, {@code dB = A^T G}. Where B is one matrix for all rows (a weight) the
   * transposition is an attribute of Gemm: a Transpose node would be folded into a second copy of
   * the weight.
   */
  private static void matmul(Backward b) {
    if (b.in(0).rank() == 1 || b.in(1).rank() == 1) {
      vectors(b);
    } else if (b.in(1).rank() == 2) {
      b.give(0, () -> rows(b.g()).gemm(b.in(1), false, true, 1).reshape(b.in(0).shape()));
      b.give(1, () -> rows(b.in(0)).gemm(rows(b.g()), true, false, 1));
    } else {
      b.give(0, () -> b.g().matmul(b.in(1).transposed()));
      b.give(1, () -> b.in(0).transposed().matmul(b.g()));
    }
  }

  /** A vector is a matrix of one row on the left, of one column on the right. */
  private static void vectors(Backward b) {
    boolean left = b.in(0).rank() == 1;
    boolean right = b.in(1).rank() == 1;
    long n = left ? b.in(0).shape()[0] : b.in(1).shape()[0];
    Expr x = left ? b.in(0).reshape(1, n) : b.in(0);
    Expr y = right ? b.in(1).reshape(n, 1) : b.in(1);
    Expr g = b.g();
    if (left) {
      g = insert(g, right ? g.rank() : g.rank() - 1);
    }
    Expr full = right ? insert(g, g.rank()) : g;
    b.give(0, () -> flat(full.matmul(y.transposed()), left));
    b.give(1, () -> flat(x.transposed().matmul(full), right));
  }

  /** Without the axis of size 1 that stands for the missing one of a vector. */
  private static Expr flat(Expr x, boolean vector) {
    if (!vector) {
      return x;
    }
    long[] shape = x.shape();
    long n = Math.max(shape[shape.length - 1], shape[shape.length - 2]);
    long[] out = Arrays.copyOf(shape, shape.length - 1);
    out[out.length - 1] = n;
    return x.reshape(out);
  }

  private static Expr insert(Expr x, int at) {
    long[] shape = x.shape();
    long[] out = new long[shape.length + 1];
    for (int i = 0; i < out.length; i++) {
      out[i] = i == at ? 1 : shape[i < at ? i : i - 1];
    }
    return x.reshape(out);
  }

  /** All leading axes as one. */
  private static Expr rows(Expr x) {
    long[] shape = x.shape();
    long columns = shape[shape.length - 1];
    long rows = 1;
    for (int i = 0; i < shape.length - 1; i++) {
      rows *= shape[i];
    }
    return x.reshape(rows, columns);
  }

  /** Of {@code Y = alpha op(A) op(B) + beta C}. */
  private static void gemm(Backward b) {
    boolean ta = b.node().integer("transA", 0) != 0;
    boolean tb = b.node().integer("transB", 0) != 0;
    double alpha = b.node().real("alpha", 1);
    b.give(
        0,
        () -> ta ? b.in(1).gemm(b.g(), tb, true, alpha) : b.g().gemm(b.in(1), false, !tb, alpha));
    b.give(
        1,
        () -> tb ? b.g().gemm(b.in(0), true, ta, alpha) : b.in(0).gemm(b.g(), !ta, false, alpha));
    b.give(2, () -> b.g().times(b.node().real("beta", 1)));
  }
}
