package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/** Shape rules of convolutions, pooling, resizing and the normalisation that goes with them. */
final class ConvolutionShapes {
  private ConvolutionShapes() {}

  static void register(LayoutShapes.Table table) {
    table.rule(ConvolutionShapes::conv, "Conv", "com.microsoft.FusedConv");
    table.rule(ConvolutionShapes::convTranspose, "ConvTranspose");
    table.rule(ConvolutionShapes::pool, "MaxPool", "AveragePool", "LpPool");
    table.rule(ConvolutionShapes::global, "GlobalAveragePool", "GlobalMaxPool");
    table.rule(ConvolutionShapes::batchNormalization, "BatchNormalization");
    table.rule(ConvolutionShapes::resize, "Resize");
  }

  /** The spatial sizes of a shape. */
  static long[] tail(long[] shape) {
    return Arrays.copyOfRange(shape, 2, shape.length);
  }

  private static long[] with(long batch, long channels, long[] sizes) {
    long[] out = new long[sizes.length + 2];
    out[0] = batch;
    out[1] = channels;
    System.arraycopy(sizes, 0, out, 2, sizes.length);
    return out;
  }

  private static List<TensorType> conv(Operands o) {
    Window w = Window.sliding(o.node(), o.shape(0), tail(o.shape(1)));
    return o.one(o.dtype(0), with(o.shape(0)[0], o.shape(1)[0], w.output()));
  }

  private static List<TensorType> convTranspose(Operands o) {
    Window w = Window.transposed(o.node(), o.shape(0), tail(o.shape(1)));
    long channels = o.shape(1)[1] * o.node().integer("group", 1);
    return o.one(o.dtype(0), with(o.shape(0)[0], channels, w.input()));
  }

  private static List<TensorType> pool(Operands o) {
    long[] kernel = o.node().integers("kernel_shape");
    if (kernel == null) {
      throw o.wrong("has no kernel_shape");
    }
    Window w = Window.sliding(o.node(), o.shape(0), kernel);
    long[] out = with(o.shape(0)[0], o.shape(0)[1], w.output());
    return List.of(TensorType.of(o.dtype(0), out), TensorType.of(DType.I64, out));
  }

  private static List<TensorType> global(Operands o) {
    long[] shape = o.shape(0);
    Arrays.fill(shape, 2, shape.length, 1);
    return o.one(o.dtype(0), shape);
  }

  /** In training form the running mean and variance follow. */
  private static List<TensorType> batchNormalization(Operands o) {
    return List.of(o.type(0), o.type(3), o.type(4));
  }

  private static List<TensorType> resize(Operands o) {
    return o.one(o.dtype(0), resized(o));
  }

  /** ONNX, Resize: sizes as given or kept in proportion, or the floor of size times scale. */
  private static long[] resized(Operands o) {
    long[] shape = o.shape(0);
    long[] given = o.node().integers("axes");
    int[] axes = new int[given == null ? shape.length : given.length];
    for (int i = 0; i < axes.length; i++) {
      axes[i] = given == null ? i : o.axis(given[i], shape.length);
    }
    if (o.has(3)) {
      sizes(o, axes, o.longs(3), shape);
      return shape;
    }
    Tensor scales = o.has(2) ? o.constants().apply(o.node().input(2)) : null;
    if (scales == null || scales.elements() != axes.length) {
      throw o.wrong("has no constant scales or sizes for each of its " + axes.length + " axes");
    }
    for (int i = 0; i < axes.length; i++) {
      // The runtime multiplies in float32.
      shape[axes[i]] = (long) Math.floor((float) shape[axes[i]] * (float) scales.get(i));
    }
    return shape;
  }

  private static void sizes(Operands o, int[] axes, long[] sizes, long[] shape) {
    if (sizes.length != axes.length) {
      throw o.wrong("has " + sizes.length + " sizes for " + axes.length + " axes");
    }
    String policy = o.node().text("keep_aspect_ratio_policy", "stretch");
    float scale = policy.equals("not_larger") ? Float.MAX_VALUE : 0;
    for (int i = 0; i < axes.length; i++) {
      float here = (float) sizes[i] / shape[axes[i]];
      scale = policy.equals("not_larger") ? Math.min(scale, here) : Math.max(scale, here);
    }
    for (int i = 0; i < axes.length; i++) {
      shape[axes[i]] = policy.equals("stretch") ? sizes[i] : Math.round(scale * shape[axes[i]]);
    }
  }
}
