package io.assay.bench;

import io.assay.app.bench.AdamWQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** One AdamW step; answers are checked before they are timed. */
public class AdamW extends KernelState<AdamWQuestion> {
  @Param("1000000")
  public int parameters;

  @Override
  AdamWQuestion ask() {
    return new AdamWQuestion(engine, kernels, parameters);
  }

  /** A loop over arrays in plain Java; the tier does not matter. */
  @Benchmark
  public float[] naive() {
    return question.naive();
  }
}
