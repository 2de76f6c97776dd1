package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.kernel.SuffixAttention;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The attention of a block of GPT-2 small in a sweep over one prompt of 15 tokens: twelve patched
 * copies of every suffix, behind the keys and values of the prompt. The other way is a graph over
 * whole sequences, whose keys and values are gathered first.
 */
public final class AttentionQuestion implements Question {
  private static final int POSITIONS = 15;
  private static final int HEADS = 12;
  private static final int WIDTH = 768;
  private static final int HEAD_WIDTH = WIDTH / HEADS;
  private static final int SEQUENCES = HEADS * POSITIONS;
  private static final int ROWS = HEADS * POSITIONS * (POSITIONS + 1) / 2;
  private static final double SCALE = 1 / Math.sqrt(HEAD_WIDTH);

  private final Kernels kernels;
  private final int[] starts = new int[SEQUENCES];
  private final Tensor queries;
  private final Tensor keys;
  private final Tensor values;
  private final Tensor pastKeys;
  private final Tensor pastValues;
  private final SuffixAttention args;
  private final Tensor read = Draw.all(0, ROWS, WIDTH);
  private final Tensor theirs = Draw.all(0, ROWS, WIDTH);
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   */
  public AttentionQuestion(Engine engine, Kernels kernels) {
    this.kernels = kernels;
    Draw draw = new Draw(2211);
    queries = draw.floats(1, ROWS, WIDTH);
    keys = draw.floats(1, ROWS, WIDTH);
    values = draw.floats(1, ROWS, WIDTH);
    pastKeys = draw.floats(1, POSITIONS, WIDTH);
    pastValues = draw.floats(1, POSITIONS, WIDTH);
    Arrays.setAll(starts, s -> s / HEADS);
    args =
        new SuffixAttention(
            Matrix.of(queries),
            Matrix.of(keys),
            Matrix.of(values),
            Matrix.of(pastKeys),
            Matrix.of(pastValues),
            Draw.segment(new int[SEQUENCES]),
            Draw.segment(starts),
            SEQUENCES,
            POSITIONS,
            HEADS,
            SCALE);
    session = engine.compile(graph(), true);
    Map<String, Tensor> inputs =
        Map.of(
            "queries",
            queries,
            "keys",
            keys,
            "values",
            values,
            "past keys",
            pastKeys,
            "past values",
            pastValues);
    binding = session.bind(inputs, Map.of("read", theirs));
  }

  /** Whole sequences; the queries of positions that are not asked for are those of row 0. */
  private Graph graph() {
    long[] whole = new long[SEQUENCES * POSITIONS];
    long[] asking = new long[SEQUENCES * POSITIONS];
    long[] answered = new long[ROWS];
    int row = 0;
    for (int at = 0; at < whole.length; at++) {
      int position = at % POSITIONS;
      if (position < starts[at / POSITIONS]) {
        whole[at] = position;
      } else {
        whole[at] = POSITIONS + row;
        asking[at] = row;
        answered[row++] = at;
      }
    }
    float[] causal = new float[POSITIONS * POSITIONS];
    for (int i = 0; i < causal.length; i++) {
      causal[i] = i % POSITIONS > i / POSITIONS ? -1e10f : 0;
    }
    Graph.Builder b = Graph.builder("attention").opset("", 17);
    for (String own : List.of("queries", "keys", "values")) {
      b.input(own, Draw.f32(ROWS, WIDTH));
    }
    b.input("past keys", Draw.f32(POSITIONS, WIDTH));
    b.input("past values", Draw.f32(POSITIONS, WIDTH));
    b.constant("whole", Tensor.ofLongs(whole, whole.length));
    b.constant("asking", Tensor.ofLongs(asking, asking.length));
    b.constant("answered", Tensor.ofLongs(answered, ROWS));
    b.constant("scale", Draw.all(SCALE, 1));
    b.constant("causal", Tensor.ofFloats(causal, POSITIONS, POSITIONS));
    b.constant("split", Tensor.ofLongs(new long[] {SEQUENCES, POSITIONS, HEADS, HEAD_WIDTH}, 4));
    b.constant("joined", Tensor.ofLongs(new long[] {(long) SEQUENCES * POSITIONS, WIDTH}, 2));
    b.op("all keys", "Concat", Map.of("axis", 0L), "past keys", "keys");
    b.op("all values", "Concat", Map.of("axis", 0L), "past values", "values");
    List<Long> byHead = List.of(0L, 2L, 1L, 3L);
    heads(b, "q", "queries", "asking", byHead);
    heads(b, "k", "all keys", "whole", List.of(0L, 2L, 3L, 1L));
    heads(b, "v", "all values", "whole", byHead);
    b.op("products", "MatMul", Map.of(), "q", "k");
    b.op("scaled", "Mul", Map.of(), "products", "scale");
    b.op("scores", "Add", Map.of(), "scaled", "causal");
    b.op("pattern", "Softmax", Map.of("axis", 3L), "scores");
    b.op("mixed", "MatMul", Map.of(), "pattern", "v");
    b.op("side by side", "Transpose", Map.of("perm", byHead), "mixed");
    b.op("every row", "Reshape", Map.of(), "side by side", "joined");
    b.op("read", "Gather", Map.of("axis", 0L), "every row", "answered");
    return b.output("read").build();
  }

  private static void heads(
      Graph.Builder b, String value, String of, String rows, List<Long> perm) {
    b.op(value + " rows", "Gather", Map.of("axis", 0L), of, rows);
    b.op(value + " split", "Reshape", Map.of(), value + " rows", "split");
    b.op(value, "Transpose", Map.of("perm", perm), value + " split");
  }

  @Override
  public String name() {
    return "suffix_attention";
  }

  @Override
  public String shape() {
    return "S=%d R=%d T=%d H=%d d=%d %s"
        .formatted(SEQUENCES, ROWS, POSITIONS, HEADS, WIDTH, kernels.tier());
  }

  @Override
  public String baseline() {
    return "ONNX Runtime, whole sequences: Gather, MatMul, Softmax, MatMul";
  }

  /** Products with keys and values that a row may see; queries, keys, values and what is read. */
  @Override
  public Cost cost() {
    double seen = 0;
    for (int start : starts) {
      for (int t = start; t < POSITIONS; t++) {
        seen += t + 1;
      }
    }
    return new Cost(4 * seen * WIDTH, 4.0 * WIDTH * (4 * ROWS + 2 * POSITIONS));
  }

  @Override
  public Cost baselineCost() {
    double pairs = (double) SEQUENCES * POSITIONS * POSITIONS;
    double copies = 3.0 * SEQUENCES * POSITIONS;
    return new Cost(4 * pairs * WIDTH, 4.0 * WIDTH * (4 * ROWS + 2 * copies));
  }

  @Override
  public void ours() {
    kernels.suffixAttention(args, Matrix.of(read));
  }

  @Override
  public void other() {
    binding.run();
  }

  /** One row and head after the other, in plain Java. */
  public double[][] naive() {
    double[][] rows = new double[ROWS][WIDTH];
    int first = 0;
    for (int start : starts) {
      for (int t = start; t < POSITIONS; t++) {
        for (int h = 0; h < HEADS; h++) {
          read(first, start, t, h * HEAD_WIDTH, rows[first + t - start]);
        }
      }
      first += POSITIONS - start;
    }
    return rows;
  }

  /** What a head reads at position t of the sequence whose rows begin at {@code first}. */
  private void read(int first, int start, int t, int column, double[] out) {
    double[] p = new double[t + 1];
    double total = 0;
    for (int u = 0; u <= t; u++) {
      double dot = 0;
      for (int c = column; c < column + HEAD_WIDTH; c++) {
        double key = u < start ? at(pastKeys, u, c) : at(keys, first + u - start, c);
        dot += at(queries, first + t - start, c) * key;
      }
      // Scores are about 1: no exponential overflows.
      p[u] = Math.exp(SCALE * dot);
      total += p[u];
    }
    for (int u = 0; u <= t; u++) {
      for (int c = column; c < column + HEAD_WIDTH; c++) {
        double value = u < start ? at(pastValues, u, c) : at(values, first + u - start, c);
        out[c] += p[u] / total * value;
      }
    }
  }

  private static double at(Tensor matrix, long row, long column) {
    return matrix.data().get(Tensor.FLOAT, 4 * (row * WIDTH + column));
  }

  @Override
  public void check() {
    ours();
    other();
    double[][] wanted = naive();
    for (int r = 0; r < ROWS; r++) {
      for (int c = 0; c < WIDTH; c++) {
        require("row %d, column %d".formatted(r, c), wanted[r][c], at(read, r, c));
        require("graph's row %d, column %d".formatted(r, c), wanted[r][c], at(theirs, r, c));
      }
    }
  }

  private void require(String what, double wanted, double got) {
    if (!(Math.abs(wanted - got) <= 1e-5)) {
      throw new IllegalStateException(
          "%s %s: %s is %.9g, not %.9g".formatted(name(), shape(), what, got, wanted));
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
