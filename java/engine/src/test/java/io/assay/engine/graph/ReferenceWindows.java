package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Operators with a window that slides over the spatial axes, which are all behind the first two.
 */
final class ReferenceWindows {
  private ReferenceWindows() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("Conv", ReferenceWindows::conv);
    table.put("ConvTranspose", ReferenceWindows::convTranspose);
    table.put("AveragePool", c -> pool(c, false));
    table.put("MaxPool", c -> pool(c, true));
    table.put("GlobalAveragePool", c -> List.of(global(c, false)));
    table.put("GlobalMaxPool", c -> List.of(global(c, true)));
    table.put("Resize", ReferenceWindows::resize);
  }

  /** How the window lies along one axis. */
  private record Axis(int size, int kernel, int stride, int dilation, int before, int after) {
    int span() {
      return (kernel - 1) * dilation + 1;
    }

    /** Number of places of the window: ONNX, Conv and AveragePool. */
    int places(boolean up) {
      int room = size + before + after - span();
      int n = (up ? Math.ceilDiv(room, stride) : Math.floorDiv(room, stride)) + 1;
      return up && (n - 1) * stride >= size + before ? n - 1 : n;
    }
  }

  private static Axis[] axes(Node node, int[] sizes, int[] kernel) {
    int n = kernel.length;
    long[] strides = node.integers("strides");
    long[] dilations = node.integers("dilations");
    long[] pads = node.integers("pads");
    String auto = node.text("auto_pad", "NOTSET");
    Axis[] axes = new Axis[n];
    for (int i = 0; i < n; i++) {
      int stride = strides == null ? 1 : (int) strides[i];
      int dilation = dilations == null ? 1 : (int) dilations[i];
      int before = pads == null ? 0 : (int) pads[i];
      int after = pads == null ? 0 : (int) pads[n + i];
      if (auto.startsWith("SAME")) {
        int span = (kernel[i] - 1) * dilation + 1;
        int padding =
            Math.max(0, ((sizes[i] + stride - 1) / stride - 1) * stride + span - sizes[i]);
        int less = padding / 2;
        before = auto.equals("SAME_UPPER") ? less : padding - less;
        after = padding - before;
      }
      axes[i] = new Axis(sizes[i], kernel[i], stride, dilation, before, after);
    }
    return axes;
  }

  private static int[] tail(int[] shape) {
    return Arrays.copyOfRange(shape, 2, shape.length);
  }

  private static int[] shape(int rows, int channels, int[] sizes) {
    return Array64.join(new int[] {rows, channels}, sizes);
  }

  /** What happens at one place of the window: it lies over an element, or outside. */
  private interface Visit {
    /** {@code from} is null outside; {@code padded} tells whether that is in the stated padding. */
    void at(int[] from, int[] inWindow, boolean padded);
  }

  /** Visits all places of the window whose place among the outputs is {@code out}. */
  private static void visit(Axis[] axes, int[] out, Visit visit) {
    int[] kernel = Arrays.stream(axes).mapToInt(Axis::kernel).toArray();
    int[] in = new int[axes.length];
    for (int k = 0; k < Array64.size(kernel); k++) {
      int[] from = new int[axes.length];
      boolean inside = true;
      boolean padded = true;
      for (int i = 0; i < axes.length; i++) {
        Axis a = axes[i];
        from[i] = out[i] * a.stride - a.before + in[i] * a.dilation;
        inside &= from[i] >= 0 && from[i] < a.size;
        padded &= from[i] >= -a.before && from[i] < a.size + a.after;
      }
      visit.at(inside ? from : null, in.clone(), padded);
      Array64.next(in, kernel);
    }
  }

  private static List<Array64> conv(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 w = c.in(1);
    int group = (int) c.node().integer("group", 1);
    Axis[] axes = axes(c.node(), tail(x.shape()), tail(w.shape()));
    int[] sizes = Arrays.stream(axes).mapToInt(a -> a.places(false)).toArray();
    int each = w.shape()[1];
    int channels = w.shape()[0];
    return List.of(
        Array64.build(
            x.dtype(),
            shape(x.shape()[0], channels, sizes),
            at -> {
              double[] sum = {c.has(2) ? c.in(2).data()[at[1]] : 0};
              int first = at[1] / (channels / group) * each;
              visit(
                  axes,
                  tail(at),
                  (from, in, _) -> {
                    for (int i = 0; from != null && i < each; i++) {
                      sum[0] += x.get(shape(at[0], first + i, from)) * w.get(shape(at[1], i, in));
                    }
                  });
              return sum[0];
            }));
  }

  /** Each input element is spread over the window that starts at its place; padding is cut off. */
  private static List<Array64> convTranspose(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 w = c.in(1);
    Node node = c.node();
    int group = (int) node.integer("group", 1);
    int[] kernel = tail(w.shape());
    int n = kernel.length;
    long[] added = node.integers("output_padding");
    Axis[] stated = axes(node, tail(x.shape()), kernel);
    int[] sizes = new int[n];
    for (int i = 0; i < n; i++) {
      Axis a = stated[i];
      sizes[i] =
          (a.size - 1) * a.stride
              + (added == null ? 0 : (int) added[i])
              + a.span()
              - a.before
              - a.after;
    }
    int each = w.shape()[1];
    int perGroup = x.shape()[1] / group;
    Array64 out = Array64.zeros(x.dtype(), shape(x.shape()[0], each * group, sizes));
    int[] at = new int[x.rank()];
    int[] size = x.shape();
    for (double value : x.data()) {
      int[] place = at.clone();
      int[] in = new int[n];
      for (int k = 0; k < Array64.size(kernel); k++) {
        int[] to = new int[n];
        boolean inside = true;
        for (int i = 0; i < n; i++) {
          to[i] = place[2 + i] * stated[i].stride + in[i] * stated[i].dilation - stated[i].before;
          inside &= to[i] >= 0 && to[i] < sizes[i];
        }
        for (int i = 0; inside && i < each; i++) {
          int[] target = shape(place[0], place[1] / perGroup * each + i, to);
          out.data()[ReferenceLayout.exact(out, target)] += value * w.get(shape(place[1], i, in));
        }
        Array64.next(in, kernel);
      }
      Array64.next(at, size);
    }
    return List.of(
        Array64.build(
            x.dtype(), out.shape(), to -> out.get(to) + (c.has(2) ? c.in(2).data()[to[1]] : 0)));
  }

  private static List<Array64> pool(Reference.Call c, boolean largest) {
    Array64 x = c.in(0);
    int[] kernel =
        Arrays.stream(c.node().integers("kernel_shape")).mapToInt(Math::toIntExact).toArray();
    Axis[] axes = axes(c.node(), tail(x.shape()), kernel);
    boolean up = c.node().integer("ceil_mode", 0) != 0;
    boolean counted = c.node().integer("count_include_pad", 0) != 0;
    int[] sizes = Arrays.stream(axes).mapToInt(a -> a.places(up)).toArray();
    int[] shape = shape(x.shape()[0], x.shape()[1], sizes);
    Array64 places = Array64.zeros(DType.I64, shape);
    Array64 y =
        Array64.build(
            x.dtype(),
            shape,
            at -> {
              double[] best = {largest ? Double.NEGATIVE_INFINITY : 0, 0};
              visit(
                  axes,
                  tail(at),
                  (from, _, padded) -> {
                    if (!largest) {
                      best[1] += from != null || counted && padded ? 1 : 0;
                      best[0] += from == null ? 0 : x.get(shape(at[0], at[1], from));
                    } else if (from != null && x.get(shape(at[0], at[1], from)) > best[0]) {
                      best[0] = x.get(shape(at[0], at[1], from));
                      best[1] = ReferenceLayout.exact(x, shape(at[0], at[1], from));
                    }
                  });
              places.data()[ReferenceLayout.exact(places, at)] = best[1];
              return largest ? best[0] : best[0] / best[1];
            });
    return List.of(y, places);
  }

  private static Array64 global(Reference.Call c, boolean largest) {
    Array64 x = c.in(0);
    int[] s = x.shape();
    int[] flat = {s[0], s[1], Array64.size(tail(s))};
    Array64 one =
        ReferenceReductions.along(
            x.reshape(flat),
            2,
            row ->
                new double[] {
                  largest
                      ? Arrays.stream(row).max().orElseThrow()
                      : ReferenceReductions.sum(row) / row.length
                });
    int[] ones = new int[s.length - 2];
    Arrays.fill(ones, 1);
    return one.reshape(shape(s[0], s[1], ones));
  }

  /** By sizes; nearest (round_prefer_floor) and linear; the coordinates of ONNX, Resize. */
  private static List<Array64> resize(Reference.Call c) {
    Node node = c.node();
    long[] sizes = c.in(3).toLongs();
    Array64 x = c.in(0);
    for (int axis = 0; axis < sizes.length; axis++) {
      int from = x.shape()[axis];
      int to = (int) sizes[axis];
      if (from != to) {
        x = ReferenceReductions.along(x, axis, row -> resized(node, row, to));
      }
    }
    return List.of(x);
  }

  private static double[] resized(Node node, double[] row, int to) {
    double[] out = new double[to];
    double scale = (double) to / row.length;
    for (int i = 0; i < to; i++) {
      double at =
          switch (node.text("coordinate_transformation_mode", "half_pixel")) {
            case "asymmetric" -> i / scale;
            case "align_corners" -> to == 1 ? 0 : i * (row.length - 1.0) / (to - 1);
            case "pytorch_half_pixel" -> to > 1 ? (i + 0.5) / scale - 0.5 : 0;
            default -> (i + 0.5) / scale - 0.5;
          };
      if (node.text("mode", "nearest").equals("nearest")) {
        out[i] = row[bound(Math.ceil(at - 0.5), row.length)];
      } else {
        double floor = Math.floor(at);
        double share = at - floor;
        out[i] =
            (1 - share) * row[bound(floor, row.length)] + share * row[bound(floor + 1, row.length)];
      }
    }
    return out;
  }

  private static int bound(double at, int size) {
    return (int) Math.max(0, Math.min(size - 1, at));
  }
}
