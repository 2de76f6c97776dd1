package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Logits of (a + b) mod p for all pairs.
 *
 * @param p odd modulus
 * @param values L [p,p,p] by a, b and class, row-major
 */
public record Logits(int p, double[] values) {
  /**
   * @throws InputException if p is even or below 3, if there are not p p rows of p classes, or a
   *     logit is not finite
   */
  public Logits {
    GrokShape.requireModulus(p);
    if (values.length != (long) p * p * p) {
      throw new InputException(
          values.length + " logits are not the " + p + " x " + p + " x " + p + " of modulus " + p);
    }
    for (int i = 0; i < values.length; i++) {
      if (!Double.isFinite(values[i])) {
        throw new InputException(
            "logits[%d,%d,%d] is %s; all must be finite"
                .formatted(i / p / p, i / p % p, i % p, values[i]));
      }
    }
  }

  /**
   * Of a tensor with a row for each pair, in the order a p + b, or [p,p,columns].
   *
   * @param logits of p columns, or p + 1 of which the last is left out: that of the "=" token
   * @throws InputException if it has another shape
   */
  public static Logits of(int p, Tensor logits) {
    long columns = logits.rank() == 0 ? 0 : logits.dim(logits.rank() - 1);
    if (columns != p && columns != p + 1 || logits.elements() != columns * p * p) {
      throw new InputException(
          "the logits are %s; %d rows of %d or %d columns are needed"
              .formatted(logits, (long) p * p, p, p + 1));
    }
    double[] values = new double[p * p * p];
    MemorySegment data = logits.data();
    for (int row = 0; row < p * p; row++) {
      long from = row * columns;
      if (logits.dtype() == DType.F64) {
        MemorySegment.copy(data, Tensor.DOUBLE, from * Double.BYTES, values, row * p, p);
      } else {
        for (int c = 0; c < p; c++) {
          values[row * p + c] = logits.get(from + c);
        }
      }
    }
    return new Logits(p, values);
  }

  /** L[a,b,c]. */
  public double get(int a, int b, int c) {
    return values[(a * p + b) * p + c];
  }

  /** As kernels take them: [p p, p]. */
  Matrix matrix() {
    return Matrix.of(Tensor.ofDoubles(values, (long) p * p, p));
  }

  /** M [p,p] by s and c: sums over the pairs with a + b = s. */
  double[][] sums() {
    double[][] sums = new double[p][p];
    for (int a = 0; a < p; a++) {
      for (int b = 0; b < p; b++) {
        double[] row = sums[(a + b) % p];
        int at = (a * p + b) * p;
        for (int c = 0; c < p; c++) {
          row[c] += values[at + c];
        }
      }
    }
    return sums;
  }

  /** Whether the right class has the largest logit, by pair; among equals the lowest class wins. */
  boolean[] right() {
    boolean[] right = new boolean[p * p];
    for (int i = 0; i < right.length; i++) {
      right[i] = isRight(i * p, (i / p + i % p) % p);
    }
    return right;
  }

  private boolean isRight(int row, int target) {
    double most = values[row + target];
    for (int c = 0; c < p; c++) {
      if (values[row + c] > most || c < target && values[row + c] == most) {
        return false;
      }
    }
    return true;
  }
}
