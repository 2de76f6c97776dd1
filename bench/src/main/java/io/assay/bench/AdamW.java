package io.assay.bench;

import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/** One AdamW step; the first is checked against the formula. One element times the call itself. */
@OutputTimeUnit(TimeUnit.MICROSECONDS)
public class AdamW extends KernelState {
  private static final Kernels.AdamW SETTINGS = new Kernels.AdamW(1e-3, 0.9, 0.999, 1e-8, 0.01);

  @Param({"1", "1000000"})
  public int parameters;

  private Tensor p;
  private Tensor g;
  private Tensor m;
  private Tensor v;

  /** Makes parameters of 1 and gradients of 0.5, takes a step and checks it. */
  @Setup
  public void prepare() {
    open();
    p = all(1);
    g = all(0.5);
    m = all(0);
    v = all(0);
    step();
    // With bias correction the first step is lr * g / (|g| + eps).
    double wanted = 1 - 1e-3 * 0.01 - 1e-3 * 0.5 / (0.5 + 1e-8);
    if (Math.abs(p.get(parameters - 1) - wanted) > 1e-7) {
      throw new IllegalStateException(
          "the first AdamW step gives " + p.get(parameters - 1) + ", not " + wanted);
    }
  }

  private Tensor all(double value) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, parameters);
    for (int i = 0; i < parameters; i++) {
      t.set(i, value);
    }
    return t;
  }

  /** The step. */
  @Benchmark
  public void step() {
    kernels.adamw(
        Matrix.vector(p), Matrix.vector(g), Matrix.vector(m), Matrix.vector(v), SETTINGS, 1);
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    close();
  }
}
