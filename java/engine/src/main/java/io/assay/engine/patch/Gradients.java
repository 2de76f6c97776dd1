package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A compiled graph with gradients: from inputs and upstream gradients to values and the gradients
 * with respect to others.
 */
final class Gradients implements AutoCloseable {
  private final Session session;
  private final Map<String, String> seeds = new LinkedHashMap<>();
  private final Map<String, String> gradients;

  /**
   * @param graph of fixed shapes
   * @param of values that upstream gradients are given for
   * @param wrt values whose gradients are wanted
   * @param also further values that are wanted themselves
   */
  Gradients(Engine engine, Graph graph, List<String> of, List<String> wrt, List<String> also) {
    of.forEach(value -> seeds.put(value, value + ".seed"));
    Gradient derived = graph.differentiate(seeds, wrt);
    gradients = derived.gradients();
    List<String> outputs = new ArrayList<>(gradients.values());
    outputs.addAll(also);
    Graph whole = derived.graph().expose(outputs.toArray(String[]::new));
    session = engine.compile(whole.slice(whole.inputs(), outputs));
  }

  /**
   * Runs forward and backward.
   *
   * @param inputs of the graph
   * @param upstream gradient of each differentiated value
   * @return values by their names, gradients as {@code grad.NAME}
   */
  Map<String, Tensor> run(Map<String, Tensor> inputs, Map<String, Tensor> upstream) {
    Map<String, Tensor> all = new LinkedHashMap<>(inputs);
    upstream.forEach((value, seed) -> all.put(seeds.get(value), seed));
    Map<String, Tensor> results = new LinkedHashMap<>(session.run(all));
    gradients.forEach((value, name) -> results.put("grad." + value, results.get(name)));
    return results;
  }

  @Override
  public void close() {
    session.close();
  }
}
