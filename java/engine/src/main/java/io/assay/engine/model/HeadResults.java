package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Splits the output projection of an attention by heads. */
final class HeadResults {
  /** Last part of the hook's name. */
  static final String HOOK = "hook_result";

  private HeadResults() {}

  /**
   * Replaces the product of all heads' rows with the projection by the sum over heads of the value
   * {@code result}.
   *
   * @param z the heads' rows [row, position, head, head width]
   */
  static Graph add(Graph graph, String z, String result) {
    Node product = product(graph, z);
    String weight = product.input(1);
    Tensor w = graph.constant(weight);
    boolean flat = product.op().equals("Gemm");
    Graph.Builder b = graph.edit();
    List<Node> nodes = new ArrayList<>(graph.nodes());
    nodes.remove(product);
    // [head, head width, width], the head width being the projection's rows over the heads.
    String heads = op(b, nodes, "Shape", Map.of("start", 2L, "end", 4L), z);
    String shape = op(b, nodes, "Concat", Map.of("axis", 0L), heads, longs(b, w.dim(1)));
    String byHead = op(b, nodes, "Reshape", Map.of(), weight, shape);
    String axis = longs(b, 3);
    String row = op(b, nodes, "Unsqueeze", Map.of(), z, axis);
    String each = op(b, nodes, "MatMul", Map.of(), row, byHead);
    nodes.add(new Node(result, "", "Squeeze", List.of(each, axis), List.of(result), Map.of()));
    String sum = op(b, nodes, "ReduceSum", Map.of("keepdims", 0L), result, longs(b, 2));
    String out = product.output(0);
    if (!flat) {
      nodes.add(node("Identity", out, sum));
    } else {
      String rows = op(b, nodes, "Reshape", Map.of(), sum, longs(b, -1, w.dim(1)));
      nodes.add(
          product.input(2).isEmpty()
              ? node("Identity", out, rows)
              : node("Add", out, rows, product.input(2)));
    }
    return b.nodes(nodes).build();
  }

  /** The product that reads the heads' rows side by side. */
  private static Node product(Graph graph, String z) {
    for (Node user : graph.users(z)) {
      if (user.op().equals("Reshape")) {
        return product(graph, user.output(0));
      }
      boolean plain =
          user.op().equals("MatMul")
              || (user.op().equals("Gemm")
                  && user.integer("transA", 0) == 0
                  && user.integer("transB", 0) == 0
                  && user.real("alpha", 1) == 1
                  && user.real("beta", 1) == 1);
      Tensor w = graph.constant(user.input(1));
      if (plain && w != null && w.rank() == 2) {
        return user;
      }
    }
    throw new InputException(
        "the graph "
            + graph.name()
            + " has no plain product of "
            + z
            + " with a weight, so that it"
            + " has no results by head");
  }

  private static String op(
      Graph.Builder b, List<Node> nodes, String op, Map<String, Object> attributes, String... in) {
    String out = b.fresh("by head");
    nodes.add(new Node(out, "", op, List.of(in), List.of(out), attributes));
    return out;
  }

  private static Node node(String op, String out, String... in) {
    return new Node(out, "", op, List.of(in), List.of(out), Map.of());
  }

  private static String longs(Graph.Builder b, long... values) {
    return b.constant(b.fresh("by head shape"), Tensor.ofLongs(values, values.length));
  }
}
