package io.assay.bench;

import io.assay.app.bench.SwapQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** The best 32 of 50257 tokens by score; answers are checked before they are timed. */
public class TokenSwapTopk extends KernelState<SwapQuestion> {
  /** Audits that are scored at once. */
  @Param({"1", "8", "32"})
  public int audits;

  /** Whether the kernel has an 8-bit table beside the float32 one. */
  @Param({"false", "true"})
  public boolean coarse;

  @Override
  SwapQuestion ask() {
    return new SwapQuestion(engine, kernels, audits, coarse);
  }

  /** All scores, all sorted, in plain Java; the tier does not matter. */
  @Benchmark
  public int[][] naive() {
    return question.naive();
  }
}
