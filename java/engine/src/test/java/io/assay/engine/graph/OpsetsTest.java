package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Graphs of older operator sets compute the same after reading, and have gradients. */
class OpsetsTest {
  private final Ort ort = new Ort();

  @TempDir Path folder;

  /** Every operator whose form changed between 11 and 16, as the version writes it. */
  private static Graph old(long opset) {
    Graph.Builder b = Graph.builder("old").opset("", opset);
    b.input("x", TensorType.of(DType.F64, 2, 3, 4));
    boolean inputs = opset >= 13;
    b.constant("axes", Tensor.ofLongs(new long[] {1}, 1));
    b.constant("parts", Tensor.ofLongs(new long[] {1, 3}, 2));
    for (String op : List.of("Softmax", "LogSoftmax")) {
      b.op(op, op, Map.of(), "x"); // 13 changed the default axis, too
      b.op(op + ".1", op, Map.of("axis", 1L), op);
      b.op(op + ".2", op, Map.of("axis", 2L), op + ".1");
    }
    b.op("soft", "Mul", Map.of(), "Softmax.2", "LogSoftmax.2");
    List<String> halves = List.of("left", "right");
    Map<String, Object> split = Map.of("axis", 2L);
    b.node(
        inputs
            ? new Node("split", "", "Split", List.of("soft", "parts"), halves, split)
            : new Node(
                "split",
                "",
                "Split",
                List.of("soft"),
                halves,
                Map.of("axis", 2L, "split", List.of(1L, 3L))));
    Map<String, Object> one = Map.of("axes", List.of(1L));
    if (inputs) {
      b.op("sum", "ReduceSum", Map.of(), "right", "axes");
      b.op("flat", "Squeeze", Map.of(), "sum", "axes");
      b.op("up", "Unsqueeze", Map.of(), "flat", "axes");
    } else {
      b.op("sum", "ReduceSum", one, "right");
      b.op("flat", "Squeeze", one, "sum");
      b.op("up", "Unsqueeze", one, "flat");
    }
    b.op("kept", "Dropout", opset < 12 ? Map.of("ratio", 0.5f) : Map.of(), "up");
    b.op("y", "Mul", Map.of(), "left", "kept");
    return b.output("y").build();
  }

  @ParameterizedTest
  @ValueSource(longs = {11, 12, 13, 14, 15})
  void areConvertedOnReading(long opset) {
    Graph old = old(opset);
    old.write(folder.resolve("old.onnx"));
    Graph read = Graph.read(folder.resolve("old.onnx"));
    assertEquals(16, read.opsets().get(""));

    Tensor x = random(1, 2, 3, 4);
    Tensor seed = random(2, 2, 3, 3);
    Fixtures.assertSame(
        ort.evaluate(old, Map.of("x", x)), ort.evaluate(read, Map.of("x", x)), 1e-14);

    Gradient d = read.specialise(Map.of(), ort).differentiate(Map.of("y", "seed"), List.of("x"));
    Tensor gradient =
        ort.evaluate(d.graph(), Map.of("x", x, "seed", seed)).get(d.gradients().get("x"));
    double h = 1e-6;
    for (long i = 0; i < x.elements(); i++) {
      double at = x.get(i);
      x.set(i, at + h);
      double up = loss(old, x, seed);
      x.set(i, at - h);
      double down = loss(old, x, seed);
      x.set(i, at);
      // Rounding 1e-16 / 1e-6 times some tens of terms, curvature 1e-12.
      assertEquals((up - down) / (2 * h), gradient.get(i), 1e-8, "x[" + i + "]");
    }
  }

  private double loss(Graph g, Tensor x, Tensor seed) {
    Tensor y = ort.evaluate(g, Map.of("x", x)).get("y");
    double sum = 0;
    for (long i = 0; i < y.elements(); i++) {
      sum += y.get(i) * seed.get(i);
    }
    return sum;
  }

  private static Tensor random(long seed, long... shape) {
    Random random = new Random(seed);
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F64, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, random.nextGaussian());
    }
    return t;
  }

  @Test
  void bodiesAreConvertedToo() {
    Graph.Builder branch = Graph.builder("branch").opset("", 12);
    branch.op("inside", "ReduceSum", Map.of("axes", List.of(0L), "keepdims", 0L), "x");
    Graph body = branch.output("inside").buildBody();
    Graph.Builder b = Graph.builder("if").opset("", 12);
    b.input("c", TensorType.of(DType.BOOL));
    b.input("x", TensorType.of(DType.F32, 2));
    b.op("y", "If", Map.of("then_branch", body, "else_branch", body), "c");
    b.output("y").build().write(folder.resolve("if.onnx"));
    Graph read = Graph.read(folder.resolve("if.onnx"));
    Map<String, Tensor> inputs = new HashMap<>();
    inputs.put("c", Tensor.scalar(DType.BOOL, 1));
    inputs.put("x", Tensor.ofFloats(new float[] {2, 3}, 2));
    assertEquals(16, read.opsets().get(""));
    assertEquals(5, ort.evaluate(read, inputs).get("y").get(0));
  }

  /** What 16 cannot say stays in the file's own operator set, where it runs. */
  @Test
  void whatCannotBeConvertedIsLeftAndHasNoGradient() {
    Graph.Builder b = Graph.builder("resize").opset("", 11);
    b.input("x", TensorType.of(DType.F32, 1, 1, 2, 2));
    b.constant("roi", Tensor.ofFloats(new float[0], 0));
    b.constant("scales", Tensor.ofFloats(new float[] {1, 1, 2, 2}, 4));
    Map<String, Object> mode = new LinkedHashMap<>();
    mode.put("coordinate_transformation_mode", "tf_half_pixel_for_nn");
    b.op("big", "Resize", mode, "x", "roi", "scales");
    b.op("y", "Neg", Map.of(), "x");
    b.type("y", TensorType.of(DType.F32, 1, 1, 2, 2));
    b.output("big").output("y").build().write(folder.resolve("resize.onnx"));
    Graph read = Graph.read(folder.resolve("resize.onnx"));
    assertEquals(11, read.opsets().get(""));
    Tensor x = Tensor.ofFloats(new float[] {1, 2, 3, 4}, 1, 1, 2, 2);
    assertEquals(-4, ort.evaluate(read, Map.of("x", x)).get("y").get(3));
    InputException e =
        assertThrows(
            InputException.class, () -> read.differentiate(Map.of("y", "seed"), List.of("x")));
    assertTrue(e.getMessage().contains("operator set 11"), e.getMessage());
  }
}
