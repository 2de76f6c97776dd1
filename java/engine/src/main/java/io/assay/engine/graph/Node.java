package io.assay.engine.graph;

import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;

/**
 * One operator of a graph. An absent optional input or output is the empty string.
 *
 * @param domain empty for the default ONNX domain
 * @param attributes values are {@code Long}, {@code Float}, {@code String}, {@code List<Long>},
 *     {@code List<Float>}, {@code List<String>}, {@link Tensor} or {@link Graph}
 */
public record Node(
    String name,
    String domain,
    String op,
    List<String> inputs,
    List<String> outputs,
    Map<String, Object> attributes) {
  public Node {
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
    attributes = Map.copyOf(attributes);
  }

  /** Name of input {@code i}, or the empty string where it is absent. */
  public String input(int i) {
    return i < inputs.size() ? inputs.get(i) : "";
  }

  /** Name of output {@code i}, or the empty string where it is absent. */
  public String output(int i) {
    return i < outputs.size() ? outputs.get(i) : "";
  }

  public boolean has(String attribute) {
    return attributes.containsKey(attribute);
  }

  /** An integer attribute, or {@code otherwise} where it is absent. */
  public long integer(String attribute, long otherwise) {
    return attributes.get(attribute) instanceof Long v ? v : otherwise;
  }

  /** A float attribute, or {@code otherwise} where it is absent. */
  public double real(String attribute, double otherwise) {
    return attributes.get(attribute) instanceof Float v ? v : otherwise;
  }

  /** A text attribute, or {@code otherwise} where it is absent. */
  public String text(String attribute, String otherwise) {
    return attributes.get(attribute) instanceof String v ? v : otherwise;
  }

  /** An integer list attribute, or null where it is absent. */
  public long[] integers(String attribute) {
    return attributes.get(attribute) instanceof List<?> list
        ? list.stream().mapToLong(v -> (Long) v).toArray()
        : null;
  }

  /** A tensor attribute. */
  public Tensor tensor(String attribute) {
    if (attributes.get(attribute) instanceof Tensor t) {
      return t;
    }
    throw new NoSuchElementException("node " + name + " has no tensor attribute " + attribute);
  }

  /** Operator with its domain, as messages show it. */
  public String qualifiedOp() {
    return domain.isEmpty() ? op : domain + "." + op;
  }
}
