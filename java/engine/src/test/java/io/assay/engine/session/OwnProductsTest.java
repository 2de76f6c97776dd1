package io.assay.engine.session;

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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Assay's own products and sums over rows against the formula in float64. */
class OwnProductsTest {
  /** A sum of n float32 terms errs by at most so much of their absolute values, for each term. */
  private static final double UNIT = 0x1p-24;

  private final Random random = new Random(5);

  @BeforeEach
  void library() {
    assumeTrue(CpuKernels.library() != null, "there is no native library here");
  }

  private Tensor gaussian(long... shape) {
    return OwnRuns.gaussian(random, shape);
  }

  private static Graph graph(Graph.Builder b, Map<String, Tensor> inputs, List<Node> nodes) {
    inputs.forEach((name, t) -> b.input(name, TensorType.of(DType.F32, t.shape())));
    nodes.forEach(b::node);
    return OwnRuns.fixed(b.output("y").build());
  }

  /** The result, which has the same bits for every number of threads. */
  private static Tensor run(Graph g, Map<String, Tensor> inputs) {
    return OwnRuns.run(g, inputs).get("y");
  }

  private static long count(Graph g, String op) {
    return g.withOwnOperators().nodes().stream().filter(n -> n.op().equals(op)).count();
  }

  private static Node node(String op, String y, Map<String, Object> attributes, String... in) {
    return new Node(y, "", op, List.of(in), List.of(y), attributes);
  }

  @ParameterizedTest
  @CsvSource({
    "97, 65, 200, false, false, none, false",
    "97, 65, 200, false, true, row, true",
    "64, 128, 128, false, false, whole, true",
    "193, 114, 257, false, true, whole, false",
    "192, 1, 6000, false, false, row, false",
    "1000, 64, 17, false, false, row, true",
    "1, 64, 17000, true, false, none, false",
    "150, 70, 1025, true, false, row, true",
    "128, 114, 5000, true, false, whole, false",
    "289, 300, 512, true, false, none, true",
    "150, 200, 160, true, false, none, false",
    "73, 114, 300, true, false, whole, true",
    "64, 1500, 70, true, false, row, false",
    "200, 700, 8, true, false, row, true",
    "7, 65, 40000, true, false, row, false",
    "97, 70, 1300, false, false, both, false",
    "300, 270, 1100, false, true, both, false",
    "290, 500, 1030, false, false, row, true",
    "100, 300, 300, false, true, none, true",
    "150, 70, 1025, true, false, both, true",
    "73, 130, 300, true, false, both, false"
  })
  void product(int m, int n, int k, boolean ta, boolean tb, String added, boolean relu) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", ta ? gaussian(k, m) : gaussian(m, k));
    in.put("b", tb ? gaussian(n, k) : gaussian(k, n));
    Map<String, Object> turned = Map.of("transA", ta ? 1L : 0L, "transB", tb ? 1L : 0L);
    String last = relu ? "sum" : "y";
    List<Node> nodes = new ArrayList<>();
    switch (added) {
      case "none" -> nodes.add(node("Gemm", last, turned, "a", "b"));
      case "row" -> {
        in.put("c", gaussian(n));
        nodes.add(node("Gemm", last, turned, "a", "b", "c"));
      }
      case "whole" -> {
        in.put("more", gaussian(m, n));
        nodes.add(node("Gemm", "product", turned, "a", "b"));
        nodes.add(node("Add", last, Map.of(), "more", "product"));
      }
      default -> {
        in.put("c", gaussian(n));
        in.put("more", gaussian(m, n));
        nodes.add(node("Gemm", "product", turned, "a", "b", "c"));
        nodes.add(node("Add", last, Map.of(), "product", "more"));
      }
    }
    if (relu) {
      nodes.add(node("Relu", "y", Map.of(), last));
    }
    Graph g = graph(Graph.builder("product").opset("", 17), in, nodes);
    Graph own = g.withOwnOperators();
    assertEquals(1, own.nodes().size(), own.nodes()::toString);
    assertEquals("Product", own.nodes().getFirst().op());
    assertEquals(2L * m * n * k, own.operations());
    Tensor y = run(g, in);
    Tensor a = in.get("a");
    Tensor b = in.get("b");
    Tensor c = in.get("c");
    Tensor more = in.get("more");
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double bias = c == null ? 0 : c.get(j);
        double other = more == null ? 0 : more.get((long) i * n + j);
        double want = bias + other;
        double size = Math.abs(bias) + Math.abs(other);
        for (int l = 0; l < k; l++) {
          double term =
              a.get(ta ? (long) l * m + i : (long) i * k + l)
                  * b.get(tb ? (long) j * k + l : (long) l * n + j);
          want += term;
          size += Math.abs(term);
        }
        double bound = (k + 2) * UNIT * size;
        assertEquals(relu ? Math.max(0, want) : want, y.get((long) i * n + j), bound, i + ", " + j);
      }
    }
  }

  private static TensorType rows(long columns) {
    return new TensorType(DType.F32, List.of(Dim.symbol("rows"), Dim.of(columns)));
  }

  /**
   * A block of which nobody says how many rows it has: x + gelu(x U + u) V + v, in two products.
   */
  private static Graph ofAnyRows(int width, int inner) {
    Graph.Builder b = Graph.builder("rows").opset("", 17).opset("com.microsoft", 1);
    b.input("x", rows(width)).input("before", rows(width));
    b.input("U", TensorType.of(DType.F32, width, inner))
        .input("u", TensorType.of(DType.F32, inner));
    b.input("V", TensorType.of(DType.F32, inner, width))
        .input("v", TensorType.of(DType.F32, width));
    b.type(b.op("wide", "Gemm", Map.of(), "x", "U", "u"), rows(inner));
    b.node(
        new Node("gelu", "com.microsoft", "FastGelu", List.of("wide"), List.of("gelu"), Map.of()));
    b.type("gelu", rows(inner));
    b.type(b.op("moved", "Gemm", Map.of(), "gelu", "V", "v"), rows(width));
    b.type(b.op("y", "Add", Map.of(), "before", "moved"), rows(width));
    return b.output("y").build();
  }

  private Map<String, Tensor> inputsOfRows(int rows, int before, int width, int inner) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("x", gaussian(rows, width));
    in.put("before", gaussian(before, width));
    in.put("U", gaussian(width, inner));
    in.put("u", gaussian(inner));
    in.put("V", gaussian(inner, width));
    in.put("v", gaussian(width));
    return in;
  }

  private static Tensor first(Tensor t, int rows) {
    return Tensor.of(t.dtype(), t.data().asSlice(0, 4L * rows * t.dim(1)), rows, t.dim(1));
  }

  @Test
  void ofAnyNumberOfRows() {
    int width = 100;
    int inner = 1200;
    Graph g = ofAnyRows(width, inner);
    assertEquals(2, g.withOwnOperators().nodes().size(), g.withOwnOperators().nodes()::toString);
    assertEquals(2, count(g, "Product"));
    Map<String, Tensor> in = inputsOfRows(700, 700, width, inner);
    in.get("U").set(0, 40);
    Tensor all = run(g, in);
    for (int rows : new int[] {0, 1, 13, 200}) {
      Map<String, Tensor> few = new LinkedHashMap<>(in);
      few.replaceAll((_, t) -> t.dim(0) == 700 ? first(t, rows) : t);
      Tensor y = run(g, few);
      for (long i = 0; i < y.elements(); i++) {
        assertEquals(all.get(i), y.get(i), "rows of " + rows + " at " + i);
      }
    }
    for (int i : new int[] {0, 89, 350, 699}) {
      double[] neurons = new double[inner];
      for (int n = 0; n < inner; n++) {
        double z = in.get("u").get(n);
        for (int c = 0; c < width; c++) {
          z += in.get("x").get((long) i * width + c) * in.get("U").get((long) c * inner + n);
        }
        double cubic = z + 0.044715 * z * z * z;
        neurons[n] = z / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * cubic));
      }
      for (int c = 0; c < width; c++) {
        double want = in.get("v").get(c) + in.get("before").get((long) i * width + c);
        double size = Math.abs(want);
        for (int n = 0; n < inner; n++) {
          double term = neurons[n] * in.get("V").get((long) n * width + c);
          want += term;
          size += Math.abs(term);
        }
        assertEquals(want, all.get((long) i * width + c), 4e-7 * size, i + ", " + c);
      }
    }
  }

  /** Values whose rows have one name have as many rows, or nothing is read. */
  @Test
  void ofAnotherNumberOfRows() {
    Map<String, Tensor> in = inputsOfRows(70, 69, 32, 2048);
    try (Session session = Session.compile(ofAnyRows(32, 2048), SessionOptions.cpu(2))) {
      SessionException e = assertThrows(SessionException.class, () -> session.run(in));
      assertTrue(e.getMessage().contains("shapes that do not fit"), e.getMessage());
    }
  }

  /** The gradient of a Relu behind a product: whole panels and a part of one, all three ways. */
  @ParameterizedTest
  @CsvSource({"100, 150, 128, false", "100, 150, 128, true", "70, 90, 5000, true"})
  void behindAGate(int m, int n, int k, boolean ta) {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", ta ? gaussian(k, m) : gaussian(m, k));
    in.put("b", gaussian(k, n));
    in.put("gate", gaussian(m, n));
    in.get("gate").set(3, 0);
    in.get("gate").set(n + 5, Double.NaN);
    Graph.Builder b = Graph.builder("gated").opset("", 17);
    b.constant("zero", Tensor.ofFloats(new float[] {0}));
    Map<String, Object> turned = Map.of("transA", ta ? 1L : 0L);
    Graph g =
        graph(
            b,
            in,
            List.of(
                node("Gemm", "p", turned, "a", "b"),
                node("Greater", "above", Map.of(), "gate", "zero"),
                node("Where", "y", Map.of(), "above", "p", "zero")));
    assertEquals(1, g.withOwnOperators().nodes().size(), g.withOwnOperators()::toString);
    Tensor y = run(g, in);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double want = 0;
        for (int l = 0; l < k && in.get("gate").get((long) i * n + j) > 0; l++) {
          want +=
              in.get("a").get(ta ? (long) l * m + i : (long) i * k + l)
                  * in.get("b").get((long) l * n + j);
        }
        assertEquals(want, y.get((long) i * n + j), 2e-3, i + ", " + j);
      }
    }
  }

  /** One number for all rows that are added is no column of numbers: the runtime adds them. */
  @Test
  void oneNumberForManyRows() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", gaussian(40, 100));
    in.put("b", gaussian(40, 300));
    in.put("more", gaussian(5, 300));
    Graph.Builder b = Graph.builder("one").opset("", 17);
    b.constant("zero", Tensor.ofFloats(new float[] {0}));
    b.constant("shape", Tensor.ofLongs(new long[] {100, 300}, 2));
    b.constant("row", Tensor.ofLongs(new long[] {3}, 1, 1));
    b.constant("wide", Tensor.ofLongs(new long[] {5, 300}, 2));
    Map<String, Object> add = Map.of("axis", 0L, "reduction", "add");
    in.forEach((name, t) -> b.input(name, TensorType.of(DType.F32, t.shape())));
    b.op("p", "Gemm", Map.of("transA", 1L), "a", "b");
    b.op("zeros", "Expand", Map.of(), "zero", "shape");
    b.op("rows", "Expand", Map.of(), "row", "wide");
    b.op("added", "ScatterElements", add, "zeros", "rows", "more");
    b.op("y", "Add", Map.of(), "p", "added");
    List.of("p", "zeros", "added", "y").forEach(v -> b.type(v, TensorType.of(DType.F32, 100, 300)));
    Graph g = b.output("y").build();
    assertEquals(1, count(g, "ScatterElements"));
    assertEquals(1, count(g, "Product"));
    Tensor y = run(g, in);
    for (int c = 0; c < 300; c++) {
      double want = 0;
      for (int l = 0; l < 40; l++) {
        want += in.get("a").get(l * 100L + 3) * in.get("b").get(l * 300L + c);
      }
      for (int i = 0; i < 5; i++) {
        want += in.get("more").get(i * 300L + c);
      }
      assertEquals(want, y.get(900L + c), 1e-4, "at " + c);
    }
  }

  /** The gradient of a table that is read by numbers, some of them twice, and multiplied by. */
  @Test
  void rowsAreAdded() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("table", gaussian(3000, 70));
    Graph.Builder b = Graph.builder("tied").opset("", 17);
    b.input("table", TensorType.of(DType.F32, 3000, 70));
    b.constant("ids", Tensor.ofLongs(new long[] {7, 2999, 7, 0, 250, 7, 31, 1, 2, 2999}, 5, 2));
    b.op("x", "Gather", Map.of(), "table", "ids");
    b.constant("shape", Tensor.ofLongs(new long[] {10, 70}, 2));
    b.op("rows", "Reshape", Map.of(), "x", "shape");
    b.op("y", "Gemm", Map.of("transB", 1L), "rows", "table");
    Graph whole = OwnRuns.fixed(b.output("y").build());
    in.put("seed", gaussian(10, 3000));
    Graph g = whole.differentiate(Map.of("y", "seed"), List.of("table")).graph();
    assertEquals(0, count(g, "ScatterElements"));
    Tensor got;
    try (Session session = Session.compile(g, SessionOptions.cpu(2))) {
      got = session.run(in).get("table.grad");
    }
    long[] ids = {7, 2999, 7, 0, 250, 7, 31, 1, 2, 2999};
    double[][] want = new double[3000][70];
    for (int i = 0; i < 10; i++) {
      for (int v = 0; v < 3000; v++) {
        double seed = in.get("seed").get(i * 3000L + v);
        for (int c = 0; c < 70; c++) {
          want[v][c] += seed * in.get("table").get(ids[i] * 70 + c);
          want[(int) ids[i]][c] += seed * in.get("table").get(v * 70L + c);
        }
      }
    }
    for (int v = 0; v < 3000; v++) {
      for (int c = 0; c < 70; c++) {
        assertEquals(want[v][c], got.get(v * 70L + c), 1e-4, v + ", " + c);
      }
    }
  }

  /** Leading axes are rows; what others read too is not made part of anything. */
  @Test
  void readTwice() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", gaussian(3, 50, 100));
    in.put("b", gaussian(100, 80));
    in.put("c", gaussian(3, 50, 80));
    Graph g =
        graph(
            Graph.builder("twice").opset("", 17),
            in,
            List.of(
                node("MatMul", "p", Map.of(), "a", "b"),
                node("Add", "sum", Map.of(), "p", "c"),
                node("Relu", "more", Map.of(), "p"),
                node("Add", "y", Map.of(), "sum", "more")));
    assertEquals(1, count(g, "Product"));
    assertEquals(1, count(g, "Chain"));
    Tensor y = run(g, in);
    assertArrayEquals(new long[] {3, 50, 80}, y.shape());
    double want = 0;
    for (int l = 0; l < 100; l++) {
      want += in.get("a").get(149L * 100 + l) * in.get("b").get(l * 80L + 79);
    }
    want += Math.max(0, want) + in.get("c").get(149L * 80 + 79);
    assertEquals(want, y.get(149L * 80 + 79), 1e-4);
  }

  /** NaN goes through sums and Relu, and no further than its row. */
  @Test
  void notANumber() {
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", gaussian(100, 128));
    in.put("b", gaussian(128, 100));
    in.get("a").set(5 * 128 + 3, Double.NaN);
    Graph g =
        graph(
            Graph.builder("nan").opset("", 17),
            in,
            List.of(node("MatMul", "p", Map.of(), "a", "b"), node("Relu", "y", Map.of(), "p")));
    Tensor y = run(g, in);
    for (long i = 0; i < y.elements(); i++) {
      assertEquals(i / 100 == 5, Double.isNaN(y.get(i)), "at " + i);
    }
  }

  /** Products of values [2, 5, ., .], or [1, 2, 5, ., .], that were transposed or are, by form. */
  @ParameterizedTest
  @CsvSource({
    "0 1 2 3, 0 1 2 3, 0 1 2 3, 3, 4, 37",
    "0 2 1 3, 0 2 3 1, 0 1 2 3, 3, 37, 3",
    "0 2 1 3, 0 2 1 3, 0 2 1 3, 3, 3, 32",
    "0 1 3 2, 0 2 1 3, 0 2 1 3, 5, 3, 50",
    "0 2 3 1, 0 1 2 3, 0 3 1 2, 33, 4, 5",
    "2 0 1 3, 2 1 0 3, 1 0 2 3, 6, 6, 16",
    "0 1 2 3, 0 1 3 2, 0 1 3 2, 7, 20, 8",
    "0 2 3 1, 0 1 3 2, 0 1 3 2, 1, 3, 5",
    "0 3 1 2 4, 0 3 1 4 2, 0 1 2 3 4, 3, 37, 3",
    "0 1 2 4 3, 0 3 1 2 4, 0 2 3 1 4, 5, 3, 50",
    "1 2 0 3 4, 2 0 1 3 4, 1 3 2 0 4, 6, 6, 16"
  })
  void smallProducts(String a, String b, String y, int m, int k, int n) {
    long[] before = permutation(a);
    long[] other = permutation(b);
    long[] behind = permutation(y);
    Map<String, Tensor> in = new LinkedHashMap<>();
    in.put("a", gaussian(undone(before, sizes(before, m, k))));
    in.put("b", gaussian(undone(other, sizes(other, k, n))));
    Graph g =
        graph(
            Graph.builder("small").opset("", 17),
            in,
            List.of(
                node("Transpose", "left", perm(before), "a"),
                node("Transpose", "right", perm(other), "b"),
                node("MatMul", "p", Map.of(), "left", "right"),
                node("Transpose", "y", perm(behind), "p")));
    assertEquals(1, count(g, "SmallProducts"));
    assertEquals(0, count(g, "Transpose"));
    assertEquals(2L * 10 * m * k * n, g.withOwnOperators().operations());
    Tensor found = run(g, in);
    int axes = behind.length;
    long[] at = new long[axes];
    long[] shape = found.shape();
    for (long i = 0; i < found.elements(); i++) {
      long rest = i;
      for (int d = axes - 1; d >= 0; d--) {
        at[(int) behind[d]] = rest % shape[d];
        rest /= shape[d];
      }
      double want = 0;
      double size = 0;
      for (int l = 0; l < k; l++) {
        long[] left = at.clone();
        left[axes - 1] = l;
        long[] right = at.clone();
        right[axes - 2] = l;
        double term = element(in.get("a"), before, left) * element(in.get("b"), other, right);
        want += term;
        size += Math.abs(term);
      }
      assertEquals(want, found.get(i), (k + 1) * UNIT * size, "at " + i);
    }
  }

  private static long[] permutation(String text) {
    return Arrays.stream(text.split(" ")).mapToLong(Long::parseLong).toArray();
  }

  private static long[] sizes(long[] order, long rows, long columns) {
    return order.length == 4
        ? new long[] {2, 5, rows, columns}
        : new long[] {1, 2, 5, rows, columns};
  }

  private static Map<String, Object> perm(long[] order) {
    return Map.of("perm", LongStream.of(order).boxed().toList());
  }

  /** The shape that becomes `shape` by a permutation. */
  private static long[] undone(long[] order, long... shape) {
    long[] out = new long[order.length];
    for (int d = 0; d < order.length; d++) {
      out[(int) order[d]] = shape[d];
    }
    return out;
  }

  /** An element of what a value is after its permutation. */
  private static double element(Tensor t, long[] order, long... at) {
    long[] there = undone(order, at);
    long place = 0;
    for (int d = 0; d < there.length; d++) {
      place = place * t.dim(d) + there[d];
    }
    return t.get(place);
  }

  @ParameterizedTest
  @CsvSource({"256, 1, 0", "1000, 7, 1", "5001, 33, 0", "300, 515, 1"})
  void rowSums(int rows, int columns, long keep) {
    Map<String, Tensor> in = Map.of("x", gaussian(rows, columns, 2));
    Graph.Builder b = Graph.builder("sums").opset("", 17);
    b.constant("axes", Tensor.ofLongs(new long[] {0}, 1));
    Graph g = graph(b, in, List.of(node("ReduceSum", "y", Map.of("keepdims", keep), "x", "axes")));
    assertEquals(1, count(g, "RowSums"));
    Tensor y = run(g, in);
    assertArrayEquals(keep == 1 ? new long[] {1, columns, 2} : new long[] {columns, 2}, y.shape());
    for (int c = 0; c < 2 * columns; c++) {
      double want = 0;
      double size = 0;
      for (int r = 0; r < rows; r++) {
        want += in.get("x").get((long) r * columns * 2 + c);
        size += Math.abs(in.get("x").get((long) r * columns * 2 + c));
      }
      assertEquals(want, y.get(c), rows * UNIT * size, "at " + c);
      assertTrue(size > 0);
    }
  }
}
