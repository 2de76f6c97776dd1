package io.assay.engine.model;

import java.util.List;

/**
 * A hook point that a graph seems to have.
 *
 * @param value the value of the graph that it is
 * @param rows a value whose first two axes are those that the first axis of this one holds; null
 *     where rows and positions are apart
 * @param heads number of heads to split its last axis in; 0 where it is not to be split
 * @param transpose order of axes that brings it to the documented shape; empty if it has that
 * @param checked whether numbers of a run agree with what the hook is to be; else it is only likely
 * @param why what speaks for it
 */
public record HookProposal(
    String hook,
    String value,
    String rows,
    int heads,
    List<Long> transpose,
    boolean checked,
    String why) {
  public HookProposal {
    transpose = List.copyOf(transpose);
  }

  HookProposal because(boolean holds, String reason) {
    return new HookProposal(hook, value, rows, heads, transpose, holds, reason);
  }
}
