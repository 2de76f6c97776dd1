package io.assay.engine.train;

import io.assay.engine.model.Gpt2Config;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.ToDoubleFunction;

/**
 * The weights that training starts from.
 *
 * <p>Those of GPT-2 (Radford et al. 2019, section 2.3, as the transformers library reads it):
 * matrices and embeddings are normal with mean 0 and deviation 0.02, those that write to the
 * residual stream ({@code c_proj}) with 0.02 / sqrt(2 * layers); biases are 0, layer norms 1.
 *
 * <p>Normal numbers are made from {@link SplittableRandom}'s uniform ones by Box and Muller's
 * method, with {@link StrictMath}: every machine draws the same bits.
 */
public final class InitialWeights {
  private static final double DEVIATION = 0.02;

  private final SplittableRandom random;
  private double spare = Double.NaN;

  private InitialWeights(long seed) {
    this.random = new SplittableRandom(seed);
  }

  /**
   * The weights of a GPT-2 by name, as {@code LanguageModel.of} takes them, in float32.
   *
   * @param seed of the one stream that all weights are drawn from, in the order of the names
   */
  public static Map<String, Tensor> gpt2(Gpt2Config config, long seed) {
    InitialWeights draw = new InitialWeights(seed);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    config
        .weightShapes()
        .forEach(
            (name, shape) -> {
              Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
              if (shape.length == 2) {
                boolean residual = name.endsWith("c_proj.weight");
                draw.normal(t, residual ? DEVIATION / Math.sqrt(2.0 * config.layers()) : DEVIATION);
              } else if (name.endsWith(".weight")) {
                fill(t, 1);
              }
              weights.put(name, t);
            });
    return weights;
  }

  /**
   * Independent normal numbers with mean 0, in float32.
   *
   * @param shapes of the weights by name
   * @param deviation of a weight by name; one of deviation 0 is 0, and draws nothing
   * @param seed of the one stream that all weights are drawn from, in the order of the names
   */
  public static Map<String, Tensor> normal(
      Map<String, long[]> shapes, ToDoubleFunction<String> deviation, long seed) {
    InitialWeights draw = new InitialWeights(seed);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    shapes.forEach(
        (name, shape) -> {
          Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
          if (deviation.applyAsDouble(name) != 0) {
            draw.normal(t, deviation.applyAsDouble(name));
          }
          weights.put(name, t);
        });
    return weights;
  }

  private static void fill(Tensor t, double value) {
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, value);
    }
  }

  private void normal(Tensor t, double deviation) {
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, deviation * normal());
    }
  }

  /** {@code sqrt(-2 log u) cos(2 pi w)}, then the same with the sine; u in (0, 1], w in [0, 1). */
  private double normal() {
    if (!Double.isNaN(spare)) {
      double value = spare;
      spare = Double.NaN;
      return value;
    }
    double radius = StrictMath.sqrt(-2 * StrictMath.log(1 - random.nextDouble()));
    double angle = 2 * Math.PI * random.nextDouble();
    spare = radius * StrictMath.sin(angle);
    return radius * StrictMath.cos(angle);
  }
}
