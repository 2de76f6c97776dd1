package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/** Operators that look along axes: reductions, running sums, softmax, the largest elements. */
final class ReferenceReductions {
  private ReferenceReductions() {}

  static void register(Map<String, Reference.Operator> table) {
    reduce(table, "ReduceSum", ReferenceReductions::sum);
    reduce(table, "ReduceMean", row -> sum(row) / row.length);
    reduce(table, "ReduceSumSquare", row -> sum(row, x -> x * x));
    reduce(table, "ReduceL1", row -> sum(row, Math::abs));
    reduce(table, "ReduceL2", row -> Math.sqrt(sum(row, x -> x * x)));
    reduce(table, "ReduceLogSum", row -> Math.log(sum(row)));
    reduce(table, "ReduceLogSumExp", ReferenceReductions::logSumExp);
    reduce(table, "ReduceMax", row -> Arrays.stream(row).max().orElseThrow());
    reduce(table, "ReduceMin", row -> Arrays.stream(row).min().orElseThrow());
    reduce(table, "ReduceProd", row -> Arrays.stream(row).reduce(1, (x, y) -> x * y));
    table.put("ArgMax", c -> argument(c, 1));
    table.put("ArgMin", c -> argument(c, -1));
    table.put("CumSum", ReferenceReductions::cumSum);
    table.put("TopK", ReferenceReductions::topK);
    table.put("Softmax", c -> rows(c, "axis", -1, ReferenceReductions::softmax));
    table.put("LogSoftmax", c -> rows(c, "axis", -1, ReferenceReductions::logSoftmax));
    table.put("LpNormalization", c -> rows(c, "axis", -1, row -> lpNormal(c.node(), row)));
    table.put("NegativeLogLikelihoodLoss", c -> loss(c, c.in(0)));
    table.put(
        "SoftmaxCrossEntropyLoss",
        c -> {
          Array64 logs = along(c.in(0), 1, ReferenceReductions::logSoftmax);
          return List.of(loss(c, logs).getFirst(), logs);
        });
  }

  static double sum(double[] row) {
    return Arrays.stream(row).sum();
  }

  private static double sum(double[] row, DoubleUnaryOperator f) {
    return Arrays.stream(row).map(f).sum();
  }

  private static double logSumExp(double[] row) {
    double largest = Arrays.stream(row).max().orElseThrow();
    return largest + Math.log(sum(row, x -> Math.exp(x - largest)));
  }

  private static double[] logSoftmax(double[] row) {
    double largest = Arrays.stream(row).max().orElseThrow();
    double log = Math.log(sum(row, x -> Math.exp(x - largest)));
    return Arrays.stream(row).map(x -> x - largest - log).toArray();
  }

  static double[] softmax(double[] row) {
    return Arrays.stream(logSoftmax(row)).map(Math::exp).toArray();
  }

  private static double[] lpNormal(Node node, double[] row) {
    double norm = node.integer("p", 2) == 1 ? sum(row, Math::abs) : Math.sqrt(sum(row, x -> x * x));
    return Arrays.stream(row).map(x -> x / norm).toArray();
  }

  private static void reduce(
      Map<String, Reference.Operator> table, String op, ToDoubleFunction<double[]> f) {
    table.put(op, c -> reduce(c, f));
  }

  private static List<Array64> reduce(Reference.Call c, ToDoubleFunction<double[]> f) {
    Array64 x = c.in(0);
    long[] axes = c.longs("axes", 1);
    boolean none = axes == null || axes.length == 0;
    if (none && c.node().integer("noop_with_empty_axes", 0) != 0) {
      // The definition: each element is reduced by itself.
      return ReferenceElementwise.one(c, v -> f.applyAsDouble(new double[] {v}));
    }
    boolean[] gone = new boolean[x.rank()];
    if (none) {
      Arrays.fill(gone, true);
    } else {
      Arrays.stream(axes).forEach(axis -> gone[x.axis(axis)] = true);
    }
    return List.of(reduce(x, gone, c.node().integer("keepdims", 1) != 0, f));
  }

  private static Array64 reduce(
      Array64 x, boolean[] gone, boolean keep, ToDoubleFunction<double[]> f) {
    int[] kept = x.shape().clone();
    int size = 1;
    for (int i = 0; i < gone.length; i++) {
      if (gone[i]) {
        size *= kept[i];
        kept[i] = 1;
      }
    }
    double[][] rows = new double[Array64.size(kept)][size];
    int[] filled = new int[rows.length];
    Array64 places = Array64.zeros(x.dtype(), kept);
    int[] at = new int[x.rank()];
    for (double v : x.data()) {
      int row = places.offset(at);
      rows[row][filled[row]++] = v;
      Array64.next(at, x.shape());
    }
    double[] out = Arrays.stream(rows).mapToDouble(f).toArray();
    int[] shape =
        IntStream.range(0, gone.length).filter(i -> keep || !gone[i]).map(i -> kept[i]).toArray();
    return new Array64(x.dtype(), shape, out);
  }

  /** What maps a row to one of equal length, along an axis. */
  interface Row {
    double[] apply(double[] row);
  }

  private static List<Array64> rows(Reference.Call c, String attribute, long otherwise, Row f) {
    return List.of(along(c.in(0), c.axis(attribute, otherwise), f));
  }

  /** Maps each row along {@code axis} to another, which may have another length. */
  static Array64 along(Array64 x, int axis, Row f) {
    int n = x.shape()[axis];
    int inner = Array64.size(Arrays.copyOfRange(x.shape(), axis + 1, x.rank()));
    int outer = Array64.size(Arrays.copyOf(x.shape(), axis));
    List<double[]> rows = new ArrayList<>();
    for (int row = 0; row < outer * inner; row++) {
      double[] values = new double[n];
      for (int i = 0; i < n; i++) {
        values[i] = x.data()[(row / inner * n + i) * inner + row % inner];
      }
      rows.add(f.apply(values));
    }
    int m = rows.isEmpty() ? n : rows.getFirst().length;
    double[] out = new double[outer * inner * m];
    for (int row = 0; row < rows.size(); row++) {
      for (int i = 0; i < m; i++) {
        out[(row / inner * m + i) * inner + row % inner] = rows.get(row)[i];
      }
    }
    return new Array64(x.dtype(), Array64.with(x.shape(), axis, m), out);
  }

  private static List<Array64> argument(Reference.Call c, int sign) {
    int axis = c.axis("axis", 0);
    boolean last = c.node().integer("select_last_index", 0) != 0;
    Array64 places =
        along(
            c.in(0),
            axis,
            row -> {
              int best = 0;
              for (int i = 1; i < row.length; i++) {
                double better = sign * (row[i] - row[best]);
                best = better > 0 || last && better == 0 ? i : best;
              }
              return new double[] {best};
            });
    int[] shape = places.shape();
    if (c.node().integer("keepdims", 1) == 0) {
      shape =
          IntStream.range(0, shape.length)
              .filter(i -> i != axis)
              .map(i -> c.in(0).shape()[i])
              .toArray();
    }
    return List.of(new Array64(DType.I64, shape, places.data()));
  }

  private static List<Array64> cumSum(Reference.Call c) {
    boolean reverse = c.node().integer("reverse", 0) != 0;
    boolean exclusive = c.node().integer("exclusive", 0) != 0;
    return List.of(
        along(
            c.in(0),
            c.in(0).axis((long) c.in(1).data()[0]),
            row -> {
              double[] out = new double[row.length];
              for (int i = 0; i < row.length; i++) {
                for (int j = 0; j < row.length; j++) {
                  boolean before = reverse ? j > i : j < i;
                  out[i] += before || j == i && !exclusive ? row[j] : 0;
                }
              }
              return out;
            }));
  }

  private static List<Array64> topK(Reference.Call c) {
    int axis = c.axis("axis", -1);
    int k = (int) c.in(1).data()[0];
    int sign = c.node().integer("largest", 1) != 0 ? -1 : 1;
    Array64 places =
        along(
            c.in(0),
            axis,
            row ->
                IntStream.range(0, row.length)
                    .boxed()
                    .sorted(Comparator.comparingDouble(i -> sign * row[i]))
                    .limit(k)
                    .mapToDouble(i -> i)
                    .toArray());
    Array64 indices = new Array64(DType.I64, places.shape(), places.data());
    return List.of(ReferenceIndexing.pick(c.in(0), axis, indices), indices);
  }

  /** {@code -w x[label]}, summed and divided as the reduction says; logs [N, C, ...]. */
  private static List<Array64> loss(Reference.Call c, Array64 logs) {
    Array64 labels = c.in(1);
    boolean ignores = c.node().has("ignore_index");
    long ignored = c.node().integer("ignore_index", 0);
    double[] weights = new double[1];
    Array64 each =
        Array64.build(
            logs.dtype(),
            labels.shape(),
            at -> {
              int label = (int) labels.get(at);
              if (ignores && label == ignored) {
                return 0;
              }
              int[] place = new int[at.length + 1];
              place[0] = at[0];
              place[1] = label;
              System.arraycopy(at, 1, place, 2, at.length - 1);
              double weight = c.has(2) ? c.in(2).get(label) : 1;
              weights[0] += weight;
              return -weight * logs.get(place);
            });
    double sum = sum(each.data());
    return switch (c.node().text("reduction", "mean")) {
      case "none" -> List.of(each);
      case "sum" -> List.of(new Array64(logs.dtype(), new int[0], new double[] {sum}));
      default -> List.of(new Array64(logs.dtype(), new int[0], new double[] {sum / weights[0]}));
    };
  }
}
