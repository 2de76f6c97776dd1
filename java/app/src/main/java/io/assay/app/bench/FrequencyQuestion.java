package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.FourierAblate;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;

/**
 * The loss of (a + b) mod 113 without each of its 56 frequencies, in float64; the other way is a
 * dense projection of the logits for each of them, and the loss of what is left.
 */
public final class FrequencyQuestion implements Question {
  private static final int P = 113;
  private static final int FREQUENCIES = (P - 1) / 2;

  /** Of the published split. */
  private static final int TRAINED = 3830;

  private final Kernels kernels;
  private final int rows;
  private final boolean twoThreads;
  private final Arena arena = Arena.ofShared();
  private final Tensor logits;
  private final FourierAblate args;
  private final Session session;
  private final Tensor[] directions = new Tensor[FREQUENCIES];
  private final Tensor labels;
  private final Tensor chosen;
  private final double[] theirs = new double[FREQUENCIES];

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   * @param all over all pairs, or over as many as the published run was trained on
   */
  public FrequencyQuestion(Engine engine, Kernels kernels, boolean all) {
    this.kernels = kernels;
    int pairs = P * P;
    rows = all ? pairs : TRAINED;
    twoThreads = engine.threads() == 2;
    Draw draw = new Draw(113);
    logits = Tensor.allocate(arena, DType.F64, pairs, P);
    Tensor noise = draw.floats(1, pairs, P);
    MemorySegment groups = arena.allocate(pairs);
    chosen = Tensor.allocate(arena, DType.I64, rows);
    labels = Tensor.allocate(arena, DType.I64, rows, 1);
    int next = 0;
    for (int i = 0; i < pairs; i++) {
      for (int c = 0; c < P; c++) {
        double wave = Math.cos(2 * Math.PI * 14 * (i / P + i % P - c) / P);
        logits.set((long) i * P + c, noise.get((long) i * P + c) + 8 * wave);
      }
      // Rows spread over all pairs.
      if ((long) i * rows / pairs == next && next < rows) {
        chosen.set(next, i);
        labels.set(next, (i / P + i % P) % P);
        groups.set(ValueLayout.JAVA_BYTE, i, (byte) 1);
        next++;
      }
    }
    MemorySegment families = arena.allocate((long) FREQUENCIES * FREQUENCIES);
    for (int k = 0; k < FREQUENCIES; k++) {
      families.set(ValueLayout.JAVA_BYTE, (long) k * FREQUENCIES + k, (byte) 1);
      directions[k] = Tensor.allocate(arena, DType.F64, pairs, 2);
      for (int i = 0; i < pairs; i++) {
        double angle = 2 * Math.PI * (k + 1) * ((i / P + i % P) % P) / P;
        directions[k].set(2L * i, Math.sqrt(2) / P * Math.cos(angle));
        directions[k].set(2L * i + 1, Math.sqrt(2) / P * Math.sin(angle));
      }
    }
    MemorySegment loss = arena.allocate((long) FREQUENCIES * Double.BYTES, Double.BYTES);
    args =
        new FourierAblate(
            Matrix.of(logits), P, families, FREQUENCIES, groups, 1, false, false, loss);
    session = engine.compile(graph());
  }

  /** Projection, difference, and the loss of the chosen rows. */
  private Graph graph() {
    Graph.Builder b = Graph.builder("frequency").opset("", 17);
    b.input("logits", TensorType.of(DType.F64, logits.shape()));
    b.input("directions", TensorType.of(DType.F64, directions[0].shape()));
    b.input("rows", TensorType.of(DType.I64, chosen.shape()));
    b.input("labels", TensorType.of(DType.I64, labels.shape()));
    b.op("across", "Transpose", Map.of("perm", List.of(1L, 0L)), "directions");
    b.op("coefficients", "MatMul", Map.of(), "across", "logits");
    b.op("projection", "MatMul", Map.of(), "directions", "coefficients");
    b.op("rest", "Sub", Map.of(), "logits", "projection");
    b.op("left", "Gather", Map.of("axis", 0L), "rest", "rows");
    Map<String, Object> last = Map.of("axes", List.of(1L), "keepdims", 1L);
    b.op("total", "ReduceLogSumExp", last, "left");
    b.op("right", "GatherElements", Map.of("axis", 1L), "left", "labels");
    b.op("losses", "Sub", Map.of(), "total", "right");
    b.op("loss", "ReduceMean", Map.of("axes", List.of(0L), "keepdims", 1L), "losses");
    return b.output("loss").build();
  }

  @Override
  public String name() {
    return "grok.frequencies";
  }

  @Override
  public String shape() {
    return "p=113, 56 frequencies, %d pairs, fp64, %s".formatted(rows, kernels.tier());
  }

  @Override
  public String baseline() {
    return "onnxruntime projection, difference, loss";
  }

  @Override
  public Cost cost() {
    return new Cost(2.0 * rows * P * FREQUENCIES, 8.0 * P * P * P);
  }

  @Override
  public Cost baselineCost() {
    return new Cost(8.0 * P * P * P * FREQUENCIES, 3 * 8.0 * P * P * P * FREQUENCIES);
  }

  /** Statement 11 of specs/grokking.md section 8, for the training set on two threads. */
  @Override
  public double bound(double otherSeconds) {
    return rows == TRAINED && twoThreads ? 5e-3 : otherSeconds / 30;
  }

  @Override
  public void check() {
    ours();
    other();
    double[] wanted = naive();
    for (int k = 0; k < FREQUENCIES; k++) {
      require(k, wanted[k], args.loss().get(Tensor.DOUBLE, (long) k * Double.BYTES), "loss");
      require(k, wanted[k], theirs[k], "graph's loss");
    }
  }

  private void require(int k, double wanted, double got, String what) {
    // Losses are differences of logarithms: about 1e-15 of the logits, some 10.
    if (!(Math.abs(wanted - got) <= 1e-8 * wanted + 1e-12)) {
      throw new IllegalStateException(
          "%s: %s without frequency %d is %s, not %s".formatted(name(), what, k + 1, got, wanted));
    }
  }

  @Override
  public void ours() {
    kernels.fourierAblate(args);
  }

  @Override
  public void other() {
    for (int k = 0; k < FREQUENCIES; k++) {
      theirs[k] =
          session
              .run(
                  Map.of(
                      "logits",
                      logits,
                      "directions",
                      directions[k],
                      "rows",
                      chosen,
                      "labels",
                      labels))
              .get("loss")
              .get(0);
    }
  }

  /** The loss without each frequency by its projection, in plain Java. */
  public double[] naive() {
    double[] values = logits.toDoubles();
    double[] losses = new double[FREQUENCIES];
    for (int k = 0; k < FREQUENCIES; k++) {
      double[] direction = directions[k].toDoubles();
      double[][] coefficients = new double[2][P];
      for (int i = 0; i < P * P; i++) {
        for (int c = 0; c < P; c++) {
          coefficients[0][c] += direction[2 * i] * values[i * P + c];
          coefficients[1][c] += direction[2 * i + 1] * values[i * P + c];
        }
      }
      for (int n = 0; n < rows; n++) {
        int i = (int) chosen.getLong(n);
        double total = 0;
        double right = 0;
        for (int c = 0; c < P; c++) {
          double left =
              values[i * P + c]
                  - direction[2 * i] * coefficients[0][c]
                  - direction[2 * i + 1] * coefficients[1][c];
          total += Math.exp(left);
          right = c == labels.getLong(n) ? left : right;
        }
        losses[k] += (Math.log(total) - right) / rows;
      }
    }
    return losses;
  }

  @Override
  public void close() {
    session.close();
    arena.close();
  }
}
