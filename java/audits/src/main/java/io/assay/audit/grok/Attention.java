package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;

/**
 * What one head attends to (specs/grokking.md 2.4 and 3.6).
 *
 * @param head its number
 * @param equals mean attention to "="
 * @param frequency the k whose cos(w_k a) - cos(w_k b) and sin(w_k a) - sin(w_k b) explain most of
 *     the attention to a
 * @param alpha coefficient of the cosines
 * @param beta coefficient of the sines
 * @param mean of the attention to a
 * @param explained fraction of its variance that they explain; NaN where it is constant
 * @param scores [p] norms of the rows of F (W_E^T W_K^T W_Q x_2): the spectrum of what decides it
 */
public record Attention(
    int head,
    double equals,
    int frequency,
    double alpha,
    double beta,
    double mean,
    double explained,
    double[] scores) {

  /**
   * Of one head.
   *
   * @param pattern F64 [p,p,H,3]
   */
  static Attention of(Network network, Tensor pattern, int head) {
    int p = network.p();
    double[] toA = new double[p * p];
    double equals = 0;
    double mean = 0;
    for (int i = 0; i < toA.length; i++) {
      long at = ((long) i * network.heads() + head) * 3;
      toA[i] = pattern.get(at);
      equals += pattern.get(at + 2) / toA.length;
      mean += toA[i] / toA.length;
    }
    double variance = 0;
    double[] rows = new double[p];
    for (int i = 0; i < toA.length; i++) {
      variance += (toA[i] - mean) * (toA[i] - mean);
      // The regressors are sums over a minus sums over b.
      rows[i / p] += toA[i];
      rows[i % p] -= toA[i];
    }
    Fourier f = new Fourier(p);
    // Each regressor has the squared length p p, and they are orthogonal.
    int best = 1;
    for (int k = 2; k <= f.frequencies(); k++) {
      best = f.power(k, rows) > f.power(best, rows) ? k : best;
    }
    double alpha = 0;
    double beta = 0;
    for (int x = 0; x < p; x++) {
      alpha += rows[x] * f.cos(best, x) / (p * p);
      beta += rows[x] * f.sin(best, x) / (p * p);
    }
    double explained = (alpha * alpha + beta * beta) * p * p;
    return new Attention(
        head,
        equals,
        best,
        alpha,
        beta,
        mean,
        variance == 0 ? Double.NaN : explained / variance,
        f.norms(scores(network, head)));
  }

  /** W_E^T W_K^T W_Q x_2 of the numbers, [p,1]. */
  private static double[][] scores(Network n, int head) {
    double[][] embed = n.matrix(GrokShape.EMBEDDING);
    double[] key = Position.of(n).key(head);
    double[][] scores = new double[n.p()][1];
    for (int d = 0; d < n.width(); d++) {
      for (int t = 0; t < n.p(); t++) {
        scores[t][0] += embed[d][t] * key[d];
      }
    }
    return scores;
  }
}
