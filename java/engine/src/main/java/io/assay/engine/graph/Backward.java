package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/**
 * Reverse-mode differentiation: walks the nodes backwards, hands each to the rule of its operator,
 * and sums what several uses of a value give back. What is needed is decided before any rule runs:
 * a node is visited only if it lies on a path of float values from what is asked for to what is
 * seeded.
 *
 * <p>To a {@link GradientRule}, this is the node at hand.
 */
final class Backward {
  /** The appended nodes have the form of operator set 16, the first with an adding ScatterND. */
  static final long OLDEST_OPSET = 16;

  private final Graph graph;
  private final Expr.Tape tape;
  private final Map<String, List<Expr>> received = new HashMap<>();
  private final Set<String> needed;
  private Node node;

  private Backward(Graph graph, Graph.Builder builder, Set<String> needed) {
    this.graph = graph;
    this.tape = new Expr.Tape(graph, builder);
    this.needed = needed;
  }

  static Gradient differentiate(Graph g, Map<String, String> seeds, Collection<String> wrt) {
    seeds.keySet().forEach(v -> requireFloat(g, v, "seeded"));
    wrt.forEach(v -> requireFloat(g, v, "differentiated by"));
    requireOpset(g);
    Graph.Builder builder = g.edit();
    Backward b = new Backward(g, builder, reachable(g, wrt));
    b.tape.scope("grad");
    seeds.forEach((value, seed) -> b.receive(value, b.tape.input(seed, g.type(value))));

    for (Node n : g.nodes().reversed()) {
      if (n.outputs().stream().noneMatch(v -> b.received.containsKey(v) && b.needed.contains(v))
          || n.inputs().stream().noneMatch(b.needed::contains)) {
        continue;
      }
      b.node = n;
      b.tape.scope(n.outputs().getFirst());
      GradientRule rule = GradientRules.of(n);
      if (rule == null) {
        throw new InputException(b.missing(seeds.keySet()));
      }
      rule.apply(b);
    }

    Map<String, String> gradients = new LinkedHashMap<>();
    for (String value : new LinkedHashSet<>(wrt)) {
      b.tape.scope(value);
      Expr sum = b.total(value);
      if (sum == null) {
        sum = b.tape.zeros(g.type(value).dtype(), g.type(value).shape());
      }
      String name = builder.fresh(value + ".grad");
      b.tape.node(name, "Identity", Map.of(), sum);
      builder.output(name);
      gradients.put(value, name);
    }
    return new Gradient(g, builder.build(), Map.copyOf(seeds), gradients);
  }

  private static void requireOpset(Graph g) {
    long version = g.opsets().getOrDefault("", OLDEST_OPSET);
    if (version < OLDEST_OPSET) {
      throw new InputException(
          "graph "
              + g.name()
              + " uses operator set "
              + version
              + ", and gradients need "
              + OLDEST_OPSET
              + " or later, to which reading a file brings most graphs of 11 and later; export the"
              + " model with a newer one");
    }
  }

  private static void requireFloat(Graph g, String value, String how) {
    g.requireValue(value);
    TensorType type = g.type(value);
    if (type == null || !type.isStatic()) {
      throw new InputException(
          "the value "
              + value
              + " of graph "
              + g.name()
              + " cannot be "
              + how
              + " while its shape is open; specialise the graph first");
    }
    if (!type.dtype().isFloat()) {
      throw new InputException(
          "the value "
              + value
              + " of graph "
              + g.name()
              + " cannot be "
              + how
              + ": it is "
              + type
              + ", and only floats have gradients");
    }
  }

  /** The float values that depend on {@code wrt} through float values, and those themselves. */
  private static Set<String> reachable(Graph g, Collection<String> wrt) {
    Set<String> reached = new HashSet<>(wrt);
    for (Node n : g.nodes()) {
      if (!GradientRules.isConstant(n) && n.inputs().stream().anyMatch(reached::contains)) {
        for (String out : n.outputs()) {
          TensorType type = g.type(out);
          if (type != null && type.dtype().isFloat()) {
            reached.add(out);
          }
        }
      }
    }
    return reached;
  }

  private String missing(Set<String> seeds) {
    List<String> path = new ArrayList<>();
    Node at = node;
    path.add(Graph.label(at));
    while (at != null && at.outputs().stream().noneMatch(seeds::contains)) {
      Node next = null;
      for (String out : at.outputs()) {
        for (Node user : graph.users(out)) {
          if (user.outputs().stream().anyMatch(received::containsKey)) {
            next = user;
          }
        }
      }
      at = next;
      if (at != null) {
        path.add(Graph.label(at));
      }
    }
    String shown =
        path.size() <= 6
            ? String.join(" <- ", path.reversed())
            : String.join(" <- ", path.reversed().subList(0, 3))
                + " <- ... <- "
                + String.join(" <- ", path.reversed().subList(path.size() - 2, path.size()));
    return "no gradient is known for the operator "
        + node.qualifiedOp()
        + " of node "
        + Graph.label(node)
        + ", which lies on the path "
        + shown
        + "; export the model without it, take the gradient of values behind it, or add a rule"
        + " (CONTRIBUTING.md)";
  }

  private void receive(String value, Expr gradient) {
    received.computeIfAbsent(value, _ -> new ArrayList<>()).add(gradient);
  }

  /** The gradient of a value: the sum over its uses, or null if none gave any. */
  private Expr total(String value) {
    List<Expr> parts = received.get(value);
    if (parts == null) {
      return null;
    }
    Expr sum = parts.stream().reduce(Expr::plus).orElseThrow();
    received.put(value, new ArrayList<>(List.of(sum)));
    return sum;
  }

  // What a rule sees.

  Node node() {
    return node;
  }

  /** The gradient that reached output {@code i}; zeros where none did. */
  Expr g(int i) {
    Expr sum = total(node.output(i));
    TensorType type = graph.type(node.output(i));
    return sum != null ? sum : tape.zeros(type.dtype(), type.shape());
  }

  /** The gradient of the first output. */
  Expr g() {
    return g(0);
  }

  Expr in(int i) {
    return tape.value(node.input(i));
  }

  Expr out() {
    return out(0);
  }

  Expr out(int i) {
    return tape.value(node.output(i));
  }

  boolean has(int i) {
    return !node.input(i).isEmpty();
  }

  /** An axis in [0, rank). */
  static int axis(long axis, int rank) {
    return (int) (axis < 0 ? axis + rank : axis);
  }

  /** Integers given as an attribute or, in newer operator sets, as constant input {@code i}. */
  long[] longs(String attribute, int i) {
    if (node.has(attribute)) {
      return node.integers(attribute);
    }
    if (!has(i)) {
      return null;
    }
    if (graph.constant(node.input(i)) == null) {
      throw new InputException(
          "the gradient of node "
              + Graph.label(node)
              + " needs its input "
              + node.input(i)
              + " to be constant; specialise the graph, or export it with fixed values there");
    }
    return graph.constant(node.input(i)).toLongs();
  }

  /** The value of a constant input with one element, or NaN. */
  double constant(int i) {
    var t = graph.constant(node.input(i));
    return t != null && t.elements() == 1 ? t.get(0) : Double.NaN;
  }

  Expr longs(long... values) {
    return tape.longs(values);
  }

  Expr scalar(DType dtype, double x) {
    return tape.scalar(dtype, x);
  }

  Expr zeros(DType dtype, long... shape) {
    return tape.zeros(dtype, shape);
  }

  Expr concat(int axis, List<Expr> parts) {
    return tape.concat(axis, parts);
  }

  /** A constant tensor of integers. */
  Expr longs(long[] values, long... shape) {
    return tape.longs(values, shape);
  }

  /** Whether a gradient reached output {@code i}. */
  boolean reached(int i) {
    return received.containsKey(node.output(i));
  }

  /** Whether the gradient of input {@code i} is needed. */
  boolean wants(int i) {
    return has(i) && needed.contains(node.input(i));
  }

  /**
   * Adds to the gradient of input {@code i}, if it is needed. The gradient may have any shape that
   * the input broadcasts to.
   */
  void give(int i, Supplier<Expr> gradient) {
    if (wants(i)) {
      receive(node.input(i), gradient.get().sumTo(in(i).shape()));
    }
  }

  /** Of a node with several outputs, only the first may have received a gradient. */
  void onlyFirstOutput() {
    for (String output : node.outputs().subList(1, node.outputs().size())) {
      if (received.containsKey(output)) {
        throw new InputException(
            "no gradient is known through the output "
                + output
                + " of node "
                + Graph.label(node)
                + ", only through "
                + node.output(0)
                + "; seed values that do not depend on it");
      }
    }
  }
}
