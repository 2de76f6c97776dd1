package io.assay.engine.graph;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.LongStream;

/** Gradients of matrix products. */
final class ProductRules {
  /** Rows of a determinant whose cofactors still take little memory. */
  private static final int LARGEST_DET = 32;

  private ProductRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("MatMul", ProductRules::matmul);
    rules.put("Gemm", ProductRules::gemm);
    rules.put("Det", ProductRules::det);
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

  /**
   * The cofactor of each entry, the determinant of what is left without its row and column, signed
   * like a chessboard: right for singular matrices too. Costs n^2 determinants.
   */
  private static void det(Backward b) {
    long[] shape = b.in(0).shape();
    int n = (int) shape[shape.length - 1];
    if (n > LARGEST_DET) {
      throw b.refused("for determinants of more than " + LARGEST_DET + " rows");
    }
    long[] batch = Arrays.copyOf(shape, shape.length - 2);
    b.give(0, () -> cofactors(b, batch, n).times(b.g().reshape(with(batch, 1, 1))));
  }

  private static Expr cofactors(Backward b, long[] batch, int n) {
    Tensor signs = Tensor.allocate(Arena.ofAuto(), b.in(0).dtype(), n, n);
    long[] rest = new long[n * n * (n - 1) * (n - 1)];
    int at = 0;
    for (int i = 0; i < n * n; i++) {
      signs.set(i, (i / n + i % n) % 2 == 0 ? 1 : -1);
      for (int j = 0; j < n * n; j++) {
        if (j / n != i / n && j % n != i % n) {
          rest[at++] = j;
        }
      }
    }
    if (n == 1) {
      return b.constant(signs);
    }
    Expr flat = b.in(0).reshape(with(batch, (long) n * n));
    Expr minors =
        b.op("Gather", Map.of("axis", (long) batch.length), flat, b.longs(rest, rest.length))
            .reshape(with(batch, n, n, n - 1, n - 1));
    return b.op("Det", Map.of(), minors).times(b.constant(signs));
  }

  private static long[] with(long[] shape, long... more) {
    return LongStream.concat(Arrays.stream(shape), Arrays.stream(more)).toArray();
  }
}
