package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Reverse-mode differentiation: walks the nodes backwards, hands each to the rule of its operator,
 * and sums what several uses of a value give back. What is needed is decided before any rule runs:
 * a node is visited only if it lies on a path of float values from what is asked for to what is
 * seeded.
 *
 * <p>To a {@link GradientRule}, this is the node at hand.
 */
final class Backward {
  /**
   * The appended nodes have the form of operator set 16, the first with an adding ScatterElements.
   */
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

    b.walk(g.nodes(), seeds.keySet());

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
    return new Gradient(g, used(g, builder.build()), Map.copyOf(seeds), gradients);
  }

  /** Hands the nodes that matter to the rules of their operators, the last first. */
  private void walk(List<Node> nodes, Set<String> seeds) {
    for (Node n : nodes.reversed()) {
      if (n.outputs().stream().noneMatch(v -> received.containsKey(v) && needed.contains(v))
          || Graph.reads(n).stream().noneMatch(needed::contains)) {
        continue;
      }
      node = n;
      tape.scope(n.outputs().getFirst());
      requireTyped(n, seeds);
      GradientRule rule = GradientRules.of(n);
      if (rule == null) {
        throw new InputException(missing(n, seeds));
      }
      rule.apply(this);
    }
  }

  /** Without the appended nodes that no output needs: what an expansion has beside it. */
  private static Graph used(Graph original, Graph whole) {
    Set<Node> kept = Derivations.ancestors(whole, whole.outputs(), Set.of());
    kept.addAll(original.nodes());
    return whole.edit().nodes(whole.nodes().stream().filter(kept::contains).toList()).build();
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
              + " while its shape is open; "
              + (isSpecialised(g) ? openShape(g, value) : "specialise the graph first"));
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

  private static boolean isSpecialised(Graph g) {
    return g.inputs().stream().allMatch(v -> g.type(v).isStatic());
  }

  /** Of the nodes that leave the shape of {@code node} open, the first. */
  private static Node firstUntyped(Graph g, Node node) {
    Node at = node;
    Node next = node;
    while (next != null) {
      at = next;
      next = null;
      for (String read : Graph.reads(at)) {
        if (g.type(read) == null && g.producer(read) != null) {
          next = g.producer(read);
        }
      }
    }
    return at;
  }

  /** Why the shape of a value is open, and what lies between. */
  private static String openShape(Graph g, String value) {
    Node first = firstUntyped(g, g.producer(value));
    return first.outputs().contains(value)
        ? unknownShape(first)
        : "on the path " + path(g, first, Set.of(value)) + ", " + unknownShape(first);
  }

  private static String unknownShape(Node node) {
    boolean isControlFlow = node.attributes().values().stream().anyMatch(Graph.class::isInstance);
    return "of node "
        + Graph.label(node)
        + " "
        + (isControlFlow
            ? ControlFlow.reason(node)
            : "no output shape is known; export the model without it, or take the gradient of"
                + " values behind it");
  }

  /** The float values that depend on {@code wrt} through float values, and those themselves. */
  private static Set<String> reachable(Graph g, Collection<String> wrt) {
    Set<String> reached = new HashSet<>(wrt);
    for (Node n : g.nodes()) {
      if (!GradientRules.isConstant(n) && Graph.reads(n).stream().anyMatch(reached::contains)) {
        for (String out : n.outputs()) {
          // What is behind a node of unknown shape counts, so that it is refused, not passed over.
          TensorType type = g.type(out);
          if (!out.isEmpty() && (type == null || type.dtype().isFloat())) {
            reached.add(out);
          }
        }
      }
    }
    return reached;
  }

  /** Refuses a node that depends on one whose shape is known only when the graph runs. */
  private void requireTyped(Node n, Set<String> seeds) {
    if (Stream.concat(Graph.reads(n).stream(), n.outputs().stream())
        .allMatch(v -> v.isEmpty() || tape.value(v).type() != null)) {
      return;
    }
    Node first = firstUntyped(graph, n);
    boolean onPath = first.outputs().stream().anyMatch(needed::contains);
    boolean isControlFlow = first.attributes().values().stream().anyMatch(Graph.class::isInstance);
    throw new InputException(
        onPath && !isControlFlow
            ? missing(first, seeds)
            : "the gradient cannot pass node "
                + Graph.label(n)
                + ", on the path "
                + path(graph, n, seeds)
                + "; "
                + unknownShape(first));
  }

  private String missing(Node n, Set<String> seeds) {
    return "no gradient is known for the operator "
        + n.qualifiedOp()
        + " of node "
        + Graph.label(n)
        + ", which lies on the path "
        + path(graph, n, seeds)
        + "; export the model without it, take the gradient of values behind it, or add a rule"
        + " (CONTRIBUTING.md)";
  }

  /** The shortest way from a seeded value back to a node, its middle left out if it is long. */
  private static String path(Graph graph, Node from, Set<String> seeds) {
    Map<Node, Node> before = new HashMap<>();
    Deque<Node> open = new ArrayDeque<>(List.of(from));
    Node end = from;
    while (!open.isEmpty()) {
      end = open.remove();
      if (end.outputs().stream().anyMatch(seeds::contains)) {
        break;
      }
      for (String out : end.outputs()) {
        for (Node user : graph.users(out)) {
          if (user != from && before.putIfAbsent(user, end) == null) {
            open.add(user);
          }
        }
      }
    }
    List<String> path = new ArrayList<>();
    for (Node at = end; at != null; at = before.get(at)) {
      path.add(Graph.label(at));
    }
    int n = path.size();
    return n <= 6
        ? String.join(" <- ", path)
        : String.join(" <- ", path.subList(0, 3))
            + " <- ... <- "
            + String.join(" <- ", path.subList(n - 2, n));
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
    if (sum == null) {
      TensorType type = tape.value(node.output(i)).type();
      return tape.zeros(type.dtype(), type.shape());
    }
    return sum;
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

  /** The first output with 0 where it is NaN, if all that reads it is what makes that of it. */
  Expr outWhereNumber() {
    String value = node.output(0);
    List<Node> users = graph.users(value);
    for (Node where : users) {
      boolean isGuard =
          where.qualifiedOp().equals("Where")
              && where.input(2).equals(value)
              && isZero(graph.constant(where.input(1)))
              && graph.producer(where.input(0)) instanceof Node test
              && test.qualifiedOp().equals("IsNaN")
              && test.input(0).equals(value)
              && users.stream().allMatch(user -> user == where || user == test);
      if (isGuard) {
        return tape.value(where.output(0));
      }
    }
    return out();
  }

  private static boolean isZero(Tensor t) {
    return t != null && t.elements() == 1 && t.get(0) == 0;
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
    return value(i).toLongs();
  }

  /** The value of a constant input with one element, or NaN. */
  double constant(int i) {
    var t = tape.constant(node.input(i));
    return t != null && t.elements() == 1 ? t.get(0) : Double.NaN;
  }

  /** The value of input {@code i}, which must be constant. */
  Tensor value(int i) {
    Tensor value = tape.constant(node.input(i));
    if (value == null) {
      throw new InputException(
          "the gradient of node "
              + Graph.label(node)
              + " needs its input "
              + node.input(i)
              + " to be constant; specialise the graph, or export it with fixed values there");
    }
    return value;
  }

  Expr constant(Tensor value) {
    return tape.constant(value);
  }

  /** The unit matrix of n rows. */
  Expr identity(DType dtype, long n) {
    Tensor unit = Tensor.allocate(Arena.ofAuto(), dtype, n, n);
    for (long i = 0; i < n; i++) {
      unit.set(i * n + i, 1);
    }
    return constant(unit);
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

  /** A value of an operator with several outputs; a null input is absent. */
  List<Expr> ops(int outputs, String op, Map<String, Object> attributes, Expr... inputs) {
    return tape.ops(outputs, op, attributes, inputs);
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

  /**
   * Gives the gradients by those of an expansion: nodes that compute the same outputs from the same
   * inputs, by operators that have rules. The node itself stays the runtime's; of the expansion
   * only what the gradient reads is computed again.
   *
   * @param outputs appends the expansion and returns its value for each output; null for one that
   *     has no gradient
   */
  void expand(Supplier<List<Expr>> outputs) {
    Node expanded = node;
    List<Node> nodes = new ArrayList<>();
    List<Expr> values = tape.record(nodes, outputs);
    for (int i = 0; i < expanded.outputs().size(); i++) {
      if (received.containsKey(expanded.output(i))) {
        if (i >= values.size() || values.get(i) == null) {
          throw withoutGradient(expanded.output(i));
        }
        receive(values.get(i).name(), g(i));
      }
    }
    for (Node n : nodes) {
      if (!GradientRules.isConstant(n) && n.inputs().stream().anyMatch(needed::contains)) {
        n.outputs().stream().filter(v -> tape.value(v).dtype().isFloat()).forEach(needed::add);
      }
    }
    walk(nodes, Set.of());
    node = expanded;
    tape.scope(expanded.outputs().getFirst());
  }

  private InputException withoutGradient(String output) {
    return new InputException(
        "no gradient is known through the output "
            + output
            + " of node "
            + Graph.label(node)
            + ", only through "
            + node.output(0)
            + "; seed values that do not depend on it");
  }

  /** Refuses what a rule does not cover. */
  InputException refused(String what) {
    return new InputException(
        "the gradient of node "
            + Graph.label(node)
            + " is not known "
            + what
            + "; export the model without it, or take the gradient of values behind it");
  }

  /** A value of an operator for which {@link Expr} has no method. */
  Expr op(String op, Map<String, Object> attributes, Expr... inputs) {
    return tape.op(op, attributes, inputs);
  }

  /** Of a node with several outputs, only the first may have received a gradient. */
  void onlyFirstOutput() {
    for (String output : node.outputs().subList(1, node.outputs().size())) {
      if (received.containsKey(output)) {
        throw withoutGradient(output);
      }
    }
  }
}
