package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;

/**
 * The orthonormal real Fourier basis of the residues mod p (specs/grokking.md 2.3): row 0 is {@code
 * 1/sqrt(p)}, rows 2k-1 and 2k are {@code sqrt(2/p)} times {@code cos(w_k x)} and {@code sin(w_k
 * x)}, w_k = 2 pi k / p. An even p has a last row {@code (-1)^x / sqrt(p)}.
 */
public final class Fourier {
  private final int p;
  private final double[] cos;
  private final double[] sin;

  /** [p,p] F. */
  private final double[][] rows;

  /**
   * @param p number of residues, at least 3
   * @throws InputException if it is less
   */
  public Fourier(int p) {
    if (p < 3) {
      throw new InputException("the modulus is " + p + "; it must be at least 3");
    }
    this.p = p;
    cos = new double[p];
    sin = new double[p];
    for (int i = 0; i < p; i++) {
      cos[i] = Math.cos(2 * Math.PI * i / p);
      sin[i] = Math.sin(2 * Math.PI * i / p);
    }
    rows = new double[p][p];
    Arrays.fill(rows[0], 1 / Math.sqrt(p));
    double norm = Math.sqrt(2.0 / p);
    for (int i = 1; i < p; i++) {
      int k = (i + 1) / 2;
      double[] wave = i % 2 == 1 ? cos : sin;
      for (int x = 0, at = 0; x < p; x++, at = at + k >= p ? at + k - p : at + k) {
        rows[i][x] = norm * wave[at];
      }
    }
    for (int x = 0; x < p && p % 2 == 0; x++) {
      rows[p - 1][x] = (x % 2 == 0 ? 1 : -1) / Math.sqrt(p);
    }
  }

  /** p. */
  public int modulus() {
    return p;
  }

  /** Number of frequencies that have a cosine and a sine: k = 1 .. (p-1)/2. */
  public int frequencies() {
    return (p - 1) / 2;
  }

  /** cos(w_k x). */
  public double cos(int k, int x) {
    return cos[place(k, x)];
  }

  /** sin(w_k x). */
  public double sin(int k, int x) {
    return sin[place(k, x)];
  }

  private int place(int k, int x) {
    return (int) Math.floorMod((long) k * x, (long) p);
  }

  /** The basis, F64 [p,p], for products by graphs. */
  Tensor tensor() {
    double[] values = new double[p * p];
    for (int i = 0; i < p; i++) {
      System.arraycopy(rows[i], 0, values, i * p, p);
    }
    return Tensor.ofDoubles(values, p, p);
  }

  /** Element x of row i of the basis. */
  public double row(int i, int x) {
    return rows[i][x];
  }

  /**
   * The basis times a matrix.
   *
   * @param f [p,n]
   * @return F f, [p,n]
   */
  public double[][] transform(double[][] f) {
    int n = f[0].length;
    // Cosines are even and sines odd: what lies at x and at -x is taken together.
    double[][] even = new double[p / 2 + 1][n];
    double[][] odd = new double[p / 2 + 1][n];
    for (int x = 0; x <= p / 2; x++) {
      int opposite = (p - x) % p;
      fold(f[x], f[opposite], x == opposite ? 0 : 1, even[x], odd[x]);
    }
    double[][] out = new double[p][n];
    for (int i = 0; i < p; i++) {
      boolean isSine = i > 0 && i % 2 == 0;
      add(rows[i], isSine ? odd : even, out[i]);
    }
    return out;
  }

  private static void fold(double[] x, double[] y, double weight, double[] even, double[] odd) {
    for (int n = 0; n < x.length; n++) {
      even[n] = x[n] + weight * y[n];
      odd[n] = x[n] - weight * y[n];
    }
  }

  /** Adds multiples of rows: four of them for each time that the sum is read and written. */
  private static void add(double[] factors, double[][] from, double[] to) {
    int whole = from.length / 4 * 4;
    for (int x = 0; x < whole; x += 4) {
      add(factors, x, from[x], from[x + 1], from[x + 2], from[x + 3], to);
    }
    for (int x = whole; x < from.length; x++) {
      add(factors[x], from[x], to);
    }
  }

  private static void add(
      double[] factors, int x, double[] a, double[] b, double[] c, double[] d, double[] to) {
    double fa = factors[x];
    double fb = factors[x + 1];
    double fc = factors[x + 2];
    double fd = factors[x + 3];
    for (int n = 0; n < to.length; n++) {
      to[n] += fa * a[n] + fb * b[n] + (fc * c[n] + fd * d[n]);
    }
  }

  private static void add(double factor, double[] from, double[] to) {
    for (int n = 0; n < to.length; n++) {
      to[n] += factor * from[n];
    }
  }

  /** Norms of the rows of F f, by row: the spectrum of a matrix [p,n] over its residues. */
  public double[] norms(double[][] f) {
    double[] norms = new double[p];
    double[][] transformed = transform(f);
    for (int i = 0; i < p; i++) {
      norms[i] = Math.sqrt(Svd.dot(transformed[i], transformed[i]));
    }
    return norms;
  }

  /** Norms of the pairs of rows of each frequency, [frequencies], of {@link #norms}. */
  public static double[] pairs(double[] norms) {
    double[] pairs = new double[(norms.length - 1) / 2];
    for (int k = 1; k <= pairs.length; k++) {
      pairs[k - 1] = Math.hypot(norms[2 * k - 1], norms[2 * k]);
    }
    return pairs;
  }

  /** Squared length of the projection of x [p] on cos(w_k .) and sin(w_k .), without norms. */
  double power(int k, double[] x) {
    double a = 0;
    double b = 0;
    int at = 0;
    for (int i = 0; i < p; i++) {
      a += cos[at] * x[i];
      b += sin[at] * x[i];
      at = at + k >= p ? at + k - p : at + k;
    }
    return a * a + b * b;
  }

  /**
   * Gini coefficient of what is not negative, {@code 2 sum_i i x_(i) / (n sum x) - (n+1)/n}, x
   * sorted ascending; 0 where all are 0.
   */
  public static double gini(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double sum = 0;
    double ranked = 0;
    for (int i = 0; i < sorted.length; i++) {
      sum += sorted[i];
      ranked += (i + 1) * sorted[i];
    }
    int n = sorted.length;
    return sum == 0 ? 0 : 2 * ranked / (n * sum) - (n + 1.0) / n;
  }
}
