package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Puts the operators of {@code native/src/runtime_operators.cpp} in place of the standard operators
 * that do the same where the runtime is slow. Graphs hold standard operators only; this is done
 * when one is compiled.
 */
final class OwnOperators {
  static final String DOMAIN = "io.assay";

  /** Of a value that they read or write. */
  static final int MOST_AXES = 8;

  private static final int LEAST_ROWS = 256;

  private final Graph g;

  /** Of what own operators give; the runtime knows no rule for them. */
  private final Map<String, TensorType> types = new HashMap<>();

  private OwnOperators(Graph g) {
    this.g = g;
  }

  /** The same computation; the graph itself where nothing is replaced. */
  static Graph replace(Graph g) {
    OwnOperators own = new OwnOperators(g);
    List<Node> nodes = new ArrayList<>();
    boolean any = false;
    for (Node node : OwnProducts.replace(g, OwnSmallProducts.replace(g, own.types), own.types)) {
      Node other =
          switch (node.qualifiedOp()) {
            case "Reshape" -> own.maxPool(node);
            case "Where" -> own.masked(node);
            case "LayerNormalization" -> own.layerNorm(node);
            case "ReduceSum" -> own.rowSums(node);
            default -> null;
          };
      any |= other != null;
      nodes.add(other == null ? node : other);
    }
    List<Node> chained = OwnChains.replace(g, nodes, own.types);
    if (!any && own.types.isEmpty()) {
      return g;
    }
    Graph.Builder b = g.edit().nodes(chained).opset(DOMAIN, 1);
    own.types.forEach(b::type);
    return b.build().slice(g.inputs(), g.outputs());
  }

  /**
   * The gradient of a MaxPool over two axes: what its places get added, in row order, as {@link
   * PoolingRules} writes it.
   */
  private Node maxPool(Node node) {
    Node scatter = producer(node.input(0), "ScatterElements");
    if (scatter == null
        || scatter.integer("axis", 0) != 0
        || !scatter.text("reduction", "none").equals("add")) {
      return null;
    }
    Node zeros = producer(scatter.input(0), "Expand");
    Node indices = producer(scatter.input(1), "Reshape");
    Node updates = producer(scatter.input(2), "Reshape");
    Node pool = indices == null ? null : producer(indices.input(0), "MaxPool");
    if (zeros == null
        || !isZero(zeros.input(0))
        || updates == null
        || pool == null
        || !indices.input(0).equals(pool.output(1))
        || pool.integer("storage_order", 0) != 0) {
      return null;
    }
    TensorType x = g.type(pool.input(0));
    TensorType gradient = g.type(updates.input(0));
    TensorType places = g.type(pool.output(1));
    if (!isFloat(x)
        || x.dims().size() != 4
        || !x.equals(g.type(node.output(0)))
        || !isFloat(gradient)
        || places == null
        || !gradient.dims().equals(places.dims())) {
      return null;
    }
    Window w = Window.sliding(pool, x.shape(), pool.integers("kernel_shape"));
    Map<String, Object> attributes = new HashMap<>();
    attributes.put("kernel_shape", Window.list(w.kernel()));
    attributes.put("strides", Window.list(w.strides()));
    attributes.put("dilations", Window.list(w.dilations()));
    long[] pads = {w.before()[0], w.before()[1], w.after()[0], w.after()[1]};
    attributes.put("pads", Window.list(pads));
    return own(node, "MaxPoolGradient", attributes, pool.input(0), updates.input(0));
  }

  private Node masked(Node node) {
    String by = gate(g, node);
    return by != null && g.type(by).dims().size() <= MOST_AXES
        ? own(node, "MaskedGradient", Map.of(), node.input(1), by)
        : null;
  }

  /**
   * What decides at a Where that is the gradient of Relu, its input 1 where that value is above 0
   * and 0 elsewhere; null for any other.
   */
  static String gate(Graph g, Node where) {
    Node greater = producer(g, where.input(0), "Greater");
    TensorType gradient = g.type(where.input(1));
    return greater != null
            && isZero(g, where.input(2))
            && isZero(g, greater.input(1))
            && isFloat(gradient)
            && gradient.equals(g.type(greater.input(0)))
        ? greater.input(0)
        : null;
  }

  /**
   * A norm over the last axis: the runtime's follows mean and variance from one element to the
   * next, by a division each.
   */
  private Node layerNorm(Node node) {
    TensorType x = g.type(node.input(0));
    TensorType scale = g.type(node.input(1));
    if (x == null
        || x.dtype() != DType.F32
        || x.dims().size() > MOST_AXES
        || node.outputs().stream().filter(v -> !v.isEmpty()).count() != 1
        || node.outputs().getFirst().isEmpty()) {
      return null;
    }
    long axis = node.integer("axis", -1);
    Dim last = x.dims().isEmpty() ? null : x.dims().getLast();
    List<String> inputs = node.inputs().stream().filter(v -> !v.isEmpty()).toList();
    boolean fits =
        last != null
            && last.isKnown()
            && (axis == -1 || axis == x.dims().size() - 1)
            && inputs.stream().skip(1).map(g::type).allMatch(t -> isRow(t, last.size()));
    if (!fits) {
      return null;
    }
    types.put(node.output(0), x);
    Map<String, Object> attributes = Map.of("epsilon", (float) node.real("epsilon", 1e-5));
    return own(node, "LayerNorm", attributes, inputs.toArray(String[]::new));
  }

  /** Sums over many rows, such as the gradient of a bias; the runtime's go by one thread. */
  private Node rowSums(Node node) {
    TensorType x = g.type(node.input(0));
    Tensor axes = node.inputs().size() < 2 ? null : g.constant(node.input(1));
    if (!isFloat(x)
        || x.dims().size() < 2
        || x.dims().size() > MOST_AXES
        || x.shape()[0] < LEAST_ROWS
        || axes == null
        || axes.elements() != 1
        || axes.get(0) != 0 && axes.get(0) != -x.dims().size()) {
      return null;
    }
    long[] rest = Arrays.copyOfRange(x.shape(), 1, x.shape().length);
    if (Tensor.elements(rest) == 0) {
      return null;
    }
    types.put(node.output(0), g.type(node.output(0)));
    Map<String, Object> attributes = Map.of("keep", node.integer("keepdims", 1));
    return own(node, "RowSums", attributes, node.input(0));
  }

  private static boolean isRow(TensorType type, long size) {
    return isFloat(type) && type.dims().size() == 1 && type.shape()[0] == size;
  }

  private static Node own(Node node, String op, Map<String, Object> attributes, String... inputs) {
    return new Node(node.name(), DOMAIN, op, List.of(inputs), node.outputs(), attributes);
  }

  private Node producer(String value, String op) {
    return producer(g, value, op);
  }

  /** The node that computes a value, if it is of that operator. */
  static Node producer(Graph g, String value, String op) {
    Node node = g.producer(value);
    return node != null && node.qualifiedOp().equals(op) ? node : null;
  }

  private boolean isZero(String value) {
    return isZero(g, value);
  }

  static boolean isZero(Graph g, String value) {
    Tensor t = g.constant(value);
    return t != null
        && t.dtype() == DType.F32
        && t.elements() == 1
        && t.rank() == 0
        && t.get(0) == 0;
  }

  static boolean isFloat(TensorType type) {
    return type != null && type.isStatic() && type.dtype() == DType.F32;
  }
}
