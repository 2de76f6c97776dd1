package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Tokens scored as swaps, also beside a coarse table. */
class SwapContractTest extends KernelContract {
  /** A swap without bias or masks; alpha, unigram and lse are there. */
  private TokenSwap swap(
      Random random, DType type, int audits, int vocabulary, int width, int kept) {
    DType real = real(type);
    int b = real.bytes();
    return new TokenSwap(
        random(random, type, vocabulary, width, 1),
        null,
        random(random, real, audits, width, 2),
        random(random, real, audits, width, 0),
        random(random, real, 1, audits, 0).data(),
        random(random, real, 1, vocabulary, 0).data(),
        random(random, real, 1, vocabulary, 0).data(),
        memory((vocabulary + 7) / 8).fill((byte) 0x6D),
        null,
        null,
        kept,
        memory(4L * audits * kept),
        memory((long) b * audits * kept),
        memory(4L * audits),
        memory(8L * audits),
        memory((long) b * audits));
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void tokenSwapKeepsTheBestAllowed(Implementation implementation) {
    Random random = new Random(3);
    for (DType type : List.of(DType.F32, DType.F64, DType.F16, DType.BF16)) {
      for (int i = 0; i < SIZES.length; i++) {
        int audits = 1 + i % 4;
        TokenSwap a = swap(random, type, audits, SIZES[SIZES.length - 1 - i], SIZES[i], 1 + 7 * i);
        byte[] bits = null;
        for (int threads = 1; threads <= 3; threads++) {
          try (Kernels k = implementation.open().apply(threads)) {
            k.tokenSwapTopk(a);
            checkSwap(a, k.tier() + " " + type + " case " + i);
          }
          byte[] now = a.scores().toArray(ValueLayout.JAVA_BYTE);
          assertTrue(bits == null || Arrays.equals(bits, now), "threads change bits");
          bits = now;
        }
      }
    }
  }

  /** Rows near each other, so that 8 bits do not tell them apart, and some far longer. */
  @ParameterizedTest
  @MethodSource("implementations")
  void coarseTableChangesNothing(Implementation implementation) {
    Random random = new Random(16);
    int vocabulary = 601;
    int width = 37;
    TokenSwap a = swap(random, DType.F32, 3, vocabulary, width, 9);
    Matrix table = a.embedding();
    for (int v = 1; v < vocabulary; v++) {
      for (int c = 0; c < width; c++) {
        float first = table.data().get(Tensor.FLOAT, 4L * c);
        float value = v % 2 == 0 ? first * (1 + v * 0x1p-22f) : first * (v % 50 == 1 ? 1e6f : 0.9f);
        table.data().set(Tensor.FLOAT, 4 * (v * table.stride() + c), value);
      }
    }
    table.data().set(Tensor.FLOAT, 4 * (100 * table.stride()), Float.NaN);
    CoarseTable coarse = CoarseTable.of(Arena.ofAuto(), table);
    for (int threads = 1; threads <= 3; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        k.tokenSwapTopk(a);
        List<byte[]> without = results(a);
        a.ids().fill((byte) 7);
        a.scores().fill((byte) 7);
        k.tokenSwapTopk(a, coarse);
        List<byte[]> with = results(a);
        for (int i = 0; i < with.size(); i++) {
          assertArrayEquals(without.get(i), with.get(i), k.tier() + " result " + i);
        }
        MemorySegment small = memory(4L * vocabulary - 1);
        MemorySegment scale = coarse.scale();
        MemorySegment error = coarse.error();
        refused("coarse", () -> k.tokenSwapTopk(a, new CoarseTable(table, scale, error)));
        refused("scale", () -> k.tokenSwapTopk(a, new CoarseTable(coarse.table(), small, error)));
        refused("error", () -> k.tokenSwapTopk(a, new CoarseTable(coarse.table(), scale, small)));
      }
    }
  }

  private static List<byte[]> results(TokenSwap a) {
    return List.of(
        a.ids().toArray(ValueLayout.JAVA_BYTE),
        a.scores().toArray(ValueLayout.JAVA_BYTE),
        a.found().toArray(ValueLayout.JAVA_BYTE),
        a.nans().toArray(ValueLayout.JAVA_BYTE));
  }

  /** The products of a row and of its coarse form with any x differ by at most error times |x|. */
  @Test
  void coarseErrorIsABound() {
    Random random = new Random(17);
    Matrix table = random(random, DType.F32, 50, 29, 2);
    CoarseTable coarse = CoarseTable.of(Arena.ofAuto(), table);
    for (int v = 0; v < 50; v++) {
      double error = coarse.error().get(Tensor.FLOAT, 4L * v);
      double product = 0;
      double length = 0;
      double magnitude = 0;
      for (int c = 0; c < 29; c++) {
        double e = table.data().get(Tensor.FLOAT, 4 * (v * table.stride() + c));
        double scale = coarse.scale().get(Tensor.FLOAT, 4L * v);
        double apart = e - scale * coarse.table().data().get(ValueLayout.JAVA_BYTE, v * 29 + c);
        // The worst x is the difference itself.
        product += apart * apart;
        length += apart * apart;
        magnitude += e * e;
      }
      assertTrue(product <= error * Math.sqrt(length), "row " + v);
      assertTrue(error <= 0x1p-5 * Math.sqrt(magnitude) + 1e-30, "row " + v + " is too loose");
    }
  }

  private static void checkSwap(TokenSwap a, String where) {
    DType real = real(a.embedding().dtype());
    int vocabulary = (int) a.embedding().rows();
    double g = gamma(real, a.embedding().columns() + vocabulary + 16);
    for (int r = 0; r < a.gradient().rows(); r++) {
      double sum = 0;
      double worst = 0;
      for (int v = 0; v < vocabulary; v++) {
        Sum s = dot(a.embedding(), v, a.hidden(), r).plus(get(a.bias(), real, v));
        sum += Math.exp(s.value());
        worst = Math.max(worst, s.magnitude());
      }
      double lse = Math.log(sum);
      assertEquals(lse, get(a.lse(), real, r), g * (1 + worst + Math.abs(lse)), where + " lse");
      double alpha = get(a.alpha(), real, r);
      double[] scores = new double[vocabulary];
      double bound = 0;
      int allowed = 0;
      for (int v = 0; v < vocabulary; v++) {
        Sum e = dot(a.embedding(), v, a.gradient(), r);
        Sum h = dot(a.embedding(), v, a.hidden(), r).plus(get(a.bias(), real, v)).plus(-lse);
        double u = get(a.unigram(), real, v);
        scores[v] = e.value() + alpha * h.value() + u;
        double terms = e.magnitude() + Math.abs(alpha) * (h.magnitude() + worst) + Math.abs(u);
        bound = Math.max(bound, g * (1 + terms));
        boolean may = (0x6D >> (v & 7) & 1) != 0;
        allowed += may ? 1 : 0;
        scores[v] = may ? scores[v] : Double.NaN;
      }
      double[] sorted = Arrays.stream(scores).filter(x -> x == x).sorted().toArray();
      int found = a.found().get(Tensor.INT, r * 4L);
      assertEquals(Math.min(allowed, a.kept()), found, where);
      assertEquals(0, a.nans().get(Tensor.LONG, r * 8L), where);
      for (int j = 0; j < a.kept(); j++) {
        long slot = (long) r * a.kept() + j;
        int id = a.ids().get(Tensor.INT, slot * 4);
        double score = get(a.scores(), real, slot);
        if (j >= found) {
          assertEquals(-1, id, where);
          assertEquals(Double.NEGATIVE_INFINITY, score, where);
        } else {
          assertEquals(sorted[sorted.length - 1 - j], score, bound, where + " place " + j);
          assertEquals(scores[id], score, bound, where + " id " + id);
        }
      }
    }
  }

  /** Exact sums, so that ties are ties on every implementation: small integers. */
  @ParameterizedTest
  @MethodSource("implementations")
  void tiesForbiddenTokensAndNotANumber(Implementation implementation) {
    int vocabulary = 1000;
    Matrix e = random(new Random(4), DType.F32, vocabulary, 3, 1);
    for (int v = 0; v < vocabulary; v++) {
      for (int c = 0; c < 3; c++) {
        set(e.data(), DType.F32, (long) v * e.stride() + c, c == 0 ? v % 5 : 0);
      }
    }
    set(e.data(), DType.F32, 9 * e.stride(), Float.NaN);
    Matrix g = random(new Random(5), DType.F32, 2, 3, 0);
    for (int i = 0; i < 6; i++) {
      set(g.data(), DType.F32, i, 1);
    }
    MemorySegment offsets = memory(24);
    offsets.set(Tensor.LONG, 0, 0);
    offsets.set(Tensor.LONG, 8, 2);
    offsets.set(Tensor.LONG, 16, 3);
    MemorySegment ids = memory(12);
    ids.set(Tensor.INT, 0, 4);
    ids.set(Tensor.INT, 4, 14);
    ids.set(Tensor.INT, 8, 19);
    TokenSwap a =
        new TokenSwap(
            e,
            null,
            g,
            null,
            null,
            null,
            null,
            null,
            offsets,
            ids,
            4,
            memory(32),
            memory(32),
            memory(8),
            memory(16),
            null);
    for (int threads = 1; threads <= 3; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        k.tokenSwapTopk(a);
      }
      int[] kept = a.ids().toArray(ValueLayout.JAVA_INT);
      assertEquals("[19, 24, 29, 34, 4, 14, 24, 29]", Arrays.toString(kept));
      assertEquals(1, a.nans().get(Tensor.LONG, 0));
      assertEquals(1, a.nans().get(Tensor.LONG, 8));
    }
  }
}
