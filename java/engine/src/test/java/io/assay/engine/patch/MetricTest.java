package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.patch.AttributeSpec.Method;
import io.assay.engine.patch.AttributeSpec.Rule;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What is read, against stored logits, and that every method reads what its specification says. */
class MetricTest extends TinyPairs {
  @Test
  void metricsAreMadeOfTheStoredLogits() {
    Tensor logits = reference.get("logits.input_ids");
    List<Pair> pairs = pairs();
    for (Metric metric : Metric.values()) {
      SweepSpec spec =
          SweepSpec.of("blocks.0.hook_mlp_out", Direction.NOISE, pairs)
              .withPer(SweepSpec.Per.ALL)
              .withMetric(metric);
      double[] clean = Sweep.run(engine, tiny(), spec, UnitListener.none()).base().clean();
      for (int i = 0; i < pairs.size(); i++) {
        long last = ((i + 1) * logits.dim(1) - 1) * logits.dim(2);
        double answer = logits.get(last + pairs.get(i).answer());
        double wrong = logits.get(last + pairs.get(i).wrong());
        assertEquals(metric == Metric.LOGIT ? answer : answer - wrong, clean[i], 1e-5, metric.id());
      }
    }
  }

  /**
   * The difference of two logits is what the methods say of one less what they say of the other.
   */
  @Test
  void everyMethodReadsTheMetricOfItsSpecification() {
    List<Pair> pairs = pairs().subList(0, 2);
    List<Pair> swapped =
        pairs.stream()
            .map(p -> new Pair(p.clean(), p.corrupt(), p.wrong(), p.answer(), p.positions()))
            .toList();
    List<double[]> difference = everyMethod(Metric.LOGIT_DIFF, pairs);
    List<double[]> answer = everyMethod(Metric.LOGIT, pairs);
    List<double[]> wrong = everyMethod(Metric.LOGIT, swapped);
    for (int i = 0; i < difference.size(); i++) {
      double[] a = answer.get(i);
      double[] w = wrong.get(i);
      Arrays.setAll(a, cell -> a[cell] - w[cell]);
      assertArrayEquals(difference.get(i), a, 1e-4, "method " + i);
    }
  }

  private static List<double[]> everyMethod(Metric metric, List<Pair> pairs) {
    Direction noise = Direction.NOISE;
    List<double[]> values = new ArrayList<>();
    for (String at : List.of("blocks.*.attn.hook_z", "blocks.*.attn.hook_attn_scores")) {
      SweepSpec sweep = SweepSpec.of(at, noise, pairs).withMetric(metric);
      values.add(means(Sweep.run(engine, tiny(), sweep, UnitListener.none())));
    }
    PathSpec logits = PathSpec.toLogits(noise, pairs).withMetric(metric);
    for (PathSpec path : List.of(logits, logits.withReceivers("blocks.1.attn.hook_q"))) {
      values.add(means(PathPatch.run(engine, tiny(), path, UnitListener.none())));
    }
    AttributeSpec ap = AttributeSpec.of("blocks.*.attn.hook_z", noise, pairs).withMetric(metric);
    values.add(means(Attribution.run(engine, tiny(), ap, UnitListener.none())));
    values.add(means(DirectAttribution.run(engine, tiny(), ap, UnitListener.none())));
    AttributeSpec eap = ap.withMethod(Method.EAP, 1, Rule.MIDPOINT);
    for (double[] row : EdgeAttribution.run(engine, tiny(), eap, UnitListener.none()).values()) {
      values.add(row);
    }
    return values;
  }

  private static double[] means(PatchMap map) {
    double[] means = new double[map.cells()];
    Arrays.setAll(means, map::mean);
    return means;
  }
}
