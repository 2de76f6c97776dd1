package io.assay.engine.kernel;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Rows of equal length in memory, the argument of every kernel.
 *
 * @param data memory of the first element and everything behind it that the rows need
 * @param dtype element type
 * @param rows number of rows
 * @param columns elements of one row
 * @param stride distance between the starts of two rows, in elements, at least {@code columns}
 */
public record Matrix(MemorySegment data, DType dtype, long rows, long columns, long stride) {
  /**
   * @throws IllegalArgumentException if a size is negative, the stride is shorter than a row, or
   *     the memory ends before the last row does
   */
  public Matrix {
    if (rows < 0 || columns < 0 || stride < columns) {
      throw new IllegalArgumentException(
          "a matrix needs rows >= 0, columns >= 0 and stride >= columns, got rows "
              + rows
              + ", columns "
              + columns
              + ", stride "
              + stride);
    }
    long bytes = bytes(dtype, rows, columns, stride);
    if (data.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "a matrix of "
              + rows
              + " rows of "
              + columns
              + " "
              + dtype
              + " with stride "
              + stride
              + " takes "
              + bytes
              + " bytes, the memory given has "
              + data.byteSize());
    }
  }

  /** Bytes from the start of the first row to the end of the last. */
  long bytes() {
    return bytes(dtype, rows, columns, stride);
  }

  private static long bytes(DType dtype, long rows, long columns, long stride) {
    long elements = rows == 0 ? 0 : Math.addExact(Math.multiplyExact(rows - 1, stride), columns);
    return Math.multiplyExact(elements, (long) dtype.bytes());
  }

  /** A matrix view of a tensor: its last dimension is the row, all others together count rows. */
  public static Matrix of(Tensor t) {
    long columns = t.rank() == 0 ? 1 : t.dim(t.rank() - 1);
    long rows = columns == 0 ? 0 : t.elements() / columns;
    return new Matrix(t.data(), t.dtype(), rows, columns, columns);
  }

  /** One row of {@code n} elements. */
  public static Matrix vector(Tensor t) {
    return new Matrix(t.data(), t.dtype(), 1, t.elements(), t.elements());
  }
}
