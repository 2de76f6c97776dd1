package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The frequency of each neuron, by the four marginals of its activations over all pairs
 * (specs/grokking.md 2.4 and 7.2).
 *
 * @param frequency [m]: the k whose 3 x 3 block (without the constant) explains most of the
 *     neuron's variance, the lowest among equals; -1 for a constant neuron
 * @param explained [m] the fraction that it explains; 0 for a constant neuron
 * @param sumShare [m] the fraction that cos(w_k (a+b)) and sin(w_k (a+b)) alone explain
 */
public record Neurons(int[] frequency, double[] explained, double[] sumShare) {
  /** A neuron belongs to a cluster where its frequency explains so much. */
  public static final double CLUSTERED = 0.85;

  /** Frequencies that are equal but for this share are: of a neuron of one pair, all of them. */
  private static final double ROUNDING = 1e-12;

  /**
   * @param activations F64 [p,p,m] by a, b and neuron
   */
  static Neurons of(int p, Tensor activations) {
    return of(Marginals.of(p, activations));
  }

  static Neurons of(Marginals sums) {
    int m = sums.neurons();
    int[] frequency = new int[m];
    double[] explained = new double[m];
    double[] sumShare = new double[m];
    Arrays.fill(frequency, -1);
    double[] variances = sums.variances();
    double[][][] powers = sums.powers();
    for (int k = 1; k <= powers[0].length; k++) {
      for (int j = 0; j < m; j++) {
        double most = explained[j] * variances[j] * (1 + ROUNDING);
        if (variances[j] > 0 && powers[0][k - 1][j] > most) {
          frequency[j] = k;
          explained[j] = powers[0][k - 1][j] / variances[j];
          sumShare[j] = powers[1][k - 1][j] / variances[j];
        }
      }
    }
    return new Neurons(frequency, explained, sumShare);
  }

  /** Whether the neuron belongs to the cluster of its frequency. */
  public boolean isClustered(int neuron) {
    return explained[neuron] >= CLUSTERED;
  }

  /**
   * How many neurons belong to the cluster of each frequency, ascending; empty ones are left out.
   */
  public Map<Integer, Integer> clusters() {
    Map<Integer, Integer> clusters = new TreeMap<>();
    for (int j = 0; j < frequency.length; j++) {
      if (isClustered(j)) {
        clusters.merge(frequency[j], 1, Integer::sum);
      }
    }
    return clusters;
  }

  /** Frequencies that have a cluster. */
  public List<Integer> frequencies() {
    return List.copyOf(clusters().keySet());
  }
}
