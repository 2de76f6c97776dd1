package io.assay.bench;

import io.assay.app.bench.ArcaLockstepQuestion;
import io.assay.app.bench.ArcaUpdateQuestion;
import io.assay.app.bench.GradientQuestion;
import io.assay.app.bench.Question;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
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
 * Gradients and ARCA at GPT-2 small's shape. ARCA's runs include compilation here; {@code assay
 * bench} times the updates alone.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 1)
@Measurement(iterations = 3)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xss512m", "-Xmx8g", "--enable-native-access=ALL-UNNAMED"})
public class Gpt2 {
  /** What is asked. */
  @Param({"gradient of inputs", "gradient of weights", "arca update", "arca lockstep"})
  public String question;

  @Param("1")
  public int threads;

  private Engine engine;
  private Question asked;

  /** Makes the model and checks the answer. */
  @Setup
  public void prepare() {
    engine = Engine.open(EngineOptions.defaults().withThreads(threads));
    asked =
        switch (question) {
          case "gradient of inputs" -> GradientQuestion.gpt2(engine, 64, 5, false);
          case "gradient of weights" -> GradientQuestion.gpt2(engine, 64, 5, true);
          case "arca update" -> new ArcaUpdateQuestion(engine, 0);
          case "arca lockstep" -> new ArcaLockstepQuestion(engine, 4);
          default -> throw new IllegalArgumentException("no question " + question);
        };
    asked.check();
  }

  /** In Assay's way. */
  @Benchmark
  public void ours() {
    asked.ours();
  }

  /** In the other way. */
  @Benchmark
  public void other() {
    asked.other();
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    asked.close();
    engine.close();
  }
}
