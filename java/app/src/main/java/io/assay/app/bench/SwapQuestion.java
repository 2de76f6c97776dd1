package io.assay.app.bench;

import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.kernel.CoarseTable;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.kernel.TokenSwap;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The best 32 of GPT-2's vocabulary by score, for several audits at once, perhaps with an 8-bit
 * table beside the float32 one; the other way is the same question as a float32 graph: MatMul, Add,
 * TopK.
 */
public final class SwapQuestion implements Question {
  private static final int VOCABULARY = 50257;
  private static final int WIDTH = 768;
  private static final int KEPT = 32;

  private final Kernels kernels;
  private final int audits;
  private final Tensor table;
  private final Tensor x;
  private final Tensor unigram;
  private final MemorySegment ids;
  private final Tensor scores;
  private final TokenSwap args;
  private final CoarseTable coarse;
  private final Session session;
  private final Binding binding;

  /**
   * Sets the question up.
   *
   * @param kernels asked; they stay the caller's
   * @param audits how many at once
   * @param beside whether the kernel is given an 8-bit table too
   */
  public SwapQuestion(Engine engine, Kernels kernels, int audits, boolean beside) {
    this.kernels = kernels;
    this.audits = Draw.size("audits", audits);
    Draw draw = new Draw(20230308);
    table = draw.floats(0.14, VOCABULARY, WIDTH);
    x = draw.floats(1, audits, WIDTH);
    unigram = draw.floats(1, VOCABULARY);
    ids = Draw.segment(new int[audits * KEPT]);
    scores = Draw.all(0, audits, KEPT);
    args =
        new TokenSwap(
            Matrix.of(table),
            null,
            Matrix.of(x),
            null,
            null,
            null,
            unigram.data(),
            null,
            null,
            null,
            KEPT,
            ids,
            scores.data(),
            Draw.segment(new int[audits]),
            Arena.ofAuto().allocate(8L * audits, 8),
            null);
    coarse = beside ? CoarseTable.of(Arena.ofAuto(), args.embedding()) : null;
    Graph.Builder b = Graph.builder("swap").opset("", 17).input("x", Draw.f32(audits, WIDTH));
    b.constant("w", Draw.transposed(table));
    b.constant("u", unigram);
    b.constant("k", Tensor.ofLongs(new long[] {KEPT}, 1));
    b.op("products", "MatMul", Map.of(), "x", "w");
    b.op("all", "Add", Map.of(), "products", "u");
    b.node(new Node("best", "", "TopK", List.of("all", "k"), List.of("best", "ids"), Map.of()));
    session = engine.compile(b.output("best").output("ids").build(), true);
    binding =
        session.bind(
            Map.of("x", x),
            Map.of(
                "best",
                Draw.all(0, audits, KEPT),
                "ids",
                Tensor.allocate(Arena.ofAuto(), DType.I64, audits, KEPT)));
  }

  @Override
  public String name() {
    return "token_swap_topk";
  }

  @Override
  public String shape() {
    return "A=%d V=%d d=%d k=%d%s %s"
        .formatted(audits, VOCABULARY, WIDTH, KEPT, coarse == null ? "" : " 8-bit", kernels.tier());
  }

  @Override
  public String baseline() {
    return "ONNX Runtime, MatMul+Add+TopK";
  }

  @Override
  public Cost cost() {
    return cost(coarse == null ? Float.BYTES : Byte.BYTES);
  }

  @Override
  public Cost baselineCost() {
    return cost(Float.BYTES);
  }

  private Cost cost(int bytesOfWeight) {
    return new Cost(2.0 * audits * VOCABULARY * WIDTH, (double) bytesOfWeight * VOCABULARY * WIDTH);
  }

  /** Milliseconds each: enough of them that a moment in which the machine is slow counts little. */
  @Override
  public int runs() {
    return 101;
  }

  @Override
  public void ours() {
    if (coarse == null) {
      kernels.tokenSwapTopk(args);
    } else {
      kernels.tokenSwapTopk(args, coarse);
    }
  }

  @Override
  public void other() {
    binding.run();
  }

  /** All products, all scores, all sorted: what the first implementations did. */
  public int[][] naive() {
    int[][] best = new int[audits][];
    for (int a = 0; a < audits; a++) {
      double[] all = scores(a);
      best[a] = Arrays.stream(sorted(all)).limit(KEPT).mapToInt(Integer::intValue).toArray();
    }
    return best;
  }

  private static Integer[] sorted(double[] scores) {
    Integer[] order = new Integer[scores.length];
    Arrays.setAll(order, i -> i);
    Arrays.sort(order, (i, j) -> Double.compare(scores[j], scores[i]));
    return order;
  }

  private double[] scores(int audit) {
    double[] all = new double[VOCABULARY];
    for (int v = 0; v < VOCABULARY; v++) {
      double sum = unigram.get(v);
      for (int c = 0; c < WIDTH; c++) {
        sum += (double) at(table, (long) v * WIDTH + c) * at(x, (long) audit * WIDTH + c);
      }
      all[v] = sum;
    }
    return all;
  }

  private static float at(Tensor t, long i) {
    return t.data().get(Tensor.FLOAT, 4 * i);
  }

  @Override
  public void check() {
    kernels.tokenSwapTopk(args);
    MemorySegment idsAlone = copy(ids);
    MemorySegment scoresAlone = copy(scores.data());
    ours();
    if (idsAlone.mismatch(ids) >= 0 || scoresAlone.mismatch(scores.data()) >= 0) {
      throw new IllegalStateException(
          name() + " " + shape() + ": ids or scores differ from those of the float32 table alone");
    }
    other();
    Tensor theirs = binding.tensor("ids");
    for (int a = 0; a < audits; a++) {
      double[] all = scores(a);
      double last = all[sorted(all)[KEPT - 1]];
      for (int i = 0; i < KEPT; i++) {
        long at = (long) a * KEPT + i;
        require(a, all, last, ids.get(Tensor.INT, 4 * at), scores.get(at));
        require(a, all, last, (int) theirs.getLong(at), binding.tensor("best").get(at));
      }
    }
  }

  private static MemorySegment copy(MemorySegment data) {
    return MemorySegment.ofArray(data.toArray(ValueLayout.JAVA_BYTE));
  }

  /** A product of 768 float32 terms of this size is right to 2e-4 whatever the order of its sum. */
  private void require(int audit, double[] all, double last, int id, double score) {
    double allowed = 2e-4;
    if (!(Math.abs(all[id] - score) <= allowed) || all[id] < last - allowed) {
      throw new IllegalStateException(
          name()
              + " "
              + shape()
              + ": audit "
              + audit
              + " keeps token "
              + id
              + " with score "
              + score
              + ", which is "
              + all[id]
              + "; the last to keep has "
              + last);
    }
  }

  @Override
  public void close() {
    binding.close();
    session.close();
  }
}
