package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.function.ToDoubleFunction;

/**
 * A row-major array of the reference evaluator. All elements are float64; integers and booleans (0
 * or 1) are held as such.
 */
record Array64(DType dtype, int[] shape, double[] data) {
  static Array64 zeros(DType dtype, int... shape) {
    return new Array64(dtype, shape, new double[size(shape)]);
  }

  /** The array whose element at each index is given by a formula. */
  static Array64 build(DType dtype, int[] shape, ToDoubleFunction<int[]> element) {
    Array64 out = zeros(dtype, shape);
    int[] at = new int[shape.length];
    for (int i = 0; i < out.data.length; i++) {
      out.data[i] = element.applyAsDouble(at);
      next(at, shape);
    }
    return out;
  }

  static Array64 of(Tensor t) {
    return new Array64(
        t.dtype(), Arrays.stream(t.shape()).mapToInt(Math::toIntExact).toArray(), t.toDoubles());
  }

  Tensor tensor() {
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, longShape());
    for (int i = 0; i < data.length; i++) {
      t.set(i, data[i]);
    }
    return t;
  }

  long[] longShape() {
    return Arrays.stream(shape).asLongStream().toArray();
  }

  static int size(int... shape) {
    return Arrays.stream(shape).reduce(1, Math::multiplyExact);
  }

  int rank() {
    return shape.length;
  }

  /** Moves an index on to the next place in row-major order. */
  static void next(int[] at, int[] shape) {
    for (int axis = shape.length - 1; axis >= 0 && ++at[axis] == shape[axis]; axis--) {
      at[axis] = 0;
    }
  }

  /** Where an index of a larger array lies in this one, which is broadcast: axes of size 1 stay. */
  int offset(int... at) {
    int added = at.length - shape.length;
    int offset = 0;
    for (int i = 0; i < shape.length; i++) {
      offset = offset * shape[i] + (shape[i] == 1 ? 0 : at[added + i]);
    }
    return offset;
  }

  double get(int... at) {
    return data[offset(at)];
  }

  Array64 reshape(int... to) {
    return new Array64(dtype, to, data);
  }

  Array64 withData(double[] other) {
    return new Array64(dtype, shape, other);
  }

  long[] toLongs() {
    return Arrays.stream(data).mapToLong(x -> (long) x).toArray();
  }

  /** An axis in [0, rank). */
  int axis(long axis) {
    return Math.toIntExact(axis < 0 ? axis + shape.length : axis);
  }

  /** The shape that numpy's broadcasting gives. */
  static int[] broadcast(int[]... shapes) {
    int rank = Arrays.stream(shapes).mapToInt(s -> s.length).max().orElse(0);
    int[] out = new int[rank];
    Arrays.fill(out, 1);
    for (int[] shape : shapes) {
      for (int i = 0; i < shape.length; i++) {
        int at = rank - shape.length + i;
        out[at] = out[at] == 1 ? shape[i] : out[at];
      }
    }
    return out;
  }

  /** The shape with another size of one axis. */
  static int[] with(int[] shape, int axis, int size) {
    int[] out = shape.clone();
    out[axis] = size;
    return out;
  }

  static int[] join(int[]... parts) {
    return Arrays.stream(parts).flatMapToInt(Arrays::stream).toArray();
  }

  @Override
  public String toString() {
    return dtype + Arrays.toString(shape) + Arrays.toString(data);
  }
}
