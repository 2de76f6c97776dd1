package io.assay.bench;

import io.assay.app.bench.AdamWQuestion;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** What the engine itself costs: a chain of 48 layers, each one small product and a tanh. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"-Xss512m", "--enable-native-access=ALL-UNNAMED"})
public class EngineOperations {
  private static final int LAYERS = 48;
  private static final int WIDTH = 4;

  private static final double START = 0.3;

  private Engine engine;
  private Graph graph;
  private Session session;
  private Binding binding;
  private AdamWQuestion one;

  /** Makes the chain and checks it and its gradient; checks the call. */
  @Setup
  public void prepare() {
    engine = Engine.open(EngineOptions.defaults().withThreads(1));
    Graph.Builder b =
        Graph.builder("chain").opset("", 17).input("x0", TensorType.of(DType.F32, 1, WIDTH));
    float[] identity = new float[WIDTH * WIDTH];
    for (int i = 0; i < WIDTH; i++) {
      identity[i * WIDTH + i] = 1;
    }
    b.constant("w", Tensor.ofFloats(identity, WIDTH, WIDTH));
    for (int i = 0; i < LAYERS; i++) {
      b.op("p" + i, "MatMul", Map.of(), "x" + i, "w");
      b.op("x" + (i + 1), "Tanh", Map.of(), "p" + i);
    }
    graph = b.output("x" + LAYERS).build().specialise(Map.of(), engine.evaluator());
    Gradient gradient = derive();
    session = engine.compile(gradient.graph());
    float x = (float) START;
    Tensor start = Tensor.ofFloats(new float[] {x, x, x, x}, 1, WIDTH);
    Tensor seed = Tensor.ofFloats(new float[] {1, 1, 1, 1}, 1, WIDTH);
    String name = gradient.gradients().get("x0");
    binding =
        session.bind(
            Map.of("x0", start, "seed", seed),
            Map.of(
                "x" + LAYERS,
                Tensor.allocate(Arena.ofAuto(), DType.F32, 1, WIDTH),
                name,
                Tensor.allocate(Arena.ofAuto(), DType.F32, 1, WIDTH)));
    run();
    double value = START;
    double slope = 1;
    for (int i = 0; i < LAYERS; i++) {
      value = Math.tanh(value);
      slope *= 1 - value * value;
    }
    require("value", value, binding.tensor("x" + LAYERS));
    require("slope", slope, binding.tensor(name));
    try (Session forward = engine.compile(graph)) {
      require("value alone", value, forward.run(Map.of("x0", start)).get("x" + LAYERS));
    }
    one = new AdamWQuestion(engine, engine.kernels(), 1);
    one.check();
  }

  /** Each of 48 layers rounds twice, and contracts what was rounded before. */
  private static void require(String what, double wanted, Tensor got) {
    for (int i = 0; i < WIDTH; i++) {
      if (!(Math.abs(got.get(i) - wanted) <= 1e-5 * wanted)) {
        throw new IllegalStateException(
            "the chain's %s is %.9g, not %.9g".formatted(what, got.get(i), wanted));
      }
    }
  }

  /** Appends the gradient. */
  @Benchmark
  public Gradient derive() {
    return graph.differentiate(Map.of("x" + LAYERS, "seed"), List.of("x0"));
  }

  /** Compiles and releases. */
  @Benchmark
  public void compile() {
    engine.compile(graph).close();
  }

  /** One run of forward and gradient, bound: the cost of the nodes and of the call. */
  @Benchmark
  public void run() {
    binding.run();
  }

  /** A kernel's work on one number: the checks of its arguments and the call of native code. */
  @Benchmark
  public void call() {
    one.ours();
  }

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    one.close();
    binding.close();
    session.close();
    engine.close();
  }
}
