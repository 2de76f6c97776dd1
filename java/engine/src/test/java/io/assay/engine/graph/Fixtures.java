package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Exported models and inputs for them. */
final class Fixtures {
  static final List<String> GPT2 =
      List.of(
          "gpt2-eager.dynamo",
          "gpt2-eager.ts",
          "gpt2-mask.dynamo",
          "gpt2-mask.ts",
          "gpt2-past.dynamo",
          "gpt2-past.ts",
          "gpt2-sdpa.dynamo",
          "gpt2-sdpa.ts",
          "gpt2-sdpa.external");

  static final int ROWS = 3;
  static final int LENGTH = 5;
  static final int PAST = 4;

  private Fixtures() {}

  static Path path(String name) {
    try {
      return Path.of(Fixtures.class.getResource("/onnx/" + name + ".onnx").toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  static Graph graph(String name) {
    return Graph.read(path(name));
  }

  /** Shapes of the inputs with three rows of five tokens, after four past ones if the model can. */
  static Map<String, long[]> shapes(Graph g) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (String input : g.inputs()) {
      long[] shape =
          g.type(input).dims().stream()
              .mapToLong(
                  d ->
                      d.isKnown()
                          ? d.size()
                          : switch (d.symbol()) {
                            case "batch" -> ROWS;
                            case "sequence" -> LENGTH;
                            case "past" -> PAST;
                            case "total" -> PAST + LENGTH;
                            default -> throw new IllegalArgumentException(d.symbol());
                          })
              .toArray();
      shapes.put(input, shape);
    }
    return shapes;
  }

  /** Seeded inputs of these shapes: small token ids, ones for masks, normal floats. */
  static Map<String, Tensor> inputs(Graph g, Map<String, long[]> shapes, long seed) {
    Random random = new Random(seed);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    shapes.forEach(
        (name, shape) -> {
          Tensor t = Tensor.allocate(Arena.ofAuto(), g.type(name).dtype(), shape);
          for (long i = 0; i < t.elements(); i++) {
            t.set(
                i,
                t.dtype() == DType.I64
                    ? (name.contains("mask") ? 1 : random.nextInt(30))
                    : random.nextGaussian());
          }
          inputs.put(name, t);
        });
    return inputs;
  }

  static void assertSame(
      Map<String, Tensor> expected, Map<String, Tensor> actual, double tolerance) {
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach(
        (name, e) -> {
          Tensor a = actual.get(name);
          assertEquals(e.dtype(), a.dtype(), name);
          assertArrayEquals(e.shape(), a.shape(), name);
          assertArrayEquals(e.toDoubles(), a.toDoubles(), tolerance, name);
        });
  }
}
