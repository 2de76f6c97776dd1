package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class SpecialiseTest {
  static final List<String> MODELS = Fixtures.GPT2;

  private final Ort ort = new Ort();

  /**
   * The oracle is the runtime: each value's real type and shape, and the model's real result. In
   * double precision, where the runtime's own fusions of the two graphs do not show.
   */
  @ParameterizedTest
  @FieldSource("MODELS")
  void everyShapeIsTheRealOneAndTheResultTheSame(String model) {
    Graph g = Fixtures.graph(model).withFloat(DType.F64);
    Map<String, long[]> shapes = Fixtures.shapes(g);
    Map<String, Tensor> inputs = Fixtures.inputs(g, shapes, 5);
    Graph fixed = g.specialise(shapes, ort);
    assertTrue(ort.runs <= 40, ort.runs + " evaluations");

    Set<String> shapeArithmetic = Set.of("Shape", "Range", "ConstantOfShape", "Size", "CumSum");
    for (Node node : fixed.nodes()) {
      assertTrue(!shapeArithmetic.contains(node.op()), node.toString());
    }
    Graph all =
        fixed.expose(
            fixed.nodes().stream()
                .flatMap(n -> n.outputs().stream())
                .filter(v -> !v.isEmpty())
                .toArray(String[]::new));
    Map<String, Tensor> values = ort.evaluate(all, inputs);
    values.forEach(
        (value, tensor) ->
            assertEquals(TensorType.of(tensor.dtype(), tensor.shape()), fixed.type(value), value));
    assertEquals(g.inputs(), fixed.inputs());
    assertEquals(g.outputs(), fixed.outputs());
    Fixtures.assertSame(ort.evaluate(g, inputs), ort.evaluate(fixed, inputs), 1e-12);
    assertTrue(fixed.operations() > 2L * 15 * 24 * 24 * 4 * 2);
  }

  @Test
  void weightsAreSharedAndNeverFolded() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(2))));
    b.constant("w", Tensor.ofFloats(new float[] {1, 2, 3, 4}, 2, 2));
    b.constant("two", Tensor.scalar(DType.F32, 2));
    b.constant("i", Tensor.ofLongs(new long[] {4}, 1));
    b.op("wt", "Transpose", Map.of("perm", List.of(1L, 0L)), "w");
    b.op("half", "Reciprocal", Map.of(), "two");
    b.op("j", "Neg", Map.of(), "i");
    b.op("m", "MatMul", Map.of(), "x", "wt");
    b.op("y", "Mul", Map.of(), "m", "half");
    Graph g = b.output("y").output("j").build();
    Graph fixed = g.specialise(Map.of("x", new long[] {3, 2}), ort);
    assertEquals(
        List.of("Transpose", "Reciprocal", "MatMul", "Mul"),
        fixed.nodes().stream().map(Node::op).toList());
    assertSame(g.constant("w"), fixed.constant("w"));
    assertSame(g.constant("two"), fixed.constant("two"));
    assertArrayEquals(new long[] {-4}, fixed.constant("j").toLongs());
    assertEquals(1, ort.runs);
    assertEquals(Set.of("w", "two", "j"), fixed.constants().keySet());
    assertEquals(2 * 3 * 2 * 2, fixed.operations());
  }

  /** A learned temperature is a weight; one that shape arithmetic took is no value any more. */
  @Test
  void aNumberThatIsAWeightHasItsWholeGradientOrNone() {
    for (boolean folded : new boolean[] {false, true}) {
      Graph.Builder b = Graph.builder("g").opset("", 18);
      b.input("x", TensorType.of(DType.F32, 2));
      b.constant("t", Tensor.scalar(DType.F32, 0.5));
      b.op("e", "Exp", Map.of(), "t");
      b.op("n", "Size", Map.of(), "x");
      b.op("float", "Cast", Map.of("to", 1L), "n");
      b.op("p", "Mul", Map.of(), folded ? "float" : "x", "t");
      b.op("y", "Mul", Map.of(), "x", "e");
      b.op("z", "Add", Map.of(), "y", "p");
      Graph fixed = b.output("z").build().specialise(Map.of(), ort);
      if (folded) {
        assertThrows(
            InputException.class, () -> fixed.differentiate(Map.of("z", "seed"), List.of("t")));
        continue;
      }
      Tensor x = Tensor.ofFloats(new float[] {3, 4}, 2);
      Tensor seed = Tensor.ofFloats(new float[] {1, 1}, 2);
      Graph d = fixed.differentiate(Map.of("z", "seed"), List.of("t")).graph();
      double got = ort.evaluate(d, Map.of("x", x, "seed", seed)).get("t.grad").get(0);
      assertEquals(7 * Math.exp(0.5) + 7, got, 1e-5);
    }
  }

  @Test
  void shapesWithStartAndEndAreCut() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", new TensorType(DType.F32, List.of(Dim.symbol("a"), Dim.symbol("b"), Dim.of(7))));
    b.op("s", "Shape", Map.of("start", -2L, "end", -1L), "x");
    b.op("t", "Shape", Map.of(), "x");
    b.op("u", "Shape", Map.of("start", 2L, "end", 1L), "x");
    b.op("n", "Size", Map.of(), "x");
    Graph g = b.output("s").output("t").output("u").output("n").build();
    Graph fixed = g.specialise(Map.of("x", new long[] {3, 5, 7}), ort);
    assertArrayEquals(new long[] {5}, fixed.constant("s").toLongs());
    assertArrayEquals(new long[] {3, 5, 7}, fixed.constant("t").toLongs());
    assertArrayEquals(new long[0], fixed.constant("u").toLongs());
    assertArrayEquals(new long[] {105}, fixed.constant("n").toLongs());
    assertEquals(0, ort.runs);
  }

  @Test
  void symbolsBindAcrossInputs() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    TensorType type = new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(2)));
    b.input("x", type).input("z", type);
    b.op("y", "Add", Map.of(), "x", "z");
    Graph g = b.output("y").build();
    Graph fixed = g.specialise(Map.of("x", new long[] {3, 2}), ort);
    assertEquals(TensorType.of(DType.F32, 3, 2), fixed.type("z"));
    assertNotNull(fixed.type("y"));
    refused(g, Map.of(), "input x", "needs a shape");
    refused(g, Map.of("x", new long[] {3, 4}), "input x", "[3, 4]");
    refused(g, Map.of("x", new long[] {3}), "input x");
    refused(g, Map.of("x", new long[] {-3, 2}), "input x");
    refused(g, Map.of("x", new long[] {3, 2}, "z", new long[] {4, 2}), "does not fit input");
    refused(g, Map.of("q", new long[] {3}), "no input q");
  }

  private static String message(Executable step) {
    return assertThrows(InputException.class, step).getMessage();
  }

  private void refused(Graph g, Map<String, long[]> shapes, String... words) {
    String message = message(() -> g.specialise(shapes, ort));
    for (String word : words) {
      assertTrue(message.contains(word), message);
    }
  }

  @Test
  void operatorsWithoutARuleAndContradictionsAreNamed() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 3, 2));
    b.op("n", "NoSuchThing", Map.of(), "x");
    b.op("y", "Neg", Map.of(), "n");
    b.op("z", "Neg", Map.of(), "x");
    Graph untyped = b.output("y").output("z").build().specialise(Map.of(), ort);
    assertNull(untyped.type("y"));
    assertEquals(
        "the value y of graph g cannot be seeded while its shape is open; on the path y (Neg) <- n"
            + " (NoSuchThing), of node n (NoSuchThing) no output shape is known; export the model"
            + " without it, or take the gradient of values behind it",
        message(() -> untyped.differentiate(Map.of("y", "seed"), List.of("x"))));
    assertEquals(
        Map.of("x", "x.grad"),
        untyped.differentiate(Map.of("z", "seed"), List.of("x")).gradients());

    Graph.Builder c = Graph.builder("g").opset("", 17);
    c.input("x", TensorType.of(DType.F32, 3, 2));
    c.op("m", "MatMul", Map.of(), "x", "x");
    refused(c.output("m").build(), Map.of(), "m (MatMul)", "F32[3,2]");

    Graph.Builder d = Graph.builder("g").opset("", 17);
    d.input("x", TensorType.of(DType.F32, 3, 2));
    d.input("s", TensorType.of(DType.I64, 1));
    d.op("r", "Reshape", Map.of(), "x", "s");
    refused(d.output("r").build(), Map.of(), "r (Reshape)", "value of its input 1 (s)");
  }

  @Test
  void whatIsFoldedStaysWhereTheOtherInputHasNoKnownType() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 2));
    b.constant("ids", Tensor.ofLongs(new long[] {4, 7}, 2));
    b.op("c", "Cast", Map.of("to", 1L), "ids");
    b.op("n", "NoSuchThing", Map.of(), "x");
    b.op("y", "Add", Map.of(), "n", "c");
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    assertEquals(7, g.constant("c").get(1));
  }

  /** As the runtime's quantiser writes a product; the scale follows the largest entries of x. */
  @Test
  void quantisedProductsHaveShapesAndNoGradientThroughTheirScale() {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 3, 2));
    b.input("bias", TensorType.of(DType.F32, 4));
    b.constant("w", Tensor.allocate(Arena.ofAuto(), DType.I8, 2, 4));
    List<String> parts = List.of("q", "scale", "zero");
    b.node(new Node("quantised", "", "DynamicQuantizeLinear", List.of("x"), parts, Map.of()));
    b.op("whole", "MatMulInteger", Map.of(), "q", "w", "zero");
    b.op("float", "Cast", Map.of("to", 1L), "whole");
    b.op("scaled", "Mul", Map.of(), "float", "scale");
    b.op("y", "Add", Map.of(), "scaled", "bias");
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    assertEquals(TensorType.of(DType.I32, 3, 4), g.type("whole"));
    assertEquals(TensorType.of(DType.U8), g.type("zero"));
    Map<String, String> seeds = Map.of("y", "seed");
    assertEquals(Map.of("bias", "bias.grad"), g.differentiate(seeds, List.of("bias")).gradients());
    String refusal = message(() -> g.differentiate(seeds, List.of("x")));
    assertTrue(refusal.contains("quantised (DynamicQuantizeLinear)"), refusal);
  }
}
