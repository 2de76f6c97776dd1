package io.assay.bench;

import io.assay.app.bench.SwapQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/** The best 32 of 50257 tokens by score; answers are checked before they are timed. */
public class TokenSwapTopk extends KernelState {
  /** Audits that are scored at once. */
  @Param({"1", "8", "32"})
  public int audits;

  /** Whether the kernel has a 16-bit table beside the float32 one. */
  @Param({"false", "true"})
  public boolean coarse;

  private SwapQuestion question;

  /** Makes the tables and checks the answers. */
  @Setup
  public void prepare() {
    open();
    question = new SwapQuestion(engine, kernels, audits, coarse);
    question.check();
  }

  /** The kernel of the tier. */
  @Benchmark
  public void kernel() {
    question.ours();
  }

  /** The same question as a graph of ONNX Runtime; the tier does not matter. */
  @Benchmark
  public void graph() {
    question.other();
  }

  /** All scores, all sorted, in plain Java; the tier does not matter. */
  @Benchmark
  public int[][] naive() {
    return question.naive();
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    question.close();
    close();
  }
}
