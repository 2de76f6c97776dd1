package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.assay.engine.graph.Gradient;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Rows that were picked many times get every gradient, on several threads too. */
class SharedSumsTest {
  private static final int ROWS = 114;
  private static final int WIDTH = 128;
  private static final int PICKS = 11_490;

  @ParameterizedTest
  @ValueSource(strings = {"Gather", "GatherND"})
  void noSumIsLost(String op) {
    Random random = new Random(20261130);
    long[] picks = random.longs(PICKS, 0, ROWS).toArray();
    float[] upstream = new float[PICKS * WIDTH];
    double[] wanted = new double[ROWS * WIDTH];
    for (int i = 0; i < upstream.length; i++) {
      // Small whole numbers: their sums are exact in any order.
      upstream[i] = random.nextInt(16) - 8;
      wanted[(int) picks[i / WIDTH] * WIDTH + i % WIDTH] += upstream[i];
    }
    Graph.Builder b = Graph.builder("picks").opset("", 18);
    b.input("table", TensorType.of(DType.F32, ROWS, WIDTH));
    long[] shape = op.equals("Gather") ? new long[] {PICKS} : new long[] {PICKS, 1};
    b.constant("picks", Tensor.ofLongs(picks, shape));
    b.op("picked", op, Map.of(), "table", "picks");
    b.type("picked", TensorType.of(DType.F32, PICKS, WIDTH));
    Gradient gradient =
        b.output("picked").build().differentiate(Map.of("picked", "seed"), List.of("table"));
    Map<String, Tensor> inputs =
        Map.of(
            "table",
            Tensor.allocate(Arena.ofAuto(), DType.F32, ROWS, WIDTH),
            "seed",
            Tensor.ofFloats(upstream, PICKS, WIDTH));
    try (Session session = Session.compile(gradient.graph(), SessionOptions.cpu(2))) {
      for (int run = 0; run < 100; run++) {
        assertArrayEquals(wanted, session.run(inputs).get("table.grad").toDoubles());
      }
    }
  }
}
