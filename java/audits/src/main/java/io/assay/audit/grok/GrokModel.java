package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.kernel.GrokWeights;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.InitialWeights;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The weights of the one-layer transformer, float32, by their official names in the order of {@link
 * GrokShape#weightShapes}.
 */
public record GrokModel(GrokShape shape, Map<String, Tensor> weights) {
  /**
   * @throws InputException if a weight is missing, superfluous, of another shape or type, or not
   *     finite
   */
  public GrokModel {
    Map<String, long[]> shapes = shape.weightShapes();
    for (String name : weights.keySet()) {
      if (!shapes.containsKey(name)) {
        throw new InputException(
            "the weights of the model hold " + name + ", which it does not have");
      }
    }
    Map<String, Tensor> ordered = new LinkedHashMap<>();
    for (Map.Entry<String, long[]> e : shapes.entrySet()) {
      requireWeight(e.getKey(), weights.get(e.getKey()), e.getValue());
      ordered.put(e.getKey(), weights.get(e.getKey()));
    }
    weights = Collections.unmodifiableMap(ordered);
  }

  private static void requireWeight(String name, Tensor t, long[] dims) {
    if (t == null || t.dtype() != DType.F32 || !Arrays.equals(t.shape(), dims)) {
      throw new InputException(
          "the weight " + name + " is " + t + "; it must be F32" + Arrays.toString(dims));
    }
    for (long i = 0; i < t.elements(); i++) {
      if (!Double.isFinite(t.get(i))) {
        throw new InputException(
            "the weight " + name + " holds " + t.get(i) + " at index " + i + "; give a finite one");
      }
    }
  }

  /**
   * Weights before training: independent normal numbers of deviation 1/sqrt(D), in the unembedding
   * 1/sqrt(outputs); biases are 0.
   */
  public static GrokModel initial(GrokShape shape, long seed) {
    double usual = 1 / Math.sqrt(shape.width());
    double unembedding = 1 / Math.sqrt(shape.outputClasses());
    return new GrokModel(
        shape,
        InitialWeights.normal(
            shape.weightShapes(),
            name ->
                switch (name) {
                  case GrokShape.NEURONS_BIAS, GrokShape.OUT_BIAS -> 0;
                  case GrokShape.UNEMBEDDING -> unembedding;
                  default -> usual;
                },
            seed));
  }

  /** The weight of that name. */
  public Tensor weight(String name) {
    return weights.get(name);
  }

  /** Sum of the squares of all weights, biases included. */
  public double sumOfSquares() {
    return weights.values().stream().mapToDouble(GrokModel::sumOfSquares).sum();
  }

  /** Sum of the squares of a tensor's elements. */
  static double sumOfSquares(Tensor t) {
    double sum = 0;
    for (long i = 0; i < t.elements(); i++) {
      sum += t.get(i) * t.get(i);
    }
    return sum;
  }

  /** Weights, or gradients, by official name as the kernel takes them. */
  public static GrokWeights forKernel(Map<String, Tensor> w) {
    return new GrokWeights(
        w.get(GrokShape.EMBEDDING),
        w.get(GrokShape.POSITIONS),
        w.get(GrokShape.KEYS),
        w.get(GrokShape.QUERIES),
        w.get(GrokShape.VALUES),
        w.get(GrokShape.ATTENTION_OUT),
        w.get(GrokShape.NEURONS_IN),
        w.get(GrokShape.NEURONS_BIAS),
        w.get(GrokShape.NEURONS_OUT),
        w.get(GrokShape.OUT_BIAS),
        w.get(GrokShape.UNEMBEDDING));
  }
}
