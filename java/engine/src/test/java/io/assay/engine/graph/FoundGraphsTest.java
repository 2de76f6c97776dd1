package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Graphs that {@code RandomGraphsTest} has found and shrunk, each with what was wrong. */
class FoundGraphsTest {
  /** The runtime refuses a Gemm behind a Transpose that changes nothing; a gradient has one. */
  @Test
  void aTransposeThatChangesNothingBeforeAProduct() {
    Graph.Builder b = Graph.builder("seed 446");
    b.opset("", 18);
    b.input("x3", new TensorType(DType.F32, List.of(Dim.of(2), Dim.of(2))));
    b.input("v0", new TensorType(DType.F32, List.of(Dim.of(3), Dim.of(2))));
    b.node(
        new Node(
            "v1", "", "Transpose", List.of("v0"), List.of("v1"), Map.of("perm", List.of(0L, 1L))));
    b.node(new Node("v2", "", "MatMul", List.of("v1", "x3"), List.of("v2"), Map.of()));
    b.output("v2");
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put(
        "x3",
        Tensor.ofFloats(new float[] {0.9238281f, -1.7158203f, -1.7314453f, 1.0722656f}, 2, 2));
    inputs.put(
        "v0",
        Tensor.ofFloats(
            new float[] {-1.0380859f, -1.0f, 0.9238281f, 0.5f, 0.75f, 0.9238281f}, 3, 2));
    new GraphCheck().check(b.build(), inputs);
  }

  /** The runtime fuses both and forgets that the matrix, which is square, is turned around. */
  @Test
  void aMatrixThatIsTurnedTimesAVector() {
    Graph.Builder b = Graph.builder("seed 11967");
    b.opset("", 18);
    b.input("v4", new TensorType(DType.F32, List.of(Dim.of(2))));
    b.input("v0", new TensorType(DType.F32, List.of(Dim.of(2), Dim.of(2))));
    Map<String, Object> turned = Map.of("perm", List.of(1L, 0L));
    b.node(new Node("v1", "", "Transpose", List.of("v0"), List.of("v1"), turned));
    b.node(new Node("v5", "", "MatMul", List.of("v1", "v4"), List.of("v5"), Map.of()));
    b.output("v5");
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("v4", Tensor.ofFloats(new float[] {-0.9238281f, 0.359375f}, 2));
    inputs.put(
        "v0",
        Tensor.ofFloats(new float[] {-0.9238281f, 1.0380859f, -0.5498047f, -0.20214844f}, 2, 2));
    new GraphCheck().check(b.build(), inputs);
  }

  /** Without axes each element is its own product, not all one. */
  @Test
  void aProductOverNoAxes() {
    Graph.Builder b = Graph.builder("seed 5106");
    b.opset("", 18);
    b.input("v0", new TensorType(DType.F32, List.of(Dim.of(2))));
    Map<String, Object> none = Map.of("keepdims", 1L, "noop_with_empty_axes", 1L);
    b.node(new Node("v1", "", "ReduceProd", List.of("v0"), List.of("v1"), none));
    b.output("v1");
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("v0", Tensor.ofFloats(new float[] {-0.9238281f, 1.0380859f}, 2));
    new GraphCheck().check(b.build(), inputs);
  }

  /** The runtime does not know the rank of the output before it runs. */
  @Test
  void anOutputOfUnknownRank() {
    Graph.Builder b = Graph.builder("seed 122");
    b.opset("", 18);
    b.input("x0", new TensorType(DType.F32, List.of(Dim.symbol("n"), Dim.of(1), Dim.of(3))));
    b.node(new Node("v0", "", "Squeeze", List.of("x0"), List.of("v0"), Map.of()));
    b.output("v0");
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("x0", Tensor.ofFloats(new float[] {0.9f, -1, 0.5f, 0.2f, 0.4f, -0.7f}, 2, 1, 3));
    new GraphCheck().check(b.build(), inputs);
  }

  /** The runtime plans its memory with a window that it then leaves out. */
  @ParameterizedTest
  @ValueSource(strings = {"MaxPool", "AveragePool"})
  void aWindowThatWouldStartBehindTheInput(String op) {
    Graph.Builder b = Graph.builder("rounded up").opset("", 20);
    b.input("x", TensorType.of(DType.F32, 1, 1, 3, 6));
    Map<String, Object> attributes =
        Map.of(
            "kernel_shape",
            List.of(2L, 3L),
            "strides",
            List.of(3L, 2L),
            "pads",
            List.of(0L, 0L, 1L, 0L),
            "ceil_mode",
            1L);
    b.op("y", op, attributes, "x");
    b.op("z", "Neg", Map.of(), "y");
    float[] x = new float[18];
    for (int i = 0; i < x.length; i++) {
      x[i] = i * 7 % 18 - 8.5f;
    }
    new GraphCheck()
        .check(b.output("y").output("z").build(), Map.of("x", Tensor.ofFloats(x, 1, 1, 3, 6)));
  }

  static Tensor booleans(Tensor longs) {
    return new Array64(DType.BOOL, Array64.of(longs).shape(), longs.toDoubles()).tensor();
  }

  /** A gradient that is an output and a part of another: the runtime loses its name. */
  @Test
  void aGradientThatIsAnOutputAndPartOfAnother() {
    Graph.Builder b = Graph.builder("seed 14433");
    b.opset("", 18);
    b.input("x0", new TensorType(DType.F32, List.of(Dim.of(2))));
    b.input("x1", new TensorType(DType.F32, List.of(Dim.of(2), Dim.of(2))));
    b.constant("c2", Tensor.ofLongs(new long[] {2L, 2L}, 2));
    b.node(new Node("v0", "", "MatMul", List.of("x0", "x1"), List.of("v0"), Map.of()));
    b.node(new Node("v1", "", "Expand", List.of("x1", "c2"), List.of("v1"), Map.of()));
    b.node(new Node("v2", "", "Neg", List.of("v1"), List.of("v2"), Map.of()));
    b.output("v0");
    b.output("v2");
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put("x0", Tensor.ofFloats(new float[] {0.9238281f, -1.0380859f}, 2));
    inputs.put(
        "x1",
        Tensor.ofFloats(new float[] {0.9238281f, -0.359375f, -1.1689453f, -0.6689453f}, 2, 2));
    new GraphCheck().check(b.build(), inputs);
  }

  /** Equal rows: terms of 25 cancel out to a gradient of 0, which float32 misses by 7e-6. */
  @Test
  void termsThatCancelOut() {
    Graph.Builder b = Graph.builder("seed 19094");
    b.opset("", 18);
    b.input("x0", new TensorType(DType.F32, List.of(Dim.of(1), Dim.of(4))));
    b.input("v6", new TensorType(DType.F32, List.of(Dim.of(3), Dim.of(3), Dim.of(3))));
    b.constant("c1", Tensor.ofLongs(new long[9], 3, 3));
    b.constant("c2", Tensor.ofFloats(new float[] {0.5f}));
    b.op("v4", "Gather", Map.of("axis", 0L), "x0", "c1");
    b.op("v7", "Mul", Map.of(), "v6", "c2");
    b.op("v8", "Trilu", Map.of("upper", 0L), "v7");
    b.op("v9", "Add", Map.of(), "v7", "v8");
    b.op("v10", "Softmax", Map.of("axis", -1L), "v9");
    b.op("v11", "MatMul", Map.of(), "v10", "v4");
    b.output("v11");
    float[] same = new float[27];
    Arrays.fill(same, 5.0480976f);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    inputs.put(
        "x0",
        Tensor.ofFloats(new float[] {-1.7421875f, -0.5810547f, -1.2236328f, -0.421875f}, 1, 4));
    inputs.put("v6", Tensor.ofFloats(same, 3, 3, 3));
    new GraphCheck().check(b.build(), inputs);
  }
}
