package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A float32 table in binary16, half as many bytes to read, with how far a product may be off:
 * {@link Kernels#tokenSwapTopk(TokenSwap, CoarseTable)} finds with it the few rows that may be
 * among the best, and takes their scores from the table itself.
 *
 * @param table [V,d], F16
 * @param error F32 [V]: two float32 products with any x, of a row of the table and of its coarse
 *     form, differ by at most this times the length of x; +infinity where nothing is known
 */
public record CoarseTable(Matrix table, MemorySegment error) {
  /**
   * The coarse form of a table.
   *
   * @param arena owns the result
   * @param exact [V,d], F32
   */
  public static CoarseTable of(Arena arena, Matrix exact) {
    if (exact.dtype() != DType.F32) {
      throw new IllegalArgumentException("a coarse table is made of F32, not " + exact.dtype());
    }
    long rows = exact.rows();
    long columns = exact.columns();
    Tensor table = Tensor.allocate(arena, DType.F16, rows, columns);
    Tensor error = Tensor.allocate(arena, DType.F32, rows);
    for (long v = 0; v < rows; v++) {
      double apart = 0;
      double full = 0;
      double half = 0;
      for (long c = 0; c < columns; c++) {
        float x = exact.data().get(Tensor.FLOAT, 4 * (v * exact.stride() + c));
        short bits = Float.floatToFloat16(x);
        table.data().set(Tensor.SHORT, 2 * (v * columns + c), bits);
        double y = Float.float16ToFloat(bits);
        apart += (x - y) * (x - y);
        full += (double) x * x;
        half += y * y;
      }
      error.data().set(Tensor.FLOAT, 4 * v, bound(apart, full, half, columns));
    }
    return new CoarseTable(Matrix.of(table), error.data());
  }

  /**
   * {@code ||e - c|| + g (||e|| + ||c||)} with {@code g = n u / (1 - n u), n = d + 8, u = 2^-24},
   * rounded up: the rows' difference by Cauchy and Schwarz, and what two float products may lose.
   */
  private static float bound(double apart, double full, double half, long columns) {
    double n = (columns + 8) * 0x1p-24;
    double bound = Math.sqrt(apart) + n / (1 - n) * (Math.sqrt(full) + Math.sqrt(half));
    boolean known = n < 1 && Double.isFinite(bound);
    return known ? Math.nextUp((float) (bound * (1 + 1e-9))) : Float.POSITIVE_INFINITY;
  }
}
