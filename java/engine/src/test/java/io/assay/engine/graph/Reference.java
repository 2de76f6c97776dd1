package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Evaluates graphs in float64, one operator after the other, as the ONNX operator definitions state
 * them. Written plainly, for small graphs; it shares nothing with the gradient rules or with the
 * shape rules.
 */
final class Reference {
  /** From the inputs and attributes of a node to its outputs. */
  interface Operator {
    List<Array64> apply(Call call);
  }

  /** A node at work; an absent input is null. What is around it is for bodies. */
  record Call(Node node, List<Array64> inputs, Map<String, Array64> around) {
    Array64 in(int i) {
      return i < inputs.size() ? inputs.get(i) : null;
    }

    boolean has(int i) {
      return in(i) != null;
    }

    int axis(String attribute, long otherwise) {
      return in(0).axis(node.integer(attribute, otherwise));
    }

    /** Integers given as an attribute, else as input {@code i}, else null. */
    long[] longs(String attribute, int i) {
      return node.has(attribute) ? node.integers(attribute) : has(i) ? in(i).toLongs() : null;
    }

    DType dtype() {
      return in(0).dtype();
    }
  }

  private static final Map<String, Operator> OPERATORS = new HashMap<>();

  static {
    ReferenceElementwise.register(OPERATORS);
    ReferenceReductions.register(OPERATORS);
    ReferenceProducts.register(OPERATORS);
    ReferenceLayout.register(OPERATORS);
    ReferenceIndexing.register(OPERATORS);
    ReferenceWindows.register(OPERATORS);
    ReferenceNormalisations.register(OPERATORS);
    ReferenceRecurrent.register(OPERATORS);
    ReferenceControl.register(OPERATORS);
  }

  private Reference() {}

  /**
   * Evaluates nodes in order and adds their outputs to {@code values}.
   *
   * @param values inputs and constants by name; what is in it already is not computed again
   */
  static void run(List<Node> nodes, Map<String, Array64> values) {
    for (Node node : nodes) {
      List<Array64> outputs = null;
      for (int i = 0; i < node.outputs().size(); i++) {
        String output = node.output(i);
        if (!output.isEmpty() && !values.containsKey(output)) {
          outputs = outputs == null ? apply(node, values) : outputs;
          values.put(output, outputs.get(i));
        }
      }
    }
  }

  private static List<Array64> apply(Node node, Map<String, Array64> values) {
    Operator operator = OPERATORS.get(node.qualifiedOp());
    if (operator == null) {
      throw new IllegalArgumentException("the reference does not know " + node.qualifiedOp());
    }
    List<Array64> inputs = node.inputs().stream().map(values::get).toList();
    return operator.apply(new Call(node, inputs, values));
  }
}
