package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Folding and centring change no probability, no pattern and no effect of a patch. */
class FoldedWeightsTest extends TinyPairs {
  private static final int VOCABULARY = 60;

  private static Map<String, Tensor> run(LanguageModel model, List<String> hooks) {
    List<String> wanted = new ArrayList<>(hooks);
    wanted.add("logits");
    Tensor ids = Tensor.ofLongs(new long[] {3, 17, 3, 58, 0, 21, 9, 9, 40, 1, 2, 30}, 2, 6);
    try (Session session =
        engine.compile(
            model
                .model()
                .graph()
                .expose(hooks.toArray(String[]::new))
                .slice(List.of("input_ids"), wanted))) {
      return session.run(Map.of("input_ids", ids));
    }
  }

  @Test
  void logitsMoveByOneNumberPerPosition() {
    List<String> same =
        List.of(
            "blocks.0.ln1.hook_normalized",
            "blocks.2.ln2.hook_normalized",
            "blocks.1.attn.hook_q",
            "blocks.1.attn.hook_pattern",
            "blocks.2.mlp.hook_pre",
            "ln_final.hook_normalized");
    LanguageModel model = random(5, 3, 4, 16, DType.F64);
    LanguageModel folded = LanguageModel.of(model.model().folded());
    Map<String, Tensor> want = run(model, same);
    Map<String, Tensor> got = run(folded, same);
    for (String hook : same) {
      assertArrayEquals(want.get(hook).toDoubles(), got.get(hook).toDoubles(), 1e-12, hook);
    }
    double moved = 0;
    for (int position = 0; position < 12; position++) {
      double first = moved(want, got, position * VOCABULARY);
      moved = Math.max(moved, Math.abs(first));
      for (int v = 1; v < VOCABULARY; v++) {
        assertEquals(first, moved(want, got, position * VOCABULARY + v), 1e-11);
      }
    }
    assertTrue(moved > 0.01, "the head was not centred");
    double[] stream =
        run(folded, List.of("blocks.1.hook_resid_post")).values().stream()
            .filter(t -> t.dim(2) == 16)
            .findFirst()
            .orElseThrow()
            .toDoubles();
    for (int row = 0; row < 12; row++) {
      double sum = 0;
      for (int c = 0; c < 16; c++) {
        sum += stream[row * 16 + c];
      }
      assertEquals(0, sum, 1e-12, "the stream is not centred");
    }
  }

  private static double moved(Map<String, Tensor> want, Map<String, Tensor> got, int at) {
    return got.get("logits").get(at) - want.get("logits").get(at);
  }

  @Test
  void effectsOfPatchesAreTheSame() {
    LanguageModel model = random(6, 2, 2, 8, DType.F64);
    LanguageModel folded = LanguageModel.of(model.model().folded());
    SweepSpec spec = SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, randomPairs(4, 2, 5));
    PatchMap want = Sweep.run(engine, model, spec, UnitListener.none());
    PatchMap got = Sweep.run(engine, folded, spec, UnitListener.none());
    assertEquals(want.clean(), got.clean(), 1e-11);
    for (int cell = 0; cell < want.cells(); cell++) {
      assertArrayEquals(want.values()[cell], got.values()[cell], 1e-11);
    }
  }

  @Test
  void exportedGraphsAreRefused() {
    LanguageModel exported =
        engine.languageModel(folder().resolve("onnx").resolve("model.dynamo.onnx"), DType.F32);
    assertTrue(
        assertThrows(InputException.class, () -> exported.model().folded())
            .getMessage()
            .contains("cannot be folded"));
  }
}
