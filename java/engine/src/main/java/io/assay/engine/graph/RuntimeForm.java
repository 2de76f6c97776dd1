package io.assay.engine.graph;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Writes a graph so that the optimisers of ONNX Runtime leave it right; 1.29 and 1.32 were tried.
 *
 * <ul>
 *   <li>A product of a transposed matrix and a vector they fuse into one that does not transpose.
 *       It becomes the product of the vector and the matrix.
 *   <li>Where an Identity gives a value that is used elsewhere to an output, they rename the value,
 *       and may then fuse a user of the name that is gone. Such values are renamed here. Other
 *       Identities, hook points for example, go: nothing is then between two operators that one
 *       could do.
 * </ul>
 */
final class RuntimeForm {
  private final Graph g;

  /** Values that get another name: of the output that they are, or of what is the same. */
  private final Map<String, String> renamed = new HashMap<>();

  private RuntimeForm(Graph g) {
    this.g = g;
  }

  /** The same computation. */
  static Graph of(Graph g) {
    RuntimeForm form = new RuntimeForm(g);
    List<Node> nodes = new ArrayList<>();
    for (Node node : g.nodes()) {
      if (!form.namesAnOutput(node) && !form.namesNothing(node)) {
        nodes.add(form.product(node));
      }
    }
    nodes.replaceAll(
        node -> Derivations.withOutputs(Derivations.withInputs(node, form::name), form::name));
    return g.edit().nodes(nodes).build();
  }

  private String name(String value) {
    while (renamed.containsKey(value)) {
      value = renamed.get(value);
    }
    return value;
  }

  /** Whether a node does no more than to give a value a second name, which then goes. */
  private boolean namesNothing(Node node) {
    return node.qualifiedOp().equals("Identity")
        && !g.outputs().contains(node.output(0))
        && renamed.putIfAbsent(node.output(0), node.input(0)) == null;
  }

  /** Whether a node does no more than to name an output, which its input then is. */
  private boolean namesAnOutput(Node node) {
    String source = node.qualifiedOp().equals("Identity") ? name(node.input(0)) : null;
    return source != null
        && g.outputs().contains(node.output(0))
        && g.producer(source) != null
        && !g.outputs().contains(source)
        && renamed.putIfAbsent(source, node.output(0)) == null;
  }

  private Node product(Node node) {
    Node left = node.qualifiedOp().equals("MatMul") ? g.producer(node.input(0)) : null;
    while (left != null && left.qualifiedOp().equals("Identity")) {
      left = g.producer(left.input(0));
    }
    TensorType right = left == null ? null : g.type(node.input(1));
    if (right == null
        || right.dims() == null
        || right.dims().size() != 1
        || !swapsTheLastAxes(left)) {
      return node;
    }
    return new Node(
        node.name(),
        node.domain(),
        node.op(),
        List.of(node.input(1), left.input(0)),
        node.outputs(),
        node.attributes());
  }

  private boolean swapsTheLastAxes(Node node) {
    if (!node.qualifiedOp().equals("Transpose")) {
      return false;
    }
    long[] order = node.integers("perm");
    if (order == null) {
      TensorType type = g.type(node.input(0));
      return type != null && type.dims() != null && type.dims().size() == 2;
    }
    int n = order.length;
    return n >= 2
        && order[n - 1] == n - 2
        && order[n - 2] == n - 1
        && IntStream.range(0, n - 2).allMatch(i -> order[i] == i);
  }
}
