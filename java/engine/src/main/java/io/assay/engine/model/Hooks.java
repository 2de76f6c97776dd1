package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.internal.EditDistance;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The hook points of a model: names that the interpretability community uses (those of
 * TransformerLens), each bound to a value of the model's graph.
 *
 * @param values value of each hook, by hook name, in the order of computation
 */
public record Hooks(Map<String, String> values) {
  public Hooks {
    values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
  }

  /** The hooks of a graph whose values carry the hooks' names. */
  static Hooks ofNames(Graph graph) {
    Map<String, String> values = new LinkedHashMap<>();
    for (Node node : graph.nodes()) {
      for (String value : node.outputs()) {
        if (value.contains("hook_")) {
          values.put(value, value);
        }
      }
    }
    return new Hooks(values);
  }

  /** The hook names, in the order of computation. */
  public List<String> names() {
    return List.copyOf(values.keySet());
  }

  /**
   * The graph value that a hook name, or a weight, input or value of the graph, stands for.
   *
   * @throws InputException if there is no such name
   */
  public String resolve(Graph graph, String name) {
    String value = values.get(name);
    if (value != null) {
      return value;
    }
    if (graph.has(name)) {
      return name;
    }
    String bare = Gpt2Weights.bare(name);
    for (String candidate : List.of(bare, Gpt2Weights.PREFIX + bare)) {
      if (graph.has(candidate)) {
        return candidate;
      }
    }
    List<String> all = new ArrayList<>(values.keySet());
    all.addAll(graph.values());
    throw new InputException(
        "the model "
            + graph.name()
            + " has no hook, weight or value "
            + name
            + EditDistance.near(name, all)
            + "; `models info MODEL --values` lists all");
  }

  /**
   * The graph in which {@code blocks.L.attn.hook_result} [row, position, head, width], what each
   * head adds to the residual stream, is a value for every block that {@code names} asks for. It is
   * as large as the heads' number of residual streams, so that no graph has it unasked; the
   * attention output is then the sum over the heads.
   */
  public Graph withResults(Graph graph, Collection<String> names) {
    Graph derived = graph;
    for (String name : names) {
      if (name.endsWith(HeadResults.HOOK) && !derived.has(name)) {
        String at = name.substring(0, name.length() - HeadResults.HOOK.length());
        derived = HeadResults.add(derived, resolve(derived, at + "hook_z"), name);
      }
    }
    return derived;
  }

  /** The graph with the values of some hooks as further outputs, under the hooks' names. */
  public Graph expose(Graph graph, Collection<String> hooks) {
    Graph derived = withResults(graph, hooks);
    Graph.Builder b = derived.edit();
    for (String hook : hooks) {
      String value = resolve(derived, hook);
      if (!derived.has(hook)) {
        b.op(hook, "Identity", Map.of(), value);
      }
      b.output(hook);
    }
    return b.build();
  }
}
