package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.SweepSpec.Per;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Against the maps of {@code transformer_lens.patching}: base corrupt, source clean. */
class SweepFixtureTest extends TinyPairs {
  /** Ten times what that library's own float32 run differs from its float64 run. */
  private static final double BOUND = 1e-5;

  private record Case(String at, Per per) {}

  private static Map<String, Case> cases() {
    Map<String, Case> cases = new LinkedHashMap<>();
    cases.put("resid_pre", new Case("blocks.*.hook_resid_pre", Per.POSITION));
    cases.put("resid_mid", new Case("blocks.*.hook_resid_mid", Per.POSITION));
    cases.put("attn_out", new Case("blocks.*.hook_attn_out", Per.POSITION));
    cases.put("mlp_out", new Case("blocks.*.hook_mlp_out", Per.POSITION));
    for (String part : List.of("q", "k", "v")) {
      String at = "blocks.*.attn.hook_" + part;
      cases.put("attn_head_" + part + "_by_pos", new Case(at, Per.POSITION));
      cases.put("attn_head_" + part + "_all_pos", new Case(at, Per.ALL));
    }
    cases.put("attn_head_out_by_pos", new Case("blocks.*.attn.hook_z", Per.POSITION));
    cases.put("attn_head_out_all_pos", new Case("blocks.*.attn.hook_z", Per.ALL));
    cases.put("attn_head_pattern_by_pos", new Case("blocks.*.attn.hook_pattern", Per.POSITION));
    cases.put("attn_head_pattern_all_pos", new Case("blocks.*.attn.hook_pattern", Per.ALL));
    return cases;
  }

  @TestFactory
  Stream<DynamicTest> everyMap() {
    LanguageModel exported =
        engine.languageModel(folder().resolve("onnx").resolve("model.dynamo.onnx"), DType.F32);
    return cases().entrySet().stream()
        .flatMap(
            e ->
                Stream.of(
                    DynamicTest.dynamicTest(
                        e.getKey() + ", what changed",
                        () -> check(e, Sweep.run(engine, tiny(), spec(e.getValue()), NONE))),
                    DynamicTest.dynamicTest(
                        e.getKey() + ", whole passes",
                        () -> check(e, Sweep.runPlainly(engine, tiny(), spec(e.getValue())))),
                    DynamicTest.dynamicTest(
                        e.getKey() + ", exported",
                        () -> check(e, Sweep.run(engine, exported, spec(e.getValue()), NONE)))));
  }

  private static final UnitListener<SweepUnit> NONE = UnitListener.none();

  private static SweepSpec spec(Case c) {
    return SweepSpec.of(c.at(), Direction.DENOISE, pairs()).withPer(c.per());
  }

  private static void check(Map.Entry<String, Case> e, PatchMap map) {
    Tensor want = reference.get("patch." + e.getKey());
    assertMap(
        e.getKey(),
        e.getKey().equals("attn_head_pattern_by_pos") ? turned(want) : want,
        map,
        BOUND);
  }

  /** [layer, head, position] as [layer, position, head]. */
  private static Tensor turned(Tensor t) {
    double[] values = new double[Math.toIntExact(t.elements())];
    int heads = Math.toIntExact(t.dim(1));
    int positions = Math.toIntExact(t.dim(2));
    for (int i = 0; i < values.length; i++) {
      int layer = i / (heads * positions);
      int position = i / heads % positions;
      values[i] = t.get(((long) layer * heads + i % heads) * positions + position);
    }
    return Tensor.ofDoubles(values, t.dim(0), positions, heads);
  }

  @Test
  void theMetricOfBothPrompts() {
    PatchMap map = Sweep.run(engine, tiny(), spec(new Case("hook_embed", Per.ALL)), NONE);
    assertEquals(-0.48712517648949155, map.clean(), 5e-6);
    assertEquals(-1.1884253682894317, map.corrupt(), 5e-6);
    assertEquals(List.of(), map.axes());
    assertEquals(1, map.normalised(0), 1e-5);
  }
}
