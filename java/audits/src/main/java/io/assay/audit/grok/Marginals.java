package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Sums of the neurons' activations over all pairs (specs/grokking.md 7.2): [p,m] over b, over a,
 * over the pairs of each a + b and of each a - b; of the squares [m].
 */
final class Marginals {
  /** What rounding leaves of the variance of a constant neuron, as a share of its squares. */
  private static final double ROUNDING = 1e-13;

  private final int p;
  private final double[][] row;
  private final double[][] column;
  private final double[][] plus;
  private final double[][] minus;
  private final double[] squares;

  /** Sums of nothing. */
  Marginals(int p, int neurons) {
    this.p = p;
    row = new double[p][neurons];
    column = new double[p][neurons];
    plus = new double[p][neurons];
    minus = new double[p][neurons];
    squares = new double[neurons];
  }

  /**
   * @param activations F64 [p,p,m] by a, b and neuron
   */
  static Marginals of(int p, Tensor activations) {
    int m = Math.toIntExact(activations.dim(2));
    Marginals sums = new Marginals(p, m);
    double[] f = new double[m];
    for (int i = 0; i < p * p; i++) {
      long at = (long) i * m * Double.BYTES;
      MemorySegment.copy(activations.data(), Tensor.DOUBLE, at, f, 0, m);
      sums.add(i / p, i % p, f);
    }
    return sums;
  }

  /** Adds the activations of one pair: the first m of {@code f}. */
  void add(int a, int b, double[] f) {
    int s = a + b < p ? a + b : a + b - p;
    int d = a >= b ? a - b : a - b + p;
    add(f, row[a], column[b], plus[s], minus[d], squares);
  }

  private static void add(
      double[] f, double[] row, double[] column, double[] plus, double[] minus, double[] squares) {
    for (int j = 0; j < squares.length; j++) {
      double x = f[j];
      row[j] += x;
      column[j] += x;
      plus[j] += x;
      minus[j] += x;
      squares[j] += x * x;
    }
  }

  /** Adds the sums over other pairs. */
  void add(Marginals other) {
    for (int i = 0; i < p; i++) {
      plus(row[i], other.row[i]);
      plus(column[i], other.column[i]);
      plus(plus[i], other.plus[i]);
      plus(minus[i], other.minus[i]);
    }
    plus(squares, other.squares);
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
    double[] total = new double[squares.length];
    for (double[] x : row) {
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
   * Of each neuron the squared length of what lies at frequency k, [2, m]: in cos and sin of a, b,
   * a + b and a - b together, and in those of a + b alone.
   */
  double[][] powers(Fourier fourier, int k) {
    double[] block = new double[squares.length];
    double[] sum = new double[squares.length];
    for (double[][] of : new double[][][] {row, column, plus, minus}) {
      double[] cos = new double[squares.length];
      double[] sin = new double[squares.length];
      for (int x = 0; x < p; x++) {
        project(fourier.cos(k, x), fourier.sin(k, x), of[x], cos, sin);
      }
      for (int j = 0; j < block.length; j++) {
        double power = 2 / ((double) p * p) * (cos[j] * cos[j] + sin[j] * sin[j]);
        block[j] += power;
        sum[j] += of == plus ? power : 0;
      }
    }
    return new double[][] {block, sum};
  }

  private static void project(double u, double v, double[] f, double[] cos, double[] sin) {
    for (int j = 0; j < f.length; j++) {
      cos[j] += u * f[j];
      sin[j] += v * f[j];
    }
  }
}
