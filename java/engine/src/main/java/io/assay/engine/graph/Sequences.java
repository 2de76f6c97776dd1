package io.assay.engine.graph;

import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/**
 * Takes sequences out of a graph: a value that is a sequence becomes the names of its tensors, and
 * what reads it reads those. Assay's graphs have tensors only.
 */
final class Sequences {
  private static final Set<String> MAKERS =
      Set.of("SequenceEmpty", "SequenceConstruct", "SplitToSequence");

  private final Function<String, TensorType> types;
  private final Function<String, Tensor> constants;
  private final UnaryOperator<String> fresh;
  private final Map<String, List<String>> elements = new HashMap<>();

  /**
   * @param fresh makes an unused name of a hint
   */
  Sequences(
      Function<String, TensorType> types,
      Function<String, Tensor> constants,
      UnaryOperator<String> fresh) {
    this.types = types;
    this.constants = constants;
    this.fresh = fresh;
  }

  /** Whether a node makes a sequence or reads one. */
  boolean concerns(Node node) {
    return MAKERS.contains(node.op()) || node.inputs().stream().anyMatch(elements::containsKey);
  }

  /** Whether {@code value} is a sequence. */
  boolean has(String value) {
    return elements.containsKey(value);
  }

  /** The tensors of a sequence. */
  List<String> of(String value) {
    return elements.get(value);
  }

  /**
   * The nodes that stand for one that makes or reads a sequence, or null for a node that does
   * neither, or whose sequence is not known.
   */
  List<Node> replace(Node node) {
    String out = node.output(0);
    List<String> read = elements.get(node.input(0));
    switch (node.op()) {
      case "SequenceEmpty" -> {
        return keep(out, List.of());
      }
      case "SequenceConstruct" -> {
        return keep(out, node.inputs());
      }
      case "SplitToSequence" -> {
        return split(node);
      }
      default -> {
        return read == null ? null : read(node, read);
      }
    }
  }

  private List<Node> read(Node node, List<String> read) {
    String out = node.output(0);
    switch (node.op()) {
      case "Identity" -> {
        return keep(out, read);
      }
      case "SequenceAt" -> {
        Integer at = place(node, 1, read.size(), read.size());
        return at == null
            ? null
            : List.of(new Node("", "", "Identity", List.of(read.get(at)), List.of(out), Map.of()));
      }
      case "SequenceInsert", "SequenceErase" -> {
        boolean insert = node.op().equals("SequenceInsert");
        int position = insert ? 2 : 1;
        int end = insert ? read.size() : read.size() - 1;
        Integer at =
            node.input(position).isEmpty()
                ? Integer.valueOf(end)
                : place(node, position, read.size(), end + 1);
        if (at == null) {
          return null;
        }
        List<String> changed = new ArrayList<>(read);
        if (insert) {
          changed.add(at, node.input(1));
        } else {
          changed.remove(at.intValue());
        }
        return keep(out, changed);
      }
      case "ConcatFromSequence" -> {
        return concat(node, read);
      }
      default -> {
        return null;
      }
    }
  }

  /** Places count from the end if they are negative. */
  private Integer place(Node node, int input, int size, int limit) {
    Tensor value = constants.apply(node.input(input));
    if (value == null) {
      return null;
    }
    long at = (long) value.get(0);
    at = at < 0 ? at + size : at;
    return at < 0 || at >= limit ? null : Integer.valueOf((int) at);
  }

  private List<Node> keep(String value, List<String> tensors) {
    elements.put(value, List.copyOf(tensors));
    return List.of();
  }

  /** ONNX, SplitToSequence: pieces of the sizes given, of one size, or of size 1 each. */
  private List<Node> split(Node node) {
    TensorType type = types.apply(node.input(0));
    Tensor given = constants.apply(node.input(1));
    if (type == null || !type.isStatic() || !node.input(1).isEmpty() && given == null) {
      return null;
    }
    int rank = type.dims().size();
    int axis = Backward.axis(node.integer("axis", 0), rank);
    long size = type.shape()[axis];
    long[] sizes = given != null && given.rank() == 1 ? given.toLongs() : null;
    if (sizes == null) {
      long piece = given == null ? 1 : (long) given.get(0);
      sizes = new long[(int) Math.ceilDiv(size, piece)];
      Arrays.fill(sizes, piece);
      sizes[sizes.length - 1] = size - piece * (sizes.length - 1);
    }
    boolean drop = node.input(1).isEmpty() && node.integer("keepdims", 1) == 0;
    List<Node> nodes = new ArrayList<>();
    List<String> tensors = new ArrayList<>();
    List<String> pieces = new ArrayList<>();
    for (int i = 0; i < sizes.length; i++) {
      pieces.add(fresh.apply(node.output(0) + "." + i));
    }
    String parts = constant(nodes, node.output(0) + ".sizes", sizes);
    nodes.add(
        new Node(
            node.name(),
            "",
            "Split",
            List.of(node.input(0), parts),
            pieces,
            Map.of("axis", (long) axis)));
    for (String piece : pieces) {
      if (drop) {
        String axes = constant(nodes, piece + ".axes", axis);
        String tensor = fresh.apply(piece + ".squeezed");
        nodes.add(new Node("", "", "Squeeze", List.of(piece, axes), List.of(tensor), Map.of()));
        tensors.add(tensor);
      } else {
        tensors.add(piece);
      }
    }
    elements.put(node.output(0), tensors);
    return nodes;
  }

  private List<Node> concat(Node node, List<String> read) {
    if (read.isEmpty()) {
      return null;
    }
    long axis = node.integer("axis", 0);
    List<Node> nodes = new ArrayList<>();
    List<String> parts = new ArrayList<>(read);
    if (node.integer("new_axis", 0) != 0) {
      String axes = constant(nodes, node.output(0) + ".axes", axis);
      for (int i = 0; i < parts.size(); i++) {
        String part = fresh.apply(node.output(0) + "." + i);
        nodes.add(
            new Node("", "", "Unsqueeze", List.of(parts.get(i), axes), List.of(part), Map.of()));
        parts.set(i, part);
      }
    }
    nodes.add(
        new Node(
            node.name(),
            "",
            "Concat",
            Collections.unmodifiableList(parts),
            List.of(node.output(0)),
            Map.of("axis", axis)));
    return nodes;
  }

  private String constant(List<Node> nodes, String hint, long... values) {
    String name = fresh.apply(hint);
    Tensor tensor = Tensor.ofLongs(values, values.length);
    nodes.add(new Node("", "", "Constant", List.of(), List.of(name), Map.of("value", tensor)));
    return name;
  }
}
