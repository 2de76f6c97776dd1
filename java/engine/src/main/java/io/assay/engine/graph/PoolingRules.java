package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.LongStream;

/** Gradients of pools. */
final class PoolingRules {
  private PoolingRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("AveragePool", b -> b.give(0, () -> averagePool(b)));
    rules.put("GlobalAveragePool", b -> b.give(0, () -> globalAverage(b)));
    rules.put("MaxPool", PoolingRules::maxPool);
    rules.put("GlobalMaxPool", b -> b.give(0, () -> globalMax(b)));
  }

  /** Each place of the window gives each element that it counted the same share. */
  private static Expr averagePool(Backward b) {
    Node node = b.node();
    long[] shape = b.in(0).shape();
    long[] kernel = node.integers("kernel_shape");
    Window w = Window.sliding(node, shape, kernel);
    Expr share = b.g().over(b.constant(counts(b, w)));
    long[] ones = new long[kernel.length + 2];
    Arrays.fill(ones, 1);
    System.arraycopy(kernel, 0, ones, 2, kernel.length);
    Expr window = b.scalar(b.g().dtype(), 1).expandTo(ones);
    Expr rows = share.reshape(single(share.shape()));
    return ConvolutionRules.spread(b, rows, window, w, 1).reshape(shape);
  }

  /** The shape with all channels as rows of one channel. */
  private static long[] single(long[] shape) {
    long[] out = shape.clone();
    out[0] = shape[0] * shape[1];
    out[1] = 1;
    return out;
  }

  /** How many elements each place of the window divides by: a product over the axes. */
  private static Tensor counts(Backward b, Window w) {
    boolean padding = b.node().integer("count_include_pad", 0) != 0;
    long[] shape = new long[w.axes() + 2];
    Arrays.fill(shape, 1);
    System.arraycopy(w.output(), 0, shape, 2, w.axes());
    Tensor counts = Tensor.allocate(Arena.ofAuto(), b.g().dtype(), shape);
    for (long i = 0; i < counts.elements(); i++) {
      long count = 1;
      long rest = i;
      for (int axis = w.axes() - 1; axis >= 0; axis--) {
        long place = rest % w.output()[axis];
        rest /= w.output()[axis];
        count *= counted(w, axis, place, padding);
      }
      counts.set(i, count);
    }
    return counts;
  }

  private static long counted(Window w, int axis, long place, boolean padding) {
    long from = padding ? -w.before()[axis] : 0;
    long to = w.input()[axis] + (padding ? w.after()[axis] : 0);
    long start = place * w.strides()[axis] - w.before()[axis];
    return LongStream.range(0, w.kernel()[axis])
        .map(j -> start + j * w.dilations()[axis])
        .filter(at -> at >= from && at < to)
        .count();
  }

  private static Expr globalAverage(Backward b) {
    long[] shape = b.in(0).shape();
    long n = Tensor.elements(ConvolutionShapes.tail(shape));
    return b.g().times(1.0 / n).expandTo(shape);
  }

  /** PyTorch: the first maximum in row order gets all. */
  private static void maxPool(Backward b) {
    b.onlyFirstOutput();
    b.give(
        0,
        () -> {
          long[] shape = b.in(0).shape();
          Map<String, Object> attributes = new HashMap<>(b.node().attributes());
          attributes.put("storage_order", 0L);
          Expr places = b.ops(2, "MaxPool", attributes, b.in(0)).get(1);
          return b.g()
              .reshape(-1)
              .scatterElements(0, places.reshape(-1), Tensor.elements(shape))
              .reshape(shape);
        });
  }

  private static Expr globalMax(Backward b) {
    long[] shape = b.in(0).shape();
    long n = Tensor.elements(ConvolutionShapes.tail(shape));
    Expr rows = b.in(0).reshape(shape[0], shape[1], n);
    Expr place = b.op("ArgMax", Map.of("axis", 2L, "keepdims", 1L), rows).cast(DType.I64);
    return b.g()
        .reshape(shape[0], shape[1], 1)
        .scatterElements(2, place, shape[0], shape[1], n)
        .reshape(shape);
  }
}
