package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.kernel.HeadRows;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The head at some rows, without logits: log-probability of a target with log-sum-exp, arg max and
 * margin, or the gradient of the log-probability. The other way is a graph that writes logits.
 */
public final class HeadQuestion implements Question {
  private static final int VOCABULARY = 50257;
  private static final int WIDTH = 768;
  private static final double SPREAD = 0.05;

  private final Kernels kernels;
  private final int rows;
  private final boolean backward;
  private final Tensor table;
  private final Tensor hidden;
  private final int[] targets;
  private final HeadRows args;
  private final Tensor logProb;
  private final Tensor lse;
  private final Tensor margin;
  private final Tensor argMax;
  private final Tensor weight;
  private final Tensor gradient;
  private final Tensor result;
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   * @param backward the gradient instead of the rows' values
   */
  public HeadQuestion(Engine engine, Kernels kernels, int rows, boolean backward) {
    this.kernels = kernels;
    this.rows = Draw.size("rows", rows);
    this.backward = backward;
    Draw draw = new Draw(1706);
    table = draw.floats(SPREAD, VOCABULARY, WIDTH);
    hidden = draw.floats(1, rows, WIDTH);
    targets = draw.ids(rows, VOCABULARY);
    args = new HeadRows(Matrix.of(hidden), Matrix.of(table), null, Draw.segment(targets));
    logProb = Draw.all(0, rows);
    lse = Draw.all(0, rows);
    margin = Draw.all(0, rows);
    argMax = Draw.all(0, rows);
    weight = Draw.all(0.5, rows);
    gradient = Draw.all(0, rows, WIDTH);
    runRows();
    Graph.Builder b = Graph.builder("head").opset("", 17).input("x", Draw.f32(rows, WIDTH));
    b.constant("w", Draw.transposed(table));
    long[] wide = new long[rows];
    for (int r = 0; r < rows; r++) {
      wide[r] = targets[r];
    }
    b.constant("targets", Tensor.ofLongs(wide, rows, 1));
    b.op("logits", "MatMul", Map.of(), "x", "w");
    if (backward) {
      b.constant("table", table);
      b.constant("lse", lse.reshape(rows, 1));
      b.constant("weight", weight.reshape(rows, 1));
      b.constant("flat", Tensor.ofLongs(wide, rows));
      b.op("shifted", "Sub", Map.of(), "logits", "lse");
      b.op("p", "Exp", Map.of(), "shifted");
      b.op("mean", "MatMul", Map.of(), "p", "table");
      b.op("wanted", "Gather", Map.of("axis", 0L), "table", "flat");
      b.op("difference", "Sub", Map.of(), "wanted", "mean");
      b.op("result", "Mul", Map.of(), "difference", "weight");
      result = Draw.all(0, rows, WIDTH);
    } else {
      b.constant("two", Tensor.ofLongs(new long[] {2}, 1));
      b.op("normaliser", "ReduceLogSumExp", Map.of("axes", List.of(1L)), "logits");
      b.op("wanted", "GatherElements", Map.of("axis", 1L), "logits", "targets");
      b.op("result", "Sub", Map.of(), "wanted", "normaliser");
      b.node(
          new Node("two best", "", "TopK", List.of("logits", "two"), List.of("t", "i"), Map.of()));
      b.output("t").output("i");
      result = Draw.all(0, rows, 1);
    }
    session = engine.compile(b.output("result").build(), true);
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    outputs.put("result", result);
    if (!backward) {
      outputs.put("t", Draw.all(0, rows, 2));
      outputs.put("i", Tensor.ofLongs(new long[2 * rows], rows, 2));
    }
    binding = session.bind(Map.of("x", hidden), outputs);
  }

  @Override
  public String name() {
    return backward ? "head_backward" : "head_rows";
  }

  @Override
  public String shape() {
    return "R=%d V=%d d=%d %s".formatted(rows, VOCABULARY, WIDTH, kernels.tier());
  }

  @Override
  public String baseline() {
    return backward
        ? "ONNX Runtime, MatMul+Exp+MatMul"
        : "ONNX Runtime, MatMul+ReduceLogSumExp+TopK";
  }

  @Override
  public Cost cost() {
    double products = backward ? 2 : 1;
    return new Cost(2.0 * products * rows * VOCABULARY * WIDTH, 4.0 * VOCABULARY * WIDTH);
  }

  private void runRows() {
    kernels.headRows(args, logProb.data(), lse.data(), argMax.data(), margin.data());
  }

  @Override
  public void ours() {
    if (backward) {
      kernels.headBackward(args, lse.data(), weight.data(), Matrix.of(gradient));
    } else {
      runRows();
    }
  }

  @Override
  public void other() {
    binding.run();
  }

  /** All logits of every row, then what is asked of them: what the first implementations did. */
  public double[][] naive() {
    double[][] answers = new double[rows][];
    for (int r = 0; r < rows; r++) {
      answers[r] = answer(r);
    }
    return answers;
  }

  /** The log-probability of a row's target, or half its gradient, in float64. */
  private double[] answer(int row) {
    double[] logits = new double[VOCABULARY];
    double max = Double.NEGATIVE_INFINITY;
    for (int v = 0; v < VOCABULARY; v++) {
      for (int c = 0; c < WIDTH; c++) {
        logits[v] += (double) at(table, v, c) * at(hidden, row, c);
      }
      max = Math.max(max, logits[v]);
    }
    double sum = 0;
    for (double logit : logits) {
      sum += Math.exp(logit - max);
    }
    double normaliser = max + Math.log(sum);
    if (!backward) {
      return new double[] {logits[targets[row]] - normaliser};
    }
    double[] gradient = new double[WIDTH];
    for (int v = 0; v < VOCABULARY; v++) {
      double p = Math.exp(logits[v] - normaliser) - (v == targets[row] ? 1 : 0);
      for (int c = 0; c < WIDTH; c++) {
        gradient[c] -= 0.5 * p * at(table, v, c);
      }
    }
    return gradient;
  }

  private static float at(Tensor matrix, long row, long column) {
    return matrix.data().get(Tensor.FLOAT, 4 * (row * WIDTH + column));
  }

  @Override
  public void check() {
    ours();
    other();
    Tensor found = backward ? gradient : logProb;
    String what = backward ? "gradient" : "log-probability";
    double allowed = backward ? 1e-6 : 1e-4;
    for (int r = 0; r < rows; r += Math.max(1, rows / 4)) {
      double[] wanted = answer(r);
      for (int i = 0; i < wanted.length; i++) {
        long at = (long) r * wanted.length + i;
        require(r, what, wanted[i], found.get(at), allowed);
        require(r, "graph's", wanted[i], result.get(at), allowed);
      }
    }
  }

  private void require(int row, String what, double wanted, double got, double allowed) {
    if (!(Math.abs(wanted - got) <= allowed)) {
      throw new IllegalStateException(
          "%s %s: the %s of row %d is %.9g, not %.9g"
              .formatted(name(), shape(), what, row, got, wanted));
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
