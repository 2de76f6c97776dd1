package io.assay.engine.graph;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Gradients of the operators that only move elements. */
final class LayoutRules {
  private LayoutRules() {}

  static void register(Map<String, GradientRule> rules) {
    GradientRule reshape = b -> b.give(0, () -> b.g().reshape(b.in(0).shape()));
    for (String op : List.of("Reshape", "Flatten", "Squeeze", "Unsqueeze")) {
      rules.put(op, reshape);
    }
    rules.put("Expand", b -> b.give(0, b::g));
    rules.put("Transpose", b -> b.give(0, () -> b.g().transpose(inverse(b))));
    rules.put("Concat", LayoutRules::concat);
    rules.put("Split", LayoutRules::split);
    rules.put("Slice", b -> b.give(0, () -> slice(b)));
    rules.put("Pad", LayoutRules::pad);
    rules.put("Tile", b -> b.give(0, () -> tile(b)));
    rules.put("DepthToSpace", b -> b.give(0, () -> depthToSpace(b)));
    rules.put("SpaceToDepth", b -> b.give(0, () -> spaceToDepth(b)));
    rules.put("Trilu", b -> b.give(0, () -> trilu(b)));
  }

  private static long[] inverse(Backward b) {
    long[] perm = b.node().integers("perm");
    int rank = b.in(0).rank();
    long[] inverse = new long[rank];
    for (int i = 0; i < rank; i++) {
      inverse[perm == null ? rank - 1 - i : (int) perm[i]] = i;
    }
    return inverse;
  }

  private static void concat(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    long start = 0;
    for (int i = 0; i < b.node().inputs().size(); i++) {
      long from = start;
      long end = start + b.in(i).shape()[axis];
      b.give(i, () -> b.g().slice(axis, from, end));
      start = end;
    }
  }

  private static void split(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    b.give(
        0,
        () -> {
          List<Expr> parts = new ArrayList<>();
          for (int i = 0; i < b.node().outputs().size(); i++) {
            parts.add(b.g(i));
          }
          return b.concat(axis, parts);
        });
  }

  /** Puts zeros where the slice did not look: outside of it, and between its steps. */
  private static Expr slice(Backward b) {
    long[] shape = b.in(0).shape();
    long[] starts = b.longs("starts", 1);
    long[] axes = b.longs("axes", 3);
    long[] steps = b.longs("steps", 4);
    Expr g = b.g();
    for (int i = 0; i < starts.length; i++) {
      int axis = axes == null ? i : Backward.axis(axes[i], shape.length);
      long size = shape[axis];
      long picked = g.shape()[axis];
      if (picked == 0) {
        g = b.zeros(g.dtype(), with(g.shape(), axis, size));
        continue;
      }
      long step = steps == null ? 1 : steps[i];
      long start = starts[i] < 0 ? starts[i] + size : starts[i];
      long first = Math.clamp(start, 0, step < 0 ? size - 1 : size);
      if (step < 0) {
        g = g.reversed(axis);
        first += (picked - 1) * step;
      }
      g = spaced(g, axis, Math.abs(step));
      g = g.pad(axis, first, size - first - g.shape()[axis]);
    }
    return g;
  }

  /** The elements of {@code axis} with {@code step - 1} zeros between two. */
  private static Expr spaced(Expr g, int axis, long step) {
    if (step == 1) {
      return g;
    }
    long[] shape = g.shape();
    long n = shape[axis];
    Expr wide = g.reshape(insert(shape, axis + 1, 1)).pad(axis + 1, 0, step - 1);
    return wide.reshape(with(shape, axis, n * step)).slice(axis, 0, (n - 1) * step + 1);
  }

  /**
   * The inner part for padding with a constant, which takes the rest; every other padding is a
   * gather by indices along each axis. A negative padding cuts off.
   */
  private static void pad(Backward b) {
    long[] shape = b.in(0).shape();
    int rank = shape.length;
    long[] pads = b.longs("pads", 1);
    long[] axes = b.longs("axes", 3);
    String mode = b.node().text("mode", "constant");
    int n = pads.length / 2;
    if (mode.equals("constant")) {
      Expr inner = b.g();
      for (int i = 0; i < n; i++) {
        int axis = axes == null ? i : Backward.axis(axes[i], rank);
        inner = inner.cut(axis, pads[i], pads[n + i]);
      }
      Expr inside = inner;
      b.give(0, () -> inside);
      b.give(2, () -> outside(b, inside, pads, axes));
      return;
    }
    b.give(
        0,
        () -> {
          Expr g = b.g();
          for (int i = 0; i < n; i++) {
            int axis = axes == null ? i : Backward.axis(axes[i], rank);
            if (pads[i] != 0 || pads[n + i] != 0) {
              long[] source = source(mode, shape[axis], pads[i], pads[n + i]);
              long[] before = with(g.shape(), axis, shape[axis]);
              g = IndexingRules.gather(g, axis, b.longs(source), before);
            }
          }
          return g;
        });
  }

  /** The gradient with zeros for its inner part. */
  private static Expr outside(Backward b, Expr inside, long[] pads, long[] axes) {
    int n = pads.length / 2;
    Expr inner = inside;
    for (int i = 0; i < n; i++) {
      int axis = axes == null ? i : Backward.axis(axes[i], inner.rank());
      inner = inner.cut(axis, -pads[i], -pads[n + i]);
    }
    return b.g().minus(inner);
  }

  /** Where each element of a padded axis comes from. */
  private static long[] source(String mode, long size, long before, long after) {
    long start = Math.max(0, -before);
    long kept = size - start - Math.max(0, -after);
    long[] source = new long[(int) (size + before + after)];
    for (int i = 0; i < source.length; i++) {
      long at = i - Math.max(0, before);
      source[i] =
          start
              + switch (mode) {
                case "reflect" -> {
                  long period = Math.max(1, 2 * (kept - 1));
                  long m = Math.floorMod(at, period);
                  yield Math.min(m, period - m);
                }
                case "wrap" -> Math.floorMod(at, kept);
                default -> Math.clamp(at, 0, kept - 1);
              };
    }
    return source;
  }

  /** Sums over the copies. */
  private static Expr tile(Backward b) {
    long[] shape = b.in(0).shape();
    long[] repeats = b.longs("repeats", 1);
    long[] split = new long[2 * shape.length];
    long[] copies = new long[shape.length];
    for (int i = 0; i < shape.length; i++) {
      split[2 * i] = repeats[i];
      split[2 * i + 1] = shape[i];
      copies[i] = 2 * i;
    }
    return b.g().reshape(split).sum(copies).reshape(shape);
  }

  private static Expr depthToSpace(Backward b) {
    long[] shape = b.in(0).shape();
    long block = b.node().integer("blocksize", 1);
    boolean columnsFirst = b.node().text("mode", "DCR").equals("CRD");
    return b.g()
        .reshape(shape[0], shape[1] / (block * block), shape[2], block, shape[3], block)
        .transpose(columnsFirst ? new long[] {0, 1, 3, 5, 2, 4} : new long[] {0, 3, 5, 1, 2, 4})
        .reshape(shape);
  }

  private static Expr spaceToDepth(Backward b) {
    long[] shape = b.in(0).shape();
    long block = b.node().integer("blocksize", 1);
    return b.g()
        .reshape(shape[0], block, block, shape[1], shape[2] / block, shape[3] / block)
        .transpose(0, 3, 4, 1, 5, 2)
        .reshape(shape);
  }

  /** The same triangle of the gradient. */
  private static Expr trilu(Backward b) {
    Map<String, Object> attributes = b.node().attributes();
    return b.has(1) ? b.g().op("Trilu", attributes, b.in(1)) : b.g().op("Trilu", attributes);
  }

  private static long[] with(long[] shape, int axis, long size) {
    long[] out = shape.clone();
    out[axis] = size;
    return out;
  }

  private static long[] insert(long[] shape, int axis, long size) {
    long[] out = Arrays.copyOf(shape, shape.length + 1);
    System.arraycopy(shape, axis, out, axis + 1, shape.length - axis);
    out[axis] = size;
    return out;
  }
}
