package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A row's bits depend on nothing but the row: not its slot, its neighbours or the batch size. One
 * exception, measured here and told in {@link SessionOptions}: without pre-packing a float32
 * product of a single row goes another way.
 */
class RowBitsTest {
  private static final int WIDTH = 96;

  private static Tensor random(Random random, DType dtype, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, random.nextGaussian());
    }
    return t;
  }

  private static Graph block(DType dtype) {
    Random random = new Random(3);
    Graph.Builder b = Graph.builder("block").opset("", 17);
    TensorType type = new TensorType(dtype, List.of(Dim.symbol("rows"), Dim.of(WIDTH)));
    b.input("x", type);
    b.constant("scale", random(random, dtype, WIDTH));
    b.constant("shift", random(random, dtype, WIDTH));
    b.constant("up", random(random, dtype, WIDTH, 4 * WIDTH));
    b.constant("down", random(random, dtype, 4 * WIDTH, WIDTH));
    b.op("n", "LayerNormalization", Map.of("axis", -1L), "x", "scale", "shift");
    b.op("h", "MatMul", Map.of(), "n", "up");
    b.op("t", "Tanh", Map.of(), "h");
    b.op("y", "MatMul", Map.of(), "t", "down");
    b.type("y", type).output("y");
    return b.build();
  }

  @ParameterizedTest
  @CsvSource({"F32,1,false", "F32,2,false", "F32,1,true", "F32,2,true", "F64,2,false"})
  void rowsAreIndependent(DType dtype, int threads, boolean prepack) {
    Random random = new Random(5);
    SessionOptions options = SessionOptions.cpu(threads).withPrepack(prepack);
    try (Session s = Session.compile(block(dtype), options)) {
      Tensor probe = random(random, dtype, 1, WIDTH);
      Tensor expected = null;
      for (int rows : new int[] {1, 2, 3, 4, 5, 7, 8, 16, 31, 33, 64}) {
        if (rows == 1 && dtype == DType.F32 && !prepack) {
          continue;
        }
        for (int slot : new int[] {0, rows / 2, rows - 1}) {
          Tensor x = random(random, dtype, rows, WIDTH);
          row(x, slot).data().copyFrom(probe.data());
          Tensor y = row(s.run(Map.of("x", x)).get("y"), slot);
          expected = expected == null ? y : expected;
          assertEquals(
              -1, expected.data().mismatch(y.data()), "slot " + slot + " of " + rows + " rows");
        }
      }
    }
  }

  private static Tensor row(Tensor t, int row) {
    long bytes = (long) WIDTH * t.dtype().bytes();
    return Tensor.of(t.dtype(), t.data().asSlice(row * bytes, bytes), 1, WIDTH);
  }
}
