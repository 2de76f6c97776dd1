package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
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

/**
 * Assay's own operators against the standard ones that they replace, by the bit; the norm against
 * its formula in float64.
 */
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

  @ParameterizedTest
  @CsvSource({"1, 1", "3, 7", "40, 16", "5, 33", "70, 768", "2, 5000"})
  void layerNorm(int rows, int columns) {
    for (boolean biased : new boolean[] {false, true}) {
      for (double shift : new double[] {0, 30}) {
        Graph.Builder b = Graph.builder("norm").opset("", 17);
        b.input("x", TensorType.of(DType.F32, 1, rows, columns));
        b.input("scale", TensorType.of(DType.F32, columns));
        b.input("bias", TensorType.of(DType.F32, columns));
        String[] inputs =
            biased ? new String[] {"x", "scale", "bias"} : new String[] {"x", "scale"};
        b.op("y", "LayerNormalization", Map.of("axis", 2L, "epsilon", 0.25f), inputs);
        Graph g = b.output("y").build();
        assertEquals("LayerNorm", g.withOwnOperators().producer("y").op());
        Tensor x = gaussian(shift, 1, rows, columns);
        Tensor scale = gaussian(0, columns);
        Tensor bias = gaussian(0, columns);
        Map<String, Tensor> in = Map.of("x", x, "scale", scale, "bias", bias);
        Map<String, Tensor> one = normed(g, in, 1);
        assertArrayEquals(bits(one, "y"), bits(normed(g, in, 2), "y"));
        for (int row = 0; row < rows; row++) {
          assertNormed(x, row, columns, scale, biased ? bias : null, one.get("y"));
        }
      }
    }
  }

  private static Map<String, Tensor> normed(Graph g, Map<String, Tensor> in, int threads) {
    try (Session session = Session.compile(g, SessionOptions.cpu(threads))) {
      return session.run(in);
    }
  }

  private Tensor gaussian(double shift, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, shift + random.nextGaussian());
    }
    return t;
  }

  /**
   * Sums of 16 lanes err by their terms over 16, and a few more; the mean's error is in all of x.
   */
  private static void assertNormed(
      Tensor x, int row, int columns, Tensor scale, Tensor bias, Tensor y) {
    double unit = 0x1p-24;
    double mean = 0;
    double size = 0;
    for (int c = 0; c < columns; c++) {
      mean += x.get((long) row * columns + c) / columns;
      size += Math.abs(x.get((long) row * columns + c)) / columns;
    }
    double square = 0;
    for (int c = 0; c < columns; c++) {
      square += Math.pow(x.get((long) row * columns + c) - mean, 2) / columns;
    }
    double root = Math.sqrt(square + 0.25);
    double terms = columns / 16.0 + 6;
    double off = (terms * size + 5 * root) * unit;
    for (int c = 0; c < columns; c++) {
      double part = (x.get((long) row * columns + c) - mean) / root * scale.get(c);
      double plus = bias == null ? 0 : bias.get(c);
      double bound =
          Math.abs(scale.get(c)) * off / root
              + Math.abs(part) * (off / root + (terms + 6) * unit)
              + (Math.abs(part) + Math.abs(plus)) * 2 * unit;
      assertEquals(part + plus, y.get((long) row * columns + c), bound, row + ", " + c);
    }
  }

  /** A norm over more than the last axis, or whose mean is asked for, stays the runtime's. */
  @Test
  void otherNormsStay() {
    for (boolean mean : new boolean[] {false, true}) {
      Graph.Builder b = Graph.builder("norm").opset("", 17);
      b.input("x", TensorType.of(DType.F32, 2, 3, 4));
      b.input("scale", mean ? TensorType.of(DType.F32, 4) : TensorType.of(DType.F32, 3, 4));
      List<String> outputs = mean ? List.of("y", "mean") : List.of("y");
      Map<String, Object> axis = Map.of("axis", mean ? 2L : 1L);
      b.node(new Node("norm", "", "LayerNormalization", List.of("x", "scale"), outputs, axis));
      outputs.forEach(b::output);
      Graph g = b.build();
      assertEquals("LayerNormalization", g.withOwnOperators().producer("y").op());
    }
  }
}
