package io.assay.audit.grok;

import java.util.List;

/**
 * Projections of functions of a and b on 2-D Fourier components (specs/grokking.md 2.3): of many at
 * once, [p,p,n] by a, b and function.
 */
final class Blocks {
  private final int p;
  private final int n;
  private final Fourier fourier;
  private final double[] values;

  Blocks(int p, double[] values) {
    this.p = p;
    this.n = values.length / (p * p);
    this.values = values;
    this.fourier = new Fourier(p);
  }

  /** The 3 x 3 components of rows 0, 2k-1 and 2k in a and in b, of each frequency. */
  double[] whole(List<Integer> frequencies) {
    return keep(frequencies, true);
  }

  /** The constant, and the 2 x 2 components of rows 2k-1 and 2k, of each frequency. */
  double[] products(List<Integer> frequencies) {
    return keep(frequencies, false);
  }

  private double[] keep(List<Integer> frequencies, boolean linear) {
    double[] kept = new double[values.length];
    component(0, 0, kept);
    for (int k : frequencies) {
      int[] rows = {0, 2 * k - 1, 2 * k};
      for (int i : rows) {
        for (int j : rows) {
          boolean isLinear = i == 0 || j == 0;
          if (i + j > 0 && (linear || !isLinear)) {
            component(i, j, kept);
          }
        }
      }
    }
    return kept;
  }

  /** Coefficients [n] of row i in a and row j in b. */
  double[] coefficient(int i, int j) {
    double[] sums = new double[n];
    for (int a = 0; a < p; a++) {
      for (int b = 0; b < p; b++) {
        double weight = fourier.row(i, a) * fourier.row(j, b);
        int at = (a * p + b) * n;
        for (int f = 0; f < n; f++) {
          sums[f] += weight * values[at + f];
        }
      }
    }
    return sums;
  }

  /** Norms over the functions of all coefficients, [p,p] by row in a and row in b. */
  double[][] plane() {
    double[] half = new double[values.length];
    for (int a = 0; a < p; a++) {
      transform(values, a * p * n, n, half);
    }
    double[] full = new double[values.length];
    for (int b = 0; b < p; b++) {
      transform(half, b * n, p * n, full);
    }
    double[][] plane = new double[p][p];
    for (int i = 0; i < p * p; i++) {
      double squares = 0;
      for (int f = 0; f < n; f++) {
        squares += full[i * n + f] * full[i * n + f];
      }
      plane[i / p][i % p] = Math.sqrt(squares);
    }
    return plane;
  }

  /** F over p places from {@code first}, {@code step} apart, of n functions each. */
  private void transform(double[] from, int first, int step, double[] to) {
    for (int i = 0; i < p; i++) {
      for (int x = 0; x < p; x++) {
        double weight = fourier.row(i, x);
        for (int f = 0; f < n; f++) {
          to[first + i * step + f] += weight * from[first + x * step + f];
        }
      }
    }
  }

  private void component(int i, int j, double[] kept) {
    double[] coefficients = coefficient(i, j);
    for (int a = 0; a < p; a++) {
      for (int b = 0; b < p; b++) {
        double weight = fourier.row(i, a) * fourier.row(j, b);
        int at = (a * p + b) * n;
        for (int f = 0; f < n; f++) {
          kept[at + f] += weight * coefficients[f];
        }
      }
    }
  }
}
