package io.assay.engine.session;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;

/** Tensors as the runtime sees them: the same memory under another type. */
final class OrtTensors {
  /** Memory of tensors without elements: the runtime wants an address even for these. */
  private static final MemorySegment NOTHING = Arena.global().allocate(64, 64);

  /** Aligned off-heap copies of weights that could not be used in place, one for all sessions. */
  private static final Map<Tensor, Tensor> ALIGNED =
      Collections.synchronizedMap(new WeakHashMap<>());

  private OrtTensors() {}

  static OnnxJavaType type(DType dtype) {
    return switch (dtype) {
      case F32 -> OnnxJavaType.FLOAT;
      case F64 -> OnnxJavaType.DOUBLE;
      case F16 -> OnnxJavaType.FLOAT16;
      case BF16 -> OnnxJavaType.BFLOAT16;
      case I64 -> OnnxJavaType.INT64;
      case I32 -> OnnxJavaType.INT32;
      case I16 -> OnnxJavaType.INT16;
      case I8 -> OnnxJavaType.INT8;
      case U8 -> OnnxJavaType.UINT8;
      case BOOL -> OnnxJavaType.BOOL;
    };
  }

  /** The element type of a runtime value, or null if tensors here have none like it. */
  static DType dtype(OnnxJavaType type) {
    for (DType dtype : DType.values()) {
      if (type(dtype) == type) {
        return dtype;
      }
    }
    return null;
  }

  /** Whether the runtime can use the memory of {@code t} in place. */
  static boolean inPlace(Tensor t) {
    return t.data().isNative() && t.data().address() % t.dtype().bytes() == 0;
  }

  /** {@code t} itself where {@link #inPlace}, else a copy. */
  static Tensor aligned(Tensor t) {
    return inPlace(t) ? t : copy(t);
  }

  /** {@code t} itself where {@link #inPlace}, else the one copy that all sessions share. */
  static Tensor alignedWeight(Tensor t) {
    return inPlace(t) ? t : ALIGNED.computeIfAbsent(t, OrtTensors::copy);
  }

  /** A copy that the runtime can use. */
  static Tensor copy(Tensor t) {
    Tensor copy = Tensor.allocate(Arena.ofAuto(), t.dtype(), t.shape());
    MemorySegment.copy(t.data(), 0, copy.data(), 0, t.data().byteSize());
    return copy;
  }

  /**
   * A runtime value over the memory of {@code t}, which must be usable {@link #inPlace} and outlive
   * it.
   *
   * @throws InputException if the tensor has more than 2 GB, the limit of the runtime's Java API
   */
  static OnnxTensor wrap(OrtEnvironment environment, String name, Tensor t) throws OrtException {
    if (t.data().byteSize() > Integer.MAX_VALUE) {
      throw new InputException(
          "the tensor "
              + name
              + " ("
              + t
              + ") has "
              + t.data().byteSize()
              + " bytes; one tensor may have at most 2147483647, so split it or use a smaller"
              + " type");
    }
    MemorySegment memory = t.elements() == 0 ? NOTHING.asSlice(0, 0) : t.data();
    ByteBuffer bytes = memory.asByteBuffer().order(ByteOrder.nativeOrder());
    return OnnxTensor.createTensor(environment, bytes, t.shape(), type(t.dtype()));
  }

  /** A copy of a runtime value in memory of its own. */
  static Tensor read(OnnxTensor value) {
    DType dtype = dtype(value.getInfo().type);
    Tensor t = Tensor.allocate(Arena.ofAuto(), dtype, value.getInfo().getShape());
    if (t.elements() > 0) {
      Buffer bytes = value.getByteBuffer();
      MemorySegment.copy(MemorySegment.ofBuffer(bytes), 0, t.data(), 0, t.data().byteSize());
    }
    return t;
  }
}
