package io.assay.engine.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * A dense row-major array: element type, shape and the memory that holds it.
 *
 * <p>A tensor is a view: it never owns its memory, and is valid as long as the arena of its segment
 * is. The shape is immutable; the elements are whatever the memory holds. Elements are
 * little-endian and need no alignment.
 */
public final class Tensor {
  /** Unaligned little-endian layouts, the only ones with which elements are read and written. */
  public static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  public static final ValueLayout.OfDouble DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  public static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  public static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  public static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final DType dtype;
  private final long[] shape;
  private final MemorySegment data;

  private Tensor(DType dtype, long[] shape, MemorySegment data) {
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
  }

  /**
   * A view of {@code data} as an array of {@code shape}.
   *
   * @throws IllegalArgumentException if a dimension is negative or the segment has another size
   */
  public static Tensor of(DType dtype, MemorySegment data, long... shape) {
    long bytes = Math.multiplyExact(elements(shape), (long) dtype.bytes());
    if (data.byteSize() != bytes) {
      throw new IllegalArgumentException(
          "a tensor "
              + dtype
              + Arrays.toString(shape)
              + " takes "
              + bytes
              + " bytes, the memory given has "
              + data.byteSize());
    }
    return new Tensor(dtype, shape.clone(), data);
  }

  /**
   * A zero-filled off-heap tensor, aligned to 64 bytes, that lives as long as {@code arena}; a
   * large one in large pages where the system has them.
   */
  public static Tensor allocate(Arena arena, DType dtype, long... shape) {
    long bytes = Math.multiplyExact(elements(shape), (long) dtype.bytes());
    MemorySegment large = bytes < LargePages.LEAST_BYTES ? null : LargePages.allocate(arena, bytes);
    return new Tensor(dtype, shape.clone(), large != null ? large : arena.allocate(bytes, 64));
  }

  /** An off-heap copy of {@code values}, kept alive by the tensor itself. */
  public static Tensor ofFloats(float[] values, long... shape) {
    Tensor t = allocate(Arena.ofAuto(), DType.F32, shape);
    t.requireElements(values.length);
    MemorySegment.copy(values, 0, t.data, FLOAT, 0, values.length);
    return t;
  }

  /** An off-heap copy of {@code values}, kept alive by the tensor itself. */
  public static Tensor ofDoubles(double[] values, long... shape) {
    Tensor t = allocate(Arena.ofAuto(), DType.F64, shape);
    t.requireElements(values.length);
    MemorySegment.copy(values, 0, t.data, DOUBLE, 0, values.length);
    return t;
  }

  /** An off-heap copy of {@code values}, kept alive by the tensor itself. */
  public static Tensor ofLongs(long[] values, long... shape) {
    Tensor t = allocate(Arena.ofAuto(), DType.I64, shape);
    t.requireElements(values.length);
    MemorySegment.copy(values, 0, t.data, LONG, 0, values.length);
    return t;
  }

  /** A float scalar (rank 0) of type {@code F32} or {@code F64}. */
  public static Tensor scalar(DType dtype, double value) {
    Tensor t = allocate(Arena.ofAuto(), dtype);
    t.set(0, value);
    return t;
  }

  public DType dtype() {
    return dtype;
  }

  /** The dimensions, a copy. */
  public long[] shape() {
    return shape.clone();
  }

  public int rank() {
    return shape.length;
  }

  /** Size of dimension {@code axis}. */
  public long dim(int axis) {
    return shape[axis];
  }

  public MemorySegment data() {
    return data;
  }

  /** Number of elements. */
  public long elements() {
    return data.byteSize() / dtype.bytes();
  }

  /** Element {@code i} in row-major order, widened to a double (a boolean is 0 or 1). */
  public double get(long i) {
    return switch (dtype) {
      case F32 -> data.get(FLOAT, i * 4);
      case F64 -> data.get(DOUBLE, i * 8);
      case F16 -> Float.float16ToFloat(data.get(SHORT, i * 2));
      case BF16 -> Float.intBitsToFloat(data.get(SHORT, i * 2) << 16);
      case I64 -> data.get(LONG, i * 8);
      case I32 -> data.get(INT, i * 4);
      case I16 -> data.get(SHORT, i * 2);
      case I8 -> data.get(ValueLayout.JAVA_BYTE, i);
      case U8 -> data.get(ValueLayout.JAVA_BYTE, i) & 0xff;
      case BOOL -> data.get(ValueLayout.JAVA_BYTE, i) == 0 ? 0 : 1;
    };
  }

  /** Integer element {@code i}, exact for every integer type. */
  public long getLong(long i) {
    return dtype == DType.I64 ? data.get(LONG, i * 8) : (long) get(i);
  }

  /** Sets element {@code i}; 16-bit floats are not written. */
  public void set(long i, double value) {
    switch (dtype) {
      case F32 -> data.set(FLOAT, i * 4, (float) value);
      case F64 -> data.set(DOUBLE, i * 8, value);
      case I64 -> data.set(LONG, i * 8, (long) value);
      case I32 -> data.set(INT, i * 4, (int) value);
      case I16 -> data.set(SHORT, i * 2, (short) value);
      case I8, U8 -> data.set(ValueLayout.JAVA_BYTE, i, (byte) (int) value);
      case BOOL -> data.set(ValueLayout.JAVA_BYTE, i, (byte) (value == 0 ? 0 : 1));
      default ->
          throw new UnsupportedOperationException("elements of type " + dtype + " are read only");
    }
  }

  /** The elements as doubles, in row-major order. */
  public double[] toDoubles() {
    double[] out = new double[Math.toIntExact(elements())];
    if (dtype == DType.F64) {
      MemorySegment.copy(data, DOUBLE, 0, out, 0, out.length);
      return out;
    }
    for (int i = 0; i < out.length; i++) {
      out[i] = get(i);
    }
    return out;
  }

  /** The elements as longs, in row-major order. */
  public long[] toLongs() {
    long[] out = new long[Math.toIntExact(elements())];
    for (int i = 0; i < out.length; i++) {
      out[i] = getLong(i);
    }
    return out;
  }

  /**
   * The floats as {@code F32} or {@code F64}: this tensor where it has that type, else a copy. A
   * finite number stays finite, since masks are often the largest number of their type.
   */
  public Tensor toFloat(DType to) {
    if (dtype == to) {
      return this;
    }
    double largest = to == DType.F32 ? Float.MAX_VALUE : Double.MAX_VALUE;
    Tensor out = allocate(Arena.ofAuto(), to, shape);
    for (long i = 0; i < out.elements(); i++) {
      double x = get(i);
      out.set(i, Double.isFinite(x) ? Math.clamp(x, -largest, largest) : x);
    }
    return out;
  }

  /** The same memory under another shape with as many elements. */
  public Tensor reshape(long... newShape) {
    return of(dtype, data, newShape);
  }

  /** Product of the dimensions; 1 for a scalar. */
  public static long elements(long... shape) {
    long n = 1;
    for (long d : shape) {
      if (d < 0) {
        throw new IllegalArgumentException("negative dimension in shape " + Arrays.toString(shape));
      }
      n = Math.multiplyExact(n, d);
    }
    return n;
  }

  private void requireElements(int n) {
    if (n != elements()) {
      throw new IllegalArgumentException(
          n + " values do not fill the shape " + Arrays.toString(shape));
    }
  }

  @Override
  public String toString() {
    return dtype + Arrays.toString(shape);
  }
}
