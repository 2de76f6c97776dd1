package io.assay.engine.session;

import static io.assay.engine.session.OwnRuns.fixed;
import static io.assay.engine.session.OwnRuns.run;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.kernel.CpuKernels;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.DoubleStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Chains of element-wise operators against the runtime's operators, by the bit where each step is
 * exact, and against float64 elsewhere.
 */
class OwnChainsTest {
  private static final double UNIT = 0x1p-24;

  private final Random random = new Random(8);

  @BeforeEach
  void library() {
    assumeTrue(CpuKernels.library() != null, "there is no native library here");
  }

  private Tensor gaussian(long... shape) {
    return OwnRuns.gaussian(random, shape);
  }

  private static Graph.Builder builder(Map<String, Tensor> inputs) {
    Graph.Builder b = Graph.builder("chain").opset("", 17);
    inputs.forEach((name, t) -> b.input(name, TensorType.of(DType.F32, t.shape())));
    b.constant("half", Tensor.ofFloats(new float[] {0.5f}));
    b.constant("two", Tensor.ofFloats(new float[] {2}));
    b.constant("three", Tensor.ofFloats(new float[] {3}));
    return b;
  }

  private static List<Node> chains(Graph g) {
    return g.withOwnOperators().nodes().stream().filter(n -> n.op().startsWith("Chain")).toList();
  }

  private static void assertSame(Map<String, Tensor> want, Map<String, Tensor> found) {
    want.forEach(
        (name, t) -> {
          assertArrayEquals(t.shape(), found.get(name).shape(), name);
          for (long i = 0; i < t.elements(); i++) {
            assertEquals(t.get(i), found.get(name).get(i), 0, name + " at " + i);
          }
        });
  }

  private static Map<String, Tensor> byRuntime(Graph g, Map<String, Tensor> inputs) {
    try (Session session = Session.create(g, SessionOptions.cpu(1))) {
      return session.run(inputs);
    }
  }

  /** All kinds of operands, an output on the way, a value that is read twice, odd sizes. */
  @ParameterizedTest
  @CsvSource({"1, 1, 16", "3, 5, 17", "7, 11, 768", "2, 33, 1000", "1, 2, 4096"})
  void exactSteps(long a, long b, long columns) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", gaussian(a, b, columns));
    in.put("y", gaussian(a, b, columns));
    in.put("row", gaussian(columns));
    in.put("row3", gaussian(1, 1, columns));
    in.put("column", gaussian(a, b, 1));
    Graph.Builder g = builder(in);
    g.op("c", "Add", Map.of(), "column", "half");
    g.op("c2", "Mul", Map.of(), "c", "c");
    g.op("root", "Sqrt", Map.of(), "c2");
    g.op("p", "Mul", Map.of(), "x", "row");
    g.op("q", "Sub", Map.of(), "row3", "p");
    g.op("r", "Div", Map.of(), "q", "root");
    g.op("s", "Pow", Map.of(), "r", "three");
    g.op("t", "Pow", Map.of(), "y", "two");
    g.op("u", "Add", Map.of(), "s", "t");
    g.op("v", "Neg", Map.of(), "u");
    g.op("w", "Sub", Map.of(), "half", "v");
    g.op("z", "Mul", Map.of(), "w", "p");
    Graph made = fixed(g.output("z").output("r").output("root").build());
    assertEquals(1, made.withOwnOperators().nodes().size(), made.withOwnOperators()::toString);
    assertSame(byRuntime(made, in), run(made, in));
  }

  /** Without rows: any number of elements, also fewer than a vector has. */
  @ParameterizedTest
  @ValueSource(longs = {1, 5, 16, 1023, 1024, 1025, 40_001})
  void anyNumberOfElements(long n) {
    Map<String, Tensor> in = Map.of("x", gaussian(n, 3), "y", gaussian(n, 3));
    Graph.Builder g = builder(in);
    g.op("p", "Mul", Map.of(), "x", "half");
    g.op("q", "Sub", Map.of(), "p", "y");
    g.op("z", "Div", Map.of(), "q", "x");
    Graph made = fixed(g.output("z").build());
    assertEquals(0L, chains(made).getFirst().integer("columns", -1));
    assertSame(byRuntime(made, in), run(made, in));
  }

  /** What is not known when the graph is compiled. */
  @Test
  void rowsOfAnyNumber() {
    TensorType type = new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(40)));
    Graph.Builder g = Graph.builder("free").opset("", 17);
    g.input("x", type);
    g.constant("row", gaussian(40));
    g.op("p", "Mul", Map.of(), "x", "row");
    g.op("z", "Add", Map.of(), "p", "x");
    g.type("p", type).type("z", type).output("z");
    Graph made = g.build();
    assertEquals(1, chains(made).size());
    try (Session session = Session.compile(made, SessionOptions.cpu(2))) {
      for (long n : new long[] {0, 1, 700}) {
        Map<String, Tensor> in = Map.of("x", gaussian(n, 40));
        assertSame(byRuntime(made, in), session.run(in));
      }
    }
  }

  @Test
  void tanh() {
    List<Double> values = new ArrayList<>(List.of(0.0, -0.0, 1e-40, -1e-30, 0.7, -0.7, 88.8, 1e30));
    values.add(Double.POSITIVE_INFINITY);
    values.add(Double.NEGATIVE_INFINITY);
    values.add(Double.NaN);
    for (int i = 0; i < 100_000; i++) {
      values.add((double) (float) (random.nextGaussian() * Math.pow(10, random.nextInt(-6, 2))));
    }
    Tensor x = Tensor.allocate(Arena.ofAuto(), DType.F32, values.size());
    for (int i = 0; i < values.size(); i++) {
      x.set(i, values.get(i));
    }
    Map<String, Tensor> in = Map.of("x", x);
    Graph.Builder g = builder(in);
    g.op("t", "Tanh", Map.of(), "x");
    g.op("z", "Neg", Map.of(), "t");
    Graph made = fixed(g.output("z").build());
    assertEquals(1, chains(made).size());
    Tensor z = run(made, in).get("z");
    for (int i = 0; i < values.size(); i++) {
      double want = -Math.tanh((float) (double) values.get(i));
      double bound = Double.isNaN(want) ? 0 : 3 * Math.ulp((float) want);
      assertEquals(want, z.get(i), bound, "-tanh " + values.get(i));
      assertEquals(1 / want < 0, 1 / z.get(i) < 0, "sign of -tanh " + values.get(i));
    }
  }

  /** Of float64: one chain forward and backward. */
  @ParameterizedTest
  @CsvSource({"1, 16", "30, 114", "7, 2000"})
  void wide(int rows, int columns) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", OwnRuns.gaussian(random, DType.F64, 20, rows, columns));
    in.put("seed", OwnRuns.gaussian(random, DType.F64, 20, rows, columns));
    Graph.Builder g = Graph.builder("wide").opset("", 17);
    g.input("x", TensorType.of(DType.F64, rows, columns));
    g.op("y", "LogSoftmax", Map.of("axis", 1L), "x");
    Graph made = fixed(g.output("y").build());
    Graph gradient = made.differentiate(Map.of("y", "seed"), List.of("x")).graph();
    Graph own = gradient.forRuntime().withOwnOperators();
    assertEquals(1, own.nodes().size(), own.nodes()::toString);
    assertEquals("Chain64", own.nodes().getFirst().op());
    Map<String, Tensor> found = run(gradient, in);
    for (int row = 0; row < rows; row++) {
      double[] x = row(in.get("x"), row, columns);
      double max = DoubleStream.of(x).max().getAsDouble();
      double sum = DoubleStream.of(x).map(v -> Math.exp(v - max)).sum();
      double seeds = DoubleStream.of(row(in.get("seed"), row, columns)).sum();
      for (int c = 0; c < columns; c++) {
        long at = (long) row * columns + c;
        double want = x[c] - max - Math.log(sum);
        assertEquals(want, found.get("y").get(at), 1e-13, "y, " + at);
        want = in.get("seed").get(at) - Math.exp(want) * seeds;
        assertEquals(want, found.get("x.grad").get(at), 1e-11, "gradient, " + at);
      }
    }
  }

  /** Steps of float64 have the runtime's bits; a tanh, of which there is none, is the runtime's. */
  @Test
  void wideSteps() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", OwnRuns.gaussian(random, DType.F64, 1, 9, 1500));
    in.put("column", OwnRuns.gaussian(random, DType.F64, 1, 9, 1));
    Graph.Builder g = Graph.builder("wide").opset("", 17);
    in.forEach((name, t) -> g.input(name, TensorType.of(DType.F64, t.shape())));
    g.constant("three", Tensor.scalar(DType.F64, 3));
    g.op("p", "Div", Map.of(), "x", "three");
    g.op("q", "Mul", Map.of(), "p", "column");
    g.op("t", "Tanh", Map.of(), "q");
    g.op("r", "Mul", Map.of(), "t", "t");
    g.op("s", "Sqrt", Map.of(), "r");
    g.op("z", "Sub", Map.of(), "s", "p");
    Graph made = fixed(g.output("z").build());
    assertEquals(
        List.of("Chain64", "Tanh", "Chain64"),
        made.withOwnOperators().nodes().stream().map(Node::op).toList());
    assertSame(byRuntime(made, in), run(made, in));
  }

  /** With a fifth masked, and a number near the largest. */
  @ParameterizedTest
  @CsvSource({"1, 16, true", "30, 114, true", "7, 1000, true", "30, 114, false", "9, 33, false"})
  void softmax(int rows, int columns, boolean logarithm) {
    Tensor x = gaussian(rows, 2, columns);
    for (int i = 0; i < x.elements(); i++) {
      x.set(i, i % 5 == 0 ? Double.NEGATIVE_INFINITY : 40 * x.get(i));
    }
    x.set(x.elements() - 1, 3e38);
    Map<String, Tensor> in = Map.of("x", x);
    Graph.Builder g = builder(in);
    g.op("y", logarithm ? "LogSoftmax" : "Softmax", Map.of("axis", 2L), "x");
    g.op("z", "Exp", Map.of(), "y");
    Graph made = fixed(g.output("y").output("z").build());
    assertEquals(1, made.withOwnOperators().nodes().size());
    Map<String, Tensor> found = run(made, in);
    for (int row = 0; row < 2 * rows; row++) {
      double[] values = row(x, row, columns);
      double max = DoubleStream.of(values).max().getAsDouble();
      double sum = DoubleStream.of(values).map(v -> Math.exp((float) (v - max))).sum();
      for (int c = 0; c < columns; c++) {
        double shifted = values[c] - max;
        double want = logarithm ? shifted - Math.log(sum) : Math.exp((float) shifted) / sum;
        double y = found.get("y").get((long) row * columns + c);
        assertEquals(want, y, 1e-6 * Math.max(1, Math.abs(want)), row + ", " + c);
        double z = found.get("z").get((long) row * columns + c);
        assertEquals(Math.exp(y), z, 2 * Math.ulp((float) Math.exp(y)), row + ", " + c);
      }
    }
  }

  /** A norm of layers as exporters write it, and its gradient. */
  @ParameterizedTest
  @CsvSource({"1, 16", "9, 77", "40, 768"})
  void norm(int rows, int columns) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", gaussian(1, rows, columns));
    in.put("scale", gaussian(columns));
    in.put("seed", gaussian(1, rows, columns));
    Map<String, Tensor> given = new LinkedHashMap<>(in);
    given.remove("seed");
    Graph.Builder g = builder(given);
    g.op("mean", "ReduceMean", Map.of("axes", List.of(-1L)), "x");
    g.op("d", "Sub", Map.of(), "x", "mean");
    g.op("d2", "Pow", Map.of(), "d", "two");
    g.op("variance", "ReduceMean", Map.of("axes", List.of(2L)), "d2");
    g.op("more", "Add", Map.of(), "variance", "half");
    g.op("root", "Sqrt", Map.of(), "more");
    g.op("n", "Div", Map.of(), "d", "root");
    g.op("y", "Mul", Map.of(), "n", "scale");
    Graph made = fixed(g.output("y").build());
    assertEquals(1, made.withOwnOperators().nodes().size());
    Graph gradient = made.differentiate(Map.of("y", "seed"), List.of("x")).graph();
    Graph own = gradient.forRuntime().withOwnOperators();
    assertEquals(1, own.nodes().size(), own.nodes()::toString);
    Map<String, Tensor> found = run(gradient, in);
    for (int row = 0; row < rows; row++) {
      assertNorm(in, found, row, columns);
    }
  }

  private static void assertNorm(
      Map<String, Tensor> in, Map<String, Tensor> found, int row, int columns) {
    double[] x = row(in.get("x"), row, columns);
    double mean = LongStream.range(0, columns).mapToDouble(c -> x[(int) c]).sum() / columns;
    double square = 0;
    for (double v : x) {
      square += (v - mean) * (v - mean) / columns;
    }
    double root = Math.sqrt(square + 0.5);
    double[] seed = row(in.get("seed"), row, columns);
    double sum = 0;
    double along = 0;
    for (int c = 0; c < columns; c++) {
      seed[c] *= in.get("scale").get(c);
      sum += seed[c] / columns;
      along += seed[c] * (x[c] - mean) / root / columns;
    }
    double bound = (columns / 16.0 + 40) * UNIT * 8;
    for (int c = 0; c < columns; c++) {
      double n = (x[c] - mean) / root;
      long at = (long) row * columns + c;
      assertEquals(n * in.get("scale").get(c), found.get("y").get(at), bound, "y, " + at);
      double want = (seed[c] - sum - n * along) / root;
      assertEquals(want, found.get("x.grad").get(at), bound, "gradient, " + at);
    }
  }

  private static double[] row(Tensor t, int row, int columns) {
    double[] values = new double[columns];
    for (int c = 0; c < columns; c++) {
      values[c] = t.get((long) row * columns + c);
    }
    return values;
  }

  /** A column that is spread over its row, inside and as an output, and summed again. */
  @Test
  void spread() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", gaussian(6, 50));
    in.put("column", gaussian(6, 1));
    Graph.Builder g = builder(in);
    g.constant("shape", Tensor.ofLongs(new long[] {6, 50}, 2));
    g.constant("axes", Tensor.ofLongs(new long[] {1}, 1));
    g.op("c", "Mul", Map.of(), "column", "two");
    g.op("wide", "Expand", Map.of(), "c", "shape");
    g.op("wider", "Mul", Map.of(), "wide", "half");
    g.op("sum", "ReduceSum", Map.of(), "wider", "axes");
    g.op("z", "Add", Map.of(), "x", "wide");
    g.op("s", "Sub", Map.of(), "z", "sum");
    Graph made = fixed(g.output("s").output("wide").output("wider").build());
    assertEquals(1, made.withOwnOperators().nodes().size(), made.withOwnOperators()::toString);
    Map<String, Tensor> found = run(made, in);
    for (int i = 0; i < 300; i++) {
      double c = in.get("column").get(i / 50);
      assertEquals(2 * c, found.get("wide").get(i), 0);
      assertEquals(c, found.get("wider").get(i), 0);
      assertEquals(in.get("x").get(i) + 2 * c - 50 * c, found.get("s").get(i), 1e-4);
    }
  }

  /**
   * Of an axis of size 1 a sum is the number, and its softmax 1; a column may be expanded to one.
   */
  @Test
  void columnsOfOne() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", gaussian(6, 50));
    in.put("w", gaussian(6, 1));
    Graph.Builder g = builder(in);
    g.constant("axes", Tensor.ofLongs(new long[] {1}, 1));
    g.constant("shape", Tensor.ofLongs(new long[] {6, 1}, 2));
    g.op("c", "Mul", Map.of(), "w", "half");
    g.op("sum", "ReduceSum", Map.of(), "c", "axes");
    g.op("one", "Softmax", Map.of("axis", 1L), "c");
    g.op("same", "Expand", Map.of(), "c", "shape");
    g.op("p", "Mul", Map.of(), "x", "sum");
    g.op("q", "Mul", Map.of(), "p", "one");
    g.op("z", "Add", Map.of(), "q", "same");
    Graph made = g.output("z").output("one").output("same").output("c").build();
    assertSame(byRuntime(fixed(made), in), run(fixed(made), in));
  }

  /** What leaves a chain and comes back is in another one; nothing reads itself. */
  @Test
  void aWayOutAndBack() {
    Map<String, Tensor> in = Map.of("x", gaussian(20, 20), "y", gaussian(20, 20));
    Graph.Builder g = builder(in);
    g.op("p", "Add", Map.of(), "x", "y");
    g.op("q", "Mul", Map.of(), "p", "half");
    g.op("m", "MatMul", Map.of(), "q", "y");
    g.op("r", "Sub", Map.of(), "p", "m");
    g.op("z", "Mul", Map.of(), "r", "q");
    Graph made = fixed(g.output("z").build());
    assertEquals(2, chains(made).size(), made.withOwnOperators()::toString);
    assertSame(byRuntime(made, in), run(made, in));
  }

  /** What is read further down only is made there: nothing but p and q leaves the first chain. */
  @Test
  void movesToItsReader() {
    Map<String, Tensor> in = Map.of("x", gaussian(20, 20), "y", gaussian(20, 20));
    Graph.Builder g = builder(in);
    g.op("p", "Add", Map.of(), "x", "half");
    g.op("q", "Mul", Map.of(), "p", "half");
    g.op("later", "Mul", Map.of(), "p", "p");
    g.op("m", "MatMul", Map.of(), "q", "y");
    g.op("z", "Mul", Map.of(), "m", "later");
    Graph made = fixed(g.output("z").build());
    List<Node> chains = chains(made);
    assertEquals(2, chains.size());
    assertEquals(List.of(List.of("p", "q"), List.of("z")), outputs(chains));
    assertSame(byRuntime(made, in), run(made, in));
  }

  private static List<List<String>> outputs(List<Node> chains) {
    return chains.stream()
        .map(n -> n.outputs().stream().sorted().toList())
        .sorted((a, b) -> a.getFirst().compareTo(b.getFirst()))
        .toList();
  }

  /** What nothing reads goes, and a file whose types are wrong is refused before it is read. */
  @Test
  void unreadAndUntrue() {
    Map<String, Tensor> in = Map.of("x", gaussian(6, 20), "y", gaussian(6, 20));
    Graph.Builder g = builder(in);
    g.op("p", "Mul", Map.of(), "x", "half");
    g.op("q", "Sub", Map.of(), "p", "y");
    g.op("r", "Relu", Map.of(), "x");
    for (String v : List.of("p", "q", "r")) {
      g.type(v, TensorType.of(DType.F32, 6, 20));
    }
    Graph unread = g.output("r").build();
    assertSame(byRuntime(unread, in), run(unread, in));

    TensorType free = new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(20)));
    Graph.Builder b = Graph.builder("untrue").opset("", 17).input("x", free).input("y", free);
    b.op("p", "Mul", Map.of(), "x", "y");
    b.op("z", "Sub", Map.of(), "p", "y");
    Graph untrue = b.type("p", free).type("z", free).output("z").build();
    try (Session session = Session.compile(untrue, SessionOptions.cpu(2))) {
      Map<String, Tensor> other = Map.of("x", gaussian(6, 20), "y", gaussian(1, 20));
      String message = assertThrows(SessionException.class, () -> session.run(other)).getMessage();
      assertTrue(message.contains("another shape than the graph says"), message);
    }
  }

  /** Second names for values, hook points for example, part nothing; outputs have theirs. */
  @Test
  void otherNames() {
    Map<String, Tensor> in = Map.of("x", gaussian(6, 20), "y", gaussian(20, 20));
    Graph.Builder g = builder(in);
    g.op("p", "Mul", Map.of(), "x", "half");
    g.op("first", "Identity", Map.of(), "p");
    g.op("second", "Identity", Map.of(), "first");
    g.op("third", "Identity", Map.of(), "first");
    g.op("m", "MatMul", Map.of(), "third", "y");
    g.op("q", "Sub", Map.of(), "third", "half");
    g.op("r", "Mul", Map.of(), "q", "second");
    g.op("z", "Identity", Map.of(), "r");
    Graph made = fixed(g.output("second").output("z").output("m").build());
    Graph own = made.forRuntime().withOwnOperators();
    assertEquals(2, own.nodes().size(), own.nodes()::toString);
    assertSame(byRuntime(made, in), run(made, in));
  }

  /**
   * A transposed matrix with a second name, times a vector, which the runtime would not transpose.
   */
  @Test
  void transposedByAnotherName() {
    Map<String, Tensor> in = Map.of("a", gaussian(3, 3), "v", gaussian(3));
    Graph.Builder g = builder(in);
    g.op("t", "Transpose", Map.of("perm", List.of(1L, 0L)), "a");
    g.op("name", "Identity", Map.of(), "t");
    g.op("y", "MatMul", Map.of(), "name", "v");
    Tensor y = run(fixed(g.output("y").build()), in).get("y");
    for (int i = 0; i < 3; i++) {
      double want = 0;
      for (int l = 0; l < 3; l++) {
        want += in.get("a").get(l * 3L + i) * in.get("v").get(l);
      }
      assertEquals(want, y.get(i), 1e-5, "at " + i);
    }
  }

  /** A value is read in the shape that it has before it is reshaped. */
  @Test
  void otherShapes() {
    Map<String, Tensor> in = Map.of("x", gaussian(6, 20), "column", gaussian(2, 3, 1));
    Graph.Builder g = builder(in);
    g.constant("shape", Tensor.ofLongs(new long[] {2, 3, 20}, 3));
    g.op("wide", "Reshape", Map.of(), "x", "shape");
    g.op("p", "Mul", Map.of(), "wide", "half");
    g.op("c", "Add", Map.of(), "column", "half");
    g.op("z", "Sub", Map.of(), "p", "c");
    Graph made = fixed(g.output("z").build());
    assertEquals(1, made.withOwnOperators().nodes().size(), made.withOwnOperators()::toString);
    assertSame(byRuntime(made, in), run(made, in));
  }

  /** Broadcasts that are no rows or columns, and one step alone, such as a bias's, stay. */
  @Test
  void others() {
    Map<String, Tensor> in =
        Map.of("x", gaussian(3, 4, 20), "y", gaussian(4, 20), "w", gaussian(20, 20));
    Graph.Builder g = builder(in);
    g.constant("bias", gaussian(20));
    g.op("p", "Add", Map.of(), "x", "y");
    g.op("m", "MatMul", Map.of(), "p", "w");
    g.op("b", "Add", Map.of(), "m", "bias");
    g.op("z", "Relu", Map.of(), "b");
    Graph made = fixed(g.output("z").build());
    assertTrue(chains(made).isEmpty(), made.withOwnOperators()::toString);
  }

  /** NaN and infinities go where arithmetic brings them. */
  @Test
  void notNumbers() {
    Tensor x = gaussian(4, 32);
    x.set(3, Double.NaN);
    x.set(40, Double.POSITIVE_INFINITY);
    Map<String, Tensor> in = Map.of("x", x);
    Graph.Builder g = builder(in);
    g.op("mean", "ReduceMean", Map.of("axes", List.of(1L)), "x");
    g.op("d", "Sub", Map.of(), "x", "mean");
    g.op("z", "Mul", Map.of(), "d", "d");
    Tensor z = run(fixed(g.output("z").build()), in).get("z");
    for (int i = 0; i < 128; i++) {
      double want = i < 32 || i == 40 ? Double.NaN : i < 64 ? Double.POSITIVE_INFINITY : 0;
      assertTrue(i >= 64 ? z.get(i) >= 0 : Double.compare(want, z.get(i)) == 0, "at " + i);
    }
  }
}
