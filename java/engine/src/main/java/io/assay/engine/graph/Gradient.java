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
  /** Cuts between the original nodes and the appended ones; joined, the halves equal the whole. */
  public Split split() {
    Set<String> carried = new LinkedHashSet<>();
    for (Node node : graph.nodes()) {
      if (original.producer(node.outputs().getFirst()) == null) {
        node.inputs().stream().filter(v -> original.producer(v) != null).forEach(carried::add);
      }
    }
    Collection<String> outputs = new LinkedHashSet<>(gradients.values());
    return new Split(
        original.expose(carried.toArray(String[]::new)),
        graph.slice(carried, outputs),
        List.copyOf(carried));
  }
}
