package io.assay.bench;

import io.assay.app.bench.Question;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.kernel.PortableKernels;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A question to kernels of the tier asked for, on so many threads, and how it is timed: in Assay's
 * way and as a graph of ONNX Runtime. Answers are checked before they are timed.
 *
 * @param <Q> the question
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xmx4g", "--enable-native-access=ALL-UNNAMED"})
public abstract class KernelState<Q extends Question> {
  /** {@code best}, {@code java}, or a tier that {@code assay doctor} shows as present. */
  @Param({"best", "scalar", "java"})
  public String tier;

  @Param("1")
  public int threads;

  Engine engine;
  Kernels kernels;
  Q question;

  /** The question, to {@link #kernels}. */
  abstract Q ask();

  /** Makes the question and checks the answers. */
  @Setup
  public void prepare() {
    engine = Engine.open(EngineOptions.defaults().withThreads(threads));
    kernels =
        switch (tier) {
          case "best" -> Kernels.open(threads);
          case "java" -> new PortableKernels(threads);
          default -> CpuKernels.open(threads, tier);
        };
    question = ask();
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

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    question.close();
    kernels.close();
    engine.close();
  }
}
