package io.assay.audit.grok;

import java.util.ArrayList;
import java.util.List;

/**
 * Which frequencies a network uses, and how sure that is (specs/grokking.md 3.3).
 *
 * @param frequencies ascending
 * @param rule how they were found
 * @param ambiguous whether the smallest kept is less than twice the largest dropped
 * @param notSparse whether there are so many, or the spectrum is so even, that a small restricted
 *     loss says nothing: it is then a mean over p rows
 */
public record Keys(List<Integer> frequencies, String rule, boolean ambiguous, boolean notSparse) {
  /** The share of the largest norm from which a frequency counts. */
  static final double SHARE = 0.25;

  private static final double CLEAR = 2;
  private static final double SPARSE = 0.4;

  /** Of the neuron-logit map. */
  static final String OF_WEIGHTS = "norm in W_L >= 0.25 of the largest";

  /** Where there are no weights. */
  static final String OF_LOGITS = "norm of the logits' projection >= 0.25 of the largest";

  /** Named by the user. */
  static final String GIVEN = "given";

  public Keys {
    frequencies = List.copyOf(frequencies);
  }

  /**
   * Of the norms of all frequencies.
   *
   * @param norms [frequencies]
   * @param gini of the whole spectrum
   */
  static Keys of(double[] norms, double gini, String rule) {
    double largest = 0;
    for (double norm : norms) {
      largest = Math.max(largest, norm);
    }
    List<Integer> keys = new ArrayList<>();
    double kept = Double.POSITIVE_INFINITY;
    double dropped = 0;
    for (int k = 1; k <= norms.length && largest > 0; k++) {
      if (norms[k - 1] >= SHARE * largest) {
        keys.add(k);
        kept = Math.min(kept, norms[k - 1]);
      } else {
        dropped = Math.max(dropped, norms[k - 1]);
      }
    }
    return new Keys(
        keys,
        rule,
        !keys.isEmpty() && kept < CLEAR * dropped,
        notSparse(keys.size(), norms.length, gini));
  }

  /** Those that the user names. */
  static Keys given(List<Integer> keys, int frequencies, double gini) {
    return new Keys(
        keys.stream().sorted().toList(), GIVEN, false, notSparse(keys.size(), frequencies, gini));
  }

  private static boolean notSparse(int keys, int frequencies, double gini) {
    return keys > Math.max(6, frequencies / 4.0) || gini < SPARSE;
  }
}
