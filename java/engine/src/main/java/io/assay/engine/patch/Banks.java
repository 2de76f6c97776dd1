package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;

/** Stored rows that ablations take their values from. */
public final class Banks {
  private Banks() {}

  /** One row of zeros for a hook whose value is like {@code value} [row, ...]. */
  public static Tensor zero(Tensor value) {
    return Tensor.allocate(Arena.ofAuto(), value.dtype(), rows(value, 1));
  }

  /**
   * One row, the mean over the rows of {@code value} [row, ...]; summed in doubles, in order.
   *
   * @throws IllegalArgumentException if there are no rows
   */
  public static Tensor mean(Tensor value) {
    if (value.dim(0) == 0) {
      throw new IllegalArgumentException("a mean over no rows");
    }
    Tensor mean = Tensor.allocate(Arena.ofAuto(), value.dtype(), rows(value, 1));
    for (long i = 0; i < mean.elements(); i++) {
      double sum = 0;
      for (long row = 0; row < value.dim(0); row++) {
        sum += value.get(row * mean.elements() + i);
      }
      mean.set(i, sum / value.dim(0));
    }
    return mean;
  }

  private static long[] rows(Tensor value, long rows) {
    long[] shape = Arrays.copyOf(value.shape(), value.rank());
    shape[0] = rows;
    return shape;
  }
}
