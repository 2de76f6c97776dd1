package io.assay.audit.grok;

import java.util.List;

/**
 * What logits have in the directions of a + b (specs/grokking.md 2.4).
 *
 * @param fourier the basis
 * @param mean mu [p], the mean logit of a class
 * @param alpha [frequencies, p]: D_k(s,c) = alpha_k(c) cos(w_k s) + beta_k(c) sin(w_k s)
 * @param beta [frequencies, p]
 * @param a [frequencies]: coefficients of cos(w_k (a+b-c)) by least squares
 * @param total sum of squares of the logits about their mean
 * @param perClass about the means of classes
 * @param both about the means of classes and of inputs
 */
public record Spectrum(
    Fourier fourier,
    double[] mean,
    double[][] alpha,
    double[][] beta,
    double[] a,
    double total,
    double perClass,
    double both) {

  static Spectrum of(Logits logits) {
    int p = logits.p();
    Fourier f = new Fourier(p);
    double[][] sums = logits.sums();
    double pairs = (double) p * p;
    double[] mean = new double[p];
    for (double[] row : sums) {
      for (int c = 0; c < p; c++) {
        mean[c] += row[c] / pairs;
      }
    }
    double[][] waves = f.transform(sums);
    double scale = 2 / pairs / Math.sqrt(2.0 / p);
    double[][] alpha = new double[f.frequencies()][p];
    double[][] beta = new double[f.frequencies()][p];
    double[] a = new double[f.frequencies()];
    for (int k = 1; k <= a.length; k++) {
      for (int c = 0; c < p; c++) {
        alpha[k - 1][c] = scale * waves[2 * k - 1][c];
        beta[k - 1][c] = scale * waves[2 * k][c];
        a[k - 1] += (alpha[k - 1][c] * f.cos(k, c) + beta[k - 1][c] * f.sin(k, c)) / p;
      }
    }
    double all = 0;
    for (double m : mean) {
      all += m / p;
    }
    double ofClasses = 0;
    for (double m : mean) {
      ofClasses += (m - all) * (m - all) * pairs;
    }
    // By class and then over the classes: little rounding, and vector code.
    double[] squares = new double[p];
    double[] row = new double[p];
    double ofInputs = 0;
    for (int pair = 0; pair < p * p; pair++) {
      logits.read(pair, row);
      double shift = all - sum(row) / p;
      ofInputs += shift * shift * p;
      for (int c = 0; c < p; c++) {
        double x = row[c] - mean[c] + shift;
        squares[c] += x * x;
      }
    }
    // The means of classes, those of inputs and what is left are orthogonal.
    double both = sum(squares);
    double perClass = both + ofInputs;
    double total = perClass + ofClasses;
    // What is left of constant logits by rounding is no variance.
    double rounding = Math.pow(1e-13, 2) * (total + all * all * pairs * p);
    return new Spectrum(
        f,
        mean,
        alpha,
        beta,
        a,
        total > rounding ? total : 0,
        perClass > rounding ? perClass : 0,
        both > rounding ? both : 0);
  }

  /** In four parts, which do not wait for each other. */
  private static double sum(double[] row) {
    int whole = row.length / 4 * 4;
    double a = 0;
    double b = 0;
    double c = 0;
    double d = 0;
    for (int i = 0; i < whole; i += 4) {
      a += row[i];
      b += row[i + 1];
      c += row[i + 2];
      d += row[i + 3];
    }
    for (int i = whole; i < row.length; i++) {
      a += row[i];
    }
    return a + b + (c + d);
  }

  /** Lengths [frequencies] of the projections D_k, but for a common factor. */
  double[] norms() {
    double[] norms = new double[alpha.length];
    for (int k = 0; k < norms.length; k++) {
      norms[k] = Math.sqrt(Svd.dot(alpha[k], alpha[k]) + Svd.dot(beta[k], beta[k]));
    }
    return norms;
  }

  /**
   * Fraction of the variance of the logits that the multiples of cos(w_k (a+b-c)) explain; NaN
   * where they do not vary.
   *
   * @param variance {@link #total}, {@link #perClass} or {@link #both}
   */
  double explained(List<Integer> keys, double variance) {
    double p = fourier.modulus();
    double explained = 0;
    for (int k : keys) {
      explained += a[k - 1] * a[k - 1] * p * p * p / 2;
    }
    return variance == 0 ? Double.NaN : explained / variance;
  }

  /** Cross-entropy of the multiples of cos(w_k (a+b-c)) alone, the same for every pair. */
  double cosineLoss(List<Integer> keys) {
    int p = fourier.modulus();
    double sum = 0;
    for (int delta = 1; delta < p; delta++) {
      double logit = 0;
      for (int k : keys) {
        logit += a[k - 1] * (fourier.cos(k, delta) - 1);
      }
      sum += Math.exp(logit);
    }
    return Math.log1p(sum);
  }

  /** Logits of class c at a + b = s of which only the means and the frequencies remain, [p,p]. */
  double[][] kept(List<Integer> keys) {
    int p = fourier.modulus();
    double[][] kept = new double[p][];
    for (int s = 0; s < p; s++) {
      kept[s] = mean.clone();
      for (int k : keys) {
        double cos = fourier.cos(k, s);
        double sin = fourier.sin(k, s);
        for (int c = 0; c < p; c++) {
          kept[s][c] += alpha[k - 1][c] * cos + beta[k - 1][c] * sin;
        }
      }
    }
    return kept;
  }
}
