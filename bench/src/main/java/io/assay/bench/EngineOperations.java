package io.assay.bench;

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

  private Engine engine;
  private Graph graph;
  private Session session;
  private Binding binding;

  /** Makes the chain and checks its gradient. */
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
    Tensor zero = Tensor.allocate(Arena.ofAuto(), DType.F32, 1, WIDTH);
    Tensor one = Tensor.ofFloats(new float[] {1, 1, 1, 1}, 1, WIDTH);
    String name = gradient.gradients().get("x0");
    binding =
        session.bind(
            Map.of("x0", zero, "seed", one),
            Map.of(
                "x" + LAYERS,
                Tensor.allocate(Arena.ofAuto(), DType.F32, 1, WIDTH),
                name,
                Tensor.allocate(Arena.ofAuto(), DType.F32, 1, WIDTH)));
    run();
    if (binding.tensor(name).get(0) != 1) {
      throw new IllegalStateException(
          "the slope of tanh at 0 is 1, not " + binding.tensor(name).get(0));
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

  /** Releases everything. */
  @TearDown
  public void tearDown() {
    binding.close();
    session.close();
    engine.close();
  }
}
