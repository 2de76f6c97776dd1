package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Models in memory, in float64, against published values of two toys. */
class ToyModelsTest {
  private static Tensor uniform(SplittableRandom random, double a, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F64, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, a * (2 * random.nextDouble() - 1));
    }
    return t;
  }

  /**
   * Two blocks of GPT-2 without biases and layer norm weights; values of an independent program.
   */
  @Test
  void transformerWithoutBiases() {
    SplittableRandom random = new SplittableRandom(1);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    weights.put("wte.weight", uniform(random, 1, 32, 16));
    weights.put("wpe.weight", uniform(random, 0.5, 12, 16));
    for (int layer = 0; layer < 2; layer++) {
      String h = "h." + layer;
      weights.put(h + ".attn.c_attn.weight", uniform(random, 0.6, 16, 48));
      weights.put(h + ".attn.c_proj.weight", uniform(random, 0.6, 16, 16));
      weights.put(h + ".mlp.c_fc.weight", uniform(random, 0.6, 16, 64));
      weights.put(h + ".mlp.c_proj.weight", uniform(random, 0.6, 64, 16));
    }
    assertEquals(0.133123150345, weights.get("wte.weight").get(0), 1e-12);
    LanguageModel model = LanguageModel.of("toy", 2, weights);
    assertEquals(12, model.context());
    assertEquals(DType.F64, model.dtype());
    long[] ids = {3, 14, 15, 9, 2};
    double[] want = {-2.447146495, -8.526814952, -7.047532799, -10.714822799};
    double[] got = logProbabilities(model, ids);
    for (int i = 0; i < want.length; i++) {
      assertEquals(want[i], got[i], 1e-9);
    }
  }

  /** One-hot embeddings: the logits after token s are row s of the transposed head. */
  @Test
  void bigrams() {
    Tensor b = uniform(new SplittableRandom(7), 4, 40, 40);
    assertEquals(-0.881362013, b.get(0), 1e-9);
    Tensor identity = Tensor.allocate(Arena.ofAuto(), DType.F64, 40, 40);
    Tensor head = Tensor.allocate(Arena.ofAuto(), DType.F64, 40, 40);
    for (int i = 0; i < 40; i++) {
      identity.set(i * 41L, 1);
      for (int j = 0; j < 40; j++) {
        head.set(j * 40L + i, b.get(i * 40L + j));
      }
    }
    LanguageModel model = LanguageModel.of("bigrams", identity, head);
    // The best prompt ends in 4; its objective is the probability of 5, 11 after it.
    double[] got = logProbabilities(model, 4, 5, 11);
    assertEquals(-3.806514150, got[0] + got[1], 1e-9);
    assertEquals(-2.007987, got[0], 1e-6);
  }

  private static double[] logProbabilities(LanguageModel model, long... ids) {
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(1));
        Session session = engine.compile(model.model().graph())) {
      Tensor logits =
          session.run(Map.of("input_ids", Tensor.ofLongs(ids, 1, ids.length))).get("logits");
      int vocabulary = model.vocabulary();
      double[] out = new double[ids.length - 1];
      for (int t = 0; t < out.length; t++) {
        double sum = 0;
        for (int v = 0; v < vocabulary; v++) {
          sum += Math.exp(logits.get((long) t * vocabulary + v));
        }
        out[t] = logits.get((long) t * vocabulary + ids[t + 1]) - Math.log(sum);
      }
      return out;
    }
  }
}
