package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.kernel.Kernels;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * The progress measures that need only logits and the training set (specs/grokking.md 2.4); losses
 * in nats. What is of the test set is NaN where that is empty.
 *
 * @param keys the key frequencies
 * @param train of the logits as they are
 * @param test the same of the test set
 * @param all of all pairs
 * @param restricted mean logits and the key frequencies alone, over all pairs
 * @param restrictedTrain the same over the training set
 * @param restrictedTest the same over the test set
 * @param restrictedNull median restricted loss over all pairs of {@value #NULLS} random sets of as
 *     many frequencies
 * @param excludedTrain the key frequencies removed
 * @param excludedTest the same of the test set
 * @param excludedByFrequency [frequencies] a single one removed, over the training set
 * @param excludedRotation only the multiples of cos(w_k (a+b-c)) of the key frequencies removed,
 *     over the training set
 * @param a [frequencies] coefficients of cos(w_k (a+b-c))
 * @param explained fraction of the logits' variance that the key frequencies' cosines explain; NaN
 *     of constant logits
 * @param explainedPerClass the same with the means of classes removed
 * @param explainedBoth the same with the means of classes and of inputs removed
 * @param cosineLoss of those cosines alone
 */
public record LogitMeasures(
    List<Integer> keys,
    Score train,
    Score test,
    Score all,
    Score restricted,
    Score restrictedTrain,
    Score restrictedTest,
    double restrictedNull,
    double excludedTrain,
    double excludedTest,
    double[] excludedByFrequency,
    double excludedRotation,
    double[] a,
    double explained,
    double explainedPerClass,
    double explainedBoth,
    double cosineLoss) {
  private static final int NULLS = 20;
  private static final long NULL_SEED = 20;

  /** Mean cross-entropy and share of right answers. */
  public record Score(double loss, double accuracy) {}

  /** The largest loss of the training set with a single frequency removed. */
  public double excludedMax() {
    return Arrays.stream(excludedByFrequency).max().orElse(Double.NaN);
  }

  /**
   * Measures.
   *
   * @param train [p p] whether a pair is of the training set
   * @param keys key frequencies; may be empty
   * @param allowNoTest whether all pairs may be of the training set
   * @throws InputException if the training set has another size, is empty or leaves no test set, or
   *     a key frequency is not one
   */
  public static LogitMeasures of(
      Kernels kernels, Logits logits, boolean[] train, List<Integer> keys, boolean allowNoTest) {
    return Losses.of(kernels, logits, train, keys, allowNoTest)
        .with(Spectrum.of(logits), logits.right());
  }

  /**
   * The kernel's part of the measures.
   *
   * @param whole of the logits as they are, and without the key frequencies
   * @param single without each frequency, over the training set
   * @param kept of the key frequencies alone, and of random sets
   * @param rotation without the multiples of cos(w_k (a+b-c)), over the training set
   */
  record Losses(
      boolean[] train,
      int trained,
      List<Integer> keys,
      List<Ablation.Loss> whole,
      List<Ablation.Loss> single,
      List<Ablation.Loss> kept,
      Ablation.Loss rotation) {

    /** As {@link LogitMeasures#of}. */
    static Losses of(
        Kernels kernels, Logits logits, boolean[] train, List<Integer> keys, boolean allowNoTest) {
      int p = logits.p();
      int trained = requireTrain(p, train, allowNoTest);
      Ablation.requireFrequencies(p, keys);
      List<List<Ablation.Loss>> losses =
          new Ablation(kernels, logits, train)
              .losses(
                  Ablation.removed(List.of(List.of(), keys), true),
                  Ablation.removed(
                      IntStream.rangeClosed(1, (p - 1) / 2).mapToObj(List::of).toList(), false),
                  Ablation.kept(randomSets(p, keys)),
                  Ablation.rotationRemoved(List.of(keys)));
      return new Losses(
          train,
          trained,
          keys,
          losses.get(0),
          losses.get(1),
          losses.get(2),
          losses.get(3).getFirst());
    }

    /** All measures: with those that are not the kernel's. */
    LogitMeasures with(Spectrum spectrum, boolean[] right) {
      return LogitMeasures.of(this, spectrum, right);
    }
  }

  private static LogitMeasures of(Losses losses, Spectrum spectrum, boolean[] isRight) {
    int p = spectrum.fourier().modulus();
    boolean[] train = losses.train();
    int trained = losses.trained();
    int tested = train.length - trained;
    List<Integer> keys = losses.keys();
    List<Ablation.Loss> whole = losses.whole();
    List<Ablation.Loss> kept = losses.kept();
    double[] right = share(train, isRight);
    double[][] rest = spectrum.kept(keys);
    boolean[] rightSums = new boolean[p];
    for (int s = 0; s < p; s++) {
      rightSums[s] = best(rest[s]) == s;
    }
    boolean[] restrictedRight = new boolean[p * p];
    for (int i = 0; i < restrictedRight.length; i++) {
      restrictedRight[i] = rightSums[(i / p + i % p) % p];
    }
    double[] restricted = share(train, restrictedRight);
    double[] nulls =
        kept.stream().skip(1).mapToDouble(l -> all(l, trained, tested)).sorted().toArray();
    return new LogitMeasures(
        List.copyOf(keys),
        new Score(whole.getFirst().train(), right[0]),
        new Score(whole.getFirst().test(), right[1]),
        new Score(all(whole.getFirst(), trained, tested), right[2]),
        new Score(all(kept.getFirst(), trained, tested), restricted[2]),
        new Score(kept.getFirst().train(), restricted[0]),
        new Score(kept.getFirst().test(), restricted[1]),
        (nulls[(NULLS - 1) / 2] + nulls[NULLS / 2]) / 2,
        whole.getLast().train(),
        whole.getLast().test(),
        losses.single().stream().mapToDouble(Ablation.Loss::train).toArray(),
        losses.rotation().train(),
        spectrum.a(),
        spectrum.explained(keys, spectrum.total()),
        spectrum.explained(keys, spectrum.perClass()),
        spectrum.explained(keys, spectrum.both()),
        spectrum.cosineLoss(keys));
  }

  /** Size of the training set. */
  static int requireTrain(int p, boolean[] train, boolean allowNoTest) {
    if (train.length != p * p) {
      throw new InputException(
          "the training set is given for %d pairs; modulus %d has %d"
              .formatted(train.length, p, p * p));
    }
    int trained = 0;
    for (boolean t : train) {
      trained += t ? 1 : 0;
    }
    if (trained == 0) {
      throw new InputException("the training set is empty; at least one pair is needed");
    }
    if (trained == train.length && !allowNoTest) {
      throw new InputException(
          "all pairs are of the training set, so that nothing can be said of others; leave some"
              + " out, or allow that there is no test set");
    }
    return trained;
  }

  private static double all(Ablation.Loss loss, int trained, int tested) {
    return tested == 0
        ? loss.train()
        : (trained * loss.train() + tested * loss.test()) / (trained + tested);
  }

  /** The keys, then {@value #NULLS} sets of as many frequencies. */
  private static List<List<Integer>> randomSets(int p, List<Integer> keys) {
    SplittableRandom random = new SplittableRandom(NULL_SEED);
    List<List<Integer>> sets = new ArrayList<>();
    sets.add(keys);
    for (int n = 0; n < NULLS; n++) {
      List<Integer> left = new ArrayList<>(IntStream.rangeClosed(1, (p - 1) / 2).boxed().toList());
      List<Integer> set = new ArrayList<>();
      while (set.size() < keys.size()) {
        set.add(left.remove(random.nextInt(left.size())));
      }
      sets.add(set);
    }
    return sets;
  }

  /** Share of right answers in the training set, the test set and all pairs. */
  private static double[] share(boolean[] train, boolean[] right) {
    double[] n = new double[2];
    double[] hits = new double[2];
    for (int i = 0; i < train.length; i++) {
      int set = train[i] ? 0 : 1;
      n[set]++;
      hits[set] += right[i] ? 1 : 0;
    }
    return new double[] {hits[0] / n[0], hits[1] / n[1], (hits[0] + hits[1]) / train.length};
  }

  private static int best(double[] row) {
    int best = 0;
    for (int c = 1; c < row.length; c++) {
      best = row[c] > row[best] ? c : best;
    }
    return best;
  }
}
