package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * Which sequences there are, their rows one after the other: for each start, in this order, each
 * prompt's copies, and of each copy the rows of the positions from the start on.
 *
 * @param prompts base runs
 * @param copies of each prompt and start
 * @param positions of the whole prompts
 * @param starts first position of the sequences, ascending
 */
record Layout(int prompts, int copies, int positions, List<Integer> starts) {
  /** What is done with each sequence. */
  interface Visitor {
    /**
     * @param row first row of the sequence
     */
    void visit(int row, int start, int prompt, int copy);
  }

  Layout {
    starts = List.copyOf(starts);
  }

  /** Whole prompts. */
  static Layout whole(int prompts, int positions) {
    return new Layout(prompts, 1, positions, List.of(0));
  }

  void forEach(Visitor visitor) {
    int row = 0;
    for (int start : starts) {
      for (int prompt = 0; prompt < prompts; prompt++) {
        for (int copy = 0; copy < copies; copy++, row += positions - start) {
          visitor.visit(row, start, prompt, copy);
        }
      }
    }
  }

  /** All rows. */
  int rows() {
    return starts.stream().mapToInt(start -> prompts * copies * (positions - start)).sum();
  }

  /** All sequences. */
  int sequences() {
    return prompts * copies * starts.size();
  }

  /** Prompt and first position of each sequence, int32 [2, sequence]. */
  MemorySegment sequences(Arena arena) {
    MemorySegment list = arena.allocate(Tensor.INT, 2L * sequences());
    int[] next = {0};
    forEach(
        (_, start, prompt, _) -> {
          list.set(Tensor.INT, 4L * next[0], prompt);
          list.set(Tensor.INT, 4L * (sequences() + next[0]++), start);
        });
    return list;
  }

  /** The last row of each sequence. */
  Tensor ends(Arena arena, Tensor rows) {
    long width = rows.dim(1);
    Tensor ends = Tensor.allocate(arena, rows.dtype(), sequences(), width);
    int[] next = {0};
    forEach(
        (row, start, _, _) ->
            Rows.copy(rows, row + positions - start - 1L, ends, next[0]++, 1, width));
    return ends;
  }
}
