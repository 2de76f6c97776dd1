package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** What is done to float32 rows between two graphs. */
final class Rows {
  private Rows() {}

  /** The shape of {@code t} with another number of rows. */
  static long[] withRows(Tensor t, long rows) {
    long[] shape = t.shape();
    shape[0] = rows;
    return shape;
  }

  /** Copies {@code count} rows of {@code width} elements. */
  static void copy(Tensor from, long row, Tensor to, long at, long count, long width) {
    long bytes = width * from.dtype().bytes();
    MemorySegment.copy(from.data(), row * bytes, to.data(), at * bytes, count * bytes);
  }

  /** {@code a + b}; {@code a} is added again and again where {@code b} has more elements. */
  static Tensor sum(Arena arena, Tensor a, Tensor b) {
    return combined(arena, a, b, 1);
  }

  static Tensor difference(Arena arena, Tensor a, Tensor b) {
    return combined(arena, a, b, -1);
  }

  private static Tensor combined(Arena arena, Tensor a, Tensor b, float sign) {
    Tensor out = Tensor.allocate(arena, b.dtype(), b.shape());
    MemorySegment x = a.data();
    MemorySegment y = b.data();
    MemorySegment z = out.data();
    long period = x.byteSize();
    for (long first = 0; first < y.byteSize(); first += period) {
      for (long i = 0; i < period; i += 4) {
        float value = x.get(Tensor.FLOAT, i) + sign * y.get(Tensor.FLOAT, first + i);
        z.set(Tensor.FLOAT, first + i, value);
      }
    }
    return out;
  }
}
