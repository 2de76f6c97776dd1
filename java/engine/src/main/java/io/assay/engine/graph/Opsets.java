package io.assay.engine.graph;

import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Brings a graph of the operator sets 11 to 15 into the form of 16, so that gradient rules know one
 * form. Between the two, some operators got as an input what had been an attribute, and Softmax
 * another meaning; the others only took more types or gained attributes whose defaults are the old
 * behaviour.
 */
final class Opsets {
  private static final long OLDEST = 11;

  private final long from;

  private Opsets(long from) {
    this.from = from;
  }

  /**
   * The same computation in operator set 16; the graph itself if it is older than 11, not older
   * than 16, or uses an operator that has changed and cannot be converted.
   */
  static Graph raise(Graph g) {
    long version = g.opsets().getOrDefault("", Backward.OLDEST_OPSET);
    if (version < OLDEST || version >= Backward.OLDEST_OPSET || !convertible(g, version)) {
      return g;
    }
    return new Opsets(version).convert(g).opset("", Backward.OLDEST_OPSET).build();
  }

  private static boolean convertible(Graph g, long version) {
    for (Node node : g.nodes()) {
      boolean ok =
          !node.domain().isEmpty()
              || switch (node.op()) {
                // Its statistics changed their meaning in 14.
                case "BatchNormalization" -> version >= 14 || node.outputs().size() == 1;
                // 13 dropped this mode.
                case "Resize" ->
                    version >= 13
                        || !node.text("coordinate_transformation_mode", "")
                            .equals("tf_half_pixel_for_nn");
                default -> true;
              };
      for (Object attribute : node.attributes().values()) {
        ok &= !(attribute instanceof Graph body) || convertible(body, version);
      }
      if (!ok) {
        return false;
      }
    }
    return true;
  }

  private Graph.Builder convert(Graph g) {
    Graph.Builder b = g.edit().nodes(List.of());
    for (Node node : g.nodes()) {
      convert(withBodies(node), g, b);
    }
    return b;
  }

  private Node withBodies(Node node) {
    Map<String, Object> attributes = new LinkedHashMap<>(node.attributes());
    attributes.replaceAll(
        (_, value) -> value instanceof Graph body ? convert(body).buildBody() : value);
    return with(node, node.inputs(), attributes);
  }

  private void convert(Node node, Graph g, Graph.Builder b) {
    switch (node.domain().isEmpty() ? node.op() : "") {
      case "Squeeze", "Unsqueeze", "ReduceSum" -> b.node(moved(node, "axes", b));
      case "Split" -> b.node(moved(node, "split", b));
      case "Dropout" -> b.node(from < 12 ? without(node, "ratio") : node);
      case "RoiAlign" -> {
        Map<String, Object> attributes = new LinkedHashMap<>(node.attributes());
        attributes.putIfAbsent("coordinate_transformation_mode", "output_half_pixel");
        b.node(with(node, node.inputs(), attributes));
      }
      case "Softmax", "LogSoftmax", "Hardmax" -> {
        if (from < 13) {
          softmax(node, g, b);
        } else {
          b.node(node);
        }
      }
      default -> b.node(node);
    }
  }

  /** With an attribute of integers as the second input. */
  private static Node moved(Node node, String attribute, Graph.Builder b) {
    if (!node.has(attribute)) {
      return node;
    }
    long[] values = node.integers(attribute);
    String name = b.fresh(node.output(0) + "." + attribute);
    b.constant(name, Tensor.ofLongs(values, values.length));
    return with(without(node, attribute), List.of(node.input(0), name));
  }

  /** Before 13 the axes from {@code axis} on are one, and so are those before it. */
  private static void softmax(Node node, Graph g, Graph.Builder b) {
    long axis = node.integer("axis", 1);
    TensorType type = g.type(node.input(0));
    Map<String, Object> last = Map.of("axis", -1L);
    if (axis == -1 || type != null && type.dims() != null && axis == type.dims().size() - 1) {
      b.node(with(node, node.inputs(), last));
      return;
    }
    String x = node.input(0);
    String y = node.output(0);
    String shape = b.op(b.fresh(y + ".shape"), "Shape", Map.of(), x);
    String flat = b.op(b.fresh(y + ".flat"), "Flatten", Map.of("axis", axis), x);
    String soft = b.op(b.fresh(y + ".soft"), node.op(), last, flat);
    b.node(new Node(node.name(), "", "Reshape", List.of(soft, shape), node.outputs(), Map.of()));
  }

  private static Node without(Node node, String attribute) {
    Map<String, Object> attributes = new LinkedHashMap<>(node.attributes());
    attributes.remove(attribute);
    return with(node, node.inputs(), attributes);
  }

  private static Node with(Node node, List<String> inputs) {
    return with(node, inputs, node.attributes());
  }

  private static Node with(Node node, List<String> inputs, Map<String, Object> attributes) {
    return new Node(node.name(), node.domain(), node.op(), inputs, node.outputs(), attributes);
  }
}
