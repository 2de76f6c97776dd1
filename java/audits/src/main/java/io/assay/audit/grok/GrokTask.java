package io.assay.audit.grok;

import io.assay.engine.InputException;
import java.util.Arrays;

/**
 * What is learned, and which pairs are shown: all pairs (a, b), by index a p + b, in the order of
 * Python's {@code random.shuffle} under the seed; the first {@code fracTrain p^2} of them, rounded
 * down, are for training, as in the official code.
 *
 * @param p modulus, odd
 * @param fracTrain share of the pairs that is trained on, more than 0 and at most 1
 * @param splitSeed not negative
 * @param labels of all pairs
 */
public record GrokTask(int p, double fracTrain, long splitSeed, GrokLabels labels) {
  /**
   * @throws InputException if a value is out of range, or no pair would be trained on
   */
  public GrokTask {
    GrokShape.requireModulus(p);
    if (!(fracTrain > 0 && fracTrain <= 1)) {
      throw new InputException("fracTrain is " + fracTrain + "; it must be above 0, at most 1");
    }
    if (splitSeed < 0) {
      throw new InputException("splitSeed is " + splitSeed + "; it must be 0 or more");
    }
    if (labels.pairs() != p * p) {
      throw new InputException(
          "there are " + labels.pairs() + " labels; " + p * p + " pairs need one each");
    }
    if (count(p, fracTrain) == 0) {
      throw new InputException(
          "fracTrain is " + fracTrain + ", which leaves no pair of " + p * p + " to train on");
    }
  }

  /** The published task, {@code (a + b) mod p}. */
  public static GrokTask addition(int p, double fracTrain, long splitSeed) {
    return new GrokTask(p, fracTrain, splitSeed, GrokLabels.addition(p));
  }

  private static int count(int p, double fracTrain) {
    return (int) (fracTrain * (p * p));
  }

  /** Number of all pairs. */
  public int pairs() {
    return p * p;
  }

  /** Number N of pairs that are trained on. */
  public int trainCount() {
    return count(p, fracTrain);
  }

  /**
   * @param allowNoTest whether all pairs may be trained on
   * @throws InputException if all are, and may not
   */
  public void requireTest(boolean allowNoTest) {
    if (trainCount() == pairs() && !allowNoTest) {
      throw new InputException(
          "fracTrain is "
              + fracTrain
              + ", which leaves no pair to test on; give less, or allow that");
    }
  }

  /** Indices of all pairs in shuffled order, [p^2]; the first N are those of the training. */
  public int[] shuffledPairs() {
    return new PythonRandom(splitSeed).shuffled(pairs());
  }

  /** Whether each pair is trained on, by index. */
  public boolean[] trainMask() {
    boolean[] mask = new boolean[pairs()];
    int[] shuffled = shuffledPairs();
    for (int i = 0; i < trainCount(); i++) {
      mask[shuffled[i]] = true;
    }
    return mask;
  }

  /** Indices of the pairs that are trained on, ascending, [N]. */
  public int[] trainPairs() {
    int[] pairs = Arrays.copyOf(shuffledPairs(), trainCount());
    Arrays.sort(pairs);
    return pairs;
  }
}
