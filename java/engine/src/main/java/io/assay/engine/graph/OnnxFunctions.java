package io.assay.engine.graph;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.FunctionProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.OperatorSetIdProto;
import io.assay.engine.InputException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** Replaces calls of a model's own functions by their bodies, and Constant nodes by constants. */
final class OnnxFunctions {
  /** Deeper calls are taken for recursion, which ONNX forbids. */
  private static final int MAX_DEPTH = 32;

  /** Small files can describe huge expansions. */
  private static final int MAX_NODES = 1_000_000;

  private final Map<String, FunctionProto> functions = new HashMap<>();
  private final OnnxReader reader;
  private int expanded;

  OnnxFunctions(List<FunctionProto> protos, OnnxReader reader) {
    this.reader = reader;
    for (FunctionProto proto : protos) {
      functions.put(key(OnnxReader.domain(proto.getDomain()), proto.getName()), proto);
    }
  }

  private static String key(String domain, String op) {
    return domain + ":" + op;
  }

  /** Adds what {@code node} stands for to {@code b}. */
  void expand(Node node, Graph.Builder b) {
    expand(node, b, 0);
  }

  private void expand(Node node, Graph.Builder b, int depth) {
    FunctionProto function = functions.get(key(node.domain(), node.op()));
    if (function != null) {
      call(function, node, b, depth);
      return;
    }
    if (node.op().equals("Constant") && node.domain().isEmpty()) {
      var value = OnnxReader.constantOf(node);
      if (value != null && node.outputs().size() == 1) {
        b.constant(node.output(0), value);
        return;
      }
    }
    if (++expanded > MAX_NODES) {
      throw new InputException("the model has more than " + MAX_NODES + " nodes after inlining");
    }
    b.node(node);
  }

  private void call(FunctionProto function, Node call, Graph.Builder b, int depth) {
    if (depth == MAX_DEPTH || ++expanded > MAX_NODES) {
      throw new InputException(
          "function "
              + function.getName()
              + " calls itself or nests too deeply; export it inlined");
    }
    for (OperatorSetIdProto opset : function.getOpsetImportList()) {
      b.opsetOf(OnnxReader.domain(opset.getDomain()), opset.getVersion(), function.getName());
    }
    Map<String, Object> bound = new HashMap<>(call.attributes());
    for (AttributeProto a : function.getAttributeProtoList()) {
      if (!bound.containsKey(a.getName())) {
        bound.put(a.getName(), reader.attribute(a, "function " + function.getName()));
      }
    }
    Map<String, String> names = new HashMap<>();
    for (int i = 0; i < function.getInputCount(); i++) {
      names.put(function.getInput(i), call.input(i));
    }
    for (int i = 0; i < function.getOutputCount(); i++) {
      String output = call.output(i);
      if (names.containsKey(function.getOutput(i))) {
        throw new InputException(
            "function " + function.getName() + " returns an input as it is; export it inlined");
      }
      if (!output.isEmpty()) {
        names.put(function.getOutput(i), output);
      }
    }
    String prefix = call.name().isEmpty() ? call.output(0) : call.name();
    UnaryOperator<String> rename =
        value ->
            value.isEmpty() ? "" : names.computeIfAbsent(value, v -> b.fresh(prefix + "/" + v));
    for (NodeProto proto : function.getNodeList()) {
      Node inner = reader.node(proto, bound);
      if (inner.attributes().values().stream().anyMatch(Graph.class::isInstance)) {
        throw new InputException(
            "function "
                + function.getName()
                + " contains control flow ("
                + inner.op()
                + "); export it inlined");
      }
      expand(
          new Node(
              prefix + "/" + inner.name(),
              inner.domain(),
              inner.op(),
              map(inner.inputs(), rename),
              map(inner.outputs(), rename),
              inner.attributes()),
          b,
          depth + 1);
    }
  }

  private static List<String> map(List<String> values, UnaryOperator<String> rename) {
    List<String> out = new ArrayList<>();
    values.forEach(v -> out.add(rename.apply(v)));
    return out;
  }
}
