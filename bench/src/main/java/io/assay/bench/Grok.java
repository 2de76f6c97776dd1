package io.assay.bench;

import io.assay.app.bench.GrokQuestion;
import java.util.Map;
import org.openjdk.jmh.annotations.Benchmark;

/** Losses and gradients of a grokking network; answers are checked before they are timed. */
public class Grok extends KernelState<GrokQuestion> {
  @Override
  GrokQuestion ask() {
    return new GrokQuestion(engine, kernels);
  }

  /** Pair by pair, in plain Java and float64; the tier does not matter. */
  @Benchmark
  public Map<String, double[]> naive() {
    return question.naive();
  }
}
