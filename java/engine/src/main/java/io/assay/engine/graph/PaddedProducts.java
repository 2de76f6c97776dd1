package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Widens the inner dimension of products with constant matrices by a few zeros where the rows of
 * the left matrix are whole pages of memory long, such as 1024 or 3072 floats. The runtime reads a
 * dozen rows at once, which then fall on the same lines of the first-level cache and drive each
 * other out: on an AVX-512 machine with 32 KiB of it (Zen 4) products of 3072 columns ran at 135
 * GFLOP/s and those of 3088 at 203. Sums have the same bits, since the zeros are added last.
 */
public final class PaddedProducts {
  /** Floats of a page of memory. */
  private static final long PAGE = 1024;

  /** Columns that are added: a line of the cache. */
  private static final long MORE = 16;

  private final Graph g;
  private final Arena arena;
  private final Graph.Builder b;
  private final List<Node> nodes = new ArrayList<>();
  private final Map<String, String> padded = new HashMap<>();

  private PaddedProducts(Graph g, Arena arena) {
    this.g = g;
    this.arena = arena;
    this.b = g.edit();
  }

  /** Columns of the left matrix, with those that are added if there are any. */
  private static long columns(long inner) {
    return inner % PAGE == 0 ? inner + MORE : inner;
  }

  /**
   * The same computation; the graph itself where there is no such product.
   *
   * @param arena holds copies of the constant matrices that are multiplied so
   */
  public static Graph pad(Graph g, Arena arena) {
    PaddedProducts p = new PaddedProducts(g, arena);
    for (Node node : g.nodes()) {
      p.nodes.add(p.product(node));
    }
    return p.padded.isEmpty() ? g : p.b.nodes(p.nodes).build().slice(g.inputs(), g.outputs());
  }

  private Node product(Node node) {
    boolean gemm = node.qualifiedOp().equals("Gemm");
    if (!gemm && !node.qualifiedOp().equals("MatMul") || node.integer("transA", 0) != 0) {
      return node;
    }
    TensorType left = g.type(node.input(0));
    Tensor right = g.constant(node.input(1));
    boolean across = node.integer("transB", 0) != 0;
    if (right == null
        || right.dtype() != DType.F32
        || right.rank() != 2
        || columns(right.dim(across ? 1 : 0)) == right.dim(across ? 1 : 0)
        || left == null
        || left.dims() == null
        || left.dims().size() < 2) {
      return node;
    }
    List<String> inputs = new ArrayList<>(node.inputs());
    inputs.set(0, padded.computeIfAbsent(node.input(0), x -> wider(x, left.dims().size())));
    String key = node.input(1) + (across ? " across" : " down");
    inputs.set(1, padded.computeIfAbsent(key, _ -> b.constant(b.fresh(key), wider(right, across))));
    return new Node(
        node.name(), node.domain(), node.op(), inputs, node.outputs(), node.attributes());
  }

  /** Pads the last axis of a value. */
  private String wider(String x, int rank) {
    long[] pads = new long[2 * rank];
    pads[2 * rank - 1] = MORE;
    String sizes = b.constant(b.fresh("pads"), Tensor.ofLongs(pads, pads.length));
    String out = b.fresh(x + " padded");
    nodes.add(new Node(out, "", "Pad", List.of(x, sizes), List.of(out), Map.of()));
    return out;
  }

  /** A matrix with further columns of zeros, or further rows. */
  private Tensor wider(Tensor t, boolean columns) {
    long rows = columns ? t.dim(0) : columns(t.dim(0));
    long width = columns ? columns(t.dim(1)) : t.dim(1);
    Tensor out = Tensor.allocate(arena, t.dtype(), rows, width);
    long bytes = t.dim(1) * t.dtype().bytes();
    for (long row = 0; row < t.dim(0); row++) {
      MemorySegment.copy(t.data(), row * bytes, out.data(), row * width * t.dtype().bytes(), bytes);
    }
    return out;
  }
}
