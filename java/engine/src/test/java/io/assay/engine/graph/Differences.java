package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * Gradients in float32 against differences of the original graph: the slope of {@code sum(y *
 * seed)} along random directions of each input, by four points, so that the error of the step is of
 * its fourth power.
 */
final class Differences {
  private static final int DIRECTIONS = 3;
  private static final double STEP = 0.02;

  /** Of the gradient's length: rounding of the values, 1e-6, over the step, and what is left. */
  private static final double TOLERANCE = 1e-3;

  private final Evaluator runtime;
  private final Random random;
  private final Map<String, Tensor> inputs = new LinkedHashMap<>();

  Differences(Evaluator runtime, long seed) {
    this.runtime = runtime;
    this.random = new Random(seed);
  }

  /** Adds an input with drawn values from 0.5 to 1.5, so that no kink is near a pick of 0. */
  void draw(Graph.Builder b, String name, long... shape) {
    b.input(name, TensorType.of(DType.F32, shape));
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, 0.5 + random.nextDouble());
    }
    inputs.put(name, t);
  }

  /** Differentiates all outputs by all inputs drawn, and compares. */
  void check(Graph original) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    inputs.forEach((name, t) -> shapes.put(name, t.shape()));
    Graph g = original.specialise(shapes, runtime);
    Map<String, Tensor> seeded = new LinkedHashMap<>();
    Map<String, String> seeds = new LinkedHashMap<>();
    runtime
        .evaluate(original, inputs)
        .forEach(
            (output, y) -> {
              assertArrayEquals(y.shape(), g.type(output).shape(), output);
              seeds.put(output, "seed." + output);
              seeded.put(output, gaussian(y.shape()));
            });
    Gradient d = g.differentiate(seeds, inputs.keySet());
    Graph used = d.graph().slice(java.util.List.of(), d.gradients().values());
    Map<String, Tensor> fed = new LinkedHashMap<>(inputs);
    seeded.forEach((output, seed) -> fed.put("seed." + output, seed));
    fed.keySet().retainAll(used.inputs());
    Map<String, Tensor> gradients = runtime.evaluate(used, fed);
    for (String x : inputs.keySet()) {
      Tensor gradient = gradients.get(d.gradients().get(x));
      assertArrayEquals(inputs.get(x).shape(), gradient.shape());
      for (int i = 0; i < DIRECTIONS; i++) {
        Tensor direction = gaussian(gradient.shape());
        double slope =
            (8
                        * (along(original, x, direction, STEP, seeded)
                            - along(original, x, direction, -STEP, seeded))
                    - along(original, x, direction, 2 * STEP, seeded)
                    + along(original, x, direction, -2 * STEP, seeded))
                / (12 * STEP);
        double length = Math.sqrt(dot(gradient, gradient));
        assertEquals(
            slope, dot(gradient, direction), TOLERANCE * Math.max(1, length), original + " " + x);
      }
    }
  }

  private Tensor gaussian(long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, random.nextGaussian());
    }
    return t;
  }

  private double along(
      Graph g, String x, Tensor direction, double step, Map<String, Tensor> seeded) {
    Tensor at = inputs.get(x);
    Tensor moved = Tensor.allocate(Arena.ofAuto(), DType.F32, at.shape());
    double length = Math.sqrt(dot(direction, direction));
    for (long i = 0; i < at.elements(); i++) {
      moved.set(i, at.get(i) + step / length * direction.get(i));
    }
    Map<String, Tensor> there = new LinkedHashMap<>(inputs);
    there.put(x, moved);
    Map<String, Tensor> out = runtime.evaluate(g, there);
    double sum = 0;
    for (Map.Entry<String, Tensor> e : seeded.entrySet()) {
      sum += dot(out.get(e.getKey()), e.getValue());
    }
    return sum * length;
  }

  private static double dot(Tensor a, Tensor b) {
    double sum = 0;
    for (long i = 0; i < a.elements(); i++) {
      sum += a.get(i) * b.get(i);
    }
    return sum;
  }
}
