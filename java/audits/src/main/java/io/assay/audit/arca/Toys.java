package io.assay.audit.arca;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;

/** The small models of specs/arca.md 5.3-5.5, whose truth is known. */
final class Toys {
  static final int CONTEXT = 12;
  private static final int LAYERS = 2;

  private Toys() {}

  /** TOY-A: V = 32, d = 16, two heads, two layers. */
  static LanguageModel a(DType dtype) {
    return LanguageModel.of("toy-a", 2, weights(dtype, 32, 16, 0.6));
  }

  /** TOY-B: V = 256, d = 32, four heads, two layers. */
  static LanguageModel b(DType dtype) {
    return LanguageModel.of("toy-b", 4, weights(dtype, 256, 32, 0.3));
  }

  /** Weights in the order and of the sizes of specs/arca.md 5.3. */
  static Map<String, Tensor> weights(DType dtype, int vocabulary, int width, double scale) {
    SplittableRandom random = new SplittableRandom(1);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    weights.put("wte.weight", uniform(random, dtype, 1, vocabulary, width));
    weights.put("wpe.weight", uniform(random, dtype, 0.5, CONTEXT, width));
    for (int layer = 0; layer < LAYERS; layer++) {
      String block = "h." + layer + ".";
      weights.put(block + "attn.c_attn.weight", uniform(random, dtype, scale, width, 3 * width));
      weights.put(block + "attn.c_proj.weight", uniform(random, dtype, scale, width, width));
      weights.put(block + "mlp.c_fc.weight", uniform(random, dtype, scale, width, 4 * width));
      weights.put(block + "mlp.c_proj.weight", uniform(random, dtype, scale, 4 * width, width));
    }
    return weights;
  }

  /** TABLE-LM: one-hot embeddings and the logits B[last token]. */
  static LanguageModel table(Tensor table) {
    int n = Math.toIntExact(table.dim(0));
    Tensor embedding = Tensor.allocate(Arena.ofAuto(), DType.F64, n, n);
    Tensor head = Tensor.allocate(Arena.ofAuto(), DType.F64, n, n);
    for (int u = 0; u < n; u++) {
      embedding.set((long) u * n + u, 1);
      for (int v = 0; v < n; v++) {
        head.set((long) v * n + u, table.get((long) u * n + v));
      }
    }
    return LanguageModel.of("table-lm", embedding, head);
  }

  /** B of specs/arca.md 5.4. */
  static Tensor tableOf(int vocabulary) {
    return uniform(new SplittableRandom(7), DType.F64, 4, vocabulary, vocabulary);
  }

  /** B with the planted trigger: only token 1234 is followed by 77. */
  static Tensor planted() {
    int n = 2000;
    Tensor table = tableOf(n);
    for (int u = 0; u < n; u++) {
      table.set((long) u * n + 77, u == 1234 ? 12 : -12);
    }
    return table;
  }

  private static Tensor uniform(SplittableRandom random, DType dtype, double scale, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, scale * (2 * random.nextDouble() - 1));
    }
    return t;
  }
}
