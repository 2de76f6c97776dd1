package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.PaddedProducts;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Products with a wider inner dimension give the bits of those as they are written. */
class PaddedProductsTest {
  private static final int WIDTH = 40;
  private static final int PAGES = 2048;

  private static Tensor random(long seed, long... shape) {
    Random random = new Random(seed);
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, random.nextGaussian());
    }
    return t;
  }

  /** An MLP and, from the same rows, the product of its gradient; both read the same matrix. */
  private static Graph graph() {
    TensorType rows = new TensorType(DType.F32, List.of(Dim.symbol("rows"), Dim.of(WIDTH)));
    TensorType wide = new TensorType(DType.F32, List.of(Dim.symbol("rows"), Dim.of(PAGES)));
    Graph.Builder b = Graph.builder("mlp").opset("", 17).input("x", rows);
    b.constant("up", random(1, WIDTH, PAGES));
    b.constant("down", random(2, PAGES, WIDTH));
    b.constant("bias", random(3, WIDTH));
    b.op("h", "MatMul", Map.of(), "x", "up");
    b.op("t", "Tanh", Map.of(), "h");
    b.op("y", "MatMul", Map.of(), "t", "down");
    b.op("z", "Gemm", Map.of("alpha", 0.5f), "t", "down", "bias");
    b.op("back", "Gemm", Map.of("transB", 1L), "t", "up");
    b.type("h", wide).type("t", wide);
    List.of("y", "z", "back").forEach(value -> b.type(value, rows).output(value));
    return b.build();
  }

  /** Without packing a single row goes another way: see {@link SessionOptions}. */
  @ParameterizedTest
  @CsvSource({"1,true", "2,true", "1,false", "2,false"})
  void sameBits(int threads, boolean prepack) {
    SessionOptions options = SessionOptions.cpu(threads).withPrepack(prepack);
    Graph graph = graph();
    Graph wider = PaddedProducts.pad(graph, Arena.ofAuto());
    assertEquals(
        1,
        wider.nodes().stream().filter(n -> n.op().equals("Pad")).count(),
        "one value is widened for its three products");
    try (Session padded =
            prepack ? Session.compile(graph, options) : Session.create(wider, options);
        Session plain = Session.create(graph, options)) {
      for (int rows : prepack ? new int[] {1, 2, 13, 64} : new int[] {2, 13, 64}) {
        Map<String, Tensor> x = Map.of("x", random(rows, rows, WIDTH));
        Map<String, Tensor> got = padded.run(x);
        plain
            .run(x)
            .forEach(
                (name, want) ->
                    assertEquals(
                        -1,
                        want.data().mismatch(got.get(name).data()),
                        name + " of " + rows + " rows"));
      }
    }
  }

  @Test
  void otherProductsAreLeftAlone() {
    Graph.Builder b = Graph.builder("rows").opset("", 17);
    b.input("x", TensorType.of(DType.F32, 3, WIDTH));
    b.input("long", TensorType.of(DType.F32, 3, PAGES));
    b.input("free", TensorType.of(DType.F32, PAGES, WIDTH));
    b.constant("up", random(1, WIDTH, PAGES));
    b.op("a", "MatMul", Map.of(), "x", "up");
    b.op("b", "MatMul", Map.of(), "long", "free");
    Graph graph = b.output("a").output("b").build();
    assertSame(graph, PaddedProducts.pad(graph, Arena.ofAuto()));
  }
}
