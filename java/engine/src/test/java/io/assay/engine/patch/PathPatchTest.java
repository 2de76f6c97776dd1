package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.patch.PathSpec.Mlps;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Path patching against stored maps, the four-pass procedure, and its own identities. */
class PathPatchTest extends TinyPairs {
  private static final UnitListener<PathUnit> NONE = UnitListener.none();

  private static Map<String, String> receivers() {
    Map<String, String> receivers = new LinkedHashMap<>();
    receivers.put("logits", "logits");
    for (String part : List.of("q", "k", "v")) {
      receivers.put(part, "blocks.2.attn.hook_" + part + "[1]");
      receivers.put(part + "_middle", "blocks.1.attn.hook_" + part + "[1]");
    }
    receivers.put(
        "several", "blocks.2.attn.hook_q[0], blocks.2.attn.hook_v[2], blocks.1.attn.hook_k[0]");
    return receivers;
  }

  @TestFactory
  Stream<DynamicTest> everyStoredMap() {
    LanguageModel exported =
        engine.languageModel(folder().resolve("onnx").resolve("model.dynamo.onnx"), DType.F32);
    List<DynamicTest> tests = new ArrayList<>();
    receivers()
        .forEach(
            (name, receiver) -> {
              for (String at : List.of("all", "end")) {
                for (Mlps mlps : Mlps.values()) {
                  String key =
                      "path." + name + "." + at + (mlps == Mlps.FROZEN ? "_mlps_frozen" : "");
                  PathSpec spec =
                      PathSpec.toLogits(Direction.NOISE, pairs())
                          .withReceivers(receiver)
                          .withAt(at)
                          .withMlps(mlps);
                  tests.add(
                      DynamicTest.dynamicTest(
                          key,
                          () -> {
                            Tensor want = reference.get(key);
                            assertMap(key, want, PathPatch.run(engine, tiny(), spec, NONE), 1e-5);
                            if (name.equals("logits")) {
                              assertMap(
                                  key, want, PathPatch.runPlainly(engine, tiny(), spec), 1e-5);
                            }
                            if (at.equals("all") && mlps == Mlps.LIVE) {
                              PatchMap same = PathPatch.run(engine, exported, spec, NONE);
                              assertMap(key, want, same, 1e-5);
                            }
                          }));
                }
              }
            });
    return tests.stream();
  }

  /** Passes A to D of the published procedure, each by itself, with stored values. */
  @Test
  void equalsFourPasses() {
    LanguageModel model = random(11, 3, 4, 16, DType.F64);
    Pair pair = randomPairs(4, 1, 6).getFirst();
    String receiver = "blocks.2.attn.hook_v";
    PathSpec spec =
        PathSpec.toLogits(Direction.NOISE, List.of(pair)).withReceivers(receiver + "[3]");
    PatchMap got = PathPatch.run(engine, model, spec, NONE);
    try (Patcher patcher = new Patcher(engine, model)) {
      List<String> zs = List.of("blocks.0.attn.hook_z", "blocks.1.attn.hook_z");
      int[] base = Baselines.ints(pair.clean());
      Map<String, Tensor> ofSource =
          patcher.read(List.of(Baselines.ints(pair.corrupt()), base), zs);
      List<String> all = new ArrayList<>(zs);
      all.add("blocks.2.attn.hook_z");
      Map<String, Tensor> ofBase = patcher.read(List.of(base, base), all);
      for (int layer = 0; layer < 2; layer++) {
        for (int head = 0; head < 4; head++) {
          Plan.Builder c = Plan.builder();
          c.row(base);
          c.row(base);
          for (String z : all) {
            Tensor bank = ofBase.get(z);
            if (z.equals(zs.get(layer))) {
              bank = Tensor.ofDoubles(bank.toDoubles(), bank.shape());
              // Bank row 1 is the source prompt's.
              for (int i = 0; i < bank.elements() / 2; i++) {
                bank.set(bank.elements() / 2 + i, ofSource.get(z).get(i));
              }
            }
            c.bank(z, bank).patch(1, z, Intervention.ALL, new Source.Bank(0));
          }
          c.patch(1, zs.get(layer), Intervention.ALL, head, new Source.Bank(1));
          Tensor live = patcher.run(c.build(), List.of(receiver)).get(receiver);
          Plan.Builder d = Plan.builder();
          d.row(base);
          d.row(base);
          d.bank(receiver, live).patch(1, receiver, Intervention.ALL, 3, new Source.Bank(1));
          double want = Metric.LOGIT_DIFF.of(model, pair).of(patcher.run(d.build()), 1);
          assertEquals(want, got.values()[layer * 4 + head][0], 1e-11);
        }
      }
      for (int head = 0; head < 4; head++) {
        assertEquals(got.clean(), got.values()[8 + head][0], 0, "a sender in the last block");
      }
    }
  }

  @Test
  void theShortcutEqualsWholePasses() {
    LanguageModel model = random(12, 4, 4, 32, DType.F32);
    List<Pair> pairs = new ArrayList<>(randomPairs(5, 9, 7));
    pairs.addAll(randomPairs(6, 2, 5));
    for (Mlps mlps : Mlps.values()) {
      PathSpec spec = PathSpec.toLogits(Direction.DENOISE, pairs).withMlps(mlps);
      same(model, spec);
      same(model, spec.withAt("4"));
      same(model, spec.withFrom("blocks.2.attn.hook_z[1]"));
    }
  }

  private static void same(LanguageModel model, PathSpec spec) {
    PatchMap want = PathPatch.runPlainly(engine, model, spec);
    PatchMap got = PathPatch.run(engine, model, spec, NONE);
    for (int cell = 0; cell < want.cells(); cell++) {
      assertArrayEquals(want.values()[cell], got.values()[cell], 5e-5, "cell " + cell);
    }
  }

  /** MLPs send too; the last one's path to the logits is its node patch. */
  @Test
  void anMlpSends() {
    LanguageModel model = random(13, 3, 4, 16, DType.F64);
    List<Pair> pairs = randomPairs(5, 2, 6);
    PathSpec spec =
        PathSpec.toLogits(Direction.NOISE, pairs).withFrom("blocks.*.hook_mlp_out").withAt("end");
    PatchMap paths = PathPatch.run(engine, model, spec, NONE);
    assertEquals(List.of("layer"), paths.axes());
    SweepSpec nodes = SweepSpec.of("blocks.*.hook_mlp_out", Direction.NOISE, pairs);
    PatchMap map = Sweep.runPlainly(engine, model, nodes);
    assertArrayEquals(map.values()[2 * 6 + 5], paths.values()[2], 1e-12);
    assertTrue(Math.abs(map.mean(5) - paths.mean(0)) > 1e-3);
  }

  private void refused(Reason reason, String words, UnaryOperator<PathSpec> change) {
    PathSpec spec = change.apply(PathSpec.toLogits(Direction.NOISE, pairs()));
    PatchException e =
        assertThrows(PatchException.class, () -> PathPatch.run(engine, tiny(), spec, NONE));
    assertEquals(reason, e.reason(), e.getMessage());
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  @Test
  void pathsThatCannotBe() {
    String z = "blocks.1.attn.hook_z";
    refused(
        Reason.NO_PATH,
        z + "[2] is not before blocks.1.attn.hook_q[0]",
        spec -> spec.withFrom(z + "[2]").withReceivers("blocks.1.attn.hook_q[0]"));
    refused(Reason.NO_PATH, "no receiver", spec -> spec.withReceivers(","));
    refused(
        Reason.NO_PATH, "name it alone", s -> s.withReceivers("logits,blocks.1.attn.hook_q[0]"));
    refused(Reason.NO_PATH, "is frozen", spec -> spec.withReceivers(z));
    refused(Reason.NO_PATH, "cannot send", spec -> spec.withFrom("blocks.0.attn.hook_q"));
    refused(Reason.SHAPE, "no head 4", spec -> spec.withFrom(z + "[4]"));
    refused(Reason.SHAPE, "no head 9", spec -> spec.withReceivers("blocks.1.attn.hook_q[9]"));
    refused(Reason.SHAPE, "no position 12", spec -> spec.withAt("12"));
    refused(Reason.UNKNOWN_HOOK, "near it are", spec -> spec.withFrom("blocks.*.attn.z"));
  }
}
