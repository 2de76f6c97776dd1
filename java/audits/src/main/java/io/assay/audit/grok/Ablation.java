package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.kernel.FourierAblate;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;

/** Losses of logits without, or with only, families of frequencies of a + b. */
final class Ablation {
  private static final int TRAIN = 1;
  private static final int TEST = 2;

  private final Kernels kernels;
  private final int p;
  private final Matrix logits;
  private final boolean[] train;

  /** Mean losses of one family over the pairs of the training and of the test set; NaN of none. */
  record Loss(double train, double test) {}

  /**
   * @param train [p p] whether a pair is of the training set
   */
  Ablation(Kernels kernels, Logits logits, boolean[] train) {
    this.kernels = kernels;
    this.p = logits.p();
    this.logits = logits.matrix();
    this.train = train;
  }

  /**
   * L - D of each family.
   *
   * @param test whether the losses of the test set are wanted, too
   */
  List<Loss> removed(List<List<Integer>> families, boolean test) {
    return run(families, test, false, false);
  }

  /** L without the multiples of cos(w_k (a+b-c)). */
  List<Loss> rotationRemoved(List<List<Integer>> families) {
    return run(families, false, false, true);
  }

  /** Mean of L + D of each family. */
  List<Loss> kept(List<List<Integer>> families) {
    return run(families, true, true, false);
  }

  private List<Loss> run(
      List<List<Integer>> families, boolean test, boolean keep, boolean rotation) {
    int h = (p - 1) / 2;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment members = arena.allocate(Math.max(1, (long) families.size() * h));
      for (int f = 0; f < families.size(); f++) {
        requireFrequencies(p, families.get(f));
        for (int k : families.get(f)) {
          members.set(ValueLayout.JAVA_BYTE, (long) f * h + k - 1, (byte) 1);
        }
      }
      MemorySegment groups = arena.allocate(train.length);
      for (int i = 0; i < train.length; i++) {
        int group = train[i] ? TRAIN : test ? TEST : 0;
        groups.set(ValueLayout.JAVA_BYTE, i, (byte) group);
      }
      int groupCount = test ? TEST : TRAIN;
      Tensor loss =
          Tensor.allocate(arena, DType.F64, Math.max(1, (long) families.size()), groupCount);
      kernels.fourierAblate(
          new FourierAblate(
              logits,
              p,
              members,
              families.size(),
              groups,
              groupCount,
              keep,
              rotation,
              loss.data()));
      return IntStream.range(0, families.size())
          .mapToObj(
              f ->
                  new Loss(
                      loss.get((long) f * groupCount),
                      test ? loss.get((long) f * groupCount + 1) : Double.NaN))
          .toList();
    }
  }

  /**
   * @throws InputException if a key frequency is not one of 1 .. (p-1)/2, or is there twice
   */
  static void requireFrequencies(int p, List<Integer> keys) {
    HashSet<Integer> seen = new HashSet<>();
    for (int k : keys) {
      if (k < 1 || k > (p - 1) / 2) {
        throw new InputException(
            "the key frequency "
                + k
                + " is not one of modulus "
                + p
                + "; there are 1 to "
                + (p - 1) / 2);
      }
      if (!seen.add(k)) {
        throw new InputException("the key frequency " + k + " is given twice; name it once");
      }
    }
  }
}
