package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
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
  static final List<String> NAMES =
      List.of(
          GrokShape.EMBEDDING,
          GrokShape.POSITIONS,
          GrokShape.KEYS,
          GrokShape.QUERIES,
          GrokShape.VALUES,
          GrokShape.ATTENTION_OUT,
          GrokShape.NEURONS_IN,
          GrokShape.NEURONS_BIAS,
          GrokShape.NEURONS_OUT,
          GrokShape.OUT_BIAS,
          GrokShape.UNEMBEDDING);

  /**
   * Of tensors in any float type, others left aside. Biases that are missing are zero. Names and
   * shapes may be those of TransformerLens, which has its matrices the other way round and W_O by
   * head.
   *
   * @throws InputException if a tensor is missing, has a wrong shape, or holds what is not finite
   */
  static Network of(Map<String, Tensor> given) {
    Map<String, Tensor> t = official(given);
    int width = Math.toIntExact(t.get(GrokShape.POSITIONS).dim(1));
    int p = Math.toIntExact(t.get(GrokShape.EMBEDDING).dim(1)) - 1;
    int heads = Math.toIntExact(t.get(GrokShape.KEYS).dim(0));
    int headWidth = Math.toIntExact(t.get(GrokShape.KEYS).dim(1));
    int neurons = Math.toIntExact(t.get(GrokShape.NEURONS_IN).dim(0));
    int outputs = Math.toIntExact(t.get(GrokShape.UNEMBEDDING).dim(1));
    if (outputs != p && outputs != p + 1) {
      throw new InputException(
          "%s has %d classes; modulus %d (%s has a column more) needs %d or %d"
              .formatted(GrokShape.UNEMBEDDING, outputs, p, GrokShape.EMBEDDING, p, p + 1));
    }
    t.putIfAbsent(GrokShape.NEURONS_BIAS, Tensor.ofDoubles(new double[neurons], neurons));
    t.putIfAbsent(GrokShape.OUT_BIAS, Tensor.ofDoubles(new double[width], width));
    require(t, GrokShape.EMBEDDING, width, p + 1);
    require(t, GrokShape.POSITIONS, 3, width);
    for (String name : List.of(GrokShape.KEYS, GrokShape.QUERIES, GrokShape.VALUES)) {
      require(t, name, heads, headWidth, width);
    }
    require(t, GrokShape.ATTENTION_OUT, width, (long) heads * headWidth);
    require(t, GrokShape.NEURONS_IN, neurons, width);
    require(t, GrokShape.NEURONS_BIAS, neurons);
    require(t, GrokShape.NEURONS_OUT, width, neurons);
    require(t, GrokShape.OUT_BIAS, width);
    require(t, GrokShape.UNEMBEDDING, width, outputs);
    return new Network(p, width, heads, headWidth, neurons, outputs, t);
  }

  /** The tensors in float64, in the official orientation. */
  private static Map<String, Tensor> official(Map<String, Tensor> given) {
    Map<String, Tensor> t = new LinkedHashMap<>();
    for (String name : NAMES) {
      if (given.containsKey(name)) {
        t.put(name, widened(name, given.get(name)));
      } else if (!name.equals(GrokShape.NEURONS_BIAS) && !name.equals(GrokShape.OUT_BIAS)) {
        throw new InputException("the weights lack the tensor " + name);
      }
    }
    boolean transposed = t.get(GrokShape.ATTENTION_OUT).rank() == 3;
    for (String name : NAMES) {
      int rank = name.equals(GrokShape.NEURONS_BIAS) || name.equals(GrokShape.OUT_BIAS) ? 1 : 2;
      rank =
          List.of(GrokShape.KEYS, GrokShape.QUERIES, GrokShape.VALUES).contains(name)
                  || transposed && name.equals(GrokShape.ATTENTION_OUT)
              ? 3
              : rank;
      if (t.containsKey(name) && t.get(name).rank() != rank) {
        throw new InputException(
            name + " is " + t.get(name) + "; " + rank + " dimensions are needed");
      }
    }
    if (transposed) {
      for (String name :
          List.of(
              GrokShape.EMBEDDING,
              GrokShape.KEYS,
              GrokShape.QUERIES,
              GrokShape.VALUES,
              GrokShape.NEURONS_IN,
              GrokShape.NEURONS_OUT)) {
        t.put(name, transposed(t.get(name)));
      }
      Tensor byHead = t.get(GrokShape.ATTENTION_OUT);
      t.put(
          GrokShape.ATTENTION_OUT,
          transposed(byHead.reshape(byHead.dim(0) * byHead.dim(1), byHead.dim(2))));
    }
    return t;
  }

  private static Tensor widened(String name, Tensor given) {
    double[] values = new double[Math.toIntExact(given.elements())];
    for (int i = 0; i < values.length; i++) {
      values[i] = given.get(i);
      if (!Double.isFinite(values[i])) {
        throw new InputException(
            name + " has " + values[i] + " at element " + i + "; weights must be finite");
      }
    }
    return Tensor.of(DType.F64, MemorySegment.ofArray(values), given.shape());
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
    return rows(tensors.get(name));
  }

  /** The rows of a matrix. */
  static double[][] rows(Tensor t) {
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
    double[][] unembed = matrix(GrokShape.UNEMBEDDING);
    double[][] out = matrix(GrokShape.NEURONS_OUT);
    double[][] map = new double[p][neurons];
    for (int c = 0; c < p; c++) {
      for (int d = 0; d < width; d++) {
        add(unembed[d][c], out[d], map[c]);
      }
    }
    return map;
  }

  private static void add(double factor, double[] from, double[] to) {
    for (int j = 0; j < to.length; j++) {
      to[j] += factor * from[j];
    }
  }

  /** Sum of squares of each tensor, by name. */
  Map<String, Double> sumOfSquares() {
    Map<String, Double> sums = new LinkedHashMap<>();
    for (String name : NAMES) {
      double[] values = tensors.get(name).toDoubles();
      sums.put(name, Svd.dot(values, values));
    }
    return sums;
  }
}
