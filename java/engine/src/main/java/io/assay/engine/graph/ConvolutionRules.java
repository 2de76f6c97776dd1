package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;

/**
 * Gradients of convolutions and of resizing.
 *
 * <p>A convolution is linear in its input and in its weight. Its transpose in the input is
 * ConvTranspose with the same weight; its transpose in the weight is a matrix product for each
 * place of the window, or a convolution of the input by the gradient, with batch and channels
 * swapped and strides and dilations too.
 */
final class ConvolutionRules {
  /**
   * Windows of fewer places have a product for each place: 1.5 to 2 times as fast as the
   * convolution at the shapes of ResNet-18, whose first window of 49 places is the other way round.
   */
  private static final long MANY_PLACES = 32;

  private ConvolutionRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Conv", ConvolutionRules::conv);
    rules.put("ConvTranspose", ConvolutionRules::convTranspose);
    rules.put("Resize", b -> b.give(0, () -> resize(b)));
  }

  private static void conv(Backward b) {
    Window w = Window.sliding(b.node(), b.in(0).shape(), ConvolutionShapes.tail(b.in(1).shape()));
    long group = b.node().integer("group", 1);
    b.give(0, () -> spread(b, b.g(), b.in(1), w, group));
    b.give(1, () -> weight(b, b.in(0), b.g(), w, group));
    b.give(2, () -> perChannel(b.g()));
  }

  private static void convTranspose(Backward b) {
    Window w =
        Window.transposed(b.node(), b.in(0).shape(), ConvolutionShapes.tail(b.in(1).shape()));
    long group = b.node().integer("group", 1);
    b.give(0, () -> cut(convolve(b, b.g(), b.in(1), w, group), w.output()));
    b.give(1, () -> weight(b, b.g(), b.in(0), w, group));
    b.give(2, () -> perChannel(b.g()));
  }

  /** Sums over all but the channels. */
  private static Expr perChannel(Expr g) {
    long[] axes = LongStream.concat(LongStream.of(0), LongStream.range(2, g.rank())).toArray();
    return g.sum(axes).reshape(g.shape()[1]);
  }

  private static Map<String, Object> attributes(Window w, long group) {
    int n = w.axes();
    long[] pads = new long[2 * n];
    for (int i = 0; i < n; i++) {
      pads[i] = w.before()[i];
      pads[n + i] = Math.max(0, w.reached(i));
    }
    Map<String, Object> attributes = new HashMap<>();
    attributes.put("strides", Window.list(w.strides()));
    attributes.put("dilations", Window.list(w.dilations()));
    attributes.put("pads", Window.list(pads));
    attributes.put("group", group);
    return attributes;
  }

  /** {@code x} convolved by {@code weight}. */
  private static Expr convolve(Backward b, Expr x, Expr weight, Window w, long group) {
    return b.op("Conv", attributes(w, group), x, weight);
  }

  /** The transpose of the convolution by {@code weight}: each place of the window adds its own. */
  static Expr spread(Backward b, Expr g, Expr weight, Window w, long group) {
    Map<String, Object> attributes = attributes(w, group);
    long[] missing = new long[w.axes()];
    for (int i = 0; i < missing.length; i++) {
      missing[i] = Math.max(0, -w.reached(i));
    }
    attributes.put("output_padding", Window.list(missing));
    return b.op("ConvTranspose", attributes, g, weight);
  }

  /**
   * Gradient of the weight {@code [M, C/group, kernel]} of a convolution from {@code x} [N, C, ...]
   * to values with the gradient {@code g} [N, M, ...].
   */
  private static Expr weight(Backward b, Expr x, Expr g, Window w, long group) {
    return group == 1 && product(w.kernel(), 0, w.axes()) < MANY_PLACES
        ? weightByPlace(b, x, g, w)
        : weightByConvolution(b, x, g, w, group);
  }

  /** For each place of the window the gradient times what of the input lies under that place. */
  private static Expr weightByPlace(Backward b, Expr x, Expr g, Window w) {
    int n = w.axes();
    long[] pads = new long[2 * (n + 2)];
    for (int i = 0; i < n; i++) {
      pads[2 + i] = w.before()[i];
      pads[n + 4 + i] = Math.max(0, w.reached(i));
    }
    Expr padded = b.op("Pad", Map.of(), x.transpose(swap(x.rank())), b.longs(pads));
    Expr gradient = g.transpose(swap(g.rank())).reshape(g.shape()[1], -1);
    Expr axes = b.longs(LongStream.range(2, n + 2).toArray());
    List<Expr> products = new ArrayList<>();
    long places = product(w.kernel(), 0, n);
    for (long place = 0; place < places; place++) {
      long[] from = new long[n];
      long[] to = new long[n];
      long rest = place;
      for (int i = n - 1; i >= 0; i--) {
        from[i] = rest % w.kernel()[i] * w.dilations()[i];
        to[i] = from[i] + (w.output()[i] - 1) * w.strides()[i] + 1;
        rest /= w.kernel()[i];
      }
      Expr under =
          b.op("Slice", Map.of(), padded, b.longs(from), b.longs(to), axes, b.longs(w.strides()))
              .reshape(x.shape()[1], -1);
      products.add(gradient.gemm(under, false, true, 1).reshape(1, g.shape()[1], x.shape()[1]));
    }
    long[] shape = new long[n + 2];
    shape[0] = g.shape()[1];
    shape[1] = x.shape()[1];
    System.arraycopy(w.kernel(), 0, shape, 2, n);
    return b.concat(0, products).transpose(1, 2, 0).reshape(shape);
  }

  /** For each group the rows of the batch are the channels that are summed over. */
  private static Expr weightByConvolution(Backward b, Expr x, Expr g, Window w, long group) {
    long rows = x.shape()[0];
    long each = x.shape()[1] / group;
    long[] grouped = insert(x.shape(), group, each);
    long[] order = LongStream.range(0, grouped.length).toArray();
    order[0] = 2;
    order[2] = 0;
    long[] merged = x.shape();
    merged[0] = each;
    merged[1] = group * rows;
    Expr input = swapped(x, order, grouped, merged, group);
    Expr kernel = g.transpose(swap(g.rank()));
    Window turned =
        new Window(
            w.output(), w.dilations(), w.strides(), w.before(), w.after(), w.input(), w.kernel());
    Expr all = convolve(b, input, kernel, turned, group);
    return cut(all, w.kernel()).transpose(swap(x.rank()));
  }

  private static Expr swapped(Expr x, long[] order, long[] grouped, long[] merged, long group) {
    return group == 1
        ? x.transpose(swap(x.rank()))
        : x.reshape(grouped).transpose(order).reshape(merged);
  }

  private static long[] insert(long[] shape, long group, long each) {
    long[] out = new long[shape.length + 1];
    out[0] = shape[0];
    out[1] = group;
    out[2] = each;
    System.arraycopy(shape, 2, out, 3, shape.length - 2);
    return out;
  }

  /** The order that swaps the first two axes. */
  private static long[] swap(int rank) {
    long[] order = LongStream.range(0, rank).toArray();
    order[0] = 1;
    order[1] = 0;
    return order;
  }

  /** The first {@code sizes} elements of the spatial axes. */
  private static Expr cut(Expr x, long[] sizes) {
    Expr out = x;
    for (int i = 0; i < sizes.length; i++) {
      if (out.shape()[2 + i] > sizes[i]) {
        out = out.slice(2 + i, 0, sizes[i]);
      }
    }
    return out;
  }

  /**
   * Resizing is linear and works axis by axis, so an axis has a matrix: the resized unit vectors,
   * which the runtime itself computes here. The gradient is multiplied by their transposes.
   */
  private static Expr resize(Backward b) {
    long[] to = b.in(0).shape();
    Expr g = b.g();
    for (int axis = 0; axis < to.length; axis++) {
      long size = g.shape()[axis];
      if (size != to[axis] || crops(b)) {
        Expr matrix = unitVectors(b, axis, to[axis], size);
        long before = product(g.shape(), 0, axis);
        long after = product(g.shape(), axis + 1, to.length);
        long[] shape = g.shape();
        shape[axis] = to[axis];
        g = matrix.matmul(g.reshape(before, size, after)).reshape(shape);
      }
    }
    return g;
  }

  private static boolean crops(Backward b) {
    return b.node().text("coordinate_transformation_mode", "").equals("tf_crop_and_resize");
  }

  private static long product(long[] shape, int from, int to) {
    long product = 1;
    for (int i = from; i < to; i++) {
      product *= shape[i];
    }
    return product;
  }

  /** The matrix [from, to] of one axis: the resized unit vectors. */
  private static Expr unitVectors(Backward b, int axis, long from, long to) {
    Node node = b.node();
    if (!node.text("keep_aspect_ratio_policy", "stretch").equals("stretch")) {
      throw b.refused("for sizes that keep the aspect ratio");
    }
    int at = axis;
    int axes = b.in(0).rank();
    if (node.has("axes")) {
      long[] given = node.integers("axes");
      axes = given.length;
      for (int i = 0; i < axes; i++) {
        at = Backward.axis(given[i], b.in(0).rank()) == axis ? i : at;
      }
    }
    Map<String, Object> attributes = new HashMap<>(node.attributes());
    attributes.keySet().removeAll(List.of("axes", "keep_aspect_ratio_policy"));
    attributes.remove("extrapolation_value");
    DType dtype = b.in(0).dtype();
    Expr units = b.identity(dtype, from).reshape(1, 1, from, from);
    Expr roi = null;
    if (crops(b)) {
      Tensor region = b.value(1);
      float start = (float) region.get(at);
      float end = (float) region.get(axes + at);
      roi = b.constant(Tensor.ofFloats(new float[] {0, 0, 0, start, 1, 1, 1, end}, 8));
    }
    Expr resized;
    if (b.has(3)) {
      resized = b.op("Resize", attributes, units, roi, null, b.longs(1, 1, from, to));
    } else {
      float scale = (float) b.value(2).get(at);
      Expr scales = b.constant(Tensor.ofFloats(new float[] {1, 1, 1, scale}, 4));
      resized = b.op("Resize", attributes, units, roi, scales);
    }
    return resized.reshape(from, to);
  }
}
