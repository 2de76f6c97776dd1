package io.assay.app;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** A GPT-2 of normally distributed weights, written as a Hugging Face folder. */
final class RandomModel {
  private static final int LAYERS = 2;
  private static final int HEADS = 4;
  private static final int WIDTH = 32;
  private static final int CONTEXT = 32;
  private static final int VOCABULARY = 512;

  /** Large enough that the model says different things after different prompts. */
  private static final double SPREAD = 0.3;

  private final Random random;
  private final Map<String, Tensor> weights = new LinkedHashMap<>();

  private RandomModel(long seed) {
    this.random = new Random(seed);
  }

  /**
   * Writes the model of {@code seed} into {@code folder}, over what is there, and returns it.
   *
   * @throws InputException if the folder cannot be written
   */
  static Path write(Path folder, long seed) {
    RandomModel model = new RandomModel(seed);
    model.draw();
    Safetensors.write(folder.resolve("model.safetensors"), model.weights, Map.of("format", "pt"));
    String config =
        """
        {
          "model_type": "gpt2",
          "n_layer": %d,
          "n_head": %d,
          "n_embd": %d,
          "n_positions": %d,
          "vocab_size": %d,
          "activation_function": "gelu_new",
          "layer_norm_epsilon": 1e-05
        }
        """
            .formatted(LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY);
    try {
      Files.writeString(folder.resolve("config.json"), config);
    } catch (IOException e) {
      throw new InputException(
          "the model cannot be written to " + folder + "; choose another --out", e);
    }
    return folder;
  }

  private void draw() {
    normal("wte.weight", VOCABULARY, WIDTH);
    normal("wpe.weight", CONTEXT, WIDTH);
    for (int layer = 0; layer < LAYERS; layer++) {
      String block = "h." + layer + ".";
      norm(block + "ln_1");
      linear(block + "attn.c_attn", WIDTH, 3 * WIDTH);
      linear(block + "attn.c_proj", WIDTH, WIDTH);
      norm(block + "ln_2");
      linear(block + "mlp.c_fc", WIDTH, 4 * WIDTH);
      linear(block + "mlp.c_proj", 4 * WIDTH, WIDTH);
    }
    norm("ln_f");
  }

  private void linear(String name, int in, int out) {
    normal(name + ".weight", in, out);
    constant(name + ".bias", out, 0);
  }

  private void norm(String name) {
    constant(name + ".weight", WIDTH, 1);
    constant(name + ".bias", WIDTH, 0);
  }

  private void normal(String name, int rows, int columns) {
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (SPREAD * random.nextGaussian());
    }
    weights.put(name, Tensor.ofFloats(values, rows, columns));
  }

  private void constant(String name, int size, float value) {
    float[] values = new float[size];
    Arrays.fill(values, value);
    weights.put(name, Tensor.ofFloats(values, size));
  }
}
