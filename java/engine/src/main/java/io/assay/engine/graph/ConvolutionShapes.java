package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.List;

/** Shape rules of convolutions, pooling and the normalisations that go with them. */
final class ConvolutionShapes {
  private ConvolutionShapes() {}

  static void register(LayoutShapes.Table table) {
    table.rule(o -> windows(o, o.shape(1)[0], tail(o.shape(1))), "Conv");
    table.rule(o -> windows(o, o.shape(0)[1], kernel(o)), "MaxPool", "AveragePool", "LpPool");
    table.rule(ConvolutionShapes::global, "GlobalAveragePool", "GlobalMaxPool");
    table.rule(o -> List.of(o.type(0)), "BatchNormalization");
  }

  private static long[] kernel(Operands o) {
    long[] kernel = o.node().integers("kernel_shape");
    if (kernel == null) {
      throw o.wrong("has no kernel_shape");
    }
    return kernel;
  }

  private static long[] tail(long[] shape) {
    return Arrays.copyOfRange(shape, 2, shape.length);
  }

  /** One output for each place of a window; ONNX, Conv and MaxPool, formulas of auto_pad. */
  private static List<TensorType> windows(Operands o, long channels, long[] kernel) {
    long[] out = o.shape(0);
    int n = kernel.length;
    if (out.length != n + 2) {
      throw o.wrong("slides a window of " + n + " axes over " + o.type(0));
    }
    long[] strides = filled(o, "strides", n, 1);
    long[] dilations = filled(o, "dilations", n, 1);
    long[] pads = filled(o, "pads", 2 * n, 0);
    String auto = o.node().text("auto_pad", "NOTSET");
    boolean up = o.node().integer("ceil_mode", 0) != 0;
    out[1] = channels;
    for (int i = 0; i < n; i++) {
      long span = (kernel[i] - 1) * dilations[i] + 1;
      long size = out[2 + i];
      if (auto.startsWith("SAME")) {
        out[2 + i] = Math.ceilDiv(size, strides[i]);
        continue;
      }
      long room = size - span + (auto.equals("VALID") ? 0 : pads[i] + pads[n + i]);
      if (room < 0) {
        throw o.wrong("has a window that is larger than its input " + o.type(0));
      }
      long steps = up ? Math.ceilDiv(room, strides[i]) : room / strides[i];
      // A window that would start in the padding behind the input is left out.
      if (up && steps * strides[i] >= size + pads[i]) {
        steps--;
      }
      out[2 + i] = steps + 1;
    }
    TensorType type = TensorType.of(o.dtype(0), out);
    return List.of(type, TensorType.of(DType.I64, out));
  }

  private static long[] filled(Operands o, String attribute, int n, long otherwise) {
    long[] given = o.node().integers(attribute);
    if (given != null) {
      if (given.length != n) {
        throw o.wrong("has " + given.length + " " + attribute + ", not " + n);
      }
      return given;
    }
    long[] out = new long[n];
    Arrays.fill(out, otherwise);
    return out;
  }

  private static List<TensorType> global(Operands o) {
    long[] shape = o.shape(0);
    Arrays.fill(shape, 2, shape.length, 1);
    return o.one(o.dtype(0), shape);
  }
}
