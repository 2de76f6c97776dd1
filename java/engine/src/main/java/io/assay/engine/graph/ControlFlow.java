package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/**
 * Takes control flow out of a graph whose shapes are fixed: the branch of an If whose condition is
 * constant, the rounds of a Loop whose number is, the steps of a Scan.
 */
final class ControlFlow {
  /** More nodes than this are not written out. */
  private static final long MAX_NODES = 1_000_000;

  private final Function<String, TensorType> types;
  private final Function<String, Tensor> constants;
  private final UnaryOperator<String> fresh;

  /** Of a Loop in the middle of being unrolled: its next round, and what it has put out. */
  private record Rounds(long done, List<List<String>> scans) {}

  private final Map<String, Rounds> loops = new HashMap<>();
  private long written;

  /**
   * @param fresh makes an unused name of a hint
   */
  ControlFlow(
      Function<String, TensorType> types,
      Function<String, Tensor> constants,
      UnaryOperator<String> fresh) {
    this.types = types;
    this.constants = constants;
    this.fresh = fresh;
  }

  /**
   * The nodes that stand for a control flow node, or null if it is none, or cannot be taken out.
   * One round of a Loop comes at a time, followed by a Loop for the rest, since whether there is
   * another may have to be computed first.
   */
  List<Node> replace(Node node) {
    return switch (node.domain().isEmpty() ? node.op() : "") {
      case "If" -> branch(node);
      case "Loop" -> loop(node);
      case "Scan" -> scan(node);
      default -> null;
    };
  }

  /** Why a control flow node is still there. */
  static String reason(Node node) {
    String varies =
        switch (node.op()) {
          case "If" -> "its condition " + node.input(0) + " depends";
          case "Loop" -> "the number of its rounds depends";
          default -> "the number of its steps depends";
        };
    return varies
        + " on values that are not known before it runs; export the model with fixed control flow"
        + " there, or take the gradient of values behind it";
  }

  private List<Node> branch(Node node) {
    Tensor condition = constants.apply(node.input(0));
    if (condition == null) {
      return null;
    }
    String taken = condition.get(0) != 0 ? "then_branch" : "else_branch";
    List<Node> nodes = new ArrayList<>();
    List<String> results = inline(node, body(node, taken), List.of(), nodes);
    for (int i = 0; i < node.outputs().size(); i++) {
      bind(nodes, results.get(i), node.output(i));
    }
    return nodes;
  }

  private List<Node> loop(Node node) {
    Graph body = body(node, "body");
    int carried = node.inputs().size() - 2;
    int scanned = body.outputs().size() - 1 - carried;
    Rounds rounds = loops.get(node.output(0) + node.name());
    if (rounds == null) {
      List<List<String>> scans = new ArrayList<>();
      for (int i = 0; i < scanned; i++) {
        scans.add(new ArrayList<>());
      }
      rounds = new Rounds(0, scans);
    }
    Tensor limit = constants.apply(node.input(0));
    Tensor goesOn = constants.apply(node.input(1));
    boolean open = !node.input(1).isEmpty() && goesOn == null;
    if (open || !node.input(0).isEmpty() && limit == null) {
      return null;
    }
    List<Node> nodes = new ArrayList<>();
    boolean ends = limit != null && rounds.done >= limit.get(0);
    if (ends || goesOn != null && goesOn.get(0) == 0) {
      return end(node, carried, rounds, nodes) ? nodes : null;
    }
    String yes = constant(nodes, node.output(0) + ".on", Tensor.scalar(DType.BOOL, 1));
    List<String> inputs = new ArrayList<>();
    inputs.add(
        constant(nodes, node.output(0) + ".round", Tensor.ofLongs(new long[] {rounds.done})));
    inputs.add(yes);
    inputs.addAll(node.inputs().subList(2, node.inputs().size()));
    List<String> results = inline(node, body, inputs, nodes);
    for (int i = 0; i < scanned; i++) {
      rounds.scans.get(i).add(results.get(1 + carried + i));
    }
    List<String> rest = new ArrayList<>();
    rest.add(node.input(0));
    rest.add(onlyPasses(body) ? yes : results.getFirst());
    rest.addAll(results.subList(1, 1 + carried));
    loops.put(node.output(0) + node.name(), new Rounds(rounds.done + 1, rounds.scans));
    nodes.add(
        new Node(node.name(), node.domain(), node.op(), rest, node.outputs(), node.attributes()));
    return nodes;
  }

  /** Whether a body hands its condition on as it is. */
  private static boolean onlyPasses(Graph body) {
    String condition = body.outputs().getFirst();
    Node producer = body.producer(condition);
    while (producer != null && producer.op().equals("Identity")) {
      condition = producer.input(0);
      producer = body.producer(condition);
    }
    return condition.equals(body.inputs().get(1));
  }

  /** After the last round; false for outputs whose shape nothing tells, since no round was run. */
  private boolean end(Node node, int carried, Rounds rounds, List<Node> nodes) {
    for (int i = 0; i < node.outputs().size(); i++) {
      if (i < carried) {
        bind(nodes, node.input(2 + i), node.output(i));
      } else if (!node.output(i).isEmpty()) {
        List<String> parts = rounds.scans.get(i - carried);
        if (parts.isEmpty()) {
          return false;
        }
        stack(nodes, parts, 0, node.output(i));
      }
    }
    return true;
  }

  private List<Node> scan(Node node) {
    Graph body = body(node, "body");
    int scanned = (int) node.integer("num_scan_inputs", 1);
    int carried = node.inputs().size() - scanned;
    long length = -1;
    for (int i = 0; i < scanned; i++) {
      TensorType type = types.apply(node.input(carried + i));
      if (type == null) {
        return null;
      }
      length = type.shape()[axis(node, "scan_input_axes", i, type.dims().size())];
    }
    List<List<String>> out = new ArrayList<>();
    for (int i = carried; i < body.outputs().size(); i++) {
      out.add(new ArrayList<>());
    }
    if (length < 1 && !out.isEmpty()) {
      return null;
    }
    List<Node> nodes = new ArrayList<>();
    List<String> states = node.inputs().subList(0, carried);
    for (long t = 0; t < length; t++) {
      List<String> inputs = new ArrayList<>(states);
      for (int i = 0; i < scanned; i++) {
        String from = node.input(carried + i);
        int axis = axis(node, "scan_input_axes", i, types.apply(from).dims().size());
        long at = number(node, "scan_input_directions", i) == 0 ? t : length - 1 - t;
        String place = constant(nodes, from + ".at", Tensor.ofLongs(new long[] {at}));
        String part = fresh.apply(from + "." + t);
        nodes.add(
            new Node(
                "",
                "",
                "Gather",
                List.of(from, place),
                List.of(part),
                Map.of("axis", (long) axis)));
        inputs.add(part);
      }
      List<String> results = inline(node, body, inputs, nodes);
      states = results.subList(0, carried);
      for (int i = 0; i < out.size(); i++) {
        boolean forward = number(node, "scan_output_directions", i) == 0;
        out.get(i).add(forward ? out.get(i).size() : 0, results.get(carried + i));
      }
    }
    for (int i = 0; i < node.outputs().size(); i++) {
      if (i < carried) {
        bind(nodes, states.get(i), node.output(i));
      } else if (!node.output(i).isEmpty()) {
        long axis = number(node, "scan_output_axes", i - carried);
        stack(nodes, out.get(i - carried), axis, node.output(i));
      }
    }
    return nodes;
  }

  private static long number(Node node, String attribute, int i) {
    long[] values = node.integers(attribute);
    return values == null ? 0 : values[i];
  }

  private static int axis(Node node, String attribute, int i, int rank) {
    return Backward.axis(number(node, attribute, i), rank);
  }

  private static Graph body(Node node, String attribute) {
    if (node.attributes().get(attribute) instanceof Graph body) {
      return body;
    }
    throw new InputException("node " + Graph.label(node) + " has no " + attribute);
  }

  /** Adds the nodes of a body with names of their own, and returns the names of its outputs. */
  private List<String> inline(Node node, Graph body, List<String> inputs, List<Node> into) {
    written += body.nodes().size() + 1;
    if (written > MAX_NODES) {
      throw new InputException(
          "node "
              + Graph.label(node)
              + " would become more than "
              + MAX_NODES
              + " nodes when it is written out; use shorter inputs");
    }
    Map<String, String> names = new HashMap<>();
    for (int i = 0; i < body.inputs().size(); i++) {
      names.put(body.inputs().get(i), inputs.get(i));
    }
    String prefix = node.output(0) + "/";
    body.constants().forEach((v, t) -> names.put(v, constant(into, prefix + v, t)));
    for (Node inner : body.nodes()) {
      for (String output : inner.outputs()) {
        if (!output.isEmpty()) {
          names.put(output, fresh.apply(prefix + output));
        }
      }
    }
    UnaryOperator<String> rename = v -> names.getOrDefault(v, v);
    for (Node inner : body.nodes()) {
      Node own = Derivations.withOutputs(Derivations.withInputs(inner, rename), rename);
      // The names of nodes are unique too: that of the first output.
      into.add(
          new Node(
              own.output(0),
              own.domain(),
              own.op(),
              own.inputs(),
              own.outputs(),
              own.attributes()));
    }
    return body.outputs().stream().map(rename).toList();
  }

  private static void bind(List<Node> nodes, String value, String output) {
    if (!output.isEmpty()) {
      nodes.add(new Node("", "", "Identity", List.of(value), List.of(output), Map.of()));
    }
  }

  /** Joins the values of all rounds along a new axis. */
  private void stack(List<Node> nodes, List<String> parts, long axis, String output) {
    String axes = constant(nodes, output + ".axes", Tensor.ofLongs(new long[] {axis}, 1));
    List<String> slices = new ArrayList<>();
    for (String part : parts) {
      String slice = fresh.apply(output + "." + slices.size());
      nodes.add(new Node("", "", "Unsqueeze", List.of(part, axes), List.of(slice), Map.of()));
      slices.add(slice);
    }
    nodes.add(new Node("", "", "Concat", slices, List.of(output), Map.of("axis", axis)));
  }

  private String constant(List<Node> nodes, String hint, Tensor value) {
    String name = fresh.apply(hint);
    nodes.add(new Node("", "", "Constant", List.of(), List.of(name), Map.of("value", value)));
    return name;
  }
}
