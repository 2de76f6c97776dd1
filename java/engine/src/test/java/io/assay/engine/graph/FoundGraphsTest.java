package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

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

  static Tensor booleans(Tensor longs) {
    return new Array64(DType.BOOL, Array64.of(longs).shape(), longs.toDoubles()).tensor();
  }
}
