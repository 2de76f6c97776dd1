package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Rows of the stream in each of which one head is patched, and their norms. */
class PatchContractTest extends KernelContract {
  private static final int LIVE = 6;
  private static final int BANK = 4;

  private MemorySegment ints(int... values) {
    MemorySegment s = memory(4L * values.length);
    for (int i = 0; i < values.length; i++) {
      s.set(Tensor.INT, 4L * i, values[i]);
    }
    return s;
  }

  /** Every source at some copy, -1 too. */
  private PatchRows args(Random random, DType type, int count, int heads, int width, int columns) {
    int[] rows = random.ints(count, 0, LIVE).toArray();
    int[] sources = random.ints((long) count * heads, -1, LIVE + BANK).toArray();
    return new PatchRows(
        random(random, type, LIVE, (long) heads * width, 1),
        random(random, type, BANK, (long) heads * width, 2),
        random(random, type, (long) heads * width, columns, 3),
        random(random, type, LIVE, columns, 1),
        ints(rows),
        ints(sources),
        count,
        heads,
        null);
  }

  private static PatchRows with(PatchRows a, PatchRows.Norm norm) {
    return new PatchRows(
        a.live(),
        a.bank(),
        a.output(),
        a.stream(),
        a.rows(),
        a.sources(),
        a.count(),
        a.heads(),
        norm);
  }

  private static int id(MemorySegment ids, long i) {
    return ids.get(Tensor.INT, 4 * i);
  }

  /** Element c of a copy, and the sum of the magnitudes of what it is added from. */
  private static Sum patched(PatchRows a, int copy, int c) {
    int head = copy % a.heads();
    long width = a.live().columns() / a.heads();
    int row = id(a.rows(), copy / a.heads());
    int source = id(a.sources(), copy);
    Sum sum = new Sum(0, 0);
    for (long k = head * width; source >= 0 && k < (head + 1) * width; k++) {
      double will = source < LIVE ? at(a.live(), source, k) : at(a.bank(), source - LIVE, k);
      double is = at(a.live(), row, k);
      double weight = at(a.output(), k, c);
      sum =
          new Sum(
              sum.value() + (will - is) * weight,
              sum.magnitude() + (Math.abs(will) + Math.abs(is)) * Math.abs(weight));
    }
    return sum.plus(at(a.stream(), row, c));
  }

  /** A difference, the products of a head and two additions, each rounded. */
  @ParameterizedTest
  @MethodSource("implementations")
  void rowsAreThoseOfTheFormula(Implementation implementation) {
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int i = 0; i < SIZES.length; i++) {
        Random random = new Random(i);
        int width = SIZES[i];
        int columns = SIZES[SIZES.length - 1 - i];
        PatchRows a = args(random, type, 1 + 5 * (i % 7), 1 + i % 3, width, columns);
        long copies = (long) a.count() * a.heads();
        Matrix out = random(new Random(1), type, copies, columns, 2);
        Matrix again = random(new Random(1), type, copies, columns, 2);
        try (Kernels one = implementation.open().apply(1);
            Kernels three = implementation.open().apply(3)) {
          one.patchRows(a, out);
          three.patchRows(a, again);
        }
        assertEquals(-1, out.data().mismatch(again.data()), "bits by threads");
        double g = gamma(type, width + 5);
        for (int copy = 0; copy < copies; copy++) {
          for (int c = 0; c < columns; c++) {
            Sum want = patched(a, copy, c);
            boolean kept = id(a.sources(), copy) < 0;
            assertEquals(
                want.value(),
                at(out, copy, c),
                kept ? 0 : g * want.magnitude(),
                type + " case " + i + " copy " + copy + " column " + c);
          }
        }
      }
    }
  }

  /** The norm is that of the rows as they were written; its sums have as many terms as the row. */
  @ParameterizedTest
  @MethodSource("implementations")
  void normsAreThoseOfTheRows(Implementation implementation) {
    double epsilon = 1e-3;
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int columns : SIZES) {
        Random random = new Random(columns);
        PatchRows bare = args(random, type, 5, 2, 9, columns);
        boolean centred = columns % 2 == 1;
        MemorySegment scale = columns % 3 == 0 ? null : random(random, type, 1, columns, 0).data();
        MemorySegment bias = columns % 5 == 0 ? null : random(random, type, 1, columns, 0).data();
        Matrix out = random(random, type, 10, columns, 1);
        Matrix middle = random(random, type, 10, columns, 0);
        Matrix alone = random(random, type, 10, columns, 0);
        try (Kernels k = implementation.open().apply(2)) {
          k.patchRows(with(bare, new PatchRows.Norm(centred, scale, bias, epsilon, out)), middle);
          k.patchRows(bare, alone);
        }
        assertEquals(-1, middle.data().mismatch(alone.data()), "rows beside their norm");
        for (int r = 0; r < 10; r++) {
          double mean = 0;
          double size = 0;
          for (int c = 0; c < columns; c++) {
            mean += centred ? at(middle, r, c) / columns : 0;
            size += centred ? Math.abs(at(middle, r, c)) / columns : 0;
          }
          double square = 0;
          for (int c = 0; c < columns; c++) {
            square += Math.pow(at(middle, r, c) - mean, 2) / columns;
          }
          double root = Math.sqrt(square + epsilon);
          // Each x - mean is off by the mean's error and a rounding, at most `off`.
          double off = gamma(type, columns + 3) * size + gamma(type, 2) * (size + 5 * root);
          double relative = off / root + Math.pow(off / root, 2) + gamma(type, columns + 8);
          for (int c = 0; c < columns; c++) {
            double by = scale == null ? 1 : get(scale, type, c);
            double plus = bias == null ? 0 : get(bias, type, c);
            double part = (at(middle, r, c) - mean) / root * by;
            double bound =
                Math.abs(by) * off / root
                    + Math.abs(part) * (relative + gamma(type, 6))
                    + gamma(type, 4) * (Math.abs(part) + Math.abs(plus));
            assertEquals(part + plus, at(out, r, c), bound, type + " row " + r + " column " + c);
          }
        }
      }
    }
  }

  /** Patching by what is there changes nothing; a NaN stays in its copy; wrong ids are named. */
  @ParameterizedTest
  @MethodSource("implementations")
  void sourcesOfTheirOwnAndWrongOnes(Implementation implementation) {
    Random random = new Random(9);
    PatchRows a = args(random, DType.F32, 3, 2, 5, 11);
    for (int copy = 0; copy < 6; copy++) {
      a.sources().set(Tensor.INT, 4L * copy, id(a.rows(), copy / 2));
    }
    a.sources().set(Tensor.INT, 4, LIVE + 1);
    set(a.bank().data(), DType.F32, a.bank().stride() + 5, Double.NaN);
    Matrix out = random(random, DType.F32, 6, 11, 0);
    try (Kernels k = implementation.open().apply(2)) {
      k.patchRows(a, out);
      for (int copy = 0; copy < 6; copy++) {
        for (int c = 0; c < 11; c++) {
          double want = copy == 1 ? Double.NaN : at(a.stream(), id(a.rows(), copy / 2), c);
          assertEquals(want, at(out, copy, c), "copy " + copy);
        }
      }
      a.sources().set(Tensor.INT, 8, -2);
      refused("sources[2] is -2", () -> k.patchRows(a, out));
      a.sources().set(Tensor.INT, 8, LIVE + BANK);
      refused("sources[2] is 10", () -> k.patchRows(a, out));
      a.sources().set(Tensor.INT, 8, 0);
      a.rows().set(Tensor.INT, 4, LIVE);
      refused("rows[1] is 6", () -> k.patchRows(a, out));
      a.rows().set(Tensor.INT, 4, 0);
      Matrix small = random(random, DType.F32, 5, 11, 0);
      refused("middle", () -> k.patchRows(a, small));
      refused("normed", () -> k.patchRows(normed(a, small, 0), out));
      refused(
          "epsilon", () -> k.patchRows(normed(a, random(random, DType.F32, 6, 11, 0), -1), out));
      refused("overlaps", () -> k.patchRows(normed(a, out, 0), out));
      PatchRows three =
          new PatchRows(
              a.live(), a.bank(), a.output(), a.stream(), a.rows(), a.sources(), 3, 3, null);
      refused("heads 3", () -> k.patchRows(three, out));
      PatchRows none =
          new PatchRows(a.live(), null, a.output(), a.stream(), a.rows(), a.sources(), 0, 2, null);
      k.patchRows(none, random(random, DType.F32, 0, 11, 0));
    }
    assertTrue(Double.isNaN(at(out, 1, 0)), "what was refused wrote something");
  }

  private static PatchRows normed(PatchRows a, Matrix out, double epsilon) {
    return with(a, new PatchRows.Norm(true, null, null, epsilon, out));
  }
}
