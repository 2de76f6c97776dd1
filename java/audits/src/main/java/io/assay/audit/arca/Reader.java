package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/**
 * One sequence at a time through the model: what it says at every position. Used for the fixed
 * prefix, and to confirm and report what the search found.
 */
final class Reader implements AutoCloseable {
  /** Log-probability of the next token, log-sum-exp, arg max and margin, by position. */
  record Reading(double[] logProb, double[] lse, int[] argMax, double[] margin) {
    boolean isNumber() {
      for (int id : argMax) {
        if (id < 0) {
          return false;
        }
      }
      return true;
    }

    /** Whether positions {@code from..} are followed by their most likely tokens. */
    boolean isGreedy(int[] ids, int from) {
      for (int t = from; t < ids.length - 1; t++) {
        if (argMax[t] != ids[t + 1]) {
          return false;
        }
      }
      return true;
    }

    double sum(int from, int to) {
      double sum = 0;
      for (int t = from; t < to; t++) {
        sum += logProb[t];
      }
      return sum;
    }

    double smallestMargin(int from) {
      double smallest = Double.POSITIVE_INFINITY;
      for (int t = from; t < margin.length; t++) {
        smallest = Math.min(smallest, margin[t]);
      }
      return smallest;
    }
  }

  private final Arena arena = Arena.ofShared();
  private final SuffixProgram program;
  private final HeadProgram head;
  private long operations;

  /** A reader of sequences whose first {@code length} tokens run. */
  Reader(Engine engine, LanguageModel model, int length) {
    program = SuffixProgram.forward(engine, model, 1, 1, 0, length);
    head = new HeadProgram(engine.kernels(), model, length, arena);
  }

  /**
   * Reads {@code ids}; the token behind the last one that runs is its target, where there is one.
   */
  Reading read(int[] ids) {
    int length = program.length;
    for (int t = 0; t < length; t++) {
      program.ids.set(t, ids[t]);
      head.target(t, t + 1 < ids.length ? ids[t + 1] : 0);
    }
    program.runForward();
    MemorySegment.copy(
        program.hidden.data(), 0, head.hidden.data(), 0, program.hidden.data().byteSize());
    head.run();
    operations += program.forwardOperations() + head.operations();
    int[] argMax = new int[length];
    for (int t = 0; t < length; t++) {
      argMax[t] = (int) head.argMax.getLong(t);
    }
    return new Reading(copy(head.logProb), copy(head.lse), argMax, copy(head.margin));
  }

  private static double[] copy(Tensor t) {
    return t.toDoubles();
  }

  /**
   * Greedy continuation of {@code prompt} by {@code count} tokens, each predicted from its past.
   */
  static int[] greedy(Engine engine, LanguageModel model, List<Integer> prompt, int count) {
    int[] ids = new int[prompt.size() + count];
    for (int t = 0; t < prompt.size(); t++) {
      ids[t] = prompt.get(t);
    }
    try (Reader reader = new Reader(engine, model, ids.length - 1)) {
      for (int t = prompt.size(); t < ids.length; t++) {
        ids[t] = reader.read(ids).argMax()[t - 1];
      }
    }
    return Arrays.copyOfRange(ids, prompt.size(), ids.length);
  }

  /** Reads the sequence of a slot and settles the positions that ran. */
  void settle(Slot slot) {
    Reading reading = read(slot.ids);
    slot.take(program, 0);
    int count = program.length;
    System.arraycopy(reading.logProb(), 0, slot.logProb, 0, count);
    System.arraycopy(reading.lse(), 0, slot.lse, 0, count);
    System.arraycopy(reading.argMax(), 0, slot.argMax, 0, count);
    System.arraycopy(reading.margin(), 0, slot.margin, 0, count);
    slot.notANumber = !reading.isNumber();
  }

  long operations() {
    return operations;
  }

  @Override
  public void close() {
    program.close();
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
