package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.GrokGrid;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A network of the published grokking run on all pairs mod 113, from what its weights make of each
 * number, in float64; the other way is a graph that stores the neurons of all pairs.
 */
public final class GridQuestion implements Question {
  private static final int P = 113;
  private static final int HEADS = 4;
  private static final int NEURONS = 512;
  private static final int COLUMNS = NEURONS + P;
  private static final int PAIRS = P * P;

  /** The outputs, in the order of {@link GrokGrid}. */
  private static final List<String> OUTPUTS = List.of("logits", "sums", "squares");

  private final Kernels kernels;
  private final Arena arena = Arena.ofShared();
  private final Draw draw = new Draw(217);
  private final Tensor scores = doubles(1, HEADS, 2 * P + 1);
  private final Tensor tables = doubles(0.5, HEADS, 2 * P + 1, COLUMNS);
  private final Tensor constant = doubles(0.5, COLUMNS);
  private final Tensor map = doubles(0.1, P, NEURONS);
  private final Map<String, Tensor> inputs =
      Map.of("scores", scores, "tables", tables, "constant", constant, "map", map);
  private final GrokGrid args;
  private final Map<String, Tensor> theirs = new LinkedHashMap<>();
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   */
  public GridQuestion(Engine engine, Kernels kernels) {
    this.kernels = kernels;
    args =
        new GrokGrid(
            scores, tables, constant, map, zeros(PAIRS, P), zeros(4, P, NEURONS), zeros(NEURONS));
    theirs.put("logits", zeros(PAIRS, P));
    theirs.put("sums", zeros(4, P, NEURONS));
    theirs.put("squares", zeros(NEURONS));
    session = engine.compile(graph());
    binding = session.bind(inputs, theirs);
  }

  private Tensor zeros(long... shape) {
    return Tensor.allocate(arena, DType.F64, shape);
  }

  private Tensor doubles(double deviation, long... shape) {
    Tensor drawn = draw.floats(deviation, shape);
    Tensor wide = zeros(shape);
    for (long i = 0; i < wide.elements(); i++) {
      wide.set(i, drawn.get(i));
    }
    return wide;
  }

  /** Attention by two batches of products: over b for each a, and over a for each b. */
  private Graph graph() {
    Graph.Builder b = Graph.builder("grid").opset("", 17);
    for (String name : List.of("scores", "tables", "constant", "map")) {
      b.input(name, TensorType.of(DType.F64, inputs.get(name).shape()));
    }
    long[] read = new long[3 * PAIRS];
    long[] bySum = new long[PAIRS];
    long[] byDifference = new long[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
      int x = i / P;
      int y = i % P;
      read[3 * i] = x;
      read[3 * i + 1] = P + y;
      read[3 * i + 2] = 2 * P;
      bySum[i] = (long) y * P + Math.floorMod(x - y, P);
      byDifference[i] = (long) y * P + Math.floorMod(y - x, P);
    }
    b.constant("read", Tensor.ofLongs(read, P, P, 3));
    b.constant("by sum", Tensor.ofLongs(bySum, P, P));
    b.constant("by difference", Tensor.ofLongs(byDifference, P, P));
    b.op("seen", "Gather", Map.of("axis", 1L), "scores", "read");
    b.op("pattern", "Softmax", Map.of("axis", 3L), "seen");
    longs(b, "first and last", 0, 2);
    longs(b, "second", 1);
    part(b, "to a and =", "pattern", "first and last", 3, List.of(1L, 2L, 3L, 0L));
    reshape(b, "by a", "to a and =", P, P, 2 * HEADS);
    part(b, "to b", "pattern", "second", 3, List.of(2L, 1L, 0L, 3L));
    reshape(b, "by b", "to b", P, P, HEADS);
    table(b, "tables of a", 0, P);
    table(b, "tables of b", P, 2 * P);
    table(b, "table of =", 2 * P, 2 * P + 1);
    longs(b, "for each a", P, HEADS, COLUMNS);
    b.op("tables of =", "Expand", Map.of(), "table of =", "for each a");
    b.op("tables of a and =", "Concat", Map.of("axis", 1L), "tables of a", "tables of =");
    b.op("from a and =", "MatMul", Map.of(), "by a", "tables of a and =");
    b.op("by b first", "MatMul", Map.of(), "by b", "tables of b");
    b.op("from b", "Transpose", Map.of("perm", List.of(1L, 0L, 2L)), "by b first");
    b.op("both", "Add", Map.of(), "from a and =", "from b");
    b.op("z", "Add", Map.of(), "both", "constant");
    slice(b, "x", "z", 0, NEURONS, 2);
    slice(b, "skip", "z", NEURONS, COLUMNS, 2);
    b.op("n", "Relu", Map.of(), "x");
    b.op("across", "Transpose", Map.of("perm", List.of(1L, 0L)), "map");
    b.op("written", "MatMul", Map.of(), "n", "across");
    b.op("square", "Add", Map.of(), "skip", "written");
    reshape(b, "logits", "square", PAIRS, P);
    reshape(b, "rows", "n", PAIRS, NEURONS);
    b.op("n by sum", "Gather", Map.of("axis", 0L), "rows", "by sum");
    b.op("n by difference", "Gather", Map.of("axis", 0L), "rows", "by difference");
    total(b, "of a", "n", 1);
    total(b, "of b", "n", 0);
    total(b, "of a + b", "n by sum", 1);
    total(b, "of a - b", "n by difference", 1);
    b.op("flat", "Concat", Map.of("axis", 0L), "of a", "of b", "of a + b", "of a - b");
    reshape(b, "sums", "flat", 4, P, NEURONS);
    b.op("n n", "Mul", Map.of(), "n", "n");
    total(b, "squares", "n n", 0, 1);
    OUTPUTS.forEach(b::output);
    return b.build();
  }

  private static void longs(Graph.Builder b, String value, long... values) {
    b.constant(value, Tensor.ofLongs(values, values.length));
  }

  private static void part(
      Graph.Builder b, String value, String of, String which, long axis, List<Long> perm) {
    b.op(value + " as read", "Gather", Map.of("axis", axis), of, which);
    b.op(value, "Transpose", Map.of("perm", perm), value + " as read");
  }

  /** Rows of all heads' tables: [rows, H, columns]. */
  private static void table(Graph.Builder b, String value, long from, long to) {
    slice(b, value + " by head", "tables", from, to, 1);
    b.op(value, "Transpose", Map.of("perm", List.of(1L, 0L, 2L)), value + " by head");
  }

  private static void slice(
      Graph.Builder b, String value, String of, long from, long to, long axis) {
    longs(b, value + " from", from);
    longs(b, value + " to", to);
    longs(b, value + " axis", axis);
    b.op(value, "Slice", Map.of(), of, value + " from", value + " to", value + " axis");
  }

  private static void reshape(Graph.Builder b, String value, String of, long... shape) {
    longs(b, value + " shape", shape);
    b.op(value, "Reshape", Map.of(), of, value + " shape");
  }

  private static void total(Graph.Builder b, String value, String of, long... axes) {
    longs(b, value + " axes", axes);
    b.op(value, "ReduceSum", Map.of("keepdims", 0L), of, value + " axes");
  }

  @Override
  public String name() {
    return "grok_grid";
  }

  @Override
  public String shape() {
    return "p=%d H=%d m=%d fp64 %s".formatted(P, HEADS, NEURONS, kernels.tier());
  }

  @Override
  public String baseline() {
    return "ONNX Runtime, neurons of all pairs stored";
  }

  /** Products of the neurons with W_L, and of attention with what a pair's numbers read. */
  @Override
  public Cost cost() {
    return new Cost(2.0 * PAIRS * ((double) NEURONS * P + 2.0 * HEADS * COLUMNS), 8.0 * PAIRS * P);
  }

  @Override
  public void ours() {
    kernels.grokGrid(args);
  }

  @Override
  public void other() {
    binding.run();
  }

  /** Pair by pair in plain Java: logits, sums and squares, as the kernel's. */
  public double[][] naive() {
    double[] logits = new double[PAIRS * P];
    double[] sums = new double[4 * P * NEURONS];
    double[] squares = new double[NEURONS];
    double[] table = tables.toDoubles();
    double[] wide = constant.toDoubles();
    double[] weights = map.toDoubles();
    double[] z = new double[COLUMNS];
    for (int a = 0; a < P; a++) {
      for (int b = 0; b < P; b++) {
        System.arraycopy(wide, 0, z, 0, COLUMNS);
        for (int h = 0; h < HEADS; h++) {
          int[] rows = {h * (2 * P + 1) + a, h * (2 * P + 1) + P + b, h * (2 * P + 1) + 2 * P};
          double total = 0;
          for (int row : rows) {
            total += Math.exp(scores.get(row));
          }
          for (int row : rows) {
            double share = Math.exp(scores.get(row)) / total;
            for (int c = 0; c < COLUMNS; c++) {
              z[c] += share * table[row * COLUMNS + c];
            }
          }
        }
        int[] groups = {a, P + b, 2 * P + (a + b) % P, 3 * P + Math.floorMod(a - b, P)};
        for (int j = 0; j < NEURONS; j++) {
          z[j] = Math.max(0, z[j]);
          squares[j] += z[j] * z[j];
          for (int group : groups) {
            sums[group * NEURONS + j] += z[j];
          }
        }
        for (int c = 0; c < P; c++) {
          double logit = z[NEURONS + c];
          for (int j = 0; j < NEURONS; j++) {
            logit += weights[c * NEURONS + j] * z[j];
          }
          logits[(a * P + b) * P + c] = logit;
        }
      }
    }
    return new double[][] {logits, sums, squares};
  }

  @Override
  public void check() {
    ours();
    other();
    Tensor[] mine = {args.logits(), args.sums(), args.squares()};
    double[][] wanted = naive();
    for (int i = 0; i < mine.length; i++) {
      String what = OUTPUTS.get(i);
      require(what, wanted[i], mine[i]);
      require("graph's " + what, wanted[i], theirs.get(what));
    }
  }

  private void require(String what, double[] wanted, Tensor got) {
    for (int i = 0; i < wanted.length; i++) {
      if (!(Math.abs(wanted[i] - got.get(i)) <= 1e-12 * (1 + Math.abs(wanted[i])))) {
        throw new IllegalStateException(
            "%s %s: element %d of %s is %s, not %s"
                .formatted(name(), shape(), i, what, got.get(i), wanted[i]));
      }
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
    arena.close();
  }
}
