package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;

/**
 * What every implementation of {@link Kernels} owes, against sums written out here in double.
 *
 * <p>A sum of n products of floats, in whatever order, errs by at most gamma_n * sum|terms|,
 * gamma_n = n*u/(1-n*u), u = 2^-24 (Higham 2002, section 3.1); the same with u = 2^-53 for doubles.
 * One more rounding stores the result.
 */
abstract class KernelContract {
  static final int[] SIZES = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 61, 127};
  private final Arena arena = Arena.ofShared();
  private boolean atStart;

  /**
   * One line per implementation; each opens kernels for a number of threads. Where a CUDA library
   * is named it is those of that alone: the build runs the tests a second time.
   */
  static Stream<Implementation> implementations() {
    if (CudaCheck.library() != null) {
      return Stream.of(
          new Implementation("cuda", threads -> CudaKernels.open(CudaCheck.driver(), 0, threads)));
    }
    List<Implementation> all = new ArrayList<>();
    for (KernelsReport.Line line : KernelsReport.lines()) {
      if (line.available()) {
        all.add(
            new Implementation(
                line.implementation() + " " + line.tier(),
                line.implementation().equals("cpu")
                    ? threads -> CpuKernels.open(threads, line.tier())
                    : PortableKernels::new));
      }
    }
    return all.stream();
  }

  record Implementation(String name, IntFunction<Kernels> open) {
    @Override
    public String toString() {
      return name;
    }
  }

  @AfterEach
  void release() {
    arena.close();
  }

  // ---- helpers: memory at guard pages, misaligned by construction, and plain access ----

  final MemorySegment memory(long bytes) {
    atStart = !atStart;
    return GuardedMemory.allocate(arena, bytes, atStart);
  }

  /** Rows of random values with a stride that leaves a gap; the gap holds NaN. */
  final Matrix random(Random random, DType type, long rows, long columns, long gap) {
    long stride = columns + gap;
    long elements = rows == 0 ? 0 : (rows - 1) * stride + columns;
    Matrix m = new Matrix(memory(elements * type.bytes()), type, rows, columns, stride);
    for (long i = 0; i < elements; i++) {
      set(m.data(), type, i, i % stride < columns ? random.nextGaussian() : Double.NaN);
    }
    return m;
  }

  static void set(MemorySegment s, DType type, long i, double value) {
    switch (type) {
      case F32 -> s.set(Tensor.FLOAT, i * 4, (float) value);
      case F64 -> s.set(Tensor.DOUBLE, i * 8, value);
      case F16 -> s.set(Tensor.SHORT, i * 2, Float.floatToFloat16((float) value));
      case BF16 -> s.set(Tensor.SHORT, i * 2, (short) (Float.floatToIntBits((float) value) >>> 16));
      default -> throw new AssertionError(type);
    }
  }

  static double get(MemorySegment s, DType type, long i) {
    return switch (type) {
      case F32 -> s.get(Tensor.FLOAT, i * 4);
      case F64 -> s.get(Tensor.DOUBLE, i * 8);
      case F16 -> Float.float16ToFloat(s.get(Tensor.SHORT, i * 2));
      case BF16 -> Float.intBitsToFloat(s.get(Tensor.SHORT, i * 2) << 16);
      default -> throw new AssertionError(type);
    };
  }

  static double at(Matrix m, long r, long c) {
    return get(m.data(), m.dtype(), r * m.stride() + c);
  }

  static DType real(DType table) {
    return table == DType.F64 ? DType.F64 : DType.F32;
  }

  static double gamma(DType real, long n) {
    double u = real == DType.F64 ? 0x1p-53 : 0x1p-24;
    return n * u / (1 - n * u);
  }

  /** A value and the sum of the magnitudes that it was added from. */
  record Sum(double value, double magnitude) {
    Sum plus(double x) {
      return new Sum(value + x, magnitude + Math.abs(x));
    }
  }

  static Sum dot(Matrix a, long ra, Matrix b, long rb) {
    Sum sum = new Sum(0, 0);
    for (long c = 0; c < a.columns(); c++) {
      sum = sum.plus(at(a, ra, c) * at(b, rb, c));
    }
    return sum;
  }

  static void refused(String word, Runnable call) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(word), message);
  }
}
