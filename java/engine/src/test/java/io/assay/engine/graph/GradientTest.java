package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Gradients against central differences in float64, one case per line, and against PyTorch on
 * exported models.
 */
class GradientTest {
  private final Ort ort = new Ort();

  /** One node over random inputs x0, x1, ...; integers and booleans are constants c0, c1, ... */
  record Case(String op, Map<String, Object> attributes, List<long[]> shapes, List<Object> extra) {
    @Override
    public String toString() {
      StringBuilder b = new StringBuilder(op).append(attributes);
      shapes.forEach(s -> b.append(Arrays.toString(s)));
      return b.toString();
    }
  }

  private static Case of(String op, Map<String, Object> attributes, long[]... shapes) {
    return new Case(op, attributes, List.of(shapes), List.of());
  }

  private static Case with(
      String op, Map<String, Object> attributes, List<long[]> shapes, Object... extra) {
    return new Case(op, attributes, shapes, List.of(extra));
  }

  private static long[] s(long... shape) {
    return shape;
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    Map<String, Object> none = Map.of();
    for (String op :
        "Identity Neg Exp Log Sqrt Reciprocal Tanh Sigmoid Sin Cos Relu Abs".split(" ")) {
      cases.add(of(op, none, s(2, 3)));
    }
    for (String op : "Add Sub Mul Div".split(" ")) {
      cases.add(of(op, none, s(2, 3), s(2, 3)));
      cases.add(of(op, none, s(2, 1, 3), s(4, 1)));
      cases.add(of(op, none, s(), s(2, 2)));
    }
    cases.add(of("Sum", none, s(2, 3), s(3), s(1, 1)));
    cases.add(of("Mod", Map.of("fmod", 1L), s(2, 3), s(3)));
    cases.add(of("Pow", none, s(2, 3), s(3)));
    for (double e : new double[] {2, 3, -1.5}) {
      cases.add(with("Pow", none, List.of(s(2, 3)), Tensor.scalar(DType.F64, e)));
    }
    cases.add(of("MatMul", none, s(2, 3), s(3, 4)));
    cases.add(of("MatMul", none, s(2, 5, 3), s(3, 4)));
    cases.add(of("MatMul", none, s(2, 1, 5, 3), s(4, 3, 2)));
    cases.add(of("MatMul", none, s(3), s(3, 4)));
    cases.add(of("MatMul", none, s(2, 4, 3), s(3)));
    cases.add(of("MatMul", none, s(3), s(2, 3, 4)));
    cases.add(of("MatMul", none, s(3), s(3)));
    for (long ta : new long[] {0, 1}) {
      for (long tb : new long[] {0, 1}) {
        Map<String, Object> a = Map.of("transA", ta, "transB", tb, "alpha", 0.5f, "beta", 2f);
        cases.add(of("Gemm", a, ta == 1 ? s(3, 2) : s(2, 3), tb == 1 ? s(4, 3) : s(3, 4), s(1, 4)));
        cases.add(of("Gemm", a, ta == 1 ? s(3, 2) : s(2, 3), tb == 1 ? s(4, 3) : s(3, 4)));
      }
    }
    for (String op : List.of("ReduceSum", "ReduceMean", "ReduceSumSquare")) {
      for (long keep : new long[] {0, 1}) {
        Map<String, Object> a = Map.of("keepdims", keep);
        cases.add(with(op, a, List.of(s(2, 3, 4)), longs(1)));
        cases.add(with(op, a, List.of(s(2, 3, 4)), longs(-1, 0)));
        cases.add(of(op, a, s(2, 3)));
      }
    }
    for (String op : List.of("Softmax", "LogSoftmax")) {
      cases.add(of(op, none, s(2, 5)));
      cases.add(of(op, Map.of("axis", 1L), s(2, 3, 2)));
    }
    cases.add(of("LayerNormalization", none, s(2, 3, 5), s(5), s(5)));
    cases.add(of("LayerNormalization", Map.of("axis", 1L, "epsilon", 0.1f), s(2, 3, 2), s(3, 2)));
    cases.add(with("Reshape", none, List.of(s(2, 6)), longs(3, -1)));
    cases.add(of("Flatten", none, s(2, 3, 2)));
    cases.add(with("Squeeze", none, List.of(s(2, 1, 3)), longs(1)));
    cases.add(with("Unsqueeze", none, List.of(s(2, 3)), longs(0, 2)));
    cases.add(with("Expand", none, List.of(s(2, 1)), longs(3, 1, 4)));
    cases.add(of("Transpose", Map.of("perm", List.of(2L, 0L, 1L)), s(2, 3, 4)));
    cases.add(of("Transpose", none, s(2, 3, 4)));
    cases.add(of("Concat", Map.of("axis", 1L), s(2, 3), s(2, 1), s(2, 2)));
    cases.add(with("Slice", none, List.of(s(4, 5)), longs(1, -3), longs(3, 100), longs(0, 1)));
    cases.add(with("Slice", none, List.of(s(4, 5)), longs(1), longs(-1), longs(-1), longs(1)));
    cases.add(
        with("Gather", none, List.of(s(4, 3)), Tensor.ofLongs(new long[] {1, 3, 1, -1}, 2, 2)));
    cases.add(
        with(
            "Gather",
            Map.of("axis", 1L),
            List.of(s(2, 4, 3)),
            Tensor.ofLongs(new long[] {2, 2, 0}, 3)));
    cases.add(
        with("Gather", Map.of("axis", -1L), List.of(s(2, 4)), Tensor.ofLongs(new long[] {2})));
    Tensor picks = Tensor.ofLongs(new long[] {2, 2, 0, -1, 1, 0}, 2, 3);
    cases.add(with("GatherElements", Map.of("axis", 1L), List.of(s(2, 4)), picks));
    cases.add(with("GatherElements", none, List.of(s(3, 3)), picks));
    return cases.stream();
  }

  private static Tensor longs(long... values) {
    return Tensor.ofLongs(values, values.length);
  }

  /** The runtime has no float64 kernels for these, or (Shrink) rounds to float32 in them. */
  static Stream<Case> float32Cases() {
    return Stream.of(
        of("Det", Map.of(), s(3, 3)),
        of("Det", Map.of(), s(2, 1, 4, 4)),
        of("Det", Map.of(), s(2, 1, 1)),
        of("Shrink", Map.of("lambd", 0.75f, "bias", 0.25f), s(2, 3)),
        of("Erf", Map.of(), s(2, 3)),
        of("Gelu", Map.of(), s(2, 3)),
        of("Gelu", Map.of("approximate", "tanh"), s(2, 3)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void centralDifferences(Case c) {
    centralDifferences(c, DType.F64, 1e-6);
  }

  @ParameterizedTest
  @MethodSource("float32Cases")
  void centralDifferencesInFloat32(Case c) {
    centralDifferences(c, DType.F32, 3e-4); // a step of 0.01: rounding 1e-5, curvature 1e-4
  }

  private void centralDifferences(Case c, DType dtype, double tolerance) {
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    Random random = new Random(c.toString().hashCode());
    Graph.Builder b = Graph.builder("case").opset("", 20);
    List<String> names = new ArrayList<>();
    for (int i = 0; i < c.shapes.size(); i++) {
      String name = "x" + i;
      b.input(name, TensorType.of(dtype, c.shapes.get(i)));
      Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, c.shapes.get(i));
      for (long j = 0; j < t.elements(); j++) {
        t.set(j, 0.5 + random.nextDouble()); // positive, and away from kinks
      }
      inputs.put(name, t);
      names.add(name);
    }
    for (int i = 0; i < c.extra.size(); i++) {
      names.add(b.constant("c" + i, (Tensor) c.extra.get(i)));
    }
    b.op("y", c.op, c.attributes, names.toArray(String[]::new));
    check(b.output("y").build(), inputs, tolerance);
  }

  @Test
  void whereSplitCastAndSeveralUses() {
    Graph.Builder b = Graph.builder("mixed").opset("", 18);
    b.input("x", TensorType.of(DType.F64, 3, 4));
    b.input("z", TensorType.of(DType.F64, 4));
    b.constant("three", Tensor.scalar(DType.F64, 1));
    b.op("big", "Greater", Map.of(), "x", "three");
    b.op("w", "Where", Map.of(), "big", "x", "z");
    b.node(
        new Node(
            "split",
            "",
            "Split",
            List.of("w"),
            List.of("p", "q"),
            Map.of("axis", 1L, "num_outputs", 2L)));
    b.op("pq", "Mul", Map.of(), "p", "p");
    b.op("single", "Cast", Map.of("to", 1L), "pq");
    b.op("y", "Cast", Map.of("to", 11L), "single");
    Graph g = b.output("y").build();
    Random random = new Random(5);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (String name : List.of("x", "z")) {
      Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F64, g.type(name).shape());
      for (long j = 0; j < t.elements(); j++) {
        t.set(j, 0.5 + random.nextDouble());
      }
      inputs.put(name, t);
    }
    check(g, inputs, 1e-2); // the way leads through float32
  }

  /** Element by element: the gradient of sum(y * seed) against (L(x+h) - L(x-h)) / 2h. */
  private void check(Graph open, Map<String, Tensor> inputs, double tolerance) {
    Graph g = open.specialise(Map.of(), ort);
    Tensor seed = Tensor.allocate(Arena.ofAuto(), g.type("y").dtype(), g.type("y").shape());
    Random random = new Random(1);
    for (long j = 0; j < seed.elements(); j++) {
      seed.set(j, random.nextGaussian());
    }
    Gradient d = g.differentiate(Map.of("y", "seed"), inputs.keySet());
    Map<String, Tensor> fed = new LinkedHashMap<>(inputs);
    fed.put("seed", seed);
    Map<String, Tensor> out = ort.evaluate(used(d.graph()), only(d.graph(), fed));
    double h = tolerance < 1e-4 ? 1e-6 : 1e-2;
    for (String x : inputs.keySet()) {
      Tensor gradient = out.get(d.gradients().get(x));
      assertArrayEquals(inputs.get(x).shape(), gradient.shape());
      for (long j = 0; j < gradient.elements(); j++) {
        double at = inputs.get(x).get(j);
        inputs.get(x).set(j, at + h);
        double up = dot(ort.evaluate(g, inputs).get("y"), seed);
        inputs.get(x).set(j, at - h);
        double down = dot(ort.evaluate(g, inputs).get("y"), seed);
        inputs.get(x).set(j, at);
        double numeric = (up - down) / (2 * h);
        assertEquals(
            numeric,
            gradient.get(j),
            tolerance * Math.max(1, Math.abs(numeric)),
            x + "[" + j + "]");
      }
    }
  }

  private static Graph used(Graph g) {
    return g.slice(List.of(), g.outputs());
  }

  private static Map<String, Tensor> only(Graph g, Map<String, Tensor> inputs) {
    Map<String, Tensor> some = new LinkedHashMap<>(inputs);
    some.keySet().retainAll(used(g).inputs());
    return some;
  }

  private static double dot(Tensor a, Tensor b) {
    double sum = 0;
    for (long i = 0; i < a.elements(); i++) {
      sum += a.get(i) * b.get(i);
    }
    return sum;
  }

  /** Where a derivative jumps or is not defined, PyTorch's convention. */
  @Test
  void kinksFollowPyTorch() {
    assertArrayEquals(new double[] {0, 0, 1}, slope("Relu", new double[] {-1, 0, 2}));
    assertArrayEquals(new double[] {-1, 0, 1}, slope("Abs", new double[] {-1, 0, 2}));
    assertArrayEquals(
        new double[] {1, 0, 0, 0, 1}, slope("Shrink", new double[] {-1, -0.5, 0, 0.5, 1}));
    assertArrayEquals(
        new double[] {0, 0}, slope("Pow", new double[] {0, 2}, Tensor.scalar(DType.F64, 0)));
    assertArrayEquals(
        new double[] {1, 1}, slope("Pow", new double[] {0, 2}, Tensor.scalar(DType.F64, 1)));

    Graph.Builder b = Graph.builder("exponent").opset("", 18);
    b.constant("x", Tensor.ofDoubles(new double[] {0, 0, Math.E}, 3));
    b.input("y", TensorType.of(DType.F64, 3));
    Graph g = b.output(b.op("z", "Pow", Map.of(), "x", "y")).build().specialise(Map.of(), ort);
    Graph d = used(g.differentiate(Map.of("z", "seed"), List.of("y")).graph());
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("y", Tensor.ofDoubles(new double[] {2, 0, 1}, 3));
    inputs.put("seed", Tensor.ofDoubles(new double[] {1, 1, 1}, 3));
    double[] got = ort.evaluate(d, inputs).get("y.grad").toDoubles();
    assertArrayEquals(new double[] {0, 0, Math.E}, got, 1e-12);
  }

  /** The cofactors of a singular matrix, for which a formula with its inverse has no numbers. */
  @Test
  void theDeterminantOfASingularMatrixHasAGradient() {
    Graph.Builder b = Graph.builder("det").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 2, 2));
    Graph g = b.output(b.op("y", "Det", Map.of(), "x")).build().specialise(Map.of(), ort);
    Graph d = used(g.differentiate(Map.of("y", "seed"), List.of("x")).graph());
    Tensor x = Tensor.ofFloats(new float[] {1, 2, 3, 6}, 2, 2);
    Tensor seed = Tensor.ofFloats(new float[] {10});
    double[] got = ort.evaluate(d, Map.of("x", x, "seed", seed)).get("x.grad").toDoubles();
    assertArrayEquals(new double[] {60, -30, -20, 10}, got);
  }

  /** Attention as PyTorch exports it: 0 instead of what the softmax of a masked row is. */
  @Test
  void aRowThatIsWhollyMaskedHasNoGradient() {
    double none = Double.NEGATIVE_INFINITY;
    Graph.Builder b = Graph.builder("masked").opset("", 18);
    b.input("x", TensorType.of(DType.F64, 2, 2));
    b.constant("mask", Tensor.ofDoubles(new double[] {0, 0, none, none}, 2, 2));
    b.constant("zero", Tensor.scalar(DType.F64, 0));
    String softmax = b.op("y", "Softmax", Map.of(), b.op("scores", "Add", Map.of(), "x", "mask"));
    b.op("z", "Where", Map.of(), b.op("nan", "IsNaN", Map.of(), softmax), "zero", softmax);
    Graph g = b.output("z").build().specialise(Map.of(), ort);
    Graph d = used(g.differentiate(Map.of("z", "seed"), List.of("x")).graph());
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("x", Tensor.ofDoubles(new double[] {Math.log(3), 0, 1, 2}, 2, 2));
    inputs.put("seed", Tensor.ofDoubles(new double[] {1, 0, 1, 1}, 2, 2));
    double[] got = ort.evaluate(d, inputs).get("x.grad").toDoubles();
    assertArrayEquals(new double[] {3 / 16.0, -3 / 16.0, 0, 0}, got, 1e-12);
  }

  private double[] slope(String op, double[] x, Tensor... extra) {
    Graph.Builder b = Graph.builder("kink").opset("", 18);
    List<String> names = new ArrayList<>(List.of("x"));
    b.input("x", TensorType.of(DType.F64, x.length));
    for (Tensor t : extra) {
      names.add(b.constant("c" + names.size(), t));
    }
    b.op("y", op, Map.of(), names.toArray(String[]::new));
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    Gradient d = g.differentiate(Map.of("y", "seed"), List.of("x"));
    double[] ones = new double[x.length];
    Arrays.fill(ones, 1);
    Map<String, Tensor> fed = new LinkedHashMap<>();
    fed.put("x", Tensor.ofDoubles(x, x.length));
    fed.put("seed", Tensor.ofDoubles(ones, x.length));
    return ort.evaluate(used(d.graph()), only(d.graph(), fed)).get("x.grad").toDoubles();
  }

  @Test
  void theStatisticsOfALayerNormalizationAreRefused() {
    Graph.Builder b = Graph.builder("statistics").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 2, 3));
    b.constant("scale", Tensor.ofFloats(new float[] {1, 2, 3}, 3));
    b.node(
        new Node(
            "ln", "", "LayerNormalization", List.of("x", "scale"), List.of("y", "m"), Map.of()));
    Graph g = b.output("y").output("m").build().specialise(Map.of(), ort);
    InputException e =
        assertThrows(
            InputException.class, () -> g.differentiate(Map.of("m", "seed"), List.of("x")));
    assertTrue(e.getMessage().contains("the output m of node ln"), e.getMessage());
  }

  @Test
  void olderOperatorSetsAreRefused() {
    Graph.Builder b = Graph.builder("old").opset("", 10);
    b.input("x", TensorType.of(DType.F32, 2));
    Graph g = b.output(b.op("y", "Neg", Map.of(), "x")).build().specialise(Map.of(), ort);
    InputException e =
        assertThrows(
            InputException.class, () -> g.differentiate(Map.of("y", "seed"), List.of("x")));
    assertTrue(e.getMessage().contains("operator set 10"), e.getMessage());
  }

  @Test
  void aValueThatNothingDependsOnHasZeros() {
    Graph.Builder b = Graph.builder("apart").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 2));
    b.input("z", TensorType.of(DType.F32, 3));
    b.op("y", "Floor", Map.of(), "x");
    b.op("other", "Neg", Map.of(), "z");
    Graph g = b.output("y").output("other").build().specialise(Map.of(), ort);
    Gradient d = g.differentiate(Map.of("y", "seed"), List.of("x", "z"));
    Map<String, Tensor> out =
        ort.evaluate(
            d.graph(),
            Map.of(
                "x", Tensor.ofFloats(new float[] {1, 2}, 2),
                "z", Tensor.ofFloats(new float[] {1, 2, 3}, 3),
                "seed", Tensor.ofFloats(new float[] {5, 7}, 2)));
    assertArrayEquals(new double[2], out.get("x.grad").toDoubles());
    assertArrayEquals(new double[3], out.get("z.grad").toDoubles());
  }

  @Test
  void anUnknownOperatorIsNamedWithItsPath() {
    Graph.Builder b = Graph.builder("unknown").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 2));
    b.op("hard", "Hardmax", Map.of(), "x");
    b.op("y", "Neg", Map.of(), "hard");
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    InputException e =
        assertThrows(
            InputException.class, () -> g.differentiate(Map.of("y", "seed"), List.of("x")));
    assertTrue(e.getMessage().contains("Hardmax"), e.getMessage());
    assertTrue(e.getMessage().contains("y (Neg) <- hard (Hardmax)"), e.getMessage());
    // Off the path it does not matter.
    assertEquals(
        Map.of("hard", "hard.grad"),
        g.differentiate(Map.of("y", "seed"), List.of("hard")).gradients());
  }
}
