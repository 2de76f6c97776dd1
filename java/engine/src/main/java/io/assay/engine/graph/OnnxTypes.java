package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;

/** Element type codes of ONNX ({@code TensorProto.DataType}) and ours. */
final class OnnxTypes {
  private OnnxTypes() {}

  /** Our type for an ONNX code, or null where Assay has none. */
  static DType of(long code) {
    return switch ((int) code) {
      case 1 -> DType.F32;
      case 2 -> DType.U8;
      case 3 -> DType.I8;
      case 5 -> DType.I16;
      case 6 -> DType.I32;
      case 7 -> DType.I64;
      case 9 -> DType.BOOL;
      case 10 -> DType.F16;
      case 11 -> DType.F64;
      case 16 -> DType.BF16;
      default -> null;
    };
  }

  /** Our type for an ONNX code that {@code what} has. */
  static DType require(long code, String what) {
    DType dtype = of(code);
    if (dtype == null) {
      throw new InputException(
          what
              + " has the ONNX element type "
              + code
              + ", which Assay does not compute with; export the model in float32");
    }
    return dtype;
  }

  static int code(DType dtype) {
    return switch (dtype) {
      case F32 -> 1;
      case U8 -> 2;
      case I8 -> 3;
      case I16 -> 5;
      case I32 -> 6;
      case I64 -> 7;
      case BOOL -> 9;
      case F16 -> 10;
      case F64 -> 11;
      case BF16 -> 16;
    };
  }
}
