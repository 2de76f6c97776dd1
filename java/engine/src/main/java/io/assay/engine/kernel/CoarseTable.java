package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A float32 table in 8-bit whole numbers, a quarter of the bytes to read, with how far a product
 * may be off: {@link Kernels#tokenSwapTopk(TokenSwap, CoarseTable)} finds with it the few rows that
 * may be among the best, and takes their scores from the table itself.
 *
 * @param table [V,d], I8: row v times {@code scale[v]} is near the row of the float32 table; its
 *     Euclidean length is at most {@link #LENGTH}
 * @param scale F32 [V]
 * @param error F32 [V]: two float32 products with any x, of a row of the table and of its coarse
 *     form, differ by at most this times the length of x; +infinity where nothing is known
 */
public record CoarseTable(Matrix table, MemorySegment scale, MemorySegment error) {
  /** Sums of products of two rows of whole numbers of this length fit in 32 bits. */
  static final int LENGTH = 46340;

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
    int columns = Math.toIntExact(exact.columns());
    Tensor table = Tensor.allocate(arena, DType.I8, rows, columns);
    Tensor scale = Tensor.allocate(arena, DType.F32, rows);
    Tensor error = Tensor.allocate(arena, DType.F32, rows);
    float[] row = new float[columns];
    for (long v = 0; v < rows; v++) {
      MemorySegment.copy(exact.data(), Tensor.FLOAT, 4 * v * exact.stride(), row, 0, columns);
      float unit = unit(row);
      double apart = 0;
      double full = 0;
      double coarse = 0;
      for (int c = 0; c < columns; c++) {
        long whole = unit == 0 ? 0 : Math.round((double) row[c] / unit);
        table.data().set(ValueLayout.JAVA_BYTE, v * columns + c, (byte) whole);
        double y = (double) unit * whole;
        apart += (row[c] - y) * (row[c] - y);
        full += (double) row[c] * row[c];
        coarse += y * y;
      }
      scale.data().set(Tensor.FLOAT, 4 * v, unit);
      error.data().set(Tensor.FLOAT, 4 * v, bound(apart, full, coarse, columns));
    }
    return new CoarseTable(Matrix.of(table), scale.data(), error.data());
  }

  /** What 1 stands for in a row; 0 where its numbers are too small, too large or not numbers. */
  private static float unit(float[] row) {
    double square = 0;
    double largest = 0;
    for (float x : row) {
      square += (double) x * x;
      largest = Math.max(largest, Math.abs(x));
    }
    // Rounding to whole numbers makes a row longer by at most sqrt(d) / 2.
    double longest = LENGTH - Math.sqrt(row.length) / 2 - 1;
    double unit = Math.max(Math.sqrt(square) / longest, largest / Byte.MAX_VALUE) * (1 + 1e-6);
    return unit >= Float.MIN_NORMAL && unit <= Float.MAX_VALUE ? (float) unit : 0;
  }

  /**
   * {@code ||e - c|| + g (||e|| + ||c||)} with {@code g = n u / (1 - n u), n = d + 8, u = 2^-24},
   * rounded up: the rows' difference by Cauchy and Schwarz, and what two float products may lose.
   */
  private static float bound(double apart, double full, double coarse, long columns) {
    double n = (columns + 8) * 0x1p-24;
    double bound = Math.sqrt(apart) + n / (1 - n) * (Math.sqrt(full) + Math.sqrt(coarse));
    boolean known = n < 1 && Double.isFinite(bound);
    return known ? Math.nextUp((float) (bound * (1 + 1e-9))) : Float.POSITIVE_INFINITY;
  }
}
