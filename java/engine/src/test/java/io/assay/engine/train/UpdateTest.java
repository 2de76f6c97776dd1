package io.assay.engine.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Updates of a loss that is differentiated by hand, {@code sum of x (matrix^2 + bias^3)}. */
class UpdateTest {
  private static final int SIZE = 5;
  private static final double[] START = {1, -2, 0.5, 3, -0.25};

  /** Clipped gradients, schedule, decay of the matrix alone, both moments: in plain doubles. */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F64"})
  void updatesFollowTheFormula(DType dtype) {
    TrainSpec spec =
        TrainSpec.of(8, 0.1)
            .withSchedule(Schedule.LINEAR, 2)
            .withBetas(0.8, 0.9)
            .withEpsilon(1e-3)
            .withWeightDecay(0.3, TrainSpec.BIASES_AND_NORMS)
            .withClip(8);
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(2));
        Trainer trainer = Trainer.open(engine, objective(dtype), spec, UpdateTest::data)) {
      double[] w = new double[2 * SIZE];
      double[] m = new double[2 * SIZE];
      double[] v = new double[2 * SIZE];
      for (int i = 0; i < 2 * SIZE; i++) {
        w[i] = START[i % SIZE];
      }
      boolean clipped = false;
      boolean free = false;
      for (int t = 1; t <= 8; t++) {
        double[] g = new double[2 * SIZE];
        double square = 0;
        double loss = 0;
        for (int i = 0; i < SIZE; i++) {
          double x = x(t - 1, i);
          g[i] = 2 * x * w[i];
          g[SIZE + i] = 3 * x * w[SIZE + i] * w[SIZE + i];
          square += g[i] * g[i] + g[SIZE + i] * g[SIZE + i];
          loss += x * (w[i] * w[i] + Math.pow(w[SIZE + i], 3));
        }
        double norm = Math.sqrt(square);
        double scale = Math.min(1, 8 / (norm + 1e-6));
        clipped |= scale < 1;
        free |= scale == 1;
        double rate = 0.1 * (t <= 2 ? (t - 1) / 2.0 : (9 - t) / 6.0);
        for (int i = 0; i < 2 * SIZE; i++) {
          double clippedGradient = scale * g[i];
          w[i] -= i < SIZE ? rate * 0.3 * w[i] : 0;
          m[i] = 0.8 * m[i] + 0.2 * clippedGradient;
          v[i] = 0.9 * v[i] + 0.1 * clippedGradient * clippedGradient;
          double root = Math.sqrt(v[i] / (1 - Math.pow(0.9, t))) + 1e-3;
          w[i] -= rate * m[i] / (1 - Math.pow(0.8, t)) / root;
        }
        Trainer.Update update = trainer.update();
        // Eight steps of a few roundings each, on values up to 27.
        double bound = dtype == DType.F64 ? 1e-12 : 2e-5;
        assertEquals(loss, update.loss(), bound);
        assertEquals(norm, update.gradientNorm(), bound);
        assertEquals(rate, update.learningRate(), 1e-16);
        for (int i = 0; i < SIZE; i++) {
          String at = " at " + i + " after step " + t;
          assertEquals(w[i], trainer.weights().get("matrix").get(i), bound, "matrix" + at);
          assertEquals(w[SIZE + i], trainer.weights().get("a.bias").get(i), bound, "bias" + at);
        }
      }
      assertTrue(clipped && free, "both cases occur");
    }
  }

  private static void data(long batch, Map<String, Tensor> inputs) {
    for (int i = 0; i < SIZE; i++) {
      inputs.get("x").set(i, x(batch, i));
    }
  }

  /** Multiples of 1/4, which are exact in float32. */
  private static double x(long batch, int i) {
    return (1 + (batch + i) % 3) / (batch > 3 ? 8.0 : 4.0);
  }

  private static Objective objective(DType dtype) {
    Graph.Builder b = Graph.builder("by hand").opset("", 17);
    b.input("x", TensorType.of(dtype, SIZE));
    b.constant("matrix", start(dtype));
    b.constant("a.bias", start(dtype));
    b.op("square", "Mul", Map.of(), "matrix", "matrix");
    b.op("square.bias", "Mul", Map.of(), "a.bias", "a.bias");
    b.op("cube", "Mul", Map.of(), "square.bias", "a.bias");
    b.op("both", "Add", Map.of(), "square", "cube");
    b.op("weighted", "Mul", Map.of(), "x", "both");
    b.op("loss", "ReduceSum", Map.of("keepdims", 0L), "weighted");
    Graph g =
        b.output("loss")
            .build()
            .specialise(
                Map.of(),
                (graph, inputs) -> {
                  throw new AssertionError("nothing is folded");
                });
    return new Objective(g, "loss", List.of("matrix", "a.bias"), SIZE);
  }

  private static Tensor start(DType dtype) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, SIZE);
    for (int i = 0; i < SIZE; i++) {
      t.set(i, START[i]);
    }
    return t;
  }

  /** Those of the transformers library: {@code get_*_schedule_with_warmup}, 10 steps, 4 warm-up. */
  @ParameterizedTest
  @EnumSource(Schedule.class)
  void schedulesHaveTheirClosedForm(Schedule schedule) {
    double[] up = {0, 0.25, 0.5, 0.75};
    double[] down =
        switch (schedule) {
          case CONSTANT -> new double[] {1, 1, 1, 1, 1, 1};
          case LINEAR -> new double[] {1, 5 / 6.0, 4 / 6.0, 3 / 6.0, 2 / 6.0, 1 / 6.0};
          // (1 + cos(k pi / 6)) / 2
          case COSINE ->
              new double[] {1, (2 + Math.sqrt(3)) / 4, 0.75, 0.5, 0.25, (2 - Math.sqrt(3)) / 4};
        };
    for (int s = 0; s < 10; s++) {
      assertEquals(s < 4 ? up[s] : down[s - 4], schedule.factor(s, 4, 10), 1e-15, "update " + s);
    }
    assertEquals(1, schedule.factor(0, 0, 10), 0);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"bias", "h.0.ln_1.weight", "transformer.ln_f.weight", "h.3.attn.c_attn.bias"})
  void biasesAndNormsDoNotDecay(String name) {
    assertTrue(name.matches(TrainSpec.BIASES_AND_NORMS));
    assertTrue(name.matches(TrainSpec.ALL_BUT_MATRICES));
  }

  @ParameterizedTest
  @ValueSource(strings = {"wte.weight", "transformer.wpe.weight"})
  void embeddingsDecayUnlessExcepted(String name) {
    assertTrue(!name.matches(TrainSpec.BIASES_AND_NORMS));
    assertTrue(name.matches(TrainSpec.ALL_BUT_MATRICES));
  }

  @ParameterizedTest
  @ValueSource(strings = {"h.0.attn.c_attn.weight", "lm_head.weight", "h.0.mlp.c_proj.weight"})
  void matricesDecay(String name) {
    assertTrue(!name.matches(TrainSpec.ALL_BUT_MATRICES));
  }
}
