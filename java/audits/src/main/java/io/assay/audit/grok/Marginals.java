package io.assay.audit.grok;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Sums of the neurons' activations over all pairs (specs/grokking.md 7.2).
 *
 * @param sums F64 [4,p,m] over the pairs of each a, of each b, of each a + b and of each a - b
 * @param squares F64 [m] of the squares
 * @param waves F64 [4,p,m], the Fourier basis times each of the sums
 */
record Marginals(Tensor sums, Tensor squares, Tensor waves) {
  /** What rounding leaves of the variance of a constant neuron, as a share of its squares. */
  private static final double ROUNDING = 1e-13;

  private static final int PLUS = 2;

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
        read(activations, (long) a * p + b, f);
        plus(sums[0][a], f);
        plus(sums[1][b], f);
        plus(sums[PLUS][(a + b) % p], f);
        plus(sums[3][Math.floorMod(a - b, p)], f);
        for (int j = 0; j < m; j++) {
          squares[j] += f[j] * f[j];
        }
      }
    }
    Fourier fourier = new Fourier(p);
    double[][][] waves = new double[sums.length][][];
    for (int of = 0; of < sums.length; of++) {
      waves[of] = fourier.transform(sums[of]);
    }
    return new Marginals(tensor(sums), Tensor.ofDoubles(squares, m), tensor(waves));
  }

  private static Tensor tensor(double[][][] x) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F64, x.length, x[0].length, x[0][0].length);
    long row = 0;
    for (double[][] marginal : x) {
      for (double[] values : marginal) {
        long at = row++ * values.length * Double.BYTES;
        MemorySegment.copy(values, 0, t.data(), Tensor.DOUBLE, at, values.length);
      }
    }
    return t;
  }

  /** Copies a row of what has as many elements. */
  private static void read(Tensor from, long row, double[] to) {
    long at = row * to.length * Double.BYTES;
    MemorySegment.copy(from.data(), Tensor.DOUBLE, at, to, 0, to.length);
  }

  private static void plus(double[] x, double[] y) {
    for (int j = 0; j < x.length; j++) {
      x[j] += y[j];
    }
  }

  int modulus() {
    return Math.toIntExact(sums.dim(1));
  }

  int neurons() {
    return Math.toIntExact(squares.elements());
  }

  /** Sums of squares [m] about the means; 0 of constant neurons. */
  double[] variances() {
    int p = modulus();
    double[] total = new double[neurons()];
    double[] x = new double[neurons()];
    for (int a = 0; a < p; a++) {
      read(sums, a, x);
      plus(total, x);
    }
    double[] variances = squares.toDoubles();
    for (int j = 0; j < variances.length; j++) {
      double variance = variances[j] - total[j] * total[j] / ((double) p * p);
      variances[j] = variance <= ROUNDING * variances[j] ? 0 : variance;
    }
    return variances;
  }

  /**
   * Of each frequency and neuron the squared length of what lies there, [2,frequencies,m]: in cos
   * and sin of a, b, a + b and a - b together, and in those of a + b alone.
   */
  double[][][] powers() {
    int p = modulus();
    double[][][] powers = new double[2][(p - 1) / 2][neurons()];
    double[] cosines = new double[neurons()];
    double[] sines = new double[neurons()];
    for (int of = 0; of < sums.dim(0); of++) {
      for (int k = 1; k <= (p - 1) / 2; k++) {
        read(waves, (long) of * p + 2 * k - 1, cosines);
        read(waves, (long) of * p + 2 * k, sines);
        add(cosines, sines, p, powers[0][k - 1]);
        if (of == PLUS) {
          add(cosines, sines, p, powers[1][k - 1]);
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
