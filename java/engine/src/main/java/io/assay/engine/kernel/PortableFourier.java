package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.function.IntConsumer;

/** {@link Kernels#fourierAblate} in plain Java: projections, then each row by itself. */
final class PortableFourier {
  /** Does work for 0 .. n - 1, in any order. */
  interface Rows {
    void each(long n, IntConsumer work);
  }

  private final FourierAblate args;
  private final int p;

  /** D_k(s,c) = alpha[k - 1][c] cos(w_k s) + beta[k - 1][c] sin(w_k s). */
  private final double[][] alpha;

  private final double[][] beta;

  /** [c] over all pairs. */
  private final double[] mean;

  /** [p,p] by s and c: sums of logits over the pairs with a + b = s. */
  private final double[][] sums;

  private PortableFourier(FourierAblate args) {
    this.args = args;
    p = args.modulus();
    sums = new double[p][p];
    alpha = new double[args.frequencies()][p];
    beta = new double[args.frequencies()][p];
    mean = new double[p];
  }

  static void run(FourierAblate args, Rows rows) {
    PortableFourier all = new PortableFourier(args);
    rows.each(all.p, all::sum);
    for (double[] row : all.sums) {
      for (int c = 0; c < all.p; c++) {
        all.mean[c] += row[c] / ((double) all.p * all.p);
      }
    }
    rows.each(args.frequencies(), all::project);
    rows.each(args.familyCount(), all::losses);
  }

  private void sum(int s) {
    double[] row = new double[p];
    for (int a = 0; a < p; a++) {
      read(a, s, row);
      for (int c = 0; c < p; c++) {
        sums[s][c] += row[c];
      }
    }
  }

  private double angle(int frequency, int x) {
    return 2 * Math.PI * ((long) frequency * x % p) / p;
  }

  private void project(int column) {
    double[] cosines = alpha[column];
    double[] sines = beta[column];
    double scale = 2 / ((double) p * p);
    for (int s = 0; s < p; s++) {
      double angle = angle(column + 1, s);
      for (int c = 0; c < p; c++) {
        cosines[c] += scale * Math.cos(angle) * sums[s][c];
        sines[c] += scale * Math.sin(angle) * sums[s][c];
      }
    }
    if (args.rotation()) {
      double amplitude = 0;
      for (int c = 0; c < p; c++) {
        double angle = angle(column + 1, c);
        amplitude += (cosines[c] * Math.cos(angle) + sines[c] * Math.sin(angle)) / p;
      }
      for (int c = 0; c < p; c++) {
        cosines[c] = amplitude * Math.cos(angle(column + 1, c));
        sines[c] = amplitude * Math.sin(angle(column + 1, c));
      }
    }
  }

  private void losses(int family) {
    double[] loss = new double[args.groupCount()];
    long[] pairs = new long[args.groupCount()];
    double[] d = new double[p];
    double[] row = new double[p];
    for (int s = 0; s < p; s++) {
      family(family, s, d);
      for (int a = 0; a < p; a++) {
        int group = args.groups().get(ValueLayout.JAVA_BYTE, (long) a * p + b(a, s)) & 0xff;
        if (group == 0) {
          continue;
        }
        read(a, s, row);
        for (int c = 0; c < p; c++) {
          row[c] = args.keep() ? mean[c] + d[c] : row[c] - d[c];
        }
        loss[group - 1] += crossEntropy(row, s);
        pairs[group - 1]++;
      }
    }
    for (int g = 0; g < loss.length; g++) {
      long at = ((long) family * loss.length + g) * Double.BYTES;
      args.loss().set(Tensor.DOUBLE, at, isFinite() ? loss[g] / pairs[g] : Double.NaN);
    }
  }

  private boolean isFinite() {
    for (double m : mean) {
      if (!Double.isFinite(m)) {
        return false;
      }
    }
    return true;
  }

  private void family(int family, int s, double[] d) {
    Arrays.fill(d, 0);
    long first = (long) family * args.frequencies();
    for (int k = 1; k <= args.frequencies(); k++) {
      if (args.families().get(ValueLayout.JAVA_BYTE, first + k - 1) != 0) {
        double cos = Math.cos(angle(k, s));
        double sin = Math.sin(angle(k, s));
        for (int c = 0; c < p; c++) {
          d[c] += alpha[k - 1][c] * cos + beta[k - 1][c] * sin;
        }
      }
    }
  }

  /** log(1 + sum over the other classes of exp(row[c] - row[target])), shifted by the largest. */
  private static double crossEntropy(double[] row, int target) {
    double max = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < row.length; c++) {
      max = c == target ? max : Math.max(max, row[c] - row[target]);
    }
    double sum = 0;
    for (int c = 0; c < row.length; c++) {
      sum += c == target ? 0 : Math.exp(row[c] - row[target] - max);
    }
    double l = max + Math.log(sum);
    return l > 0 ? l + Math.log1p(Math.exp(-l)) : Math.log1p(Math.exp(l));
  }

  private int b(int a, int s) {
    return s >= a ? s - a : s - a + p;
  }

  private void read(int a, int s, double[] row) {
    MemorySegment data = args.logits().data();
    long first = ((long) a * p + b(a, s)) * args.logits().stride();
    for (int c = 0; c < p; c++) {
      row[c] =
          args.logits().dtype() == DType.F64
              ? data.get(Tensor.DOUBLE, (first + c) * Double.BYTES)
              : data.get(Tensor.FLOAT, (first + c) * Float.BYTES);
    }
  }
}
