package io.assay.bench;

import io.assay.app.bench.AttentionQuestion;
import org.openjdk.jmh.annotations.Benchmark;

/** The attention of a block in a sweep; answers are checked before they are timed. */
public class SuffixAttention extends KernelState<AttentionQuestion> {
  @Override
  AttentionQuestion ask() {
    return new AttentionQuestion(engine, kernels);
  }

  /** One row and head after the other, in plain Java; the tier does not matter. */
  @Benchmark
  public double[][] naive() {
    return question.naive();
  }
}
