package io.assay.engine.graph;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A graph with its reverse-mode gradient appended.
 *
 * @param original the graph that was differentiated
 * @param graph the whole: all outputs of the original, and the gradients
 * @param seeds name of the input that carries the upstream gradient, by seeded value
 * @param gradients name of the output that holds the gradient, by value asked for; it has the
 *     value's own shape and type
 */
public record Gradient(
    Graph original, Graph graph, Map<String, String> seeds, Map<String, String> gradients) {
  /** Operators that say how a value is looked at; its elements stay. */
  private static final Set<String> VIEWS = Set.of("Identity", "Reshape", "Transpose");

  /**
   * Cuts between the original nodes and the appended ones; joined, the halves equal the whole. Of
   * what is only looked at otherwise, turned or in another shape, the backward half gets the
   * original: the runtime would make a copy to hand it over.
   */
  public Split split() {
    Set<String> carried = new LinkedHashSet<>();
    for (Node node : graph.nodes()) {
      if (original.producer(node.outputs().getFirst()) == null) {
        node.inputs().stream()
            .filter(v -> original.producer(v) != null)
            .map(this::viewed)
            .forEach(carried::add);
      }
    }
    Collection<String> outputs = new LinkedHashSet<>(gradients.values());
    return new Split(
        original.expose(carried.toArray(String[]::new)),
        graph.slice(carried, outputs),
        List.copyOf(carried));
  }

  /** The computed value that a value is a view of, or it itself. */
  private String viewed(String value) {
    Node node = original.producer(value);
    while (VIEWS.contains(node.qualifiedOp())
        && original.producer(node.input(0)) != null
        && original.type(node.input(0)) != null
        && node.inputs().stream().skip(1).allMatch(v -> original.constant(v) != null)) {
      value = node.input(0);
      node = original.producer(value);
    }
    return value;
  }
}
