package io.assay.audit.ioi;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A decoder of attention heads alone, made by hand: no layer norm, no MLP, no bias, scores not
 * scaled, heads as wide as the residual stream. A head is {@code score_ij = x_i QK x_j}, a causal
 * softmax A, and {@code out_i = sum_j A_ij x_j OV} (specs/ioi.md 5.2).
 */
final class ToyDecoder {
  /** The two matrices of a head, [width, width]. */
  record Head(double[][] qk, double[][] ov) {
    /** A head that reads and writes nothing. */
    static Head none(int width) {
      return new Head(new double[width][width], new double[width][width]);
    }
  }

  private final DType dtype;
  private final Graph.Builder b;
  private final int width;

  private ToyDecoder(String name, DType dtype, int width) {
    this.dtype = dtype;
    this.width = width;
    this.b = Graph.builder(name).opset("", 17);
  }

  /**
   * Builds it.
   *
   * @param tokens embedding [vocabulary][width]
   * @param positions embedding [position][width]
   * @param layers heads of each layer, the same number in all
   * @param head [vocabulary][width]
   */
  static LanguageModel of(
      String name,
      DType dtype,
      double[][] tokens,
      double[][] positions,
      List<List<Head>> layers,
      double[][] head) {
    ToyDecoder toy = new ToyDecoder(name, dtype, tokens[0].length);
    return LanguageModel.of(toy.build(tokens, positions, layers, head));
  }

  private Graph build(
      double[][] tokens, double[][] positions, List<List<Head>> layers, double[][] head) {
    TensorType ids =
        new TensorType(DType.I64, List.of(Dim.symbol("batch"), Dim.symbol("sequence")));
    b.input("input_ids", ids);
    b.constant("zero", Tensor.ofLongs(new long[] {0}));
    b.constant("one", Tensor.ofLongs(new long[] {1}));
    String size = op("Shape", Map.of("start", 1L, "end", 2L), "input_ids");
    String range = op("Range", Map.of(), "zero", op("Squeeze", Map.of(), size), "one");
    String queries = op("Unsqueeze", Map.of(), range, longs(1));
    b.op("visible", "LessOrEqual", Map.of(), range, queries);
    b.constant("hidden score", Tensor.scalar(dtype, Double.NEGATIVE_INFINITY));
    b.op("hook_embed", "Gather", Map.of(), matrix("tokens", tokens), "input_ids");
    String places = op("Gather", Map.of(), matrix("positions", positions), range);
    String all = op("Shape", Map.of(), "hook_embed");
    b.op("hook_pos_embed", "Expand", Map.of(), places, all);
    String x = op("Add", Map.of(), "hook_embed", "hook_pos_embed");
    for (int layer = 0; layer < layers.size(); layer++) {
      x = block(layer, layers.get(layer), x);
    }
    b.op("unembed.hook_in", "Identity", Map.of(), x);
    String rows = op("Reshape", Map.of(), "unembed.hook_in", longs(-1, width));
    String flat = op("Gemm", Map.of("transB", 1L), rows, matrix("head", head));
    String shape =
        op("Concat", Map.of("axis", 0L), op("Shape", Map.of(), "input_ids"), longs(head.length));
    b.output(b.op("logits", "Reshape", Map.of(), flat, shape));
    return b.build();
  }

  private String block(int layer, List<Head> heads, String in) {
    String block = "blocks." + layer + ".";
    String at = block + "attn.";
    String x = b.op(block + "hook_resid_pre", "Identity", Map.of(), in);
    List<double[][]> identity = new ArrayList<>();
    heads.forEach(h -> identity.add(identity(width)));
    String q = project(at + "hook_q", x, heads.stream().map(Head::qk).toList());
    String k = project(at + "hook_k", x, identity);
    String v = project(at + "hook_v", x, heads.stream().map(Head::ov).toList());
    String scores = op("MatMul", Map.of(), turned(q, 0, 2, 1, 3), turned(k, 0, 2, 3, 1));
    b.op(at + "hook_attn_scores", "Where", Map.of(), "visible", scores, "hidden score");
    b.op(at + "hook_pattern", "Softmax", Map.of("axis", -1L), at + "hook_attn_scores");
    String mixed = op("MatMul", Map.of(), at + "hook_pattern", turned(v, 0, 2, 1, 3));
    b.op(at + "hook_z", "Transpose", Map.of("perm", List.of(0L, 2L, 1L, 3L)), mixed);
    String side = op("Reshape", Map.of(), at + "hook_z", longs(0, 0, (long) heads.size() * width));
    double[][] stacked = new double[heads.size() * width][width];
    for (int i = 0; i < stacked.length; i++) {
      stacked[i][i % width] = 1;
    }
    b.op(block + "hook_attn_out", "MatMul", Map.of(), side, matrix(at + "W_O", stacked));
    return b.op(block + "hook_resid_post", "Add", Map.of(), x, block + "hook_attn_out");
  }

  /** [row, position, width] times a matrix for each head: [row, position, head, width]. */
  private String project(String value, String x, List<double[][]> heads) {
    double[][] all = new double[width][heads.size() * width];
    for (int h = 0; h < heads.size(); h++) {
      for (int i = 0; i < width; i++) {
        System.arraycopy(heads.get(h)[i], 0, all[i], h * width, width);
      }
    }
    String product = op("MatMul", Map.of(), x, matrix(value + ".weight", all));
    return b.op(value, "Reshape", Map.of(), product, longs(0, 0, heads.size(), width));
  }

  static double[][] identity(int n) {
    double[][] m = new double[n][n];
    for (int i = 0; i < n; i++) {
      m[i][i] = 1;
    }
    return m;
  }

  private String matrix(String name, double[][] rows) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, rows.length, rows[0].length);
    for (int i = 0; i < rows.length; i++) {
      for (int j = 0; j < rows[i].length; j++) {
        t.set((long) i * rows[i].length + j, rows[i][j]);
      }
    }
    return b.constant(name, t);
  }

  private String turned(String x, long... axes) {
    List<Long> order = Arrays.stream(axes).boxed().toList();
    return op("Transpose", Map.of("perm", order), x);
  }

  private String longs(long... values) {
    return b.constant(b.fresh("shape"), Tensor.ofLongs(values, values.length));
  }

  private String op(String op, Map<String, Object> attributes, String... inputs) {
    return b.op(b.fresh(op.toLowerCase(Locale.ROOT)), op, attributes, inputs);
  }
}
