package io.assay.bench;

import io.assay.app.bench.AdamWQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/** One AdamW step; answers are checked before they are timed. */
public class AdamW extends KernelState {
  @Param("1000000")
  public int parameters;

  private AdamWQuestion question;

  /** Makes the vectors and checks the answers. */
  @Setup
  public void prepare() {
    open();
    question = new AdamWQuestion(engine, kernels, parameters);
    question.check();
  }

  /** The kernel of the tier. */
  @Benchmark
  public void kernel() {
    question.ours();
  }

  /** The same step as a graph of ONNX Runtime; the tier does not matter. */
  @Benchmark
  public void graph() {
    question.other();
  }

  /** A loop over arrays in plain Java; the tier does not matter. */
  @Benchmark
  public float[] naive() {
    return question.naive();
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    question.close();
    close();
  }
}
