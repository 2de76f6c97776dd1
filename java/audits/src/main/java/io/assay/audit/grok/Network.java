package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The weights of a one-layer network that adds mod p, in float64 under the official names and
 * shapes (specs/grokking.md 2.1).
 *
 * @param p modulus
 * @param width D
 * @param heads H
 * @param headWidth d_h
 * @param neurons m
 * @param outputs p, or p + 1 with the "=" class
 * @param tensors by the names of {@link #NAMES}
 */
record Network(
    int p,
    int width,
    int heads,
    int headWidth,
    int neurons,
    int outputs,
    Map<String, Tensor> tensors) {
  static final String W_E = "embed.W_E";
  static final String W_POS = "pos_embed.W_pos";
  static final String W_K = "blocks.0.attn.W_K";
  static final String W_Q = "blocks.0.attn.W_Q";
  static final String W_V = "blocks.0.attn.W_V";
  static final String W_O = "blocks.0.attn.W_O";
  static final String W_IN = "blocks.0.mlp.W_in";
  static final String B_IN = "blocks.0.mlp.b_in";
  static final String W_OUT = "blocks.0.mlp.W_out";
  static final String B_OUT = "blocks.0.mlp.b_out";
  static final String W_U = "unembed.W_U";
  static final List<String> NAMES =
      List.of(W_E, W_POS, W_K, W_Q, W_V, W_O, W_IN, B_IN, W_OUT, B_OUT, W_U);

  /**
   * Of tensors in any float type, others left aside. Biases that are missing are zero. Names and
   * shapes may be those of TransformerLens, which has its matrices the other way round and W_O by
   * head.
   *
   * @throws InputException if a tensor is missing, has a wrong shape, or holds what is not finite
   */
  static Network of(Map<String, Tensor> given) {
    Map<String, Tensor> t = official(given);
    int width = Math.toIntExact(t.get(W_POS).dim(1));
    int p = Math.toIntExact(t.get(W_E).dim(1)) - 1;
    int heads = Math.toIntExact(t.get(W_K).dim(0));
    int headWidth = Math.toIntExact(t.get(W_K).dim(1));
    int neurons = Math.toIntExact(t.get(W_IN).dim(0));
    int outputs = Math.toIntExact(t.get(W_U).dim(1));
    if (outputs != p && outputs != p + 1) {
      throw new InputException(
          "%s has %d classes; modulus %d (%s has a column more) needs %d or %d"
              .formatted(W_U, outputs, p, W_E, p, p + 1));
    }
    t.putIfAbsent(B_IN, Tensor.ofDoubles(new double[neurons], neurons));
    t.putIfAbsent(B_OUT, Tensor.ofDoubles(new double[width], width));
    require(t, W_E, width, p + 1);
    require(t, W_POS, 3, width);
    for (String name : List.of(W_K, W_Q, W_V)) {
      require(t, name, heads, headWidth, width);
    }
    require(t, W_O, width, (long) heads * headWidth);
    require(t, W_IN, neurons, width);
    require(t, B_IN, neurons);
    require(t, W_OUT, width, neurons);
    require(t, B_OUT, width);
    require(t, W_U, width, outputs);
    return new Network(p, width, heads, headWidth, neurons, outputs, t);
  }

  /** The tensors in float64, in the official orientation. */
  private static Map<String, Tensor> official(Map<String, Tensor> given) {
    Map<String, Tensor> t = new LinkedHashMap<>();
    for (String name : NAMES) {
      if (given.containsKey(name)) {
        t.put(name, widened(name, given.get(name)));
      } else if (!name.equals(B_IN) && !name.equals(B_OUT)) {
        throw new InputException("the weights lack the tensor " + name);
      }
    }
    boolean transposed = t.get(W_O).rank() == 3;
    for (String name : NAMES) {
      int rank = name.equals(B_IN) || name.equals(B_OUT) ? 1 : 2;
      rank = List.of(W_K, W_Q, W_V).contains(name) || transposed && name.equals(W_O) ? 3 : rank;
      if (t.containsKey(name) && t.get(name).rank() != rank) {
        throw new InputException(
            name + " is " + t.get(name) + "; " + rank + " dimensions are needed");
      }
    }
    if (transposed) {
      for (String name : List.of(W_E, W_K, W_Q, W_V, W_IN, W_OUT)) {
        t.put(name, transposed(t.get(name)));
      }
      Tensor byHead = t.get(W_O);
      t.put(W_O, transposed(byHead.reshape(byHead.dim(0) * byHead.dim(1), byHead.dim(2))));
    }
    return t;
  }

  private static Tensor widened(String name, Tensor given) {
    double[] values = given.toDoubles();
    for (int i = 0; i < values.length; i++) {
      if (!Double.isFinite(values[i])) {
        throw new InputException(
            name + " has " + values[i] + " at element " + i + "; weights must be finite");
      }
    }
    return Tensor.ofDoubles(values, given.shape());
  }

  /** The last two dimensions exchanged. */
  private static Tensor transposed(Tensor t) {
    long[] shape = t.shape();
    int last = shape.length - 1;
    long rows = shape[last - 1];
    long columns = shape[last];
    shape[last - 1] = columns;
    shape[last] = rows;
    Tensor out = Tensor.allocate(Arena.ofAuto(), DType.F64, shape);
    for (long i = 0; i < t.elements(); i++) {
      long matrix = i / (rows * columns);
      long at = i % (rows * columns);
      out.set(matrix * rows * columns + at % columns * rows + at / columns, t.get(i));
    }
    return out;
  }

  private static void require(Map<String, Tensor> t, String name, long... shape) {
    if (!Arrays.equals(t.get(name).shape(), shape)) {
      throw new InputException(
          name
              + " is "
              + t.get(name)
              + "; "
              + Arrays.toString(shape)
              + " is needed beside the other tensors");
    }
  }

  /** A matrix by rows. */
  double[][] matrix(String name) {
    Tensor t = tensors.get(name);
    int columns = Math.toIntExact(t.dim(1));
    double[] values = t.toDoubles();
    double[][] rows = new double[Math.toIntExact(t.dim(0))][];
    for (int r = 0; r < rows.length; r++) {
      rows[r] = Arrays.copyOfRange(values, r * columns, (r + 1) * columns);
    }
    return rows;
  }

  /** W_L [p,m] = W_U^T W_out, the neuron-logit map, without the "=" class. */
  double[][] neuronLogits() {
    double[][] unembed = matrix(W_U);
    double[][] out = matrix(W_OUT);
    double[][] map = new double[p][neurons];
    for (int d = 0; d < width; d++) {
      for (int c = 0; c < p; c++) {
        for (int j = 0; j < neurons; j++) {
          map[c][j] += unembed[d][c] * out[d][j];
        }
      }
    }
    return map;
  }

  /** Sum of squares of each tensor, by name. */
  Map<String, Double> sumOfSquares() {
    Map<String, Double> sums = new LinkedHashMap<>();
    for (String name : NAMES) {
      double sum = 0;
      for (double x : tensors.get(name).toDoubles()) {
        sum += x * x;
      }
      sums.put(name, sum);
    }
    return sums;
  }
}
