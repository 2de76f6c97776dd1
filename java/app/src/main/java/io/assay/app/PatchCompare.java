package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.AttributeSpec;
import io.assay.engine.patch.Attribution;
import io.assay.engine.patch.Disagreement;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.patch.SweepSpec;
import io.assay.engine.run.UnitListener;
import java.util.Arrays;
import java.util.List;

/** A sweep beside the direct paths of its heads and the estimates of its components. */
final class PatchCompare {
  private PatchCompare() {}

  /** What disagrees; nothing where a sweep has no counterpart. */
  static List<Disagreement> of(
      Engine engine, LanguageModel model, SweepSpec spec, PatchMap map, Common common) {
    if (spec.per() != SweepSpec.Per.POSITION || spec.by() != SweepSpec.By.RESAMPLE) {
      return List.of();
    }
    double base = PatchTable.base(map, spec.direction());
    double[] node = new double[map.cells()];
    double[] path = new double[map.cells()];
    double[] estimate = new double[map.cells()];
    Arrays.setAll(node, cell -> map.mean(cell) - base);
    Arrays.fill(path, Double.NaN);
    Arrays.fill(estimate, Double.NaN);
    try {
      AttributeSpec first =
          AttributeSpec.of(spec.at(), spec.direction(), spec.pairs()).withMetric(spec.metric());
      PatchMap estimates = Attribution.run(engine, model, first, UnitListener.none());
      Arrays.setAll(estimate, estimates::mean);
    } catch (InputException e) {
      common.warn("there are no first-order estimates to compare with: " + e.getMessage());
    }
    int length = spec.pairs().getFirst().length();
    boolean equal = spec.pairs().stream().allMatch(p -> p.length() == length);
    if (equal && spec.at().endsWith(".attn.hook_z")) {
      PathSpec direct =
          PathSpec.toLogits(spec.direction(), spec.pairs())
              .withFrom(spec.at())
              .withMetric(spec.metric());
      PatchMap paths = PathPatch.run(engine, model, direct, UnitListener.none());
      int heads = map.labels().getLast().size();
      for (int i = 0; i < paths.cells(); i++) {
        path[((i / heads + 1) * length - 1) * heads + i % heads] = paths.mean(i) - base;
      }
    }
    return Disagreement.among(node, path, estimate);
  }

  static void fill(Envelope envelope, PatchMap map, List<Disagreement> found) {
    ArrayNode list = envelope.result().putArray("disagreements");
    for (Disagreement d : found) {
      ObjectNode node = list.addObject().put("component", PatchTable.name(map, d.cell()));
      node.put("node", d.node());
      node.put("path", Double.isNaN(d.path()) ? null : Double.valueOf(d.path()));
      node.put("estimate", Double.isNaN(d.estimate()) ? null : Double.valueOf(d.estimate()));
      node.put("path_differs", d.pathDiffers()).put("estimate_differs", d.estimateDiffers());
    }
  }
}
