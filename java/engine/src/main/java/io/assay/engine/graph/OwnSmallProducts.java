package io.assay.engine.graph;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;

/**
 * Puts the operator {@code SmallProducts} of {@code native/src/runtime_product.cpp} in place of
 * products of many small matrices, such as those of attention over a few positions. It reads and
 * writes them where they lie, so that the transpositions before and behind it go.
 */
final class OwnSmallProducts {
  static final String OP = "SmallProducts";

  /** Multiplications of one product up to which the runtime's call of each costs most. */
  private static final long MOST_WORK = 4096;

  /** Axes of products: two over which there are many, rows and columns. */
  private static final int AXES = 4;

  /** Where in the attributes the axis of columns is. */
  static final int LAST = AXES - 1;

  private final Graph g;
  private final Map<String, Integer> readers;
  private final Map<String, Node> turning = new HashMap<>();

  /** Transpositions that became part of a product's result. */
  private final Set<Node> gone = new HashSet<>();

  /** A value and where in it the axes of products lie: axis i of these is axis order[i] of it. */
  private record Place(String value, long[] order) {}

  private OwnSmallProducts(Graph g) {
    this.g = g;
    this.readers = OwnProducts.readers(g);
    g.nodes().stream().filter(this::turns).forEach(n -> turning.put(n.input(0), n));
  }

  /**
   * The nodes of a graph, with such products replaced.
   *
   * @param types gets the types of what products give
   */
  static List<Node> replace(Graph g, Map<String, TensorType> types) {
    OwnSmallProducts own = new OwnSmallProducts(g);
    List<Node> nodes = new ArrayList<>();
    for (Node node : g.nodes()) {
      Node product = node.qualifiedOp().equals("MatMul") ? own.product(node) : null;
      if (product != null) {
        types.put(product.output(0), g.type(product.output(0)));
      }
      nodes.add(product == null ? node : product);
    }
    nodes.removeIf(own.gone::contains);
    return nodes;
  }

  private Node product(Node node) {
    TensorType left = g.type(node.input(0));
    TensorType right = g.type(node.input(1));
    TensorType result = g.type(node.output(0));
    if (!hasAxes(left) || !hasAxes(right) || !hasAxes(result)) {
      return null;
    }
    long[] l = last(left.shape());
    long[] r = last(right.shape());
    long work = l[2] * l[3] * r[3];
    int axes = result.shape().length;
    if (left.shape().length != axes
        || right.shape().length != axes
        || axes > AXES && (left.shape()[0] != 1 || right.shape()[0] != 1)
        || l[0] != r[0]
        || l[1] != r[1]
        || work > MOST_WORK
        || l[0] * l[1] * work == 0) {
      return null;
    }
    Place a = source(node.input(0), axes);
    Place b = source(node.input(1), axes);
    List<Node> behind = new ArrayList<>();
    Place y = target(node.output(0), axes, behind);
    int last = axes - 1;
    boolean rows = b.order()[LAST] == last && y.order()[LAST] == last;
    boolean turned = a.order()[LAST - 1] == last && y.order()[LAST - 1] == last;
    boolean dots = a.order()[LAST] == last && b.order()[LAST - 1] == last;
    if (!rows && !turned && !dots) {
      return null;
    }
    gone.addAll(behind);
    Map<String, Object> attributes =
        Map.of("a", list(a.order()), "b", list(b.order()), "y", list(y.order()));
    return new Node(
        node.name(),
        OwnOperators.DOMAIN,
        OP,
        List.of(a.value(), b.value()),
        List.of(y.value()),
        attributes);
  }

  /** Whether a value has the axes of products, perhaps behind one of size 1. */
  private static boolean hasAxes(TensorType type) {
    if (!OwnOperators.isFloat(type)) {
      return false;
    }
    int axes = type.dims().size();
    return axes == AXES || axes == AXES + 1 && Arrays.stream(type.shape()).anyMatch(d -> d == 1);
  }

  private static long[] last(long[] of) {
    return Arrays.copyOfRange(of, of.length - AXES, of.length);
  }

  private boolean turns(Node node) {
    return node.qualifiedOp().equals("Transpose")
        && hasAxes(g.type(node.input(0)))
        && node.integers("perm") != null;
  }

  /** What a value was before it was transposed. */
  private Place source(String value, int axes) {
    long[] order = LongStream.range(axes - AXES, axes).toArray();
    Node node = g.producer(value);
    while (node != null && turns(node)) {
      long[] perm = node.integers("perm");
      order = Arrays.stream(order).map(axis -> perm[(int) axis]).toArray();
      value = node.input(0);
      node = g.producer(value);
    }
    return new Place(value, order);
  }

  /** What becomes of a value that only a transposition reads. */
  private Place target(String value, int axes, List<Node> behind) {
    long[] order = LongStream.range(axes - AXES, axes).toArray();
    while (readers.get(value) != null && readers.get(value) == 1 && turning.containsKey(value)) {
      Node node = turning.get(value);
      long[] perm = node.integers("perm");
      order = Arrays.stream(order).map(axis -> at(perm, axis)).toArray();
      behind.add(node);
      value = node.output(0);
    }
    return new Place(value, order);
  }

  private static long at(long[] perm, long axis) {
    int i = 0;
    while (perm[i] != axis) {
      i++;
    }
    return i;
  }

  private static List<Long> list(long[] of) {
    return Arrays.stream(of).boxed().toList();
  }
}
