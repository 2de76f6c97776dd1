package io.assay.engine.tensor;

/** Element type of a {@link Tensor}; the names are those of the safetensors format. */
public enum DType {
  F32(4),
  F64(8),
  F16(2),
  BF16(2),
  I64(8),
  I32(4),
  I16(2),
  I8(1),
  U8(1),
  BOOL(1);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  /** Whether gradients can flow through values of this type. */
  public boolean isFloat() {
    return this == F32 || this == F64 || this == F16 || this == BF16;
  }
}
