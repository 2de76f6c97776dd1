package io.assay.bench;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.PortableKernels;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** An engine, and kernels of the tier asked for, on so many threads. */
@State(Scope.Benchmark)
public class KernelState {
  /** {@code best}, {@code java}, or a tier that {@code assay doctor} shows as present. */
  @Param({"best", "scalar", "java"})
  public String tier;

  @Param("1")
  public int threads;

  Engine engine;
  Kernels kernels;

  void open() {
    engine = Engine.open(EngineOptions.defaults().withThreads(threads));
    kernels =
        switch (tier) {
          case "best" -> Kernels.open(threads);
          case "java" -> new PortableKernels(threads);
          default -> CpuKernels.open(threads, tier);
        };
  }

  void close() {
    kernels.close();
    engine.close();
  }
}
