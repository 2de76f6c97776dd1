package io.assay.engine.graph;

/**
 * How {@link Graph#patch} replaces parts of a value: along its first {@code axes} dimensions each
 * element is taken from a place that a map names, either in the value itself or in a bank.
 *
 * <p>For a value of shape {@code [rows, positions, heads, width]} one axis moves whole rows, two
 * axes move positions of rows, three move heads. Resampling is the index of another row, ablation a
 * bank element of zeros or means, and the identity map changes nothing.
 *
 * @param axes how many leading dimensions the map addresses, at least 1
 * @param bank number of bank elements; 0 for a patch without a bank, -1 if it differs between runs
 */
public record RowPatch(int axes, long bank) {
  public RowPatch {
    if (axes < 1 || bank < -1) {
      throw new IllegalArgumentException(
          "a patch has at least one axis and a bank size >= -1, not " + axes + " and " + bank);
    }
  }

  /** Moves whole rows within the batch. */
  public static RowPatch rows() {
    return new RowPatch(1, 0);
  }
}
