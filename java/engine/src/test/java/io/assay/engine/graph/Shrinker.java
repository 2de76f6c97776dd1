package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Makes a failing graph smaller: fewer and smaller decisions, which leave out nodes and shrink
 * shapes, then cuts of the graph itself.
 */
final class Shrinker {
  /** Graphs tried at most. */
  private static final int TRIES = 3000;

  private final String name;
  private final Predicate<RandomGraph.Sample> fails;
  private int tries;
  private List<List<Integer>> blocks;
  private RandomGraph.Sample smallest;

  private Shrinker(String name, Choices failing, Predicate<RandomGraph.Sample> fails) {
    this.name = name;
    this.fails = fails;
    this.blocks = copy(failing.blocks());
    this.smallest = RandomGraph.draw(name, Choices.replayed(copy(blocks)));
  }

  /** The smallest graph found that still fails. */
  static RandomGraph.Sample shrink(
      String name, Choices failing, Predicate<RandomGraph.Sample> fails) {
    Shrinker s = new Shrinker(name, failing, fails);
    while (s.tries < TRIES && (s.fewerSteps() || s.smallerChoices())) {
      // Until nothing helps any more.
    }
    while (s.tries < TRIES && (s.laterStart() || s.earlierEnd())) {
      // The same.
    }
    return s.smallest;
  }

  private static List<List<Integer>> copy(List<List<Integer>> blocks) {
    return new ArrayList<>(blocks.stream().map(b -> (List<Integer>) new ArrayList<>(b)).toList());
  }

  private boolean accept(List<List<Integer>> fewer) {
    tries++;
    RandomGraph.Sample sample = RandomGraph.draw(name, Choices.replayed(copy(fewer)));
    if (!fails.test(sample)) {
      return false;
    }
    blocks = fewer;
    smallest = sample;
    return true;
  }

  private boolean fewerSteps() {
    boolean better = false;
    for (int i = blocks.size() - 1; i > 0; i--) {
      List<List<Integer>> fewer = copy(blocks);
      fewer.remove(i);
      better |= accept(fewer);
    }
    return better;
  }

  private boolean smallerChoices() {
    boolean better = false;
    for (int i = 0; i < blocks.size(); i++) {
      for (int j = 0; j < blocks.get(i).size() && tries < TRIES; j++) {
        int value = blocks.get(i).get(j);
        for (int smaller : new int[] {0, value / 2, value - 1}) {
          if (smaller < blocks.get(i).get(j) && smaller >= 0) {
            List<List<Integer>> fewer = copy(blocks);
            fewer.get(i).set(j, smaller);
            better |= accept(fewer);
          }
        }
      }
    }
    return better;
  }

  private boolean accept(Graph g, Map<String, Tensor> values) {
    tries++;
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    g.inputs().forEach(v -> inputs.put(v, values.get(v)));
    RandomGraph.Sample sample = new RandomGraph.Sample(g, inputs);
    if (g.nodes().size() >= smallest.graph().nodes().size() || !fails.test(sample)) {
      return false;
    }
    smallest = sample;
    return true;
  }

  private boolean earlierEnd() {
    Graph g = smallest.graph();
    return g.nodes().stream()
        .anyMatch(n -> accept(g.slice(List.of(), List.of(n.output(0))), smallest.inputs()));
  }

  /** A float value becomes an input. */
  private boolean laterStart() {
    Graph g = smallest.graph();
    Map<String, Array64> values = new LinkedHashMap<>();
    smallest.inputs().forEach((v, t) -> values.put(v, Array64.of(t)));
    g.constants().forEach((v, t) -> values.put(v, Array64.of(t)));
    Reference.run(g.nodes(), values);
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    values.forEach((v, x) -> tensors.put(v, x.tensor()));
    for (Node n : g.nodes().reversed()) {
      String v = n.output(0);
      if (values.get(v).dtype() == DType.F32 && !g.outputs().contains(v)) {
        TensorType type = TensorType.of(DType.F32, values.get(v).longShape());
        Graph cut = g.edit().type(v, type).build().slice(List.of(v), g.outputs());
        if (accept(cut, tensors)) {
          return true;
        }
      }
    }
    return false;
  }
}
