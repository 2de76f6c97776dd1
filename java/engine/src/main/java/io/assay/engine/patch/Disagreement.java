package io.assay.engine.patch;

import java.util.ArrayList;
import java.util.List;

/**
 * A component whose effect comes out differently by node patch, path patch and first-order
 * estimate; each difference has a meaning (specs/ioi.md 3.8).
 *
 * @param cell index of the component
 * @param node change of the metric by patching it
 * @param path the same along its direct path to the logits; NaN where there is none
 * @param estimate first-order estimate of {@code node}; NaN where there is none
 * @param pathDiffers whether later heads answer the node patch: they hand it on, or repair it
 * @param estimateDiffers whether the metric is not linear there: attention that is saturated, say
 */
public record Disagreement(
    int cell,
    double node,
    double path,
    double estimate,
    boolean pathDiffers,
    boolean estimateDiffers) {
  /** Part of the largest effect below which nothing is compared. */
  private static final double LEAST = 0.1;

  /** Part of the larger of two effects by which they must differ. */
  private static final double APART = 0.5;

  /**
   * The components of which two of the three differ by more than half of the larger, which is at
   * least a tenth of the largest effect of all.
   *
   * @param node by component
   * @param path by component, NaN for none
   * @param estimate by component, NaN for none
   */
  public static List<Disagreement> among(double[] node, double[] path, double[] estimate) {
    double largest = 0;
    for (double[] values : List.of(node, path, estimate)) {
      for (double v : values) {
        largest = Double.isNaN(v) ? largest : Math.max(largest, Math.abs(v));
      }
    }
    List<Disagreement> found = new ArrayList<>();
    for (int i = 0; i < node.length; i++) {
      boolean byPath = differ(node[i], path[i], largest);
      boolean byEstimate = differ(node[i], estimate[i], largest);
      if (byPath || byEstimate) {
        found.add(new Disagreement(i, node[i], path[i], estimate[i], byPath, byEstimate));
      }
    }
    return found;
  }

  private static boolean differ(double a, double b, double largest) {
    double larger = Math.max(Math.abs(a), Math.abs(b));
    return larger > 0 && larger >= LEAST * largest && Math.abs(a - b) > APART * larger;
  }
}
