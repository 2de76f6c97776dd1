package io.assay.audit.grok;

import java.util.Arrays;
import java.util.Comparator;

/**
 * Singular values and left singular vectors of a matrix by one-sided Jacobi rotations (Hestenes
 * 1958), which find small values to full precision.
 *
 * @param values descending
 * @param left [rows, rank]: column i belongs to value i; zero where the value is
 */
record Svd(double[] values, double[][] left) {
  private static final int SWEEPS = 60;
  private static final double ORTHOGONAL = 1e-15;

  /**
   * @param matrix [rows, columns], rows at most columns for speed
   */
  static Svd of(double[][] matrix) {
    int n = matrix.length;
    double[][] rows = new double[n][];
    double[][] turns = new double[n][n];
    for (int i = 0; i < n; i++) {
      rows[i] = matrix[i].clone();
      turns[i][i] = 1;
    }
    boolean turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
      turned = false;
      for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
          turned |= rotate(rows, turns, i, j);
        }
      }
    }
    double[] norms = new double[n];
    Integer[] order = new Integer[n];
    for (int i = 0; i < n; i++) {
      norms[i] = Math.sqrt(dot(rows[i], rows[i]));
      order[i] = i;
    }
    Arrays.sort(order, Comparator.comparingDouble(i -> -norms[i]));
    double[] values = new double[n];
    double[][] left = new double[n][n];
    for (int i = 0; i < n; i++) {
      values[i] = norms[order[i]];
      for (int r = 0; r < n; r++) {
        left[r][i] = turns[order[i]][r];
      }
    }
    return new Svd(values, left);
  }

  /** Makes two rows orthogonal; false if they are. */
  private static boolean rotate(double[][] rows, double[][] turns, int i, int j) {
    double product = dot(rows[i], rows[j]);
    double first = dot(rows[i], rows[i]);
    double second = dot(rows[j], rows[j]);
    if (Math.abs(product) <= ORTHOGONAL * Math.sqrt(first * second)) {
      return false;
    }
    double zeta = (second - first) / (2 * product);
    double tangent = Math.copySign(1, zeta) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
    double cos = 1 / Math.sqrt(1 + tangent * tangent);
    turn(rows[i], rows[j], cos, cos * tangent);
    turn(turns[i], turns[j], cos, cos * tangent);
    return true;
  }

  private static void turn(double[] x, double[] y, double cos, double sin) {
    for (int c = 0; c < x.length; c++) {
      double was = x[c];
      x[c] = cos * was - sin * y[c];
      y[c] = sin * was + cos * y[c];
    }
  }

  /** In four sums, which do not wait for each other. */
  static double dot(double[] x, double[] y) {
    double[] sums = new double[4];
    int whole = x.length / 4 * 4;
    for (int i = 0; i < whole; i += 4) {
      sums[0] += x[i] * y[i];
      sums[1] += x[i + 1] * y[i + 1];
      sums[2] += x[i + 2] * y[i + 2];
      sums[3] += x[i + 3] * y[i + 3];
    }
    for (int i = whole; i < x.length; i++) {
      sums[0] += x[i] * y[i];
    }
    return sums[0] + sums[1] + (sums[2] + sums[3]);
  }
}
