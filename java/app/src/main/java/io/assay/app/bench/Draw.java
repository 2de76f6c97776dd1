package io.assay.app.bench;

import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;

/** Random numbers as tensors; the same seed gives the same numbers. */
final class Draw {
  private final SplittableRandom random;

  /**
   * A size of a question.
   *
   * @throws IllegalArgumentException if it is below 1
   */
  static int size(String what, int size) {
    if (size < 1) {
      throw new IllegalArgumentException(what + " is " + size + "; at least 1 is needed");
    }
    return size;
  }

  Draw(long seed) {
    this.random = new SplittableRandom(seed);
  }

  /** Evenly distributed around zero, of the given standard deviation. */
  Tensor floats(double deviation, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    MemorySegment data = t.data();
    double scale = deviation * Math.sqrt(12);
    for (long i = 0; i < t.elements(); i++) {
      data.set(Tensor.FLOAT, 4 * i, (float) (scale * (random.nextDouble() - 0.5)));
    }
    return t;
  }

  /** One value throughout. */
  static Tensor all(double value, long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, value);
    }
    return t;
  }

  /** Ids below a bound. */
  int[] ids(int count, int bound) {
    return random.ints(count, 0, bound).toArray();
  }

  /** The same as int32. */
  static MemorySegment segment(int[] ids) {
    MemorySegment s = Arena.ofAuto().allocate(Math.max(4L, 4L * ids.length), 4);
    for (int i = 0; i < ids.length; i++) {
      s.set(Tensor.INT, 4L * i, ids[i]);
    }
    return s;
  }

  /** A matrix's columns as rows. */
  static Tensor transposed(Tensor m) {
    long rows = m.dim(0);
    long columns = m.dim(1);
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, columns, rows);
    for (long r = 0; r < rows; r++) {
      for (long c = 0; c < columns; c++) {
        float value = m.data().get(Tensor.FLOAT, 4 * (r * columns + c));
        t.data().set(Tensor.FLOAT, 4 * (c * rows + r), value);
      }
    }
    return t;
  }

  static TensorType f32(long... shape) {
    return TensorType.of(DType.F32, shape);
  }
}
