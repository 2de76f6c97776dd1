package io.assay.audit.grok;

/**
 * Where a training ends to memorise, to form its circuit, and to clean up (specs/grokking.md 3.5).
 *
 * @param memorised end of memorisation: the least excluded loss between the first epoch that fits
 *     the training set and the greatest excluded loss behind it; null if there is none
 * @param formed end of circuit formation: the first epoch behind the greatest test loss with less
 *     than a fifth of it; null if there is none
 * @param cleaned end of cleanup: the first epoch from {@code formed} on with a sum of squared
 *     weights below 1.05 times the last; null if there is none
 */
public record Phases(Double memorised, Double formed, Double cleaned) {
  private static final double FITTED = 1e-2;
  private static final double FELL = 0.2;
  private static final double LAST = 1.05;

  /**
   * Of curves over the same epochs, ascending.
   *
   * @param train loss of the training set
   * @param test loss of the test set
   * @param excluded loss of the training set without the key frequencies
   * @param squares sum of squared weights
   */
  public static Phases of(
      double[] epochs, double[] train, double[] test, double[] excluded, double[] squares) {
    return new Phases(
        memorised(epochs, train, excluded),
        at(epochs, formed(test)),
        cleaned(epochs, test, squares));
  }

  /** {@link #cleaned} alone, which needs no key frequencies. */
  static Double cleaned(double[] epochs, double[] test, double[] squares) {
    return at(epochs, cleaned(formed(test), squares));
  }

  private static Double at(double[] epochs, int i) {
    return i < 0 ? null : epochs[i];
  }

  private static Double memorised(double[] epochs, double[] train, double[] excluded) {
    int fitted = 0;
    while (fitted < train.length && !(train[fitted] < FITTED)) {
      fitted++;
    }
    if (fitted == train.length) {
      return null;
    }
    int highest = fitted;
    for (int i = fitted; i < excluded.length; i++) {
      highest = excluded[i] > excluded[highest] ? i : highest;
    }
    int lowest = fitted;
    for (int i = fitted; i <= highest; i++) {
      lowest = excluded[i] < excluded[lowest] ? i : lowest;
    }
    // Without a rise behind it, no circuit shows.
    return highest == lowest ? null : epochs[lowest];
  }

  private static int formed(double[] test) {
    int highest = 0;
    for (int i = 0; i < test.length; i++) {
      highest = test[i] > test[highest] ? i : highest;
    }
    for (int i = highest; i < test.length; i++) {
      if (test[i] < FELL * test[highest]) {
        return i;
      }
    }
    return -1;
  }

  private static int cleaned(int from, double[] squares) {
    for (int i = from; i >= 0 && i < squares.length; i++) {
      if (squares[i] < LAST * squares[squares.length - 1]) {
        return i;
      }
    }
    return -1;
  }
}
