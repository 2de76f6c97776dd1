package io.assay.engine.patch;

/**
 * One replacement in one row of a plan: at a hook, what stands at a position and head comes from
 * the same position and head of another row.
 *
 * @param row the row that is changed
 * @param position which position, or {@link #ALL}
 * @param head which head, or {@link #ALL}; {@code ALL} where the hook has no heads
 * @param from where the new value comes from
 */
public record Intervention(int row, String hook, int position, int head, Source from) {
  /** Every position, or every head. */
  public static final int ALL = -1;

  /** Where a value comes from. */
  public sealed interface Source {
    /** Another row of the batch, as it is itself: resampling, or freezing to a base run. */
    record Row(int index) implements Source {}

    /** A row of the hook's bank ({@link Plan.Builder#bank}): zeros, means, any stored value. */
    record Bank(int index) implements Source {}
  }

  public Intervention {
    if (row < 0 || position < ALL || head < ALL) {
      throw new IllegalArgumentException(
          "an intervention with row " + row + ", position " + position + ", head " + head);
    }
  }
}
