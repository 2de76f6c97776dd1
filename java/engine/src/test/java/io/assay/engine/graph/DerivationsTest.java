package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class DerivationsTest {
  static final List<String> MODELS = Fixtures.GPT2;

  private final Ort ort = new Ort();

  /** y = tanh(x) * w + tanh(x), for x of n rows. */
  private static Graph small() {
    Graph.Builder b = Graph.builder("small").opset("", 17);
    b.input("x", new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(2))));
    b.constant("w", Tensor.ofFloats(new float[] {2, 3}, 2));
    b.constant("unused", Tensor.ofFloats(new float[] {1}, 1));
    b.op("t", "Tanh", Map.of(), "x");
    b.type("t", new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(2))));
    b.op("m", "Mul", Map.of(), "t", "w");
    b.op("y", "Add", Map.of(), "m", "t");
    return b.output("y").build();
  }

  @Test
  void theBuilderOrdersAndChecks() {
    Graph.Builder b = Graph.builder("g");
    b.input("x", TensorType.of(DType.F32, 2));
    b.op("c", "Add", Map.of(), "b", "a");
    b.op("b", "Neg", Map.of(), "a");
    b.op("a", "Abs", Map.of(), "x");
    Graph g = b.output("c").build();
    assertEquals(List.of("a", "b", "c"), g.nodes().stream().map(Node::name).toList());
    assertEquals("b", g.producer("b").name());
    assertEquals(List.of("b", "c"), g.users("a").stream().map(Node::name).toList());
    assertNull(g.producer("x"));
    assertEquals(List.of(), g.users("c"));

    Graph.Builder e = g.edit();
    assertEquals("a.1", e.fresh("a"));
    assertEquals("a.2", e.fresh("a"));
    assertEquals("new", e.fresh("new"));
    assertFalse(e.has("new"));
    e.op("new", "Neg", Map.of(), "c");
    assertTrue(e.has("new"));
    assertThrows(InputException.class, () -> e.op("new", "Neg", Map.of(), "c"));
    assertEquals(4, e.build().nodes().size());
    assertEquals(3, g.nodes().size());
  }

  @Test
  void exposedValuesAreOutputs() {
    Graph g = small().expose("t");
    assertEquals(List.of("y", "t"), g.outputs());
    assertThrows(InputException.class, () -> g.expose("nothing"));
  }

  @Test
  void aSliceHoldsWhatItNeedsAndNoMore() {
    Graph g = small();
    Graph upTo = g.slice(List.of(), List.of("t"));
    assertEquals(List.of("x"), upTo.inputs());
    assertTrue(upTo.constants().isEmpty());
    assertEquals(1, upTo.nodes().size());

    Graph from = g.slice(List.of("t"), List.of("y"));
    assertEquals(List.of("t"), from.inputs());
    assertEquals(List.of("w"), List.copyOf(from.constants().keySet()));
    assertSame(g.constant("w"), from.constant("w"));
    assertEquals(2, from.nodes().size());

    Graph weights = g.slice(List.of("w"), List.of("y"));
    assertEquals(List.of("x", "w"), weights.inputs());
    assertTrue(weights.constants().isEmpty());
    InputException e =
        assertThrows(InputException.class, () -> g.slice(List.of("m"), List.of("y")));
    assertTrue(e.getMessage().contains("m, whose type is unknown"));
  }

  @Test
  void aCutThroughANodeWithSeveralOutputsKeepsTheOthers() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 4));
    b.node(new Node("s", "", "Split", List.of("x"), List.of("l", "r"), Map.of("axis", 0L)));
    b.type("l", TensorType.of(DType.F32, 2));
    b.op("y", "Sub", Map.of(), "l", "r");
    Graph g = b.output("y").build().slice(List.of("l"), List.of("y"));
    assertEquals(List.of("x", "l"), g.inputs());
    Map<String, Tensor> out =
        ort.evaluate(
            g,
            Map.of(
                "x", Tensor.ofFloats(new float[] {1, 2, 3, 4}, 4),
                "l", Tensor.ofFloats(new float[] {10, 20}, 2)));
    assertArrayEquals(new double[] {7, 16}, out.get("y").toDoubles());
  }

  @ParameterizedTest
  @FieldSource("MODELS")
  void slicesJoinedAreTheWhole(String model) {
    Graph g = Fixtures.graph(model);
    Map<String, Tensor> inputs = Fixtures.inputs(g, Fixtures.shapes(g), 3);
    Map<String, Tensor> whole = ort.evaluate(g, inputs);
    // The residual stream in the middle: the input of the third of five normalisations.
    String middle =
        g.nodes().stream()
            .filter(n -> n.op().equals("LayerNormalization"))
            .skip(2)
            .findFirst()
            .orElseThrow()
            .input(0);
    Graph first = g.slice(List.of(), List.of(middle));
    Map<String, Tensor> carried = ort.evaluate(first, pick(inputs, first.inputs()));
    Graph second =
        g.edit()
            .type(middle, new TensorType(DType.F32, null))
            .build()
            .slice(List.of(middle), g.outputs());
    assertTrue(second.nodes().size() < g.nodes().size());
    Map<String, Tensor> feeds = new HashMap<>(pick(inputs, second.inputs()));
    feeds.putAll(carried);
    Fixtures.assertSame(whole, ort.evaluate(second, feeds), 1e-5);
    // A slice that ignored what it is given would pass too.
    feeds.put(middle, Tensor.allocate(Arena.ofAuto(), DType.F32, carried.get(middle).shape()));
    assertFalse(
        whole.get(g.outputs().getFirst()).get(0)
            == ort.evaluate(second, feeds).get(g.outputs().getFirst()).get(0));
  }

  private static Map<String, Tensor> pick(Map<String, Tensor> all, List<String> names) {
    Map<String, Tensor> picked = new LinkedHashMap<>(all);
    picked.keySet().retainAll(names);
    return picked;
  }

  @Test
  void replaceChangesAllUsersButNotItsOwnSource() {
    Graph.Builder b = small().edit();
    b.op("r", "Neg", Map.of(), "t");
    Graph g = b.build().replace("t", "r");
    assertEquals("t", g.producer("r").input(0));
    assertEquals(List.of("r", "w"), g.producer("m").inputs());
    assertEquals(List.of("m", "r"), g.producer("y").inputs());
  }

  @Test
  void replaceReachesIntoBodies() {
    Graph.Builder body = Graph.builder("body");
    body.op("inner", "Neg", Map.of(), "t");
    Graph branch = body.output("inner").buildBody();
    Graph.Builder b = small().edit();
    b.input("c", TensorType.of(DType.BOOL));
    b.op("i", "If", Map.of("then_branch", branch, "else_branch", branch), "c");
    b.op("r", "Abs", Map.of(), "x");
    Graph g = b.output("i").build().replace("t", "r");
    assertEquals(List.of(), g.users("t"));
    Map<String, Tensor> feeds = new HashMap<>();
    feeds.put("x", Tensor.ofFloats(new float[] {3, -4}, 1, 2));
    Tensor c = Tensor.allocate(Arena.ofAuto(), DType.BOOL);
    c.set(0, 1);
    feeds.put("c", c);
    assertArrayEquals(new double[] {-3, -4}, ort.evaluate(g, feeds).get("i").toDoubles());
  }

  @Test
  void aRowPatchGathersRowsOfTheBatchAndTheBank() {
    Graph g = small().patch("t", new RowPatch(1, -1));
    assertEquals(List.of("x", "t.patch.rows", "t.patch.bank"), g.inputs());
    Tensor x = Tensor.ofFloats(new float[] {1, 2, 3, 4, 5, 6}, 3, 2);
    Map<String, Tensor> feeds = new HashMap<>();
    feeds.put("x", x);
    feeds.put("t.patch.rows", Tensor.ofLongs(new long[] {2, 3, 0}, 3));
    feeds.put("t.patch.bank", Tensor.ofFloats(new float[] {10, 20}, 1, 2));
    double[] expected = new double[6];
    double[][] rows = {{Math.tanh(5), Math.tanh(6)}, {10, 20}, {Math.tanh(1), Math.tanh(2)}};
    for (int i = 0; i < 3; i++) {
      expected[2 * i] = rows[i][0] * 3;
      expected[2 * i + 1] = rows[i][1] * 4;
    }
    assertArrayEquals(expected, ort.evaluate(g, feeds).get("y").toDoubles(), 1e-5);
  }

  @Test
  void aPatchOfItselfChangesNothing() {
    Graph g = small().patch("t", RowPatch.rows());
    assertEquals(List.of("x", "t.patch.rows"), g.inputs());
    Map<String, Tensor> feeds = new HashMap<>();
    feeds.put("x", Tensor.ofFloats(new float[] {1, 2, 3, 4}, 2, 2));
    Map<String, Tensor> plain = ort.evaluate(small(), feeds);
    feeds.put("t.patch.rows", Tensor.ofLongs(new long[] {0, 1}, 2));
    Fixtures.assertSame(plain, ort.evaluate(g, feeds), 0);
  }

  /** One element of [rows, positions, heads, width] is taken from elsewhere at each depth. */
  @Test
  void aPatchAddressesPositionsAndHeads() {
    for (boolean fixed : new boolean[] {true, false}) {
      for (int axes = 1; axes <= 3; axes++) {
        Graph.Builder b = Graph.builder("g").opset("", 17);
        List<Dim> dims =
            fixed
                ? List.of(Dim.of(2), Dim.of(3), Dim.of(2), Dim.of(2))
                : List.of(Dim.symbol("b"), Dim.symbol("p"), Dim.symbol("h"), Dim.of(2));
        TensorType type = new TensorType(DType.F32, dims);
        b.input("x", type);
        b.op("h", "Neg", Map.of(), "x");
        b.type("h", type);
        b.op("y", "Neg", Map.of(), "h");
        Graph g = b.output("y").build().patch("h", new RowPatch(axes, 1));
        int cells = new int[] {2, 6, 12}[axes - 1];
        int width = 24 / cells;
        long[] map = new long[cells];
        for (int i = 0; i < cells; i++) {
          map[i] = i;
        }
        map[1] = 0;
        map[cells - 1] = cells;
        float[] x = new float[24];
        double[] expected = new double[24];
        for (int i = 0; i < 24; i++) {
          x[i] = i;
          long from = map[i / width];
          expected[i] = from == cells ? -(100 + i % width) : from * width + i % width;
        }
        float[] bank = new float[width];
        for (int i = 0; i < width; i++) {
          bank[i] = 100 + i;
        }
        long[] rest = new long[] {1, 3, 2, 2};
        long[] bankShape = new long[5 - axes];
        bankShape[0] = 1;
        System.arraycopy(rest, axes, bankShape, 1, 4 - axes);
        Map<String, Tensor> feeds = new HashMap<>();
        feeds.put("x", Tensor.ofFloats(x, 2, 3, 2, 2));
        feeds.put("h.patch.rows", Tensor.ofLongs(map, Arrays.copyOf(new long[] {2, 3, 2}, axes)));
        feeds.put("h.patch.bank", Tensor.ofFloats(bank, bankShape));
        assertArrayEquals(expected, ort.evaluate(g, feeds).get("y").toDoubles(), "axes " + axes);
      }
    }
    assertThrows(InputException.class, () -> small().patch("t", new RowPatch(3, 0)));
    assertThrows(InputException.class, () -> small().patch("m", RowPatch.rows()));
  }

  @ParameterizedTest
  @FieldSource("MODELS")
  void doublePrecisionAgreesWithSingle(String model) {
    Graph g = Fixtures.graph(model);
    Graph twice = g.withFloat(DType.F64);
    Map<String, Tensor> inputs = Fixtures.inputs(g, Fixtures.shapes(g), 4);
    Map<String, Tensor> wide = new HashMap<>();
    inputs.forEach(
        (name, t) ->
            wide.put(
                name, t.dtype() == DType.F32 ? Tensor.ofDoubles(t.toDoubles(), t.shape()) : t));
    Tensor single = ort.evaluate(g, inputs).get("logits");
    Tensor doubled = ort.evaluate(twice, wide).get("logits");
    assertEquals(DType.F64, doubled.dtype());
    assertArrayEquals(single.toDoubles(), doubled.toDoubles(), 2e-5);
    // Really computed in double precision, not merely converted at the end.
    int unrounded = 0;
    for (double v : doubled.toDoubles()) {
      unrounded += v == (float) v ? 0 : 1;
    }
    assertTrue(unrounded > doubled.elements() / 2);
    Fixtures.assertSame(
        Map.of("logits", single),
        pick(ort.evaluate(twice.withFloat(DType.F32), inputs), List.of("logits")),
        0);
  }

  @Test
  void filtersComputedFromConstantsAreConstants() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 1, 2, 2, 3));
    b.input("scale", TensorType.of(DType.F32));
    b.constant("w", Tensor.ofFloats(new float[] {1, 2, 3, 4, 5, 6}, 3, 2, 1, 1));
    b.op("swapped", "Transpose", Map.of("perm", List.of(1L, 0L, 2L, 3L)), "w");
    b.op("turned", "Transpose", Map.of("perm", List.of(1L, 0L, 2L, 3L)), "swapped");
    b.op("y", "Conv", Map.of(), "x", "turned");
    b.op("scaled", "Mul", Map.of(), "turned", "scale");
    b.op("z", "Conv", Map.of(), "x", "scaled");
    b.op("noise", "RandomNormal", Map.of("shape", List.of(1L, 2L, 1L, 1L)));
    b.op("n", "Conv", Map.of(), "x", "noise");
    Graph g = b.output("y").output("z").output("n").output("turned").build();

    Graph folded = g.withConstantFilters(ort);
    assertEquals(
        Set.of("y", "scaled", "z", "noise", "n"),
        folded.nodes().stream().map(Node::name).collect(Collectors.toSet()));
    assertArrayEquals(g.constant("w").toDoubles(), folded.constant("turned").toDoubles());
    assertEquals(g.inputs(), folded.inputs());
    assertEquals(g.outputs(), folded.outputs());
    assertSame(folded, folded.withConstantFilters(ort));
    assertEquals(1, ort.runs);
    // A weight that is an input is none.
    Graph trained = g.slice(List.of("x", "w"), List.of("y"));
    assertSame(trained, trained.withConstantFilters(ort));
    Tensor x = Tensor.ofFloats(new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 1, 2, 2, 3);
    Map<String, Tensor> inputs = Map.of("x", x, "scale", Tensor.scalar(DType.F32, 2));
    double[] y = ort.evaluate(folded, inputs).get("y").toDoubles();
    for (int i = 0; i < 18; i++) {
      int row = i / 6;
      double first = 1 + i % 6;
      assertEquals((2 * row + 1) * first + (2 * row + 2) * (first + 6), y[i]);
    }
  }

  @Test
  void operationsOfProducts() {
    Graph.Builder b = Graph.builder("g");
    b.input("a", TensorType.of(DType.F32, 2, 3, 5));
    b.input("b", TensorType.of(DType.F32, 5, 7));
    b.input("c", TensorType.of(DType.F32, 5, 4));
    b.op("m", "MatMul", Map.of(), "a", "b");
    b.type("m", TensorType.of(DType.F32, 2, 3, 7));
    b.op("g", "Gemm", Map.of("transA", 1L), "b", "c");
    b.type("g", TensorType.of(DType.F32, 7, 4));
    b.op("e", "Einsum", Map.of("equation", "...ij, jk -> ...ik"), "a", "b");
    b.type("e", TensorType.of(DType.F32, 2, 3, 7));
    b.input("i", TensorType.of(DType.F32, 1, 4, 8, 8));
    b.input("w", TensorType.of(DType.F32, 6, 2, 3, 3));
    b.op("v", "Conv", Map.of("group", 2L), "i", "w");
    b.type("v", TensorType.of(DType.F32, 1, 6, 6, 6));
    b.op("u", "ConvTranspose", Map.of("group", 2L), "v", "w");
    Graph g = b.output("m").build();
    long products = 2 * 3 * 5 * 7 + 7 * 5 * 4 + 2 * 3 * 5 * 7;
    long expected = 2 * (products + 2 * (6 * 6 * 6 * 2 * 3 * 3));
    assertEquals(expected, g.operations());
    Graph.Builder open = g.edit().input("q", new TensorType(DType.F32, null));
    open.op("z", "MatMul", Map.of(), "q", "b");
    assertThrows(InputException.class, () -> open.build().operations());
  }
}
