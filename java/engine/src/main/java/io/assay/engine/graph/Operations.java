package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.HashMap;
import java.util.Map;

/** Counts the floating point operations of products. */
final class Operations {
  private Operations() {}

  static long count(Graph g) {
    long total = 0;
    for (Node node : g.nodes()) {
      total = Math.addExact(total, Math.multiplyExact(2L, multiplications(g, node)));
    }
    return total;
  }

  private static long multiplications(Graph g, Node node) {
    switch (node.op()) {
      case "MatMul", "FusedMatMul" -> {
        long[] a = shape(g, node, node.input(0));
        boolean transposed = a.length > 1 && node.integer("transA", 0) != 0;
        return Math.multiplyExact(
            elements(g, node, node.output(0)), a[a.length - (transposed ? 2 : 1)]);
      }
      case "Gemm", OwnProducts.OP -> {
        long[] a = shape(g, node, node.input(0));
        return Math.multiplyExact(
            elements(g, node, node.output(0)),
            a[node.integer("transA", 0) != 0 ? 0 : a.length - 1]);
      }
      case OwnSmallProducts.OP -> {
        long[] a = shape(g, node, node.input(0));
        int terms = (int) node.integers("a")[OwnSmallProducts.LAST];
        return Math.multiplyExact(elements(g, node, node.output(0)), a[terms]);
      }
      case "Conv" -> {
        long[] w = shape(g, node, node.input(1));
        return Math.multiplyExact(elements(g, node, node.output(0)), Tensor.elements(w) / w[0]);
      }
      case "ConvTranspose" -> {
        long[] w = shape(g, node, node.input(1));
        return Math.multiplyExact(elements(g, node, node.input(0)), Tensor.elements(w) / w[0]);
      }
      case "Einsum" -> {
        return einsum(g, node);
      }
      default -> {
        return 0;
      }
    }
  }

  /** One multiplication for each combination of all indices. */
  private static long einsum(Graph g, Node node) {
    String[] terms = node.text("equation", "").replace(" ", "").split("->")[0].split(",");
    Map<Character, Long> sizes = new HashMap<>();
    long batch = 1;
    for (int i = 0; i < terms.length; i++) {
      long[] shape = shape(g, node, node.input(i));
      String term = terms[i];
      int dots = term.indexOf("...");
      int hidden = dots < 0 ? 0 : shape.length - (term.length() - 3);
      long here = 1;
      for (int axis = 0, at = 0; axis < shape.length; axis++) {
        if (at == dots && axis < dots + hidden) {
          here *= shape[axis];
          continue;
        }
        at = at == dots ? dots + 3 : at;
        sizes.merge(term.charAt(at++), shape[axis], Math::max);
      }
      batch = Math.max(batch, here);
    }
    return sizes.values().stream().reduce(batch, Math::multiplyExact);
  }

  private static long elements(Graph g, Node node, String value) {
    return Tensor.elements(shape(g, node, value));
  }

  private static long[] shape(Graph g, Node node, String value) {
    TensorType type = g.type(value);
    if (type == null || !type.isStatic()) {
      throw new InputException(
          "operations are counted in specialised graphs only; the shape of "
              + value
              + " at node "
              + Graph.label(node)
              + " is not fixed");
    }
    return type.shape();
  }
}
