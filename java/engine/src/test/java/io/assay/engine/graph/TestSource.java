package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Writes a graph and a point as a test, to be pasted into {@code FoundGraphsTest}. */
final class TestSource {
  private TestSource() {}

  static String of(RandomGraph.Sample sample) {
    Graph g = sample.graph();
    StringBuilder out = new StringBuilder("  @Test\n  void ");
    out.append(g.name().replaceAll("[^A-Za-z0-9]", "")).append("() {\n");
    out.append("    Graph.Builder b = Graph.builder(").append(text(g.name())).append(");\n");
    g.opsets().forEach((domain, version) -> line(out, "b.opset(%s, %d)", text(domain), version));
    for (String input : g.inputs()) {
      line(out, "b.input(%s, %s)", text(input), type(g.type(input)));
    }
    g.constants().forEach((v, t) -> line(out, "b.constant(%s, %s)", text(v), tensor(t)));
    for (Node n : g.nodes()) {
      line(out, "b.node(%s)", node(n));
    }
    g.outputs().forEach(v -> line(out, "b.output(%s)", text(v)));
    out.append("    Map<String, Tensor> inputs = new LinkedHashMap<>();\n");
    sample.inputs().forEach((v, t) -> line(out, "inputs.put(%s, %s)", text(v), tensor(t)));
    return out.append("    new GraphCheck().check(b.build(), inputs);\n  }\n").toString();
  }

  private static String node(Node n) {
    return "new Node(%s, %s, %s, %s, %s, %s)"
        .formatted(
            text(n.name()),
            text(n.domain()),
            text(n.op()),
            literal(n.inputs()),
            literal(n.outputs()),
            attributes(n));
  }

  private static void line(StringBuilder out, String format, Object... values) {
    out.append("    ").append(format.formatted(values)).append(";\n");
  }

  private static String text(String s) {
    return '"' + s + '"';
  }

  private static String type(TensorType type) {
    String dims = type.dims().stream().map(TestSource::dim).collect(Collectors.joining(", "));
    return "new TensorType(DType." + type.dtype() + ", List.of(" + dims + "))";
  }

  private static String dim(Dim d) {
    return d.isKnown() ? "Dim.of(" + d.size() + ")" : "Dim.symbol(" + text(d.symbol()) + ")";
  }

  private static String tensor(Tensor t) {
    String values =
        Arrays.stream(t.toDoubles())
            .mapToObj(x -> t.dtype().isFloat() ? (float) x + "f" : (long) x + "L")
            .collect(Collectors.joining(", "));
    String shape = Arrays.stream(t.shape()).mapToObj(d -> ", " + d).collect(Collectors.joining());
    String made =
        t.dtype().isFloat()
            ? "Tensor.ofFloats(new float[] {" + values + "}" + shape + ")"
            : "Tensor.ofLongs(new long[] {" + values + "}" + shape + ")";
    return t.dtype() == DType.BOOL ? "booleans(" + made + ")" : made;
  }

  private static String attributes(Node n) {
    return new TreeMap<>(n.attributes())
        .entrySet().stream()
            .map(e -> text(e.getKey()) + ", " + literal(e.getValue()))
            .collect(Collectors.joining(", ", "Map.of(", ")"));
  }

  /** A body without constants of its own. */
  private static String body(Graph body) {
    StringBuilder out = new StringBuilder("Graph.builder(\"body\")");
    body.opsets().forEach((domain, version) -> out.append(call("opset", text(domain), version)));
    body.inputs().forEach(v -> out.append(call("input", text(v), type(body.type(v)))));
    body.nodes().forEach(n -> out.append(call("node", node(n))));
    body.outputs().forEach(v -> out.append(call("output", text(v))));
    return out.append(".buildBody()").toString();
  }

  private static String call(String method, Object... arguments) {
    String list = Arrays.stream(arguments).map(String::valueOf).collect(Collectors.joining(", "));
    return "." + method + "(" + list + ")";
  }

  private static String literal(Object value) {
    return switch (value) {
      case List<?> list ->
          list.stream().map(TestSource::literal).collect(Collectors.joining(", ", "List.of(", ")"));
      case String s -> text(s);
      case Float x -> x + "f";
      case Tensor t -> tensor(t);
      case Graph body -> body(body);
      default -> value + "L";
    };
  }
}
