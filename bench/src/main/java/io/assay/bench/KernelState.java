package io.assay.bench;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.PortableKernels;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * An engine, and kernels of the tier asked for, on so many threads; and how benchmarks of kernels
 * are timed.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xmx4g", "--enable-native-access=ALL-UNNAMED"})
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
