package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Assay's own operators against the standard ones that they replace, by the bit. */
class OwnOperatorsTest {
  private final Random random = new Random(12);

  @BeforeEach
  void library() {
    assumeTrue(CpuKernels.library() != null, "there is no native library here");
  }

  /** Few different values, so that windows have ties; with infinities. */
  private Tensor drawn(long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      int n = random.nextInt(40);
      t.set(i, n == 0 ? Float.NEGATIVE_INFINITY : n == 1 ? Float.POSITIVE_INFINITY : n % 7 - 3);
    }
    return t;
  }

  private static long[] bits(Map<String, Tensor> outputs, String name) {
    Tensor t = outputs.get(name);
    long[] bits = new long[(int) t.elements()];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Double.doubleToRawLongBits(t.get(i));
    }
    return bits;
  }

  private static void assertSame(Graph graph, String op, Map<String, Tensor> inputs, String name) {
    Graph own = graph.withOwnOperators();
    assertEquals(
        1, own.nodes().stream().filter(n -> n.op().equals(op)).count(), own.nodes()::toString);
    long[] want;
    try (Session session = Session.create(graph, SessionOptions.cpu(1))) {
      want = bits(session.run(inputs), name);
    }
    for (int threads : new int[] {1, 2}) {
      try (Session session = Session.compile(graph, SessionOptions.cpu(threads))) {
        assertArrayEquals(want, bits(session.run(inputs), name));
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 5, 7, 3, 2, 1, 1, NOTSET, 0",
    "2, 3, 8, 9, 3, 2, 1, 1, NOTSET, 0",
    "2, 3, 8, 9, 3, 2, 1, 0, NOTSET, 1",
    "3, 2, 13, 11, 2, 3, 2, 1, NOTSET, 0",
    "1, 2, 12, 12, 4, 1, 3, 3, NOTSET, 0",
    "2, 1, 7, 8, 3, 2, 1, 0, SAME_UPPER, 0",
    "2, 1, 7, 8, 4, 3, 1, 0, SAME_LOWER, 0",
    "1, 40, 33, 31, 5, 4, 1, 2, NOTSET, 0"
  })
  void maxPool(
      long rows,
      long channels,
      long height,
      long width,
      long kernel,
      long stride,
      long dilation,
      long pad,
      String auto,
      long ceil) {
    Map<String, Object> attributes = new HashMap<>();
    attributes.put("kernel_shape", List.of(kernel, kernel));
    attributes.put("strides", List.of(stride, stride));
    attributes.put("dilations", List.of(dilation, dilation));
    attributes.put("auto_pad", auto);
    attributes.put("ceil_mode", ceil);
    if (auto.equals("NOTSET")) {
      attributes.put("pads", List.of(pad, pad, pad, pad));
    }
    Graph.Builder b = Graph.builder("pool").opset("", 18);
    b.input("x", TensorType.of(DType.F32, rows, channels, height, width));
    b.op("y", "MaxPool", attributes, "x");
    Graph g = b.output("y").build();
    g = g.specialise(Map.of(), (part, in) -> Session.compile(part, SessionOptions.cpu(1)).run(in));
    Tensor seed = drawn(g.type("y").shape());
    Map<String, Tensor> inputs = Map.of("x", drawn(rows, channels, height, width), "seed", seed);
    Graph gradient = g.differentiate(Map.of("y", "seed"), List.of("x")).graph();
    assertSame(gradient, "MaxPoolGradient", inputs, "x.grad");
  }

  @Test
  void relu() {
    Graph.Builder b = Graph.builder("relu").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 3, 7001));
    b.op("y", "Relu", Map.of(), "x");
    Graph g = b.output("y").build();
    g = g.specialise(Map.of(), (part, in) -> Session.compile(part, SessionOptions.cpu(1)).run(in));
    Tensor x = drawn(3, 7001);
    x.set(5, Float.MIN_VALUE);
    x.set(6, Float.NaN);
    x.set(7, -0.0);
    Tensor seed = drawn(3, 7001);
    seed.set(5, 3);
    seed.set(8, Float.NaN);
    Graph gradient = g.differentiate(Map.of("y", "seed"), List.of("x")).graph();
    Map<String, Tensor> inputs = Map.of("x", x, "seed", seed);
    assertSame(gradient, "MaskedGradient", inputs, "x.grad");
    try (Session session = Session.compile(gradient, SessionOptions.cpu(1))) {
      Tensor found = session.run(inputs).get("x.grad");
      for (long i = 0; i < x.elements(); i++) {
        double want = x.get(i) > 0 ? seed.get(i) : 0;
        assertTrue(i == 6 || Double.compare(want, found.get(i)) == 0, "at " + i);
      }
    }
  }
}
