package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.kernel.KernelContract.Implementation;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What every implementation of {@link Kernels#fourierAblate} owes, against dense projections on
 * {@code cos(w_k (a+b))} and {@code sin(w_k (a+b))} over all pairs (or on {@code cos(w_k (a+b-c))}
 * over all triples) and the loss of each row by itself.
 *
 * <p>A projection sums p^2 products, and its error enters the exponent: relative errors of losses
 * stay below 2^-53 p^2 times the largest logit, here 1e-9.
 */
class FourierContractTest {
  private static final String IMPLEMENTATIONS =
      "io.assay.engine.kernel.KernelContract#implementations";
  private static final double BOUND = 1e-9;
  private static final int GROUPS = 3;

  private final Arena arena = Arena.ofShared();
  private boolean atStart;

  @AfterEach
  void release() {
    arena.close();
  }

  private MemorySegment memory(long bytes) {
    atStart = !atStart;
    return GuardedMemory.allocate(arena, bytes, atStart);
  }

  /** Logits about {@code gap} apart, some of them for waves of a + b. */
  private Matrix logits(DType type, int p, double gap) {
    Random random = new Random(p);
    long stride = p + 3;
    Matrix m =
        new Matrix(
            memory(((p * p - 1L) * stride + p) * type.bytes()), type, (long) p * p, p, stride);
    for (int i = 0; i < p * p; i++) {
      for (int c = 0; c < p; c++) {
        double wave = Math.cos(2 * Math.PI * (i / p + i % p - c) / p);
        double x = random.nextGaussian() + gap * (i % 3 - 1 + (i % p == c ? 1 : 0)) * wave / 2;
        long at = i * stride + c;
        if (type == DType.F64) {
          m.data().set(Tensor.DOUBLE, at * 8, x);
        } else {
          m.data().set(Tensor.FLOAT, at * 4, (float) x);
        }
      }
    }
    return m;
  }

  private static double[][] rows(Matrix m) {
    int p = (int) m.columns();
    double[][] rows = new double[p * p][p];
    for (int i = 0; i < p * p; i++) {
      for (int c = 0; c < p; c++) {
        long at = i * m.stride() + c;
        rows[i][c] =
            m.dtype() == DType.F64
                ? m.data().get(Tensor.DOUBLE, at * 8)
                : m.data().get(Tensor.FLOAT, at * 4);
      }
    }
    return rows;
  }

  /** None, each alone, some drawn, all. */
  private MemorySegment families(int p, int count) {
    int h = (p - 1) / 2;
    Random random = new Random(2);
    MemorySegment families = memory((long) count * h);
    for (int f = 0; f < count; f++) {
      for (int k = 0; k < h; k++) {
        boolean in = f > h ? f == count - 1 || random.nextBoolean() : f == k + 1;
        families.set(ValueLayout.JAVA_BYTE, (long) f * h + k, (byte) (in ? 1 : 0));
      }
    }
    return families;
  }

  private MemorySegment groups(int p) {
    Random random = new Random(3);
    MemorySegment groups = memory((long) p * p);
    for (int i = 0; i < p * p; i++) {
      groups.set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(GROUPS));
    }
    return groups;
  }

  private FourierAblate args(
      DType type, int p, double gap, int count, boolean keep, boolean rotation) {
    return new FourierAblate(
        logits(type, p, gap),
        p,
        families(p, count),
        count,
        groups(p),
        GROUPS,
        keep,
        rotation,
        memory((long) count * GROUPS * Double.BYTES));
  }

  private static double loss(FourierAblate a, int family, int group) {
    return a.loss().get(Tensor.DOUBLE, ((long) family * GROUPS + group) * Double.BYTES);
  }

  @ParameterizedTest
  @MethodSource(IMPLEMENTATIONS)
  void lossesFollowTheDefinition(Implementation implementation) {
    for (DType type : new DType[] {DType.F64, DType.F32}) {
      for (int p : new int[] {3, 9, 13}) {
        for (double gap : new double[] {1, 80, 300, 1500}) {
          for (int kind = 0; kind < 4; kind++) {
            FourierAblate a = args(type, p, gap, (p - 1) / 2 + 4, kind > 1, kind % 2 == 1);
            try (Kernels k = implementation.open().apply(2)) {
              k.fourierAblate(a);
            }
            check(a);
          }
        }
      }
    }
  }

  private static void check(FourierAblate a) {
    double[][] logits = rows(a.logits());
    for (int f = 0; f < a.familyCount(); f++) {
      double[][] d = projection(a, logits, f);
      double[] sum = new double[GROUPS + 1];
      int[] count = new int[GROUPS + 1];
      for (int i = 0; i < logits.length; i++) {
        double[] row = new double[a.modulus()];
        for (int c = 0; c < row.length; c++) {
          double mean = 0;
          for (double[] other : logits) {
            mean += other[c] / logits.length;
          }
          row[c] = a.keep() ? mean + d[i][c] : logits[i][c] - d[i][c];
        }
        int group = a.groups().get(ValueLayout.JAVA_BYTE, i);
        sum[group] += loss(row, (i / a.modulus() + i % a.modulus()) % a.modulus());
        count[group]++;
      }
      for (int g = 1; g <= GROUPS; g++) {
        String where = "family " + f + ", group " + g;
        double got = loss(a, f, g - 1);
        if (count[g] == 0) {
          assertTrue(Double.isNaN(got), where);
        } else {
          double expected = sum[g] / count[g];
          assertEquals(expected, got, BOUND * expected + Double.MIN_NORMAL, where);
        }
      }
    }
  }

  private static double[][] projection(FourierAblate a, double[][] logits, int family) {
    int p = a.modulus();
    double[][] d = new double[p * p][p];
    for (int k = 1; k <= a.frequencies(); k++) {
      long at = (long) family * a.frequencies() + k - 1;
      if (a.families().get(ValueLayout.JAVA_BYTE, at) == 0) {
        continue;
      }
      double w = 2 * Math.PI * k / p;
      if (a.rotation()) {
        double product = 0;
        for (int i = 0; i < p * p; i++) {
          for (int c = 0; c < p; c++) {
            product += logits[i][c] * Math.cos(w * (i / p + i % p - c));
          }
        }
        for (int i = 0; i < p * p; i++) {
          for (int c = 0; c < p; c++) {
            d[i][c] += product * 2 / p / p / p * Math.cos(w * (i / p + i % p - c));
          }
        }
        continue;
      }
      for (double phase : new double[] {0, Math.PI / 2}) {
        for (int c = 0; c < p; c++) {
          double product = 0;
          for (int i = 0; i < p * p; i++) {
            product += logits[i][c] * Math.cos(w * (i / p + i % p) - phase);
          }
          for (int i = 0; i < p * p; i++) {
            d[i][c] += product * 2 / p / p * Math.cos(w * (i / p + i % p) - phase);
          }
        }
      }
    }
    return d;
  }

  private static double loss(double[] row, int target) {
    double max = Double.NEGATIVE_INFINITY;
    double sum = 0;
    for (int c = 0; c < row.length; c++) {
      max = c == target ? max : Math.max(max, row[c]);
    }
    for (int c = 0; c < row.length; c++) {
      sum += c == target ? 0 : Math.exp(row[c] - max);
    }
    double l = max + Math.log(sum) - row[target];
    return l > 0 ? l + Math.log1p(Math.exp(-l)) : Math.log1p(Math.exp(l));
  }

  @ParameterizedTest
  @MethodSource(IMPLEMENTATIONS)
  void bitsDependOnTheFamilyAlone(Implementation implementation) {
    int p = 23;
    int count = 40;
    FourierAblate a = args(DType.F64, p, 20, count, false, false);
    byte[] first = null;
    for (int threads = 1; threads <= 3; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        k.fourierAblate(a);
        byte[] bits = a.loss().toArray(ValueLayout.JAVA_BYTE);
        first = first == null ? bits : first;
        assertArrayEquals(first, bits);
      }
    }
    MemorySegment alone = memory((long) GROUPS * Double.BYTES);
    try (Kernels k = implementation.open().apply(1)) {
      long h = a.frequencies();
      k.fourierAblate(
          new FourierAblate(
              a.logits(),
              p,
              a.families().asSlice(37 * h, h),
              1,
              a.groups(),
              GROUPS,
              false,
              false,
              alone));
    }
    for (int g = 0; g < GROUPS; g++) {
      assertEquals(loss(a, 37, g), alone.get(Tensor.DOUBLE, g * 8L));
    }
  }

  /** Removed, kept, turned: together they have the bits of each by itself. */
  @ParameterizedTest
  @MethodSource(IMPLEMENTATIONS)
  void bitsAreThoseOfEachByItself(Implementation implementation) {
    int p = 23;
    FourierAblate a = args(DType.F64, p, 20, 40, false, false);
    List<FourierAblate> together = new ArrayList<>();
    byte[][] alone = new byte[4][];
    for (int threads = 1; threads <= 2; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        together.clear();
        for (int kind = 0; kind < alone.length; kind++) {
          int count = 40 - 9 * kind;
          MemorySegment loss = memory((long) count * GROUPS * Double.BYTES);
          MemorySegment groups = groups(p);
          groups.set(ValueLayout.JAVA_BYTE, kind, (byte) 0);
          FourierAblate one =
              new FourierAblate(
                  a.logits(),
                  p,
                  a.families(),
                  count,
                  groups,
                  GROUPS,
                  kind > 1,
                  kind % 2 == 1,
                  loss);
          k.fourierAblate(one);
          alone[kind] = loss.toArray(ValueLayout.JAVA_BYTE);
          loss.fill((byte) 1);
          together.add(one);
        }
        k.fourierAblate(together);
        for (int kind = 0; kind < alone.length; kind++) {
          byte[] bits = together.get(kind).loss().toArray(ValueLayout.JAVA_BYTE);
          assertArrayEquals(alone[kind], bits, "kind " + kind);
        }
        k.fourierAblate(List.of());
        FourierAblate other = args(DType.F64, 5, 1, 4, false, false);
        refused("different logits", () -> k.fourierAblate(List.of(a, other)));
        refused("9 ablations", () -> k.fourierAblate(Collections.nCopies(9, a)));
      }
    }
  }

  @ParameterizedTest
  @MethodSource(IMPLEMENTATIONS)
  void notANumberMakesAllLossesSo(Implementation implementation) {
    for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      FourierAblate a = args(DType.F64, 5, 1, 4, false, false);
      a.logits().data().set(Tensor.DOUBLE, 16, bad);
      try (Kernels k = implementation.open().apply(1)) {
        k.fourierAblate(a);
      }
      for (int f = 0; f < 4; f++) {
        assertTrue(Double.isNaN(loss(a, f, 0)));
      }
    }
  }

  @ParameterizedTest
  @MethodSource(IMPLEMENTATIONS)
  void badArgumentsAreRefused(Implementation implementation) {
    FourierAblate a = args(DType.F32, 5, 1, 4, false, false);
    try (Kernels k = implementation.open().apply(1)) {
      refused(k, "modulus is 6", with(a, 6, a.familyCount(), GROUPS, a.loss()));
      refused(k, "logits is", with(a, 7, a.familyCount(), GROUPS, a.loss()));
      refused(k, "families", with(a, 5, 400, GROUPS, a.loss()));
      refused(k, "groupCount 0", with(a, 5, 4, 0, a.loss()));
      refused(k, "groups[", with(a, 5, 4, 1, a.loss()));
      refused(k, "loss has", with(a, 5, 4, GROUPS, a.loss().asSlice(8)));
      refused(k, "overlaps", with(a, 5, 1, GROUPS, a.logits().data().asSlice(0, 24)));
      a.families().set(ValueLayout.JAVA_BYTE, 3, (byte) 2);
      refused(k, "families[3] is 2", a);
    }
  }

  private static FourierAblate with(
      FourierAblate a, int p, int families, int groups, MemorySegment loss) {
    return new FourierAblate(
        a.logits(), p, a.families(), families, a.groups(), groups, false, false, loss);
  }

  private static void refused(Kernels k, String word, FourierAblate a) {
    refused(word, () -> k.fourierAblate(a));
  }

  private static void refused(String word, Executable call) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }
}
