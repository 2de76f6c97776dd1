package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@link Kernels#grokGrid} against the formula, sum by sum. */
class GrokGridTest {
  private final Arena arena = Arena.ofShared();
  private boolean atStart;

  static Stream<KernelContract.Implementation> implementations() {
    return KernelContract.implementations();
  }

  @AfterEach
  void release() {
    arena.close();
  }

  /** p, H, m: one, panels and vectors whole and not, more blocks of pairs than lanes. */
  private static final int[][] SIZES = {
    {1, 1, 1}, {2, 3, 5}, {7, 2, 33}, {33, 1, 32}, {65, 2, 40}, {129, 1, 1}
  };

  private Tensor tensor(long... shape) {
    atStart = !atStart;
    long bytes = Tensor.elements(shape) * Double.BYTES;
    return Tensor.of(DType.F64, GuardedMemory.allocate(arena, bytes, atStart), shape);
  }

  private Tensor random(Random random, double deviation, long... shape) {
    Tensor t = tensor(shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, deviation * random.nextGaussian());
    }
    return t;
  }

  /** Scores of deviation 300: the softmax is sharp, and bare exponentials would overflow. */
  private GrokGrid grid(Random random, int p, int heads, int m, double scores) {
    return new GrokGrid(
        random(random, scores, heads, 2L * p + 1),
        random(random, 1, heads, 2L * p + 1, (long) m + p),
        random(random, 1, (long) m + p),
        random(random, 1, p, m),
        tensor((long) p * p, p),
        tensor(4, p, m),
        tensor(m));
  }

  private static void run(KernelContract.Implementation of, int threads, GrokGrid a) {
    for (Tensor out : new Tensor[] {a.logits(), a.sums(), a.squares()}) {
      for (long i = 0; i < out.elements(); i++) {
        out.set(i, Double.NaN);
      }
    }
    try (Kernels k = of.open().apply(threads)) {
      k.grokGrid(a);
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void logitsAndSumsAreThoseOfTheFormula(KernelContract.Implementation implementation) {
    for (int[] s : SIZES) {
      for (double scores : new double[] {1, 300}) {
        GrokGrid a = grid(new Random(s[0]), s[0], s[1], s[2], scores);
        run(implementation, 1, a);
        compare(a);
        Tensor[] written = {a.logits(), a.sums(), a.squares()};
        MemorySegment[] first = new MemorySegment[written.length];
        for (int t = 0; t < written.length; t++) {
          first[t] = arena.allocate(written[t].data().byteSize()).copyFrom(written[t].data());
        }
        for (int threads = 2; threads <= 3; threads++) {
          run(implementation, threads, a);
          for (int t = 0; t < written.length; t++) {
            assertEquals(-1, first[t].mismatch(written[t].data()), threads + " threads, " + t);
          }
        }
      }
    }
  }

  private static void compare(GrokGrid a) {
    int p = a.numbers();
    int m = a.neurons();
    double[] map = a.map().toDoubles();
    double[] logits = a.logits().toDoubles();
    double[] sums = new double[4 * p * m];
    double[] squares = new double[m];
    for (int x = 0; x < p; x++) {
      for (int y = 0; y < p; y++) {
        double[] z = combined(a, x, y);
        int[] rows = {x, p + y, 2 * p + (x + y) % p, 3 * p + Math.floorMod(x - y, p)};
        for (int j = 0; j < m; j++) {
          double n = Math.max(0, z[j]);
          for (int row : rows) {
            sums[row * m + j] += n;
          }
          squares[j] += n * n;
        }
        for (int c = 0; c < p; c++) {
          double logit = z[m + c];
          for (int j = 0; j < m; j++) {
            logit += map[c * m + j] * Math.max(0, z[j]);
          }
          // Some (m + 10 H) roundings of terms of about 1, whose sum has the root of that.
          double bound = 1e-15 * (m + 10 * a.heads());
          assertEquals(logit, logits[(x * p + y) * p + c], bound);
        }
      }
    }
    for (int i = 0; i < sums.length; i++) {
      assertEquals(sums[i], a.sums().get(i), 1e-14 * (p + Math.abs(sums[i])), "sums at " + i);
    }
    for (int j = 0; j < m; j++) {
      assertEquals(squares[j], a.squares().get(j), 1e-13 * (p + squares[j]), "squares at " + j);
    }
  }

  /** What the neurons and the logits of a pair read, [m + p]. */
  private static double[] combined(GrokGrid a, int x, int y) {
    int p = a.numbers();
    int columns = a.neurons() + p;
    double[] z = a.constant().toDoubles();
    for (int h = 0; h < a.heads(); h++) {
      long[] rows = new long[] {x, (long) p + y, 2L * p};
      double largest = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < rows.length; i++) {
        rows[i] += h * (2L * p + 1);
        largest = Math.max(largest, a.scores().get(rows[i]));
      }
      double sum = 0;
      for (long row : rows) {
        sum += Math.exp(a.scores().get(row) - largest);
      }
      for (long row : rows) {
        double share = Math.exp(a.scores().get(row) - largest) / sum;
        for (int i = 0; i < columns; i++) {
          z[i] += share * a.tables().get(row * columns + i);
        }
      }
    }
    return z;
  }

  /** A neuron that is no number makes its pairs' logits and its own sums none, and no others. */
  @ParameterizedTest
  @MethodSource("implementations")
  void whatIsNotFiniteShows(KernelContract.Implementation implementation) {
    int p = 9;
    int m = 40;
    GrokGrid a = grid(new Random(1), p, 2, m, 1);
    a.tables().set(4L * (m + p) + 35, Double.NaN); // of a = 4, neuron 35
    run(implementation, 2, a);
    for (int pair = 0; pair < p * p; pair++) {
      for (int c = 0; c < p; c++) {
        assertEquals(pair / p == 4, Double.isNaN(a.logits().get((long) pair * p + c)), "" + pair);
      }
    }
    for (int j = 0; j < m; j++) {
      assertEquals(j == 35, Double.isNaN(a.squares().get(j)), "neuron " + j);
    }
  }

  /** A neuron that is 0 writes nothing, whatever its weights. */
  @ParameterizedTest
  @MethodSource("implementations")
  void neuronsAtZeroWriteNothing(KernelContract.Implementation implementation) {
    int m = 3;
    GrokGrid a = grid(new Random(2), 5, 1, m, 1);
    a.constant().set(1, -1e6);
    a.map().set(1, Double.POSITIVE_INFINITY);
    run(implementation, 1, a);
    for (long i = 0; i < a.logits().elements(); i++) {
      assertTrue(Double.isFinite(a.logits().get(i)), "logit " + i);
    }
    assertEquals(0, a.squares().get(1));
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void badArgumentsAreNamed(KernelContract.Implementation implementation) {
    GrokGrid a = grid(new Random(3), 5, 2, 7, 1);
    refused(
        "tables is F64[2, 11, 7]; F64[2, 11, 12] is needed",
        () ->
            new GrokGrid(
                a.scores(),
                tensor(2, 11, 7),
                a.constant(),
                a.map(),
                a.logits(),
                a.sums(),
                a.squares()));
    refused(
        "sums overlaps squares",
        () ->
            new GrokGrid(
                a.scores(),
                a.tables(),
                a.constant(),
                a.map(),
                a.logits(),
                a.sums(),
                Tensor.of(DType.F64, a.sums().data().asSlice(0, 56), 7)));
    Kernels closed = implementation.open().apply(1);
    closed.close();
    if (closed.implementation().equals("cpu")) {
      assertThrows(IllegalStateException.class, () -> closed.grokGrid(a));
    }
  }

  private static void refused(String words, Runnable call) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(words), message);
  }
}
