package io.assay.bench;

import io.assay.app.bench.GridQuestion;
import org.openjdk.jmh.annotations.Benchmark;

/** A grokking network on all pairs mod 113; answers are checked before they are timed. */
public class GrokGrid extends KernelState<GridQuestion> {
  @Override
  GridQuestion ask() {
    return new GridQuestion(engine, kernels);
  }

  /** Pair by pair, in plain Java; the tier does not matter. */
  @Benchmark
  public double[][] naive() {
    return question.naive();
  }
}
