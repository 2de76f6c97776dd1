package io.assay.bench;

import io.assay.app.bench.HeadQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** The output head without logits; answers are checked before they are timed. */
public class Heads extends KernelState<HeadQuestion> {
  @Param({"8", "96"})
  public int rows;

  /** Log-probability and its companions, or the gradient. */
  @Param({"rows", "backward"})
  public String kind;

  @Override
  HeadQuestion ask() {
    return new HeadQuestion(engine, kernels, rows, kind.equals("backward"));
  }

  /** All logits, one row after the other, in plain Java; the tier does not matter. */
  @Benchmark
  public double[][] naive() {
    return question.naive();
  }
}
