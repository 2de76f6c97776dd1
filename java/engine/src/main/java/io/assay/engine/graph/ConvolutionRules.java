package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;

/**
 * Gradients of convolutions and of resizing.
 *
 * <p>A convolution is linear in its input and in its weight. Its transpose in the input is a
 * convolution by the weight turned around, or ConvTranspose where it strides; its transpose in the
 * weight is a matrix product for each place of the window, or a convolution of the input by the
 * gradient, with batch and channels swapped and strides and dilations too.
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
    b.give(0, () -> transposed(b, b.g(), b.in(1), w, group));
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

  /**
   * The transpose of the convolution by {@code weight}. Where the window moves by single steps that
   * is a convolution by the weight turned around, for which the runtime has its fastest code.
   */
  private static Expr transposed(Backward b, Expr g, Expr weight, Window w, long group) {
    int n = w.axes();
    long[] pads = new long[2 * n];
    for (int i = 0; i < n; i++) {
      pads[i] = w.span(i) - 1 - w.before()[i];
      pads[n + i] = w.span(i) - 1 - w.reached(i);
    }
    boolean single = Arrays.stream(w.strides()).allMatch(s -> s == 1);
    if (!single || Arrays.stream(pads).anyMatch(p -> p < 0)) {
      return spread(b, g, weight, w, group);
    }
    Map<String, Object> attributes = new HashMap<>();
    attributes.put("dilations", Window.list(w.dilations()));
    attributes.put("pads", Window.list(pads));
    attributes.put("group", group);
    return b.op("Conv", attributes, g, turned(weight, group));
  }

  /** [M, C/group, kernel] as [C, M/group, kernel], each axis of the kernel in the other order. */
  private static Expr turned(Expr weight, long group) {
    Expr x = weight;
    for (int axis = 2; axis < x.rank(); axis++) {
      x = x.shape()[axis] == 1 ? x : x.reversed(axis);
    }
    long[] shape = x.shape();
    long rows = shape[0] / group;
    long channels = shape[1];
    long[] grouped = insert(shape, rows, channels);
    grouped[0] = group;
    long[] order = LongStream.range(0, grouped.length).toArray();
    order[1] = 2;
    order[2] = 1;
    shape[0] = group * channels;
    shape[1] = rows;
    return x.reshape(grouped).transpose(order).reshape(shape);
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

  /**
   * For each place of the window the gradient times what of the input lies under that place: rows
   * of channels, which the runtime gathers on all threads.
   */
  private static Expr weightByPlace(Backward b, Expr x, Expr g, Window w) {
    int n = w.axes();
    long elements = product(w.input(), 0, n);
    long[] last = LongStream.range(0, n + 2).map(i -> i == 0 ? 0 : i % (n + 1) + 1).toArray();
    Expr rows = x.transpose(last).reshape(x.shape()[0], elements, x.shape()[1]);
    Expr padded = b.op("Pad", Map.of(), rows, b.longs(0, 0, 0, 0, 1, 0));
    Expr gradient = g.transpose(swap(g.rank())).reshape(g.shape()[1], -1);
    List<Expr> products = new ArrayList<>();
    for (long place = 0; place < product(w.kernel(), 0, n); place++) {
      long[] under = under(w, place);
      boolean inside = Arrays.stream(under).allMatch(i -> i < elements);
      Expr met = inside ? rows : padded;
      if (!Arrays.equals(under, LongStream.range(0, elements).toArray())) {
        met = b.op("Gather", Map.of("axis", 1L), met, b.longs(under, under.length));
      }
      Expr product = gradient.matmul(met.reshape(-1, x.shape()[1]));
      products.add(product.reshape(1, g.shape()[1], x.shape()[1]));
    }
    long[] shape = new long[n + 2];
    shape[0] = g.shape()[1];
    shape[1] = x.shape()[1];
    System.arraycopy(w.kernel(), 0, shape, 2, n);
    return b.concat(0, products).transpose(1, 2, 0).reshape(shape);
  }

  /** The elements of the input that a place of the window meets in turn; padding is one more. */
  private static long[] under(Window w, long place) {
    long elements = product(w.input(), 0, w.axes());
    long[] under = {0};
    long rest = place;
    long step = 1;
    for (int i = w.axes() - 1; i >= 0; i--) {
      long from = rest % w.kernel()[i] * w.dilations()[i] - w.before()[i];
      rest /= w.kernel()[i];
      int inner = under.length;
      long[] here = new long[Math.toIntExact(w.output()[i] * inner)];
      for (int k = 0; k < here.length; k++) {
        long at = from + k / inner * w.strides()[i];
        boolean inside = at >= 0 && at < w.input()[i] && under[k % inner] < elements;
        here[k] = inside ? at * step + under[k % inner] : elements;
      }
      under = here;
      step *= w.input()[i];
    }
    return under;
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
