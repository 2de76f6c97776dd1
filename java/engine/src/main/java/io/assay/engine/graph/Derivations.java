package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.LongStream;

/** The structural derivations behind the methods of {@link Graph}. */
final class Derivations {
  private Derivations() {}

  static Graph slice(Graph g, Collection<String> from, Collection<String> to) {
    Set<String> cut = new LinkedHashSet<>(from);
    for (String value : cut) {
      g.requireValue(value);
      if (g.type(value) == null) {
        throw new InputException(
            "cannot start at " + value + ", whose type is unknown; specialise the graph first");
      }
    }
    Set<Node> needed = ancestors(g, to, cut);
    Set<String> used = new HashSet<>(to);
    needed.forEach(node -> used.addAll(Graph.reads(node)));

    Graph.Builder b = Graph.builder(g.name());
    g.opsets().forEach(b::opset);
    g.inputs().stream()
        .filter(v -> used.contains(v) || cut.contains(v))
        .forEach(v -> b.input(v, g.type(v)));
    cut.stream().filter(v -> !g.inputs().contains(v)).forEach(v -> b.input(v, g.type(v)));
    g.constants()
        .forEach(
            (v, t) -> {
              if (used.contains(v) && !cut.contains(v)) {
                b.constant(v, t);
              }
            });
    for (Node node : g.nodes()) {
      if (needed.contains(node)) {
        // A node may compute a cut value beside others that are still wanted.
        b.node(withOutputs(node, v -> cut.contains(v) ? b.fresh(v + ".unused") : v));
        node.outputs().stream()
            .filter(v -> g.type(v) != null && !cut.contains(v))
            .forEach(v -> b.type(v, g.type(v)));
      }
    }
    to.forEach(b::output);
    return b.build();
  }

  /** The nodes that {@code values} depend on, not looking behind {@code cut}. */
  static Set<Node> ancestors(Graph g, Collection<String> values, Set<String> cut) {
    Set<Node> found = new HashSet<>();
    Deque<String> open = new ArrayDeque<>();
    for (String value : values) {
      g.requireValue(value);
      open.add(value);
    }
    while (!open.isEmpty()) {
      String value = open.remove();
      Node node = cut.contains(value) ? null : g.producer(value);
      if (node != null && found.add(node)) {
        open.addAll(Graph.reads(node));
      }
    }
    return found;
  }

  static Graph replace(Graph g, String value, String by) {
    g.requireValue(value);
    Set<Node> sources = ancestors(g, List.of(by), Set.of());
    List<Node> nodes = new ArrayList<>();
    for (Node node : g.nodes()) {
      nodes.add(sources.contains(node) ? node : withInputs(node, v -> v.equals(value) ? by : v));
    }
    return g.edit().nodes(nodes).build();
  }

  static Graph rename(Graph g, Map<String, String> names) {
    UnaryOperator<String> rename = v -> names.getOrDefault(v, v);
    Graph.Builder b = Graph.builder(g.name());
    g.opsets().forEach(b::opset);
    g.inputs().forEach(v -> b.input(rename.apply(v), g.type(v)));
    g.constants().forEach((v, t) -> b.constant(rename.apply(v), t));
    for (Node node : g.nodes()) {
      b.node(withOutputs(withInputs(node, rename), rename));
      node.outputs().stream()
          .filter(v -> g.type(v) != null)
          .forEach(v -> b.type(rename.apply(v), g.type(v)));
    }
    g.outputs().forEach(v -> b.output(rename.apply(v)));
    return b.build();
  }

  static Graph patch(Graph g, String value, RowPatch patch) {
    g.requireValue(value);
    TensorType type = g.type(value);
    if (type == null || type.dims() == null || type.dims().size() < patch.axes()) {
      throw new InputException(
          "cannot patch "
              + patch.axes()
              + " axes of "
              + value
              + ", whose type is "
              + (type == null ? "unknown" : type)
              + "; specialise the graph, or patch fewer axes");
    }
    List<Dim> mapped = type.dims().subList(0, patch.axes());
    List<Dim> rest = type.dims().subList(patch.axes(), type.dims().size());
    Graph.Builder b = g.edit();
    String name = value + ".patch";
    String map = b.fresh(name + ".rows");
    b.input(map, new TensorType(DType.I64, mapped));

    String live = value;
    if (patch.axes() > 1) {
      live = flatten(b, value, name, rest, patch.axes());
    }
    if (patch.bank() != 0) {
      List<Dim> dims = new ArrayList<>(rest);
      String bank = b.fresh(name + ".bank");
      dims.addFirst(patch.bank() < 0 ? Dim.symbol(bank) : Dim.of(patch.bank()));
      b.input(bank, new TensorType(type.dtype(), dims));
      live = b.op(b.fresh(name + ".all"), "Concat", Map.of("axis", 0L), live, bank);
      typed(b, live, type.dtype(), size(mapped), patch.bank(), rest);
    }
    String patched = b.op(b.fresh(name + ".out"), "Gather", Map.of("axis", 0L), live, map);
    b.type(patched, type);
    return replace(b.build(), value, patched);
  }

  /** The value with its first axes made one. */
  private static String flatten(
      Graph.Builder b, String value, String name, List<Dim> rest, int axes) {
    String shape;
    if (rest.stream().allMatch(Dim::isKnown)) {
      long[] sizes =
          LongStream.concat(LongStream.of(-1), rest.stream().mapToLong(Dim::size)).toArray();
      shape = b.constant(b.fresh(name + ".shape"), Tensor.ofLongs(sizes, sizes.length));
    } else {
      String one = b.constant(b.fresh(name + ".one"), Tensor.ofLongs(new long[] {-1}, 1));
      String tail = b.op(b.fresh(name + ".tail"), "Shape", Map.of("start", (long) axes), value);
      shape = b.op(b.fresh(name + ".shape"), "Concat", Map.of("axis", 0L), one, tail);
    }
    return b.op(b.fresh(name + ".flat"), "Reshape", Map.of(), value, shape);
  }

  private static long size(List<Dim> dims) {
    return dims.stream().allMatch(Dim::isKnown)
        ? Tensor.elements(dims.stream().mapToLong(Dim::size).toArray())
        : -1;
  }

  private static void typed(
      Graph.Builder b, String value, DType dtype, long rows, long bank, List<Dim> rest) {
    if (rows >= 0 && bank >= 0) {
      List<Dim> dims = new ArrayList<>(rest);
      dims.addFirst(Dim.of(rows + bank));
      b.type(value, new TensorType(dtype, dims));
    }
  }

  static Graph withFloat(Graph g, Set<DType> from, DType to) {
    if (to != DType.F32 && to != DType.F64) {
      throw new InputException("the float type of a graph is F32 or F64, not " + to);
    }
    Graph.Builder b = Graph.builder(g.name());
    g.opsets().forEach(b::opset);
    for (String input : g.inputs()) {
      b.input(input, convert(g.type(input), from, to));
    }
    g.constants().forEach((v, t) -> b.constant(v, convert(t, from, to)));
    for (Node node : g.nodes()) {
      Map<String, Object> attributes = new LinkedHashMap<>(node.attributes());
      attributes.replaceAll((key, value) -> convert(node.op(), key, value, from, to));
      b.node(
          new Node(
              node.name(), node.domain(), node.op(), node.inputs(), node.outputs(), attributes));
      node.outputs().stream()
          .filter(v -> g.type(v) != null)
          .forEach(v -> b.type(v, convert(g.type(v), from, to)));
    }
    g.outputs().forEach(b::output);
    return g.captures().isEmpty() ? b.build() : b.buildBody();
  }

  private static Object convert(String op, String key, Object value, Set<DType> from, DType to) {
    boolean typeCode = key.equals("dtype") || key.equals("to") && op.equals("Cast");
    return switch (value) {
      case Tensor t -> convert(t, from, to);
      case Graph body -> withFloat(body, from, to);
      case Long code when typeCode && from.contains(OnnxTypes.of(code)) ->
          (long) OnnxTypes.code(to);
      default -> value;
    };
  }

  private static TensorType convert(TensorType type, Set<DType> from, DType to) {
    return from.contains(type.dtype()) ? new TensorType(to, type.dims()) : type;
  }

  private static Tensor convert(Tensor tensor, Set<DType> from, DType to) {
    return from.contains(tensor.dtype()) ? tensor.toFloat(to) : tensor;
  }

  static Graph withConstantFilters(Graph g, Evaluator evaluator) {
    Set<String> constant = new HashSet<>(g.constants().keySet());
    Set<String> filters = new LinkedHashSet<>();
    for (Node node : g.nodes()) {
      if (node.qualifiedOp().equals("Conv")
          && constant.contains(node.input(1))
          && g.producer(node.input(1)) != null) {
        filters.add(node.input(1));
      }
      if (node.outputs().size() == 1
          && !Specialiser.isRandom(node)
          && constant.containsAll(Graph.reads(node))) {
        constant.add(node.output(0));
      }
    }
    if (filters.isEmpty()) {
      return g;
    }
    List<Node> others =
        g.nodes().stream().filter(node -> !filters.contains(node.output(0))).toList();
    Graph.Builder b = g.edit().nodes(others);
    evaluator.evaluate(g.slice(List.of(), filters), Map.of()).forEach(b::constant);
    return b.build().slice(g.inputs(), g.outputs());
  }

  static Node withOutputs(Node node, UnaryOperator<String> rename) {
    return new Node(
        node.name(),
        node.domain(),
        node.op(),
        node.inputs(),
        node.outputs().stream().map(rename).toList(),
        node.attributes());
  }

  /** The node with other inputs; a body's outer values are inputs too. */
  static Node withInputs(Node node, UnaryOperator<String> rename) {
    Map<String, Object> attributes = new LinkedHashMap<>(node.attributes());
    attributes.replaceAll(
        (_, value) -> value instanceof Graph body ? withCaptures(body, rename) : value);
    return new Node(
        node.name(),
        node.domain(),
        node.op(),
        node.inputs().stream().map(rename).toList(),
        node.outputs(),
        attributes);
  }

  private static Graph withCaptures(Graph body, UnaryOperator<String> rename) {
    UnaryOperator<String> outer = v -> body.captures().contains(v) ? rename.apply(v) : v;
    List<Node> nodes = body.nodes().stream().map(n -> withInputs(n, outer)).toList();
    List<String> outputs = body.outputs().stream().map(outer).toList();
    Graph.Builder b = body.edit().nodes(nodes).clearOutputs();
    outputs.forEach(b::output);
    return b.buildBody();
  }
}
