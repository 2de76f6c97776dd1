package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Swapped sequences of all audits of a group, run through the model and its head from the first
 * position that a swap may change.
 *
 * <p>Sequences run without their last token, which is only ever predicted. Shapes are fixed and
 * rows without a swap are padded, so that a row's bits depend on neither its slot nor its
 * neighbours.
 */
final class Batch implements AutoCloseable {
  private final Problem problem;
  private final LanguageModel model;
  private final Arena arena = Arena.ofShared();
  private final SuffixProgram program;
  private final HeadProgram head;

  /** First position whose hidden state the head needs, and how many there are. */
  private final int firstRow;

  private final int headRows;
  private long operations;

  private Batch(
      Engine engine,
      LanguageModel model,
      Problem problem,
      int from,
      int groups,
      int rows,
      boolean backward) {
    this.problem = problem;
    this.model = model;
    int past = problem.past(model, from);
    int length = problem.length - 1 - past;
    program =
        backward
            ? SuffixProgram.gradient(engine, model, groups, rows, past, length)
            : SuffixProgram.forward(engine, model, groups, rows, past, length);
    firstRow = problem.firstScored(from);
    headRows = problem.length - 1 - firstRow;
    int logits = Math.toIntExact(program.sequences() * headRows);
    head = new HeadProgram(engine.kernels(), model, logits, arena);
  }

  /**
   * A batch of {@code rows} sequences for each audit, run forward and kept.
   *
   * @param from first position that swaps change, before the last
   */
  static Batch forward(
      Engine engine, LanguageModel model, Problem problem, int from, int groups, int rows) {
    return new Batch(engine, model, problem, from, groups, rows, false);
  }

  /** A batch that also runs backward, to the embeddings of the positions from {@code from} on. */
  static Batch gradient(
      Engine engine, LanguageModel model, Problem problem, int from, int groups, int rows) {
    return new Batch(engine, model, problem, from, groups, rows, true);
  }

  /** Sequences of each audit. */
  int rows() {
    return program.rows;
  }

  /** Multiplications and additions of what ran so far. */
  long operations() {
    return operations;
  }

  /**
   * Runs the sequences {@code swaps[a][first ..]}, as many as there are rows.
   *
   * @param slots audits, null where none takes part
   * @param swaps of each audit; where there are fewer than rows, the first one fills them
   */
  void run(Slot[] slots, Swap[][] swaps, int first) {
    for (int a = 0; a < program.groups; a++) {
      if (slots[a] != null) {
        slots[a].give(program, a);
      }
      for (int j = 0; j < program.rows; j++) {
        fill(a * program.rows + j, slots[a], swap(swaps[a], first + j));
      }
    }
    program.runForward();
    long bytes = rowBytes();
    for (long s = 0; s < program.sequences(); s++) {
      MemorySegment.copy(
          program.hidden.data(),
          hiddenRow(s) * bytes,
          head.hidden.data(),
          s * headRows * bytes,
          headRows * bytes);
    }
    head.run();
    operations += program.forwardOperations() + head.operations();
  }

  private static Swap swap(Swap[] swaps, int index) {
    if (swaps == null || swaps.length == 0) {
      return null;
    }
    return swaps[index < swaps.length ? index : 0];
  }

  /** Writes the tokens of a sequence, and what each scored position should predict. */
  private void fill(int sequence, Slot slot, Swap swap) {
    for (int t = program.past; t < problem.length; t++) {
      int id = slot == null ? 0 : swap == null ? slot.ids[t] : swap.at(t, slot.ids);
      if (t < problem.length - 1) {
        program.ids.set((long) sequence * program.length + t - program.past, id);
      }
      if (t > firstRow) {
        head.target(sequence * headRows + t - 1 - firstRow, id);
      }
    }
  }

  private long rowBytes() {
    return (long) model.width() * model.dtype().bytes();
  }

  private long hiddenRow(long sequence) {
    return sequence * program.length + firstRow - program.past;
  }

  /** The gradient, to the embeddings, of the objective that is differentiated; after a run. */
  void runBackward() {
    for (int row = 0; row < head.rows; row++) {
      head.weight.set(row, problem.gradientWeight(firstRow + row % headRows));
    }
    head.runBackward();
    program.hiddenGradient.data().fill((byte) 0);
    long bytes = rowBytes();
    for (long s = 0; s < program.sequences(); s++) {
      MemorySegment.copy(
          head.gradient.data(),
          s * headRows * bytes,
          program.hiddenGradient.data(),
          hiddenRow(s) * bytes,
          headRows * bytes);
    }
    program.runBackward();
    operations += program.backwardOperations() + 2 * head.operations();
  }

  /**
   * Writes the gradient at a position, summed over the rows of each audit in doubles and scaled,
   * into {@code sums} [groups, width]; rows of absent audits become 0.
   */
  void sumGradients(int position, Slot[] slots, double scale, Tensor sums) {
    int width = model.width();
    sums.data().fill((byte) 0);
    for (int a = 0; a < program.groups; a++) {
      for (int c = 0; slots[a] != null && c < width; c++) {
        double sum = 0;
        for (int j = 0; j < program.rows; j++) {
          long row = ((long) a * program.rows + j) * program.length + position - program.past;
          sum += program.embedGradient.get(row * width + c);
        }
        sums.set((long) a * width + c, sum * scale);
      }
    }
  }

  /** Log-probability that position {@code t} of a sequence gives to the token behind it, nats. */
  double logProb(int sequence, int t) {
    return head.logProb.get(row(sequence, t));
  }

  /** Most likely token behind position {@code t} of a sequence. */
  int argMax(int sequence, int t) {
    return (int) head.argMax.getLong(row(sequence, t));
  }

  private long row(int sequence, int t) {
    return (long) sequence * headRows + t - firstRow;
  }

  /** Lets a slot keep everything that the model said about one sequence. */
  void commit(Slot slot, int sequence) {
    slot.take(program, sequence);
    for (int t = firstRow; t < problem.length - 1; t++) {
      long row = row(sequence, t);
      slot.logProb[t] = head.logProb.get(row);
      slot.lse[t] = head.lse.get(row);
      slot.argMax[t] = (int) head.argMax.getLong(row);
      slot.margin[t] = head.margin.get(row);
    }
  }

  @Override
  public void close() {
    program.close();
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
