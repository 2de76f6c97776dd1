package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

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
    return has(attribute) ? get(attribute, Long.class, "an integer") : otherwise;
  }

  /** A float attribute, or {@code otherwise} where it is absent. */
  public double real(String attribute, double otherwise) {
    return has(attribute) ? get(attribute, Float.class, "a float") : otherwise;
  }

  /** A text attribute, or {@code otherwise} where it is absent. */
  public String text(String attribute, String otherwise) {
    return has(attribute) ? get(attribute, String.class, "a text") : otherwise;
  }

  /** An integer list attribute, or null where it is absent. */
  public long[] integers(String attribute) {
    return has(attribute)
        ? list(attribute, Long.class, "a list of integers").mapToLong(v -> v).toArray()
        : null;
  }

  /** A float list attribute, or null where it is absent. */
  public double[] reals(String attribute) {
    return has(attribute)
        ? list(attribute, Float.class, "a list of floats").mapToDouble(v -> v).toArray()
        : null;
  }

  /** A tensor attribute. */
  public Tensor tensor(String attribute) {
    return get(attribute, Tensor.class, "a tensor");
  }

  private <T> T get(String attribute, Class<T> type, String kind) {
    Object value = attributes.get(attribute);
    if (!type.isInstance(value)) {
      throw wrong(attribute, kind);
    }
    return type.cast(value);
  }

  private <T> Stream<T> list(String attribute, Class<T> type, String kind) {
    List<?> list = get(attribute, List.class, kind);
    if (!list.stream().allMatch(type::isInstance)) {
      throw wrong(attribute, kind);
    }
    return list.stream().map(type::cast);
  }

  private InputException wrong(String attribute, String kind) {
    return new InputException(
        "the attribute " + attribute + " of node " + name + " (" + op + ") must be " + kind);
  }

  /** Operator with its domain, as messages show it. */
  public String qualifiedOp() {
    return domain.isEmpty() ? op : domain + "." + op;
  }
}
