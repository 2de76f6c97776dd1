package io.assay.engine.patch;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The metric after each patch.
 *
 * @param axes names of the axes: {@code layer}, {@code position}, {@code head}, those that apply
 * @param labels places of each axis
 * @param base the metric without a patch, by pair, of both prompts
 * @param values [cell, pair], the cells in the order of the axes, the last one fastest
 * @param cancelled whether it ended early; cells that were not reached are NaN
 */
public record PatchMap(
    List<String> axes,
    List<List<String>> labels,
    Baselines base,
    double[][] values,
    boolean cancelled) {

  /**
   * A map of hooks.
   *
   * @param pattern that named them; where it has a star they are an axis of layers
   * @param positions names of the positions that were patched one by one; may be empty
   * @param heads of each hook that were; 0 for none
   */
  static PatchMap of(
      String pattern,
      List<HookPoint> hooks,
      List<String> positions,
      int heads,
      Baselines base,
      double[][] values,
      boolean cancelled) {
    List<String> axes = new ArrayList<>();
    List<List<String>> labels = new ArrayList<>();
    if (pattern.contains("*")) {
      axes.add("layer");
      labels.add(hooks.stream().map(h -> Integer.toString(h.layer())).toList());
    }
    if (!positions.isEmpty()) {
      axes.add("position");
      labels.add(positions);
    }
    if (heads > 0) {
      axes.add("head");
      labels.add(IntStream.range(0, heads).mapToObj(Integer::toString).toList());
    }
    return new PatchMap(axes, labels, base, values, cancelled);
  }

  /** Values [cell, pair] of which none was reached yet. */
  static double[][] unknown(int cells, int pairs) {
    double[][] values = new double[cells][pairs];
    for (double[] cell : values) {
      Arrays.fill(cell, Double.NaN);
    }
    return values;
  }

  public int cells() {
    return values.length;
  }

  /** Mean over the pairs. */
  public double mean(int cell) {
    return mean(values[cell]);
  }

  static double mean(double[] values) {
    double sum = 0;
    for (double v : values) {
      sum += v;
    }
    return sum / values.length;
  }

  public double clean() {
    return base.cleanMean();
  }

  public double corrupt() {
    return base.corruptMean();
  }

  /**
   * The ratio of means (mean - corrupt) / (clean - corrupt): 0 like the corrupt run, 1 like the
   * clean one; NaN where the two are the same.
   */
  public double normalised(int cell) {
    return Baselines.normalised(mean(cell), clean(), corrupt());
  }

  /** The same of one pair. */
  public double normalised(int cell, int pair) {
    return Baselines.normalised(values[cell][pair], base.clean()[pair], base.corrupt()[pair]);
  }
}
