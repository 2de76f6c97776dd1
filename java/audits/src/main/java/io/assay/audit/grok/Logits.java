package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Logits of (a + b) mod p for all pairs. */
public final class Logits {
  private final int p;
  private final Tensor tensor;

  /** M [p,p] by s and c. */
  private final double[] sums;

  /**
   * @param p odd modulus
   * @param tensor L, F64, p p p elements by a, b and class, row-major; it is not copied
   * @throws InputException if p is even or below 3, if there are not p p rows of p classes, or a
   *     logit is not finite
   */
  public Logits(int p, Tensor tensor) {
    GrokShape.requireModulus(p);
    if (tensor.elements() != (long) p * p * p) {
      throw new InputException(
          tensor.elements()
              + " logits are not the "
              + p
              + " x "
              + p
              + " x "
              + p
              + " of modulus "
              + p);
    }
    this.p = p;
    this.tensor = tensor;
    sums = sum();
    for (double sum : sums) {
      if (!Double.isFinite(sum)) {
        requireFinite();
      }
    }
  }

  private double[] sum() {
    double[] sums = new double[p * p];
    double[] rows = new double[p * p];
    for (int a = 0; a < p; a++) {
      long from = (long) a * rows.length * Double.BYTES;
      MemorySegment.copy(tensor.data(), Tensor.DOUBLE, from, rows, 0, rows.length);
      // Of b = 0, 1, ... to the sums a, a + 1, ..., and round again.
      int shift = a * p;
      int first = rows.length - shift;
      for (int i = 0; i < first; i++) {
        sums[i + shift] += rows[i];
      }
      for (int i = 0; i < shift; i++) {
        sums[i] += rows[i + first];
      }
    }
    return sums;
  }

  /**
   * @param values L [p,p,p], which are copied
   * @throws InputException as above
   */
  public Logits(int p, double[] values) {
    this(p, Tensor.ofDoubles(values, values.length));
  }

  private void requireFinite() {
    for (int i = 0; i < tensor.elements(); i++) {
      if (!Double.isFinite(tensor.get(i))) {
        throw new InputException(
            "logits[%d,%d,%d] is %s; all must be finite"
                .formatted(i / p / p, i / p % p, i % p, tensor.get(i)));
      }
    }
  }

  /** The modulus. */
  public int p() {
    return p;
  }

  /** L, F64, p p p elements by a, b and class, row-major. */
  public Tensor tensor() {
    return tensor;
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
    double[] all = logits.toDoubles();
    double[] values = new double[p * p * p];
    for (int row = 0; row < p * p; row++) {
      System.arraycopy(all, (int) (row * columns), values, row * p, p);
    }
    return new Logits(p, values);
  }

  /** L[a,b,c]. */
  public double get(int a, int b, int c) {
    return tensor.get(((long) a * p + b) * p + c);
  }

  /** A copy of L, row-major. */
  public double[] values() {
    return tensor.toDoubles();
  }

  /** Copies the logits of the pair a p + b. */
  void read(int pair, double[] row) {
    MemorySegment.copy(tensor.data(), Tensor.DOUBLE, (long) pair * p * Double.BYTES, row, 0, p);
  }

  /** As kernels take them: [p p, p]. */
  Matrix matrix() {
    return Matrix.of(tensor.reshape((long) p * p, p));
  }

  /** M [p,p] by s and c: sums over the pairs with a + b = s. */
  double[][] sums() {
    double[][] rows = new double[p][];
    for (int s = 0; s < p; s++) {
      rows[s] = Arrays.copyOfRange(sums, s * p, (s + 1) * p);
    }
    return rows;
  }

  /** Whether the right class has the largest logit, by pair; among equals the lowest class wins. */
  boolean[] right() {
    boolean[] right = new boolean[p * p];
    double[] row = new double[p];
    for (int i = 0; i < right.length; i++) {
      read(i, row);
      right[i] = isRight(row, (i / p + i % p) % p);
    }
    return right;
  }

  private static boolean isRight(double[] row, int target) {
    double most = row[target];
    for (int c = 0; c < row.length; c++) {
      if (row[c] > most || c < target && row[c] == most) {
        return false;
      }
    }
    return true;
  }
}
