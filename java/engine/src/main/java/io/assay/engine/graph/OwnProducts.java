package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Puts the operator {@code Product} of {@code native/src/runtime_product.cpp} in place of large
 * products whose right matrix is no constant: weights that are trained or inputs, and gradients,
 * {@code X^T G}. The runtime reads the left matrix as often as the right one has pieces, adds a
 * bias in a pass of its own, and turns around what it sums over rows. A bias or a value of the
 * result's shape that is added, rows that are added to some of its rows (the gradient of a table
 * that is read and multiplied by), an activation, and the gradient of a Relu, become part of the
 * product where nothing else reads it.
 */
final class OwnProducts {
  static final String OP = "Product";

  /** Its inputs behind the two matrices. */
  private static final int ADDED = 2;

  private static final int ROWS = 3;
  private static final int MORE = 4;
  private static final int GATE = 5;

  /** Of the result, as {@code native/src/internal.h} counts them. */
  private static final String ACTIVATION = "activation";

  private static final long NONE = 0;
  private static final long RELU = 1;
  private static final long GELU = 2;

  /** Multiplications below which a call costs more than it saves. */
  private static final long LEAST_WORK = 1 << 20;

  /** Rows of the left matrix for which packing the right one pays, and rows that are summed. */
  private static final long LEAST_ROWS = 64;

  private static final long LEAST_SUMMED = 8;

  /**
   * Elements of a right matrix that stays in the second-level cache, where rows are counted, and of
   * sums over rows.
   */
  private static final long MOST_RIGHT = 1 << 19;

  private static final long MOST_SUMS = 1 << 22;

  /** Elements of a right matrix of which a copy is made for any rows; for their sums as in C++. */
  private static final long MOST_COPIED = 1 << 24;

  private final Graph g;
  private final Map<String, Integer> readers;
  private final List<Node> nodes = new ArrayList<>();

  /** Where in {@link #nodes} a value's product is. */
  private final Map<String, Integer> products = new HashMap<>();

  private OwnProducts(Graph g) {
    this.g = g;
    this.readers = readers(g);
  }

  /**
   * The nodes of a graph, with such products replaced.
   *
   * @param nodes of the graph, some of which were replaced by others
   * @param types gets the types of what products give
   */
  static List<Node> replace(Graph g, List<Node> nodes, Map<String, TensorType> types) {
    OwnProducts own = new OwnProducts(g);
    for (Node node : nodes) {
      own.add(node);
    }
    own.products.keySet().forEach(v -> types.put(v, g.type(v)));
    return own.nodes.stream().filter(Objects::nonNull).toList();
  }

  /** How many nodes and outputs read each value. */
  static Map<String, Integer> readers(Graph g) {
    Map<String, Integer> readers = new HashMap<>();
    g.outputs().forEach(v -> readers.merge(v, 1, Integer::sum));
    g.nodes().forEach(n -> Graph.reads(n).forEach(v -> readers.merge(v, 1, Integer::sum)));
    return readers;
  }

  private void add(Node node) {
    Node product =
        switch (node.qualifiedOp()) {
          case "Gemm", "MatMul" -> product(node);
          case "Add" -> sum(node);
          case "Relu" -> activated(node, RELU);
          case "com.microsoft.FastGelu" -> node.inputs().size() == 1 ? activated(node, GELU) : null;
          case "Where" -> gated(node);
          default -> null;
        };
    if (product != null) {
      products.put(node.output(0), nodes.size());
    }
    nodes.add(product == null ? node : product);
  }

  private Node product(Node node) {
    boolean ta = node.integer("transA", 0) != 0;
    boolean tb = node.integer("transB", 0) != 0;
    boolean biased = node.inputs().size() > 2 && !node.input(2).isEmpty();
    TensorType a = g.type(node.input(0));
    TensorType b = g.type(node.input(1));
    TensorType y = g.type(node.output(0));
    boolean anyRows = !ta && isOfAnyRows(a) && isOfAnyRows(y);
    if (!anyRows && (!OwnOperators.isFloat(a) || !OwnOperators.isFloat(y))
        || !OwnOperators.isFloat(b)
        || a.dims().size() < 2
        || b.shape().length != 2
        || !ta && !a.dims().getLast().equals(b.dims().get(tb ? 1 : 0))
        || !ta && g.constant(node.input(1)) != null
        || ta && tb
        || node.real("alpha", 1) != 1
        || biased && (node.real("beta", 1) != 1 || !isAddend(node.input(2), y))) {
      return null;
    }
    long n = b.shape()[tb ? 0 : 1];
    long k = b.shape()[tb ? 1 : 0];
    long m =
        anyRows ? LEAST_ROWS : Arrays.stream(y.shape()).reduce(1, (p, q) -> p * q) / Math.max(n, 1);
    boolean fits =
        ta
            ? k >= LEAST_SUMMED && (m * n <= MOST_SUMS || k * n <= MOST_COPIED)
            : m >= LEAST_ROWS && k * n <= (anyRows ? MOST_COPIED : MOST_RIGHT);
    if (!fits || m * n * k < LEAST_WORK) {
      return null;
    }
    Map<String, Object> attributes =
        Map.of("transA", ta ? 1L : 0L, "transB", tb ? 1L : 0L, ACTIVATION, NONE);
    return of(node, node.inputs(), attributes);
  }

  private Node sum(Node node) {
    for (int i = 0; i < 2; i++) {
      String value = node.input(i);
      String other = node.input(1 - i);
      Node product = onlyFor(value);
      if (product == null
          || other.equals(value)
          || !isPlain(product)
          || !isAddend(other, g.type(value))
          || !isSame(value, node)) {
        continue;
      }
      if (product.input(ADDED).isEmpty()) {
        drop(value);
        Node scatter = rowsIntoZeros(other, g.type(value));
        if (scatter == null) {
          return with(node, product, ADDED, other);
        }
        String rows = g.producer(scatter.input(1)).input(0);
        return with(node, with(node, product, ROWS, rows), MORE, scatter.input(2));
      }
      if (product.input(MORE).isEmpty() && g.type(other).equals(g.type(value))) {
        drop(value);
        return with(node, product, MORE, other);
      }
    }
    return null;
  }

  /**
   * The node that adds rows into zeros, as gradients of Gather do, where that is what a value is;
   * their numbers are what its indices, a column, are spread from.
   */
  private Node rowsIntoZeros(String value, TensorType result) {
    Node scatter = producer(value, "ScatterElements");
    if (scatter == null
        || readers.get(value) != 1
        || result.dims().size() != 2
        || !result.equals(g.type(value))
        || scatter.integer("axis", 0) != 0
        || !scatter.text("reduction", "none").equals("add")) {
      return null;
    }
    Node zeros = producer(scatter.input(0), "Expand");
    Node spread = producer(scatter.input(1), "Expand");
    TensorType rows = spread == null ? null : g.type(spread.input(0));
    boolean fits =
        zeros != null
            && OwnOperators.isZero(g, zeros.input(0))
            && rows != null
            && rows.dtype() == DType.I64
            && rows.isStatic()
            && rows.shape().length == 2
            && rows.shape()[1] == 1
            && TensorType.of(DType.F32, rows.shape()[0], result.shape()[1])
                .equals(g.type(scatter.input(2)));
    return fits ? scatter : null;
  }

  private Node producer(String value, String op) {
    return OwnOperators.producer(g, value, op);
  }

  private Node activated(Node node, long activation) {
    Node product = onlyFor(node.input(0));
    if (product == null || !isPlain(product) || !isSame(node.input(0), node)) {
      return null;
    }
    drop(node.input(0));
    Map<String, Object> attributes = new HashMap<>(product.attributes());
    attributes.put(ACTIVATION, activation);
    return of(node, product.inputs(), attributes);
  }

  /** Whether nothing is done to a product but that a value is added to all of it. */
  private static boolean isPlain(Node product) {
    return product.input(ROWS).isEmpty()
        && product.input(GATE).isEmpty()
        && product.integer(ACTIVATION, NONE) == NONE;
  }

  /** Whether a node's result has the type of a value. */
  private boolean isSame(String value, Node node) {
    return g.type(value).equals(g.type(node.output(0)));
  }

  /** The gradient of a Relu: what a product gives where a value is above 0, and 0 elsewhere. */
  private Node gated(Node node) {
    Node product = onlyFor(node.input(1));
    String gate = product == null ? null : OwnOperators.gate(g, node);
    if (gate == null || !isPlain(product) || !isSame(node.input(1), node)) {
      return null;
    }
    drop(node.input(1));
    return with(node, product, GATE, gate);
  }

  /** A product with a further input, in place of a node. */
  private static Node with(Node node, Node product, int input, String value) {
    List<String> inputs = new ArrayList<>(product.inputs());
    while (inputs.size() <= input) {
      inputs.add("");
    }
    inputs.set(input, value);
    return of(node, inputs, product.attributes());
  }

  /** Whether a value has rows of which nobody says how many there are: likely, many. */
  private static boolean isOfAnyRows(TensorType type) {
    return type != null
        && type.dtype() == DType.F32
        && type.dims() != null
        && type.dims().size() == 2
        && !type.dims().getFirst().isKnown()
        && type.dims().getLast().isKnown();
  }

  /** The product that a value is, if it is read once. */
  private Node onlyFor(String value) {
    Integer at = products.get(value);
    return at == null || readers.get(value) != 1 ? null : nodes.get(at);
  }

  private void drop(String value) {
    nodes.set(products.remove(value), null);
  }

  /** Whether a value is one row for all rows of a result, or has its shape. */
  private boolean isAddend(String value, TensorType result) {
    TensorType type = g.type(value);
    if (result.equals(type)) {
      return true;
    }
    if (!OwnOperators.isFloat(type)) {
      return false;
    }
    long[] shape = type.shape();
    List<Dim> whole = result.dims();
    return shape.length > 0
        && shape.length <= whole.size()
        && shape[shape.length - 1] == whole.getLast().size()
        && Arrays.stream(shape, 0, shape.length - 1).allMatch(d -> d == 1);
  }

  private static Node of(Node node, List<String> inputs, Map<String, Object> attributes) {
    return new Node(
        node.name(), OwnOperators.DOMAIN, OP, inputs, List.of(node.output(0)), attributes);
  }
}
