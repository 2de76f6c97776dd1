package io.assay.audit.grok;

import java.util.SplittableRandom;

/**
 * What tells a network that adds angles from one that averages points (Zhong et al. 2023, arXiv
 * 2306.17844): a large fraction of variance explained by cosines does not.
 *
 * @param gradientSymmetricity mean cosine between the gradients of a logit with respect to the two
 *     embedded numbers, over {@value #DRAWS} random pairs and classes: near 1 for a pizza
 * @param distanceIrrelevance deviation of the right logit over a + b, mean over a - b, divided by
 *     its deviation over all pairs: near 0 for a pizza, near 1 for a clock
 * @param circularity mean over the first four principal components of W_E of the share of one
 *     frequency
 */
public record ClockOrPizza(
    double gradientSymmetricity, double distanceIrrelevance, double circularity) {
  private static final int DRAWS = 100;
  private static final long SEED = 42;
  private static final int COMPONENTS = 4;

  static ClockOrPizza of(Network network, Logits logits) {
    return new ClockOrPizza(
        symmetricity(network), distanceIrrelevance(logits), circularity(network));
  }

  private static double symmetricity(Network network) {
    SplittableRandom random = new SplittableRandom(SEED);
    Position position = Position.of(network);
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
      int p = network.p();
      double[][] g = position.gradients(random.nextInt(p), random.nextInt(p), random.nextInt(p));
      double length = Math.sqrt(Svd.dot(g[0], g[0]) * Svd.dot(g[1], g[1]));
      sum += length == 0 ? 0 : Svd.dot(g[0], g[1]) / length;
    }
    return sum / DRAWS;
  }

  /** Needs only logits. NaN where the right logit is the same for all pairs. */
  public static double distanceIrrelevance(Logits logits) {
    int p = logits.p();
    double[] all = new double[p * p];
    double[] of = new double[p];
    double sum = 0;
    for (int difference = 0; difference < p; difference++) {
      for (int b = 0; b < p; b++) {
        int a = (b + difference) % p;
        of[b] = logits.get(a, b, (a + b) % p);
        all[difference * p + b] = of[b];
      }
      sum += deviation(of) / p;
    }
    double whole = deviation(all);
    return whole == 0 ? Double.NaN : sum / whole;
  }

  private static double deviation(double[] x) {
    double mean = 0;
    for (double v : x) {
      mean += v / x.length;
    }
    double squares = 0;
    for (double v : x) {
      squares += (v - mean) * (v - mean) / x.length;
    }
    return Math.sqrt(squares);
  }

  private static double circularity(Network network) {
    int p = network.p();
    double[][] columns = network.matrix(GrokShape.EMBEDDING);
    double[][] centred = new double[p][network.width()];
    for (int d = 0; d < network.width(); d++) {
      double mean = 0;
      for (int t = 0; t < p; t++) {
        mean += columns[d][t] / p;
      }
      for (int t = 0; t < p; t++) {
        centred[t][d] = columns[d][t] - mean;
      }
    }
    Svd svd = Svd.of(centred);
    Fourier fourier = new Fourier(p);
    double sum = 0;
    for (int i = 0; i < COMPONENTS; i++) {
      double[] component = new double[p];
      for (int t = 0; t < p; t++) {
        component[t] = svd.left()[t][i];
      }
      double best = 0;
      for (int k = 1; k <= fourier.frequencies(); k++) {
        best = Math.max(best, 2.0 / p * fourier.power(k, component));
      }
      sum += best / COMPONENTS;
    }
    return sum;
  }
}
