package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.AttributeSpec.Method;
import io.assay.engine.patch.AttributeSpec.Rule;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Estimates of first order against the stored ones, and against exact edges. */
class AttributionTest extends TinyPairs {
  private static final UnitListener<AttributeUnit> NONE = UnitListener.none();

  @Test
  void componentsAreAsStored() {
    for (Map.Entry<String, String> e :
        Map.of(
                "z", "attn.hook_z",
                "resid_pre", "hook_resid_pre",
                "mlp_out", "hook_mlp_out",
                "attn_out", "hook_attn_out")
            .entrySet()) {
      AttributeSpec spec = AttributeSpec.of("blocks.*." + e.getValue(), Direction.DENOISE, pairs());
      assertMap(
          e.getKey(),
          reference.get("attribution." + e.getKey()),
          Attribution.run(engine, tiny(), spec, NONE),
          1e-5);
    }
  }

  @Test
  void edgesAreAsStored() {
    AttributeSpec spec =
        AttributeSpec.of("", Direction.NOISE, pairs()).withMethod(Method.EAP, 1, Rule.MIDPOINT);
    LanguageModel exported =
        engine.languageModel(folder().resolve("onnx").resolve("model.dynamo.onnx"), DType.F32);
    for (LanguageModel model : List.of(tiny(), exported)) {
      EdgeMap map = EdgeAttribution.run(engine, model, spec, NONE);
      Tensor want = reference.get("eap.scores");
      Tensor mask = reference.get("eap.mask");
      int columns = map.edges().destinations().size();
      assertEquals(List.of(16L, 40L), List.of(want.dim(0), want.dim(1)));
      for (int i = 0; i < want.elements(); i++) {
        assertEquals(want.get(i), map.values()[i / columns][i % columns], 1e-4, "edge " + i);
        assertEquals(mask.getLong(i) == 1, map.edges().has(i / columns, i % columns), "" + i);
      }
    }
  }

  /** Counted by hand: 1 + 12 * 13 write, 12 * 37 + 1 read. */
  @Test
  void edgesOfGpt2Small() {
    Edges edges = new Edges(12, 12, 12, true);
    assertEquals(157, edges.sources().size());
    assertEquals(445, edges.destinations().size());
    assertEquals(32491, edges.count());
  }

  /** One block of two heads without an MLP, scored by hand. */
  @Test
  void edgesAreChosenAndPruned() {
    Edges edges = new Edges(2, 1, 1, false);
    assertEquals(List.of("input", "a0.h0", "a1.h0"), edges.sources());
    // Columns: a0.h0 q, k, v; a1.h0 q, k, v; logits.
    double[][] scores = {
      {5, 0, 0, 0, 9, 0, 1},
      {99, 99, 99, 8, 0, 0, 2},
      {99, 99, 99, 99, 99, 99, -3},
    };
    EdgeMap map = new EdgeMap(edges, null, scores, false);
    // The three largest are 9, 8 and 5, none of which leads to the logits.
    assertEquals(List.of(), map.top(3));
    assertEquals(
        List.of("input 9.0 a1.h0", "a0.h0 8.0 a1.h0", "input 5.0 a0.h0", "a1.h0 -3.0 logits"),
        words(map, map.top(4)));
    assertEquals(
        List.of("input 9.0 a1.h0", "a0.h0 8.0 a1.h0", "input 5.0 a0.h0", "a1.h0 -3.0 logits"),
        words(map, map.greedy(4)));
    // With three of them a0.h0 reads nothing, and goes.
    assertEquals(List.of("input 9.0 a1.h0", "a1.h0 -3.0 logits"), words(map, map.greedy(3)));
    assertEquals(List.of(), map.greedy(0));
    assertEquals(edges.count(), map.greedy(100).size());
    double[][] ties = new double[3][7];
    EdgeMap tied = new EdgeMap(edges, null, ties, false);
    assertEquals(List.of("input 0.0 logits"), words(tied, tied.greedy(1)));
  }

  private static List<String> words(EdgeMap map, List<EdgeMap.Edge> edges) {
    return edges.stream().map(e -> map.writer(e) + " " + e.score() + " " + map.reader(e)).toList();
  }

  /** Each share by its definition, and their sum, which with the biases' is the metric. */
  @Test
  void sharesOfComponentsSumToTheMetric() {
    LanguageModel model = random(13, 2, 2, 8, DType.F64);
    List<Pair> pairs = randomPairs(4, 2, 5);
    PatchMap heads = shares(model, "blocks.*.attn.hook_z", pairs);
    assertEquals(List.of("layer", "head"), heads.axes());
    PatchMap attention = shares(model, "blocks.*.hook_attn_out", pairs);
    PatchMap mlps = shares(model, "blocks.*.hook_mlp_out", pairs);
    PatchMap tokens = shares(model, "hook_embed", pairs);
    PatchMap places = shares(model, "hook_pos_embed", pairs);
    double[] weight = model.model().graph().constants().get("ln_f.weight").toDoubles();
    double[] bias = model.model().graph().constants().get("ln_f.bias").toDoubles();
    try (Patcher patcher = new Patcher(engine, model)) {
      for (int i = 0; i < pairs.size(); i++) {
        Pair pair = pairs.get(i);
        double[] answer = Metric.LOGIT_DIFF.of(model, pair).direction();
        Map<String, Tensor> run =
            patcher.read(
                List.of(Baselines.ints(pair.clean())),
                List.of(
                    "ln_final.hook_scale", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_result"));
        double constant = 0;
        for (int c = 0; c < 8; c++) {
          constant += bias[c] * answer[c];
        }
        double sum = constant + tokens.values()[0][i] + places.values()[0][i];
        for (int layer = 0; layer < 2; layer++) {
          sum += attention.values()[layer][i] + mlps.values()[layer][i];
        }
        assertEquals(heads.base().clean()[i], sum, 1e-12);
        double scale = run.get("ln_final.hook_scale").get(4);
        assertEquals(
            share(run.get("blocks.1.hook_mlp_out"), 4 * 8, scale, weight, answer),
            mlps.values()[1][i],
            1e-12);
        assertEquals(
            share(run.get("blocks.1.attn.hook_result"), (4 * 2 + 1) * 8, scale, weight, answer),
            heads.values()[3][i],
            1e-12);
      }
    }
    assertThrows(PatchException.class, () -> shares(model, "blocks.*.mlp.hook_pre", pairs));
  }

  private static PatchMap shares(LanguageModel model, String at, List<Pair> pairs) {
    return DirectAttribution.run(engine, model, AttributeSpec.of(at, Direction.NOISE, pairs), NONE);
  }

  /** What 8 numbers add, centred, over the scale and through the last norm's weight. */
  private static double share(
      Tensor written, int first, double scale, double[] weight, double[] answer) {
    double mean = 0;
    double sum = 0;
    for (int c = 0; c < 8; c++) {
      mean += written.get(first + c) / 8;
    }
    for (int c = 0; c < 8; c++) {
      sum += (written.get(first + c) - mean) / scale * weight[c] * answer[c];
    }
    return sum;
  }

  /** Weights that sum to 1, and what each rule integrates exactly. */
  @Test
  void rulesOfIntegration() {
    for (Rule rule : Rule.values()) {
      AttributeSpec spec =
          AttributeSpec.of("", Direction.NOISE, pairs()).withMethod(Method.EAP_IG, 4, rule);
      double place = 0;
      double weight = 0;
      for (double[] node : spec.nodes()) {
        place += node[0] * node[1];
        weight += node[1];
      }
      assertEquals(1, weight, 1e-14);
      assertEquals(rule == Rule.LEGACY ? 3.0 / 8 : 0.5, place, 1e-14);
    }
    double[][] gauss =
        AttributeSpec.of("", Direction.NOISE, pairs())
            .withMethod(Method.EAP_IG, 3, Rule.GAUSS_LEGENDRE)
            .nodes();
    double fifth = 0;
    for (double[] node : gauss) {
      fifth += node[1] * Math.pow(node[0], 5);
    }
    assertEquals(1.0 / 6, fifth, 1e-14, "three points are exact up to degree 5");
  }

  /**
   * Edges to the logits, whose gradient is that with respect to the final stream: the mean over the
   * way of central differences, each on a run whose embeddings are a bank.
   */
  @Test
  void integratedGradientsAreMeansOfDifferences() {
    LanguageModel model = random(21, 2, 2, 8, DType.F64);
    Pair pair = randomPairs(3, 1, 5).getFirst();
    AttributeSpec spec =
        AttributeSpec.of("", Direction.NOISE, List.of(pair))
            .withMethod(Method.EAP_IG, 3, Rule.MIDPOINT);
    EdgeMap map = EdgeAttribution.run(engine, model, spec, NONE);
    String stream = "blocks.1.hook_resid_post";
    String mlp = "blocks.0.hook_mlp_out";
    int[] base = Baselines.ints(pair.clean());
    double want = 0;
    try (Patcher patcher = new Patcher(engine, model)) {
      Map<String, Tensor> both =
          patcher.read(List.of(base, Baselines.ints(pair.corrupt())), List.of("hook_embed", mlp));
      for (double[] node : spec.nodes()) {
        Tensor embed = mixed(both.get("hook_embed"), 1 - node[0], node[0]);
        Plan.Builder way = Plan.builder();
        way.row(base);
        way.row(base);
        way.bank("hook_embed", embed);
        way.patch(0, "hook_embed", Intervention.ALL, new Source.Bank(0));
        Tensor there = patcher.run(way.build(), List.of(stream)).get(stream);
        Tensor change = mixed(both.get(mlp), 1, -1);
        double[] metric = new double[2];
        for (int sign = 0; sign < 2; sign++) {
          Tensor moved = Banks.zero(there);
          for (int i = 0; i < moved.elements(); i++) {
            moved.set(i, there.get(i) + (sign == 0 ? -1e-5 : 1e-5) * change.get(i));
          }
          Plan.Builder plan = Plan.builder();
          plan.row(base);
          plan.row(base);
          plan.bank(stream, moved);
          plan.patch(1, stream, Intervention.ALL, new Source.Bank(0));
          metric[sign] = Metric.LOGIT_DIFF.of(model, pair).of(patcher.run(plan.build()), 1);
        }
        want += node[1] * (metric[1] - metric[0]) / 2e-5;
      }
    }
    int from = map.edges().sources().indexOf("m0");
    int to = map.edges().destinations().indexOf("logits");
    assertEquals(want, map.values()[from][to], 1e-7);
    EdgeMap plain =
        EdgeAttribution.run(engine, model, spec.withMethod(Method.EAP, 1, Rule.MIDPOINT), NONE);
    assertTrue(Math.abs(plain.values()[from][to] - want) > 1e-4);
  }

  /** {@code source} times row 1 and {@code base} times row 0, one row. */
  private static Tensor mixed(Tensor rows, double source, double base) {
    Tensor out = Banks.zero(rows);
    for (int i = 0; i < out.elements(); i++) {
      out.set(i, source * rows.get(out.elements() + i) + base * rows.get(i));
    }
    return out;
  }

  @Test
  void stepsHaveLimits() {
    assertThrows(
        InputException.class,
        () ->
            AttributeSpec.of("", Direction.NOISE, pairs())
                .withMethod(Method.EAP_IG, 0, Rule.MIDPOINT));
  }
}
