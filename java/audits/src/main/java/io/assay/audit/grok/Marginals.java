package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Sums of the neurons' activations over all pairs (specs/grokking.md 7.2).
 *
 * @param sums [4,p,m] over the pairs of each a, of each b, of each a + b and of each a - b
 * @param squares [m] of the squares
 */
record Marginals(double[][][] sums, double[] squares) {
  /** What rounding leaves of the variance of a constant neuron, as a share of its squares. */
  private static final double ROUNDING = 1e-13;

  private static final int PLUS = 2;

  /**
   * As the kernel gives them.
   *
   * @param sums F64 [4,p,m]
   * @param squares F64 [m]
   */
  static Marginals of(Tensor sums, Tensor squares) {
    double[][][] rows = new double[(int) sums.dim(0)][(int) sums.dim(1)][(int) sums.dim(2)];
    long at = 0;
    for (double[][] marginal : rows) {
      for (double[] row : marginal) {
        MemorySegment.copy(sums.data(), Tensor.DOUBLE, at, row, 0, row.length);
        at += (long) row.length * Double.BYTES;
      }
    }
    return new Marginals(rows, squares.toDoubles());
  }

  /**
   * @param activations F64 [p,p,m] by a, b and neuron
   */
  static Marginals of(int p, Tensor activations) {
    int m = Math.toIntExact(activations.dim(2));
    double[][][] sums = new double[4][p][m];
    double[] squares = new double[m];
    double[] f = new double[m];
    for (int a = 0; a < p; a++) {
      for (int b = 0; b < p; b++) {
        long at = ((long) a * p + b) * m * Double.BYTES;
        MemorySegment.copy(activations.data(), Tensor.DOUBLE, at, f, 0, m);
        plus(sums[0][a], f);
        plus(sums[1][b], f);
        plus(sums[PLUS][(a + b) % p], f);
        plus(sums[3][Math.floorMod(a - b, p)], f);
        for (int j = 0; j < m; j++) {
          squares[j] += f[j] * f[j];
        }
      }
    }
    return new Marginals(sums, squares);
  }

  private static void plus(double[] x, double[] y) {
    for (int j = 0; j < x.length; j++) {
      x[j] += y[j];
    }
  }

  int neurons() {
    return squares.length;
  }

  /** Sums of squares [m] about the means; 0 of constant neurons. */
  double[] variances() {
    int p = sums[0].length;
    double[] total = new double[squares.length];
    for (double[] x : sums[0]) {
      plus(total, x);
    }
    double[] variances = new double[squares.length];
    for (int j = 0; j < variances.length; j++) {
      double variance = squares[j] - total[j] * total[j] / ((double) p * p);
      variances[j] = variance <= ROUNDING * squares[j] ? 0 : variance;
    }
    return variances;
  }

  /**
   * Of each frequency and neuron the squared length of what lies there, [2,frequencies,m]: in cos
   * and sin of a, b, a + b and a - b together, and in those of a + b alone.
   */
  double[][][] powers(Fourier fourier) {
    int m = squares.length;
    double[][][] powers = new double[2][fourier.frequencies()][m];
    for (int of = 0; of < sums.length; of++) {
      double[][] rows = fourier.transform(sums[of]);
      for (int k = 1; k <= fourier.frequencies(); k++) {
        add(rows[2 * k - 1], rows[2 * k], fourier.modulus(), powers[0][k - 1]);
        if (of == PLUS) {
          add(rows[2 * k - 1], rows[2 * k], fourier.modulus(), powers[1][k - 1]);
        }
      }
    }
    return powers;
  }

  /** Adds the squared lengths of (x, y) / sqrt(p). */
  private static void add(double[] x, double[] y, double p, double[] to) {
    for (int j = 0; j < to.length; j++) {
      to[j] += (x[j] * x[j] + y[j] * y[j]) / p;
    }
  }
}
