package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/** GPT-2 small's shape with random weights, in memory: 500 MB, made once and kept. */
public final class Gpt2Small {
  static final int LAYERS = 12;
  static final int WIDTH = 768;
  static final int VOCABULARY = 50257;

  /** Parameters of the blocks' products. */
  static final double BLOCKS = 12.0 * LAYERS * WIDTH * WIDTH;

  /** Parameters of the head's product. */
  static final double HEAD = (double) VOCABULARY * WIDTH;

  private static final int HEADS = 12;
  private static final Gpt2Config CONFIG =
      new Gpt2Config(
          LAYERS, HEADS, WIDTH, 4 * WIDTH, 1024, VOCABULARY, 1e-5, "gelu_new", true, false, true);

  private static Map<String, Tensor> weights;

  private Gpt2Small() {}

  private static synchronized Map<String, Tensor> weights() {
    if (weights == null) {
      Draw draw = new Draw(124);
      Map<String, Tensor> made = new LinkedHashMap<>();
      CONFIG
          .weightShapes()
          .forEach(
              (name, shape) ->
                  made.put(
                      name,
                      shape.length == 2
                          ? draw.floats(0.02, shape)
                          : Draw.all(name.endsWith(".weight") ? 1 : 0, shape)));
      weights = made;
    }
    return weights;
  }

  /** The model. */
  public static LanguageModel model() {
    return LanguageModel.of("gpt2-small, random", HEADS, weights());
  }

  /** The whole model at one size: {@code input_ids} to {@code logits}. */
  static Graph whole(Engine engine, LanguageModel model, int rows, int length) {
    return model
        .whole()
        .specialise(Map.of("input_ids", new long[] {rows, length}), engine.evaluator());
  }
}
