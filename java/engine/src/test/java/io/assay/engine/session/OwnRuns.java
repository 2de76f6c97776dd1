package io.assay.engine.session;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Map;
import java.util.Random;

/** What the tests of Assay's own operators draw and run. */
final class OwnRuns {
  private OwnRuns() {}

  static Tensor gaussian(Random random, long... shape) {
    return gaussian(random, DType.F32, 1, shape);
  }

  static Tensor gaussian(Random random, DType dtype, double scale, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, scale * random.nextGaussian());
    }
    return t;
  }

  /** The graph with all shapes fixed. */
  static Graph fixed(Graph g) {
    return g.specialise(
        Map.of(), (part, in) -> Session.compile(part, SessionOptions.cpu(1)).run(in));
  }

  /** The outputs, which have the same bits for every number of threads. */
  static Map<String, Tensor> run(Graph g, Map<String, Tensor> inputs) {
    Map<String, Tensor> first = null;
    for (int threads : new int[] {1, 2, 5}) {
      try (Session session = Session.compile(g, SessionOptions.cpu(threads))) {
        Map<String, Tensor> found = session.run(inputs);
        if (first != null) {
          assertSameBits(first, found);
        }
        first = found;
      }
    }
    return first;
  }

  private static void assertSameBits(Map<String, Tensor> want, Map<String, Tensor> found) {
    want.forEach(
        (name, t) -> {
          assertArrayEquals(t.shape(), found.get(name).shape(), name);
          for (long i = 0; i < t.elements(); i++) {
            assertEquals(
                Double.doubleToRawLongBits(t.get(i)),
                Double.doubleToRawLongBits(found.get(name).get(i)),
                name + " at " + i);
          }
        });
  }
}
