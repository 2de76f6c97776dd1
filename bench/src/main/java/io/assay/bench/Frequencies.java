package io.assay.bench;

import io.assay.app.bench.FrequencyQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Losses without each of 56 frequencies; answers are checked before they are timed. */
public class Frequencies extends KernelState<FrequencyQuestion> {
  /** Over all pairs, or as many as the published run was trained on. */
  @Param({"false", "true"})
  public boolean all;

  @Override
  FrequencyQuestion ask() {
    return new FrequencyQuestion(engine, kernels, all);
  }

  /** A projection for each frequency, in plain Java; the tier does not matter. */
  @Benchmark
  public double[] naive() {
    return question.naive();
  }
}
