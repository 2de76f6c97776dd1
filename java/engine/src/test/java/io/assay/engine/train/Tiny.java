package io.assay.engine.train;

import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Model;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** A GPT-2 of two blocks that trains in moments, and sequences to train it on. */
final class Tiny {
  static final int ROWS = 4;
  static final int LENGTH = 7;
  static final Gpt2Config CONFIG =
      new Gpt2Config(2, 2, 16, 32, 9, 23, 1e-5, "gelu_new", true, false, true);

  /** Random sequences; the tokens up to and with position 2 are a prompt, which is not learned. */
  static final Data DATA =
      Data.of(
          (batch, tokens, weights) -> {
            Random random = new Random(batch);
            for (int r = 0; r < tokens.length; r++) {
              for (int t = 0; t < tokens[r].length; t++) {
                tokens[r][t] = random.nextInt(CONFIG.vocabulary());
                weights[r][t] = t < 3 ? 0 : 1;
              }
            }
          });

  private Tiny() {}

  static Model model(DType dtype, long seed) {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    InitialWeights.gpt2(CONFIG, seed)
        .forEach(
            (name, t) -> {
              Tensor to = Tensor.allocate(Arena.ofAuto(), dtype, t.shape());
              for (long i = 0; i < t.elements(); i++) {
                to.set(i, t.get(i));
              }
              weights.put(name, to);
            });
    return LanguageModel.of("tiny", CONFIG.heads(), weights).model();
  }
}
