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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * {@link Kernels#grok}: the portable gradients against differences of its losses, all others
 * against the portable ones. The published network's, by PyTorch, are in the tests of the audit.
 */
class GrokKernelTest {
  private final Arena arena = Arena.ofShared();
  private boolean atStart;

  static Stream<KernelContract.Implementation> implementations() {
    return KernelContract.implementations();
  }

  @AfterEach
  void release() {
    arena.close();
  }

  /** p, D, H, d_h, m, q, N. */
  private record Sizes(
      int p, int width, int heads, int headWidth, int neurons, int outputs, int n) {}

  private static final Sizes[] SIZES = {
    new Sizes(3, 1, 1, 1, 1, 3, 1),
    new Sizes(5, 7, 2, 3, 9, 6, 2),
    new Sizes(7, 9, 5, 2, 70, 7, 130),
    new Sizes(67, 33, 3, 5, 64, 68, 129),
    new Sizes(11, 70, 1, 67, 129, 12, 300),
    new Sizes(65, 8, 9, 4, 65, 64, 700)
  };

  private Tensor tensor(DType type, long... shape) {
    atStart = !atStart;
    long bytes = Tensor.elements(shape) * type.bytes();
    return Tensor.of(type, GuardedMemory.allocate(arena, bytes, atStart), shape);
  }

  private Tensor random(Random random, double deviation, long... shape) {
    Tensor t = tensor(DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, deviation * random.nextGaussian());
    }
    return t;
  }

  private Tensor below(Random random, int n, int limit) {
    Tensor t = tensor(DType.I32, n);
    for (int i = 0; i < n; i++) {
      t.set(i, random.nextInt(limit));
    }
    return t;
  }

  private GrokWeights weights(Random random, Sizes s, boolean biases, double unembedding) {
    double usual = 1 / Math.sqrt(s.width);
    return new GrokWeights(
        random(random, 1, s.width, s.p + 1),
        random(random, 1, 3, s.width),
        random(random, usual, s.heads, s.headWidth, s.width),
        random(random, usual, s.heads, s.headWidth, s.width),
        random(random, usual, s.heads, s.headWidth, s.width),
        random(random, usual, s.width, (long) s.heads * s.headWidth),
        random(random, usual, s.neurons, s.width),
        biases ? random(random, 1, s.neurons) : null,
        random(random, usual, s.width, s.neurons),
        biases ? random(random, 1, s.width) : null,
        random(random, unembedding, s.width, s.outputs));
  }

  /** Memory for gradients, filled with NaN. */
  private GrokWeights gradients(GrokWeights w) {
    Tensor[] g = w.all().clone();
    for (int i = 0; i < g.length; i++) {
      if (g[i] != null) {
        g[i] = tensor(DType.F32, g[i].shape());
        for (long at = 0; at < g[i].elements(); at++) {
          g[i].set(at, Double.NaN);
        }
      }
    }
    return new GrokWeights(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10]);
  }

  private GrokPairs pairs(Random random, Sizes s, GrokWeights w, boolean backward) {
    return new GrokPairs(
        w,
        backward ? gradients(w) : null,
        below(random, s.n, s.p).data(),
        below(random, s.n, s.p).data(),
        below(random, s.n, s.outputs).data(),
        tensor(DType.F64, s.n).data(),
        tensor(DType.I32, s.n).data());
  }

  /** The same pairs with other memory for what is written. */
  private GrokPairs again(GrokPairs a) {
    return new GrokPairs(
        a.weights(),
        a.gradients() == null ? null : gradients(a.weights()),
        a.first(),
        a.second(),
        a.labels(),
        tensor(DType.F64, a.count()).data(),
        tensor(DType.I32, a.count()).data());
  }

  private static double loss(GrokPairs a, long i) {
    return a.losses().get(Tensor.DOUBLE, 8 * i);
  }

  private static double mean(GrokPairs a) {
    double sum = 0;
    for (long i = 0; i < a.count(); i++) {
      sum += loss(a, i);
    }
    return sum / a.count();
  }

  private static GrokPairs portable(GrokPairs a) {
    try (Kernels k = new PortableKernels()) {
      k.grok(a);
    }
    return a;
  }

  /** Along a random direction in each tensor; the step is the one that float32 makes of it. */
  @Test
  void portableGradientsAreThoseOfTheLoss() {
    Sizes s = new Sizes(5, 6, 2, 3, 40, 6, 12);
    Random random = new Random(1);
    GrokPairs a = pairs(random, s, weights(random, s, true, 1), true);
    portable(a);
    for (int tensor = 0; tensor < 11; tensor++) {
      Tensor w = a.weights().all()[tensor];
      float[] before = w.data().toArray(Tensor.FLOAT);
      double along = 0;
      double[] mean = new double[2];
      double[][] at = new double[2][before.length];
      for (int side = 0; side < 2; side++) {
        Random direction = new Random(tensor);
        for (int i = 0; i < before.length; i++) {
          w.set(i, before[i] + (side == 0 ? -1 : 1) * 1e-4 * direction.nextGaussian());
          at[side][i] = w.get(i);
        }
        mean[side] =
            mean(
                portable(
                    new GrokPairs(
                        a.weights(),
                        null,
                        a.first(),
                        a.second(),
                        a.labels(),
                        tensor(DType.F64, s.n).data(),
                        a.best())));
      }
      for (int i = 0; i < before.length; i++) {
        along += a.gradients().all()[tensor].get(i) * (at[1][i] - at[0][i]);
        w.set(i, before[i]);
      }
      // Third derivatives times 1e-8 of the step, and kinks that none of these steps crosses.
      assertEquals(along, mean[1] - mean[0], 2e-6 * Math.abs(along) + 1e-10, "tensor " + tensor);
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void lossesAndGradientsAreThePortableOnes(KernelContract.Implementation implementation) {
    for (Sizes s : SIZES) {
      Random random = new Random(s.n);
      GrokWeights w = weights(random, s, s.n % 2 == 0, 1 / Math.sqrt(s.width));
      GrokPairs want = portable(pairs(random, s, w, true));
      GrokPairs first = null;
      for (int threads = 1; threads <= 3; threads++) {
        GrokPairs got = again(want);
        GrokPairs forward =
            new GrokPairs(
                w,
                null,
                got.first(),
                got.second(),
                got.labels(),
                tensor(DType.F64, s.n).data(),
                tensor(DType.I32, s.n).data());
        try (Kernels k = implementation.open().apply(threads)) {
          k.grok(got);
          k.grok(forward);
        }
        assertEquals(-1, forward.losses().mismatch(got.losses()), "losses without gradients");
        compare(s, want, got);
        if (first == null) {
          first = got;
        }
        assertEquals(-1, first.losses().mismatch(got.losses()), threads + " threads");
        for (int i = 0; i < 11; i++) {
          Tensor one = first.gradients().all()[i];
          if (one != null) {
            assertEquals(-1, one.data().mismatch(got.gradients().all()[i].data()), s + " " + i);
          }
        }
      }
    }
  }

  /** Float logits of a few units err by some 1e-6, a sum over a tensor's terms by less. */
  private static void compare(Sizes s, GrokPairs want, GrokPairs got) {
    for (int i = 0; i < s.n; i++) {
      assertEquals(loss(want, i), loss(got, i), 1e-5 * (1 + loss(want, i)), s + " loss " + i);
    }
    for (int i = 0; i < 11; i++) {
      Tensor a = want.gradients().all()[i];
      Tensor b = got.gradients().all()[i];
      if (a != null) {
        double largest = 0;
        for (long at = 0; at < a.elements(); at++) {
          largest = Math.max(largest, Math.abs(a.get(at)));
        }
        for (long at = 0; at < a.elements(); at++) {
          assertEquals(a.get(at), b.get(at), 1e-5 * largest + 1e-9, s + " " + i + " at " + at);
        }
      }
    }
  }

  /** The label is the best output, far ahead: losses down to nothing keep their digits. */
  @ParameterizedTest
  @MethodSource("implementations")
  void smallAndLargeLosses(KernelContract.Implementation implementation) {
    Sizes s = new Sizes(13, 8, 2, 4, 64, 14, 169);
    Random random = new Random(3);
    for (double scale : new double[] {2, 6, 40}) {
      GrokPairs a = portable(pairs(random, s, weights(random, s, true, scale), true));
      GrokPairs right =
          new GrokPairs(
              a.weights(),
              null,
              a.first(),
              a.second(),
              a.best(),
              tensor(DType.F64, s.n).data(),
              tensor(DType.I32, s.n).data());
      portable(right);
      GrokPairs gotRight = again(right);
      GrokPairs gotWrong = again(a);
      try (Kernels k = implementation.open().apply(1)) {
        k.grok(gotRight);
        k.grok(gotWrong);
      }
      double least = 1;
      for (int i = 0; i < s.n; i++) {
        // A logit of size x errs by some 10 u x, and so does the logarithm of the loss.
        double bound = 10 * 0x1p-24 * 30 * scale;
        assertEquals(loss(right, i), loss(gotRight, i), bound * loss(right, i));
        assertEquals(loss(a, i), loss(gotWrong, i), bound * (1 + loss(a, i)));
        assertTrue(Double.isFinite(loss(gotWrong, i)));
        least = Math.min(least, loss(right, i));
      }
      assertTrue(scale < 6 || least < 1e-9, "least loss " + least);
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void notANumberIsSaid(KernelContract.Implementation implementation) {
    Sizes s = new Sizes(5, 7, 2, 3, 9, 6, 40);
    Random random = new Random(5);
    GrokPairs a = pairs(random, s, weights(random, s, true, 1), false);
    a.weights().embedding().set(2, Double.NaN); // number 2
    try (Kernels k = implementation.open().apply(2)) {
      k.grok(a);
    }
    for (int i = 0; i < s.n; i++) {
      boolean hit =
          a.first().get(Tensor.INT, 4L * i) == 2 || a.second().get(Tensor.INT, 4L * i) == 2;
      assertEquals(hit, Double.isNaN(loss(a, i)), "pair " + i);
      assertEquals(hit, a.best().get(Tensor.INT, 4L * i) == -1, "pair " + i);
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void badArgumentsAreNamed(KernelContract.Implementation implementation) {
    Sizes s = new Sizes(5, 7, 2, 3, 9, 6, 4);
    Random random = new Random(6);
    GrokWeights w = weights(random, s, true, 1);
    GrokPairs a = pairs(random, s, w, true);
    try (Kernels k = implementation.open().apply(1)) {
      a.second().set(Tensor.INT, 4, 5);
      refused("second[1] is 5; it must be from 0 to 4", () -> k.grok(a));
      a.second().set(Tensor.INT, 4, 0);
      a.labels().set(Tensor.INT, 8, -1);
      refused("labels[2] is -1", () -> k.grok(a));
      a.labels().set(Tensor.INT, 8, 0);
      refused(
          "losses has 8 bytes",
          () ->
              k.grok(
                  new GrokPairs(
                      w,
                      null,
                      a.first(),
                      a.second(),
                      a.labels(),
                      a.losses().asSlice(0, 8),
                      a.best())));
      refused(
          "a gradient overlaps a weight",
          () ->
              k.grok(new GrokPairs(w, w, a.first(), a.second(), a.labels(), a.losses(), a.best())));
      MemorySegment none = arena.allocate(0);
      k.grok(new GrokPairs(w, a.gradients(), none, none, none, none, none));
      assertTrue(Double.isNaN(a.gradients().embedding().get(0)), "no pair, but a gradient");
    }
    refused(
        "positions is F32[3, 8]; F32[3, 7] is needed",
        () ->
            new GrokWeights(
                w.embedding(),
                random(random, 1, 3, 8),
                w.keys(),
                w.queries(),
                w.values(),
                w.attentionOut(),
                w.neuronsIn(),
                null,
                w.neuronsOut(),
                null,
                w.unembedding()));
  }

  private static void refused(String word, Runnable call) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(word), message);
  }
}
