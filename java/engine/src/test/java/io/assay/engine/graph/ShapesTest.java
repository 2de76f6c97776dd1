package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The corners of single shape rules, against the shapes that the runtime really computes. */
class ShapesTest {
  /** Shapes of the float inputs, then constant integer vectors; null is an absent input. */
  record Case(
      String op,
      Map<String, Object> attributes,
      List<long[]> shapes,
      long[][] integers,
      int outputs) {
    static Case of(String op, Map<String, Object> attributes, long[]... shapes) {
      return new Case(op, attributes, List.of(shapes), new long[0][], 1);
    }

    Case with(long[]... constants) {
      return new Case(op, attributes, shapes, constants, outputs);
    }

    Case outputs(int n) {
      return new Case(op, attributes, shapes, integers, n);
    }

    @Override
    public String toString() {
      return op
          + attributes
          + shapes.stream().map(Arrays::toString).toList()
          + Arrays.deepToString(integers);
    }
  }

  private static long[] s(long... shape) {
    return shape;
  }

  static Stream<Case> cases() {
    long max = Long.MAX_VALUE;
    long min = Long.MIN_VALUE;
    return Stream.of(
        Case.of("Slice", Map.of(), s(5, 7)).with(s(-9, 3), s(4, max)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(9), s(12), s(0)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(4), s(2), s(1)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(0), s(max), s(-1), s(3)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(-1), s(min), s(1), s(-2)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(20), s(-3), s(1), s(-1)),
        Case.of("Slice", Map.of(), s(5, 7)).with(s(0), s(5), s(0), s(2)),
        Case.of("Reshape", Map.of(), s(2, 3, 4)).with(s(0, -1)),
        Case.of("Reshape", Map.of("allowzero", 1L), s(2, 0)).with(s(0, 5)),
        Case.of("Reshape", Map.of(), s(1, 1)).with(s()),
        Case.of("Flatten", Map.of("axis", 0L), s(2, 3, 4)),
        Case.of("Flatten", Map.of("axis", -1L), s(2, 3, 4)),
        Case.of("Flatten", Map.of("axis", 3L), s(2, 3, 4)),
        Case.of("Squeeze", Map.of(), s(1, 3, 1)),
        Case.of("Squeeze", Map.of(), s(1, 3, 1)).with(s(-1)),
        Case.of("Unsqueeze", Map.of(), s(2, 3)).with(s(-1, 0)),
        Case.of("Split", Map.of("axis", -1L), s(2, 6)).outputs(3),
        Case.of("Expand", Map.of(), s(3, 1)).with(s(2, 1, 4)),
        Case.of("Expand", Map.of(), s(2, 3, 4)).with(s(1)),
        Case.of("Tile", Map.of(), s(2, 3)).with(s(2, 0)),
        Case.of("Pad", Map.of(), s(2, 3)).with(s(1, 0, 2, -1)),
        Case.of("Gather", Map.of("axis", -2L), s(2, 3, 4)).with(s(0, 2, 1, 1, 0)),
        Case.of("Einsum", Map.of("equation", "...ij, ...jk -> ...ik"), s(5, 2, 3), s(1, 3, 4)),
        Case.of("Einsum", Map.of("equation", "ij,jk"), s(2, 3), s(3, 4)),
        Case.of("Einsum", Map.of("equation", "bij->b"), s(5, 2, 3)),
        Case.of("MatMul", Map.of(), s(3), s(5, 3, 4)),
        Case.of("MatMul", Map.of(), s(2, 1, 2, 3), s(5, 3, 4)),
        Case.of("MatMul", Map.of(), s(3), s(3)),
        Case.of("Gemm", Map.of("transA", 1L, "transB", 1L), s(3, 2), s(4, 3)),
        Case.of("ReduceSum", Map.of("keepdims", 0L), s(2, 3)),
        Case.of("ReduceSum", Map.of("noop_with_empty_axes", 1L), s(2, 3)),
        Case.of("ReduceSum", Map.of(), s(2, 3)).with(s(-1)),
        Case.of("ReduceMax", Map.of("axes", List.of(1L), "keepdims", 0L), s(2, 3, 4)),
        Case.of("ArgMax", Map.of("axis", 1L, "keepdims", 0L), s(2, 3)),
        Case.of("TopK", Map.of("axis", 0L), s(5, 2)).with(s(3)).outputs(2),
        Case.of("LayerNormalization", Map.of("axis", 1L), s(2, 3, 4), s(3, 4)).outputs(3),
        Case.of("Conv", Map.of("strides", List.of(2L, 1L)), s(1, 2, 9, 8), s(3, 2, 3, 2)),
        Case.of(
            "Conv",
            Map.of("group", 2L, "dilations", List.of(2L), "pads", List.of(1L, 2L)),
            s(1, 4, 9),
            s(6, 2, 3)),
        Case.of(
            "Conv",
            Map.of("auto_pad", "SAME_UPPER", "strides", List.of(2L)),
            s(1, 1, 9),
            s(1, 1, 3)),
        Case.of(
            "MaxPool",
            Map.of("kernel_shape", List.of(3L), "strides", List.of(2L), "ceil_mode", 1L),
            s(1, 2, 8)),
        Case.of(
            "AveragePool",
            Map.of("kernel_shape", List.of(2L, 3L), "pads", List.of(0L, 1L, 1L, 0L)),
            s(1, 2, 8, 7)),
        Case.of("GlobalAveragePool", Map.of(), s(1, 2, 8, 7)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void theRuleGivesTheRealShape(Case c) {
    Graph.Builder b = Graph.builder("g").opset("", 17);
    List<String> inputs = new ArrayList<>();
    Map<String, Tensor> feeds = new HashMap<>();
    for (int i = 0; i < c.shapes.size(); i++) {
      b.input("x" + i, TensorType.of(DType.F32, c.shapes.get(i)));
      inputs.add("x" + i);
      feeds.put("x" + i, Tensor.allocate(Arena.ofAuto(), DType.F32, c.shapes.get(i)));
    }
    for (int i = 0; i < c.integers.length; i++) {
      long[] values = c.integers[i];
      inputs.add(b.constant("i" + i, Tensor.ofLongs(values, values.length)));
    }
    List<String> outputs = new ArrayList<>();
    for (int i = 0; i < c.outputs; i++) {
      outputs.add("y" + i);
      b.output("y" + i);
    }
    b.node(new Node("n", "", c.op, inputs, outputs, c.attributes));
    Ort ort = new Ort();
    Graph fixed = b.build().specialise(Map.of(), ort);
    assertEquals(0, ort.runs);
    ort.evaluate(fixed, feeds)
        .forEach(
            (value, tensor) ->
                assertEquals(
                    TensorType.of(tensor.dtype(), tensor.shape()), fixed.type(value), value));
  }
}
