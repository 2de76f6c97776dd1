package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.tensor.DType;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The steps of AdamW. */
class AdamwContractTest extends KernelContract {
  @ParameterizedTest
  @MethodSource("implementations")
  void adamwFollowsTheAlgorithm(Implementation implementation) {
    Kernels.AdamW settings = new Kernels.AdamW(0.01, 0.9, 0.98, 1e-8, 0.1);
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int n : SIZES) {
        Random random = new Random(n);
        Matrix p = random(random, type, 3, n, 2);
        Matrix g = random(random, type, 3, n, 1);
        Matrix m = random(random, type, 3, n, 0);
        Matrix v = random(random, type, 3, n, 3);
        for (int r = 0; r < 3; r++) {
          for (int c = 0; c < n; c++) {
            set(v.data(), type, r * v.stride() + c, Math.abs(at(v, r, c)));
          }
        }
        double[][] want = new double[3 * n][];
        for (int i = 0; i < 3 * n; i++) {
          int r = i / n;
          int c = i % n;
          double first = 0.9 * at(m, r, c) + 0.1 * at(g, r, c);
          double second = 0.98 * at(v, r, c) + 0.02 * at(g, r, c) * at(g, r, c);
          double hat = first / (1 - Math.pow(0.9, 3));
          double root = Math.sqrt(second / (1 - Math.pow(0.98, 3)));
          double next = at(p, r, c) - 0.01 * 0.1 * at(p, r, c) - 0.01 * hat / (root + 1e-8);
          want[i] = new double[] {first, second, next};
        }
        try (Kernels k = implementation.open().apply(2)) {
          k.adamw(p, g, m, v, settings, 3);
        }
        // One rounding of the stored value, and a few of double arithmetic.
        double ulp = type == DType.F64 ? 0x1p-48 : 0x1p-24;
        for (int i = 0; i < 3 * n; i++) {
          int r = i / n;
          int c = i % n;
          assertEquals(want[i][0], at(m, r, c), ulp * (1 + Math.abs(want[i][0])));
          assertEquals(want[i][1], at(v, r, c), ulp * (1 + Math.abs(want[i][1])));
          assertEquals(want[i][2], at(p, r, c), ulp * (1 + Math.abs(want[i][2])));
        }
      }
    }
  }

  /** The moments of what gets no gradient any more end at zero, not among the denormals. */
  @ParameterizedTest
  @MethodSource("implementations")
  void adamwHasNoDenormals(Implementation implementation) {
    Kernels.AdamW settings = new Kernels.AdamW(0.01, 0.9, 0.98, 1e-8, 0.1);
    for (DType type : List.of(DType.F32, DType.F64)) {
      double normal = type == DType.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
      int n = 37;
      Matrix p = random(new Random(1), type, 1, n, 0);
      Matrix g = random(new Random(2), type, 1, n, 0);
      Matrix m = random(new Random(3), type, 1, n, 0);
      Matrix v = random(new Random(4), type, 1, n, 0);
      for (int c = 0; c < n; c++) {
        set(g.data(), type, c, 0);
        // Even ones are denormal before the step, odd ones behind it.
        set(m.data(), type, c, (c % 2 == 0 ? 0.75 : 1.0625) * normal);
        set(v.data(), type, c, (c % 2 == 0 ? 0.75 : 1.0078125) * normal);
        set(p.data(), type, c, (c % 2 == 0 ? 0.75 : 4) * normal);
      }
      try (Kernels k = implementation.open().apply(1)) {
        k.adamw(p, g, m, v, settings, 1);
      }
      for (int c = 0; c < n; c++) {
        assertEquals(0, at(m, 0, c), type + " " + c);
        assertEquals(0, at(v, 0, c), type + " " + c);
        assertEquals(c % 2 == 0, at(p, 0, c) == 0, type + " " + c);
      }
    }
  }
}
