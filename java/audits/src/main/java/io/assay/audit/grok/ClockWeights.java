package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A network made by hand that adds by rotation, whose every measure is known (specs/grokking.md
 * 5.4): heads 0 and 1 copy a and b, quarter squares multiply their cosines and sines, and W_U reads
 * off a_k cos(w_k (a+b-c)).
 */
final class ClockWeights {
  static final int P = 113;
  static final List<Integer> KEYS = List.of(14, 35, 41, 42, 52);
  static final double[] AMPLITUDES = {6, 7, 8, 9, 10};

  private static final int WIDTH = 43;
  private static final int HEADS = 4;
  private static final int HEAD_WIDTH = 10;
  private static final int NEURONS = 512;
  private static final double SHARPNESS = 40;
  private static final int INPUT = 0;
  private static final int COPIES = 10;
  private static final int OUTPUT = 30;
  private static final int POSITION = 40;
  private static final int KNOTS = 6;
  private static final double STEP = 1.0 / 3;

  /** Signs of cos a, sin a, cos b, sin b in each form, and of its square in the sum. */
  private static final double[][] COSINE = {
    {1, 0, 1, 0, 1}, {1, 0, -1, 0, -1}, {0, 1, 0, 1, -1}, {0, 1, 0, -1, 1}
  };

  private static final double[][] SINE = {
    {0, 1, 1, 0, 1}, {0, 1, -1, 0, -1}, {1, 0, 0, 1, 1}, {1, 0, 0, -1, -1}
  };

  private final Map<String, double[]> values = new LinkedHashMap<>();
  private int next;

  private ClockWeights() {}

  static Network network() {
    return new ClockWeights().build();
  }

  private Network build() {
    int q = P + 1;
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put(GrokShape.EMBEDDING, new long[] {WIDTH, q});
    shapes.put(GrokShape.POSITIONS, new long[] {3, WIDTH});
    shapes.put(GrokShape.KEYS, new long[] {HEADS, HEAD_WIDTH, WIDTH});
    shapes.put(GrokShape.QUERIES, new long[] {HEADS, HEAD_WIDTH, WIDTH});
    shapes.put(GrokShape.VALUES, new long[] {HEADS, HEAD_WIDTH, WIDTH});
    shapes.put(GrokShape.ATTENTION_OUT, new long[] {WIDTH, HEADS * HEAD_WIDTH});
    shapes.put(GrokShape.NEURONS_IN, new long[] {NEURONS, WIDTH});
    shapes.put(GrokShape.NEURONS_BIAS, new long[] {NEURONS});
    shapes.put(GrokShape.NEURONS_OUT, new long[] {WIDTH, NEURONS});
    shapes.put(GrokShape.OUT_BIAS, new long[] {WIDTH});
    shapes.put(GrokShape.UNEMBEDDING, new long[] {WIDTH, q});
    shapes.forEach((name, shape) -> values.put(name, new double[(int) Tensor.elements(shape)]));
    embed(q);
    attend();
    for (int i = 0; i < KEYS.size(); i++) {
      multiply(i, COSINE, OUTPUT + 2 * i);
      multiply(i, SINE, OUTPUT + 2 * i + 1);
    }
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    shapes.forEach((name, shape) -> tensors.put(name, Tensor.ofDoubles(values.get(name), shape)));
    return Network.of(tensors);
  }

  private void embed(int q) {
    for (int i = 0; i < KEYS.size(); i++) {
      for (int t = 0; t < P; t++) {
        double angle = 2 * Math.PI * (KEYS.get(i) * t % P) / P;
        values.get(GrokShape.EMBEDDING)[(INPUT + 2 * i) * q + t] = Math.cos(angle);
        values.get(GrokShape.EMBEDDING)[(INPUT + 2 * i + 1) * q + t] = Math.sin(angle);
        values.get(GrokShape.UNEMBEDDING)[(OUTPUT + 2 * i) * q + t] =
            AMPLITUDES[i] * Math.cos(angle);
        values.get(GrokShape.UNEMBEDDING)[(OUTPUT + 2 * i + 1) * q + t] =
            AMPLITUDES[i] * Math.sin(angle);
      }
    }
    for (int j = 0; j < 3; j++) {
      values.get(GrokShape.POSITIONS)[j * WIDTH + POSITION + j] = 1;
    }
  }

  private void attend() {
    double weight = Math.sqrt(SHARPNESS * Math.sqrt(HEAD_WIDTH));
    for (int h = 0; h < 2; h++) {
      int first = h * HEAD_WIDTH * WIDTH;
      values.get(GrokShape.QUERIES)[first + POSITION + 2] = weight;
      values.get(GrokShape.KEYS)[first + POSITION + h] = weight;
      for (int j = 0; j < HEAD_WIDTH; j++) {
        values.get(GrokShape.VALUES)[first + j * WIDTH + INPUT + j] = 1;
        int to = COPIES + HEAD_WIDTH * h + j;
        values.get(GrokShape.ATTENTION_OUT)[to * HEADS * HEAD_WIDTH + h * HEAD_WIDTH + j] = 1;
      }
    }
  }

  /** Four squares of forms of frequency i, each by {@value #KNOTS} pairs of ReLUs. */
  private void multiply(int i, double[][] forms, int output) {
    for (double[] form : forms) {
      for (int knot = 0; knot < KNOTS; knot++) {
        for (int sign = 1; sign >= -1; sign -= 2) {
          int at = next * WIDTH + COPIES + 2 * i;
          double[] in = values.get(GrokShape.NEURONS_IN);
          in[at] = sign * form[0];
          in[at + 1] = sign * form[1];
          in[at + HEAD_WIDTH] = sign * form[2];
          in[at + HEAD_WIDTH + 1] = sign * form[3];
          values.get(GrokShape.NEURONS_BIAS)[next] = -knot * STEP;
          double slope = knot == 0 ? STEP : 2 * STEP;
          values.get(GrokShape.NEURONS_OUT)[output * NEURONS + next] = form[4] * slope / 4;
          next++;
        }
      }
    }
  }
}
