package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The frequency of each neuron, by the four marginals of its activations over all pairs
 * (specs/grokking.md 2.4 and 7.2).
 *
 * @param frequency [m]: the k whose 3 x 3 block (without the constant) explains most of the
 *     neuron's variance; -1 for a constant neuron
 * @param explained [m] the fraction that it explains; 0 for a constant neuron
 * @param sumShare [m] the fraction that cos(w_k (a+b)) and sin(w_k (a+b)) alone explain
 */
public record Neurons(int[] frequency, double[] explained, double[] sumShare) {
  /** A neuron belongs to a cluster where its frequency explains so much. */
  public static final double CLUSTERED = 0.85;

  /** Variance that rounding leaves of a constant neuron, as a share of its mean square. */
  private static final double CONSTANT = 1e-24;

  /**
   * @param activations F64 [p,p,m] by a, b and neuron
   */
  static Neurons of(int p, Tensor activations) {
    Marginals sums = Marginals.of(p, activations);
    Fourier fourier = new Fourier(p);
    int m = sums.squares.length;
    int[] frequency = new int[m];
    double[] explained = new double[m];
    double[] sumShare = new double[m];
    double pairs = (double) p * p;
    for (int j = 0; j < m; j++) {
      double total = 0;
      for (double x : sums.row[j]) {
        total += x;
      }
      double variance = sums.squares[j] - total * total / pairs;
      frequency[j] = -1;
      if (variance <= CONSTANT * sums.squares[j]) {
        continue;
      }
      for (int k = 1; k <= fourier.frequencies(); k++) {
        double plus = fourier.power(k, sums.plus[j]);
        double block =
            fourier.power(k, sums.row[j])
                + fourier.power(k, sums.column[j])
                + plus
                + fourier.power(k, sums.minus[j]);
        double share = 2 / pairs * block / variance;
        if (share > explained[j]) {
          frequency[j] = k;
          explained[j] = share;
          sumShare[j] = 2 / pairs * plus / variance;
        }
      }
    }
    return new Neurons(frequency, explained, sumShare);
  }

  /** Sums [m,p] over b, over a, over a + b and over a - b; sums of squares [m]. */
  private record Marginals(
      double[][] row, double[][] column, double[][] plus, double[][] minus, double[] squares) {

    static Marginals of(int p, Tensor activations) {
      int m = Math.toIntExact(activations.dim(2));
      double[][] row = new double[p][m];
      double[][] column = new double[p][m];
      double[][] plus = new double[p][m];
      double[][] minus = new double[p][m];
      double[] squares = new double[m];
      double[] f = new double[m];
      for (int a = 0; a < p; a++) {
        for (int b = 0; b < p; b++) {
          long at = ((long) a * p + b) * m * Double.BYTES;
          MemorySegment.copy(activations.data(), Tensor.DOUBLE, at, f, 0, m);
          add(f, row[a], column[b], plus[(a + b) % p], minus[(a - b + p) % p], squares);
        }
      }
      return new Marginals(
          transposed(row), transposed(column), transposed(plus), transposed(minus), squares);
    }

    private static void add(
        double[] f,
        double[] row,
        double[] column,
        double[] plus,
        double[] minus,
        double[] squares) {
      for (int j = 0; j < f.length; j++) {
        double x = f[j];
        row[j] += x;
        column[j] += x;
        plus[j] += x;
        minus[j] += x;
        squares[j] += x * x;
      }
    }

    private static double[][] transposed(double[][] x) {
      double[][] t = new double[x[0].length][x.length];
      for (int i = 0; i < x.length; i++) {
        for (int j = 0; j < t.length; j++) {
          t[j][i] = x[i][j];
        }
      }
      return t;
    }
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
