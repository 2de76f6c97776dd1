package io.assay.bench;

import io.assay.app.bench.HeadQuestion;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/** The output head without logits; answers are checked before they are timed. */
public class Heads extends KernelState {
  @Param({"8", "96"})
  public int rows;

  /** Log-probability and its companions, or the gradient. */
  @Param({"rows", "backward"})
  public String kind;

  private HeadQuestion question;

  /** Makes the tables and checks the answers. */
  @Setup
  public void prepare() {
    open();
    question = new HeadQuestion(engine, kernels, rows, kind.equals("backward"));
    question.check();
  }

  /** The kernel of the tier. */
  @Benchmark
  public void kernel() {
    question.ours();
  }

  /** The same question as a graph of ONNX Runtime that writes logits; the tier does not matter. */
  @Benchmark
  public void graph() {
    question.other();
  }

  /** All logits, one row after the other, in plain Java; the tier does not matter. */
  @Benchmark
  public double[][] naive() {
    return question.naive();
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    question.close();
    close();
  }
}
