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
import java.util.Arrays;
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

  /** What is asked of some families. */
  record Question(List<List<Integer>> families, boolean test, boolean keep, boolean rotation) {}

  /**
   * L - D of each family.
   *
   * @param test whether the losses of the test set are wanted, too
   */
  static Question removed(List<List<Integer>> families, boolean test) {
    return new Question(families, test, false, false);
  }

  /** L without the multiples of cos(w_k (a+b-c)), over the training set. */
  static Question rotationRemoved(List<List<Integer>> families) {
    return new Question(families, false, false, true);
  }

  /** Mean of L + D of each family. */
  static Question kept(List<List<Integer>> families) {
    return new Question(families, true, true, false);
  }

  /** Losses of the families of each question, all by one call of the kernel. */
  List<List<Loss>> losses(Question... questions) {
    try (Arena arena = Arena.ofConfined()) {
      List<FourierAblate> calls = Arrays.stream(questions).map(q -> call(arena, q)).toList();
      kernels.fourierAblate(calls);
      return calls.stream().map(Ablation::losses).toList();
    }
  }

  private FourierAblate call(Arena arena, Question question) {
    int h = (p - 1) / 2;
    int count = question.families().size();
    MemorySegment members = arena.allocate(Math.max(1, (long) count * h));
    for (int f = 0; f < count; f++) {
      requireFrequencies(p, question.families().get(f));
      for (int k : question.families().get(f)) {
        members.set(ValueLayout.JAVA_BYTE, (long) f * h + k - 1, (byte) 1);
      }
    }
    MemorySegment groups = arena.allocate(train.length);
    for (int i = 0; i < train.length; i++) {
      int group = train[i] ? TRAIN : question.test() ? TEST : 0;
      groups.set(ValueLayout.JAVA_BYTE, i, (byte) group);
    }
    int groupCount = question.test() ? TEST : TRAIN;
    Tensor loss = Tensor.allocate(arena, DType.F64, Math.max(1, count), groupCount);
    return new FourierAblate(
        logits,
        p,
        members,
        count,
        groups,
        groupCount,
        question.keep(),
        question.rotation(),
        loss.data());
  }

  private static List<Loss> losses(FourierAblate call) {
    int groups = call.groupCount();
    return IntStream.range(0, call.familyCount())
        .mapToObj(
            f -> {
              double train = call.loss().getAtIndex(Tensor.DOUBLE, (long) f * groups);
              double test = call.loss().getAtIndex(Tensor.DOUBLE, (long) f * groups + groups - 1);
              return new Loss(train, groups == TEST ? test : Double.NaN);
            })
        .toList();
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
