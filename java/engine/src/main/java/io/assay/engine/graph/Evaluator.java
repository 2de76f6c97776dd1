package io.assay.engine.graph;

import io.assay.engine.tensor.Tensor;
import java.util.Map;

/**
 * Runs a graph once. The graph package folds constants through this interface and so stays below
 * the session package, which implements it.
 */
@FunctionalInterface
public interface Evaluator {
  /** Values of all outputs of {@code graph}, by name, in memory of their own. */
  Map<String, Tensor> evaluate(Graph graph, Map<String, Tensor> inputs);
}
