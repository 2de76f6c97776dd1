package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Operators that move elements, and those that speak of shapes. */
final class ReferenceLayout {
  private ReferenceLayout() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("Reshape", ReferenceLayout::reshape);
    table.put("Flatten", ReferenceLayout::flatten);
    table.put("Squeeze", ReferenceLayout::squeeze);
    table.put("Unsqueeze", ReferenceLayout::unsqueeze);
    table.put("Expand", ReferenceLayout::expand);
    table.put("Transpose", ReferenceLayout::transpose);
    table.put("Concat", ReferenceLayout::concat);
    table.put("Split", ReferenceLayout::split);
    table.put("Slice", ReferenceLayout::slice);
    table.put("Pad", ReferenceLayout::pad);
    table.put("Tile", ReferenceLayout::tile);
    table.put("DepthToSpace", ReferenceLayout::depthToSpace);
    table.put("SpaceToDepth", ReferenceLayout::spaceToDepth);
    table.put("Trilu", ReferenceLayout::trilu);
    table.put("Shape", ReferenceLayout::shape);
    table.put("Size", c -> List.of(longs(new int[0], c.in(0).data().length)));
    table.put("ConstantOfShape", ReferenceLayout::constantOfShape);
    table.put("Range", ReferenceLayout::range);
  }

  private static int[] ints(long[] values) {
    return Arrays.stream(values).mapToInt(Math::toIntExact).toArray();
  }

  static Array64 longs(int[] shape, double... values) {
    return new Array64(DType.I64, shape, values);
  }

  private static List<Array64> reshape(Reference.Call c) {
    int[] to = ints(c.in(1).toLongs());
    int known = 1;
    for (int i = 0; i < to.length; i++) {
      if (to[i] == 0 && c.node().integer("allowzero", 0) == 0) {
        to[i] = c.in(0).shape()[i];
      }
      known *= to[i] < 0 ? 1 : to[i];
    }
    int rest = known == 0 ? 0 : c.in(0).data().length / known;
    return List.of(c.in(0).reshape(Arrays.stream(to).map(d -> d < 0 ? rest : d).toArray()));
  }

  private static List<Array64> flatten(Reference.Call c) {
    int rank = c.in(0).rank();
    int axis = (int) c.node().integer("axis", 1);
    int rows = Array64.size(Arrays.copyOf(c.in(0).shape(), axis < 0 ? axis + rank : axis));
    int columns =
        Array64.size(Arrays.copyOfRange(c.in(0).shape(), axis < 0 ? axis + rank : axis, rank));
    return List.of(c.in(0).reshape(rows, columns));
  }

  private static List<Array64> squeeze(Reference.Call c) {
    long[] axes = c.longs("axes", 1);
    int[] shape = c.in(0).shape();
    boolean[] gone = new boolean[shape.length];
    for (int i = 0; i < shape.length; i++) {
      gone[i] = axes == null && shape[i] == 1;
    }
    for (int i = 0; axes != null && i < axes.length; i++) {
      gone[c.in(0).axis(axes[i])] = true;
    }
    int[] rest =
        IntStream.range(0, shape.length).filter(i -> !gone[i]).map(i -> shape[i]).toArray();
    return List.of(c.in(0).reshape(rest));
  }

  private static List<Array64> unsqueeze(Reference.Call c) {
    long[] axes = c.longs("axes", 1);
    int rank = c.in(0).rank() + axes.length;
    int[] out = new int[rank];
    Arrays.stream(axes).forEach(axis -> out[(int) (axis < 0 ? axis + rank : axis)] = 1);
    int from = 0;
    for (int i = 0; i < rank; i++) {
      out[i] = out[i] == 1 ? 1 : c.in(0).shape()[from++];
    }
    return List.of(c.in(0).reshape(out));
  }

  private static List<Array64> expand(Reference.Call c) {
    int[] shape = Array64.broadcast(c.in(0).shape(), ints(c.in(1).toLongs()));
    return List.of(Array64.build(c.dtype(), shape, c.in(0)::get));
  }

  private static List<Array64> transpose(Reference.Call c) {
    int rank = c.in(0).rank();
    long[] given = c.node().integers("perm");
    int[] order =
        given == null ? IntStream.range(0, rank).map(i -> rank - 1 - i).toArray() : ints(given);
    return List.of(transpose(c.in(0), order));
  }

  /** Axis i of the result is axis {@code order[i]} of x. */
  static Array64 transpose(Array64 x, int... order) {
    int[] shape = Arrays.stream(order).map(axis -> x.shape()[axis]).toArray();
    int[] from = new int[order.length];
    return Array64.build(
        x.dtype(),
        shape,
        at -> {
          for (int i = 0; i < order.length; i++) {
            from[order[i]] = at[i];
          }
          return x.get(from);
        });
  }

  private static List<Array64> concat(Reference.Call c) {
    int axis = c.axis("axis", 0);
    int total = c.inputs().stream().mapToInt(x -> x.shape()[axis]).sum();
    return List.of(
        Array64.build(
            c.dtype(),
            Array64.with(c.in(0).shape(), axis, total),
            at -> {
              int place = at[axis];
              int part = 0;
              while (place >= c.in(part).shape()[axis]) {
                place -= c.in(part++).shape()[axis];
              }
              return c.in(part).data()[exact(c.in(part), Array64.with(at, axis, place))];
            }));
  }

  /** The offset of an index that is within the array. */
  static int exact(Array64 x, int[] at) {
    int offset = 0;
    for (int i = 0; i < at.length; i++) {
      offset = offset * x.shape()[i] + at[i];
    }
    return offset;
  }

  private static List<Array64> split(Reference.Call c) {
    int axis = c.axis("axis", 0);
    int size = c.in(0).shape()[axis];
    int n = c.node().outputs().size();
    long[] parts = c.longs("split", 1);
    List<Array64> out = new ArrayList<>();
    int start = 0;
    for (int i = 0; i < n; i++) {
      int each = (size + n - 1) / n;
      int part = parts == null ? Math.min(each, size - start) : (int) parts[i];
      int first = start;
      int[] shape = Array64.with(c.in(0).shape(), axis, part);
      out.add(
          Array64.build(
              c.dtype(),
              shape,
              at -> c.in(0).data()[exact(c.in(0), Array64.with(at, axis, at[axis] + first))]));
      start += part;
    }
    return out;
  }

  private static List<Array64> slice(Reference.Call c) {
    long[] starts = c.longs("starts", 1);
    long[] ends = c.longs("ends", 2);
    long[] axes = c.longs("axes", 3);
    long[] steps = c.longs("steps", 4);
    Array64 x = c.in(0);
    for (int i = 0; i < starts.length; i++) {
      int axis = axes == null ? i : x.axis(axes[i]);
      int n = x.shape()[axis];
      long step = steps == null ? 1 : steps[i];
      // As Python's slices do.
      long start = starts[i] < 0 ? Math.max(starts[i], -n - 1) + n : Math.min(starts[i], n);
      long end = ends[i] < 0 ? Math.max(ends[i], -n - 1) + n : Math.min(ends[i], n);
      start = step < 0 ? Math.min(start, n - 1) : Math.max(start, 0);
      end = step < 0 ? Math.min(end, n - 1) : Math.max(end, 0);
      List<Integer> places = new ArrayList<>();
      for (long at = start; step > 0 ? at < end : at > end; at += step) {
        places.add((int) at);
      }
      x = ReferenceIndexing.take(x, axis, places.stream().mapToInt(p -> p).toArray());
    }
    return List.of(x);
  }

  private static List<Array64> pad(Reference.Call c) {
    long[] pads = c.longs("pads", 1);
    long[] axes = c.longs("axes", 3);
    double value = c.has(2) ? c.in(2).data()[0] : c.node().real("value", 0);
    String mode = c.node().text("mode", "constant");
    int n = pads.length / 2;
    Array64 x = c.in(0);
    for (int i = 0; i < n; i++) {
      int axis = axes == null ? i : x.axis(axes[i]);
      int before = (int) pads[i];
      int after = (int) pads[n + i];
      x =
          ReferenceReductions.along(
              x,
              axis,
              row -> {
                // Negative padding cuts, before the rest is padded.
                double[] kept =
                    Arrays.copyOfRange(row, Math.max(0, -before), row.length - Math.max(0, -after));
                double[] out = new double[row.length + before + after];
                for (int j = 0; j < out.length; j++) {
                  int at = j - Math.max(0, before);
                  boolean inside = at >= 0 && at < kept.length;
                  out[j] = inside ? kept[at] : outside(mode, kept, at, value);
                }
                return out;
              });
    }
    return List.of(x);
  }

  private static double outside(String mode, double[] row, int at, double value) {
    int n = row.length;
    return switch (mode) {
      case "constant" -> value;
      case "edge" -> row[at < 0 ? 0 : n - 1];
      case "wrap" -> row[Math.floorMod(at, n)];
      default -> row[at < 0 ? -at : 2 * (n - 1) - at];
    };
  }

  private static List<Array64> tile(Reference.Call c) {
    Array64 x = c.in(0);
    long[] repeats = c.in(1).toLongs();
    int[] shape = x.shape().clone();
    for (int i = 0; i < shape.length; i++) {
      shape[i] *= (int) repeats[i];
    }
    int[] from = new int[shape.length];
    return List.of(
        Array64.build(
            x.dtype(),
            shape,
            at -> {
              for (int i = 0; i < at.length; i++) {
                from[i] = at[i] % x.shape()[i];
              }
              return x.get(from);
            }));
  }

  private static List<Array64> depthToSpace(Reference.Call c) {
    int[] s = c.in(0).shape();
    int b = (int) c.node().integer("blocksize", 1);
    int channels = s[1] / b / b;
    boolean columns = c.node().text("mode", "DCR").equals("CRD");
    return List.of(
        Array64.build(
            c.dtype(),
            new int[] {s[0], channels, s[2] * b, s[3] * b},
            at -> {
              int block = at[2] % b * b + at[3] % b;
              int channel = columns ? at[1] * b * b + block : block * channels + at[1];
              return c.in(0).get(at[0], channel, at[2] / b, at[3] / b);
            }));
  }

  private static List<Array64> spaceToDepth(Reference.Call c) {
    int[] s = c.in(0).shape();
    int b = (int) c.node().integer("blocksize", 1);
    return List.of(
        Array64.build(
            c.dtype(),
            new int[] {s[0], s[1] * b * b, s[2] / b, s[3] / b},
            at -> {
              int block = at[1] / s[1];
              return c.in(0).get(at[0], at[1] % s[1], at[2] * b + block / b, at[3] * b + block % b);
            }));
  }

  private static List<Array64> trilu(Reference.Call c) {
    boolean upper = c.node().integer("upper", 1) != 0;
    int k = c.has(1) ? (int) c.in(1).data()[0] : 0;
    int n = c.in(0).rank();
    return List.of(
        Array64.build(
            c.dtype(),
            c.in(0).shape(),
            at -> {
              int right = at[n - 1] - at[n - 2];
              return (upper ? right >= k : right <= k) ? c.in(0).get(at) : 0;
            }));
  }

  private static List<Array64> shape(Reference.Call c) {
    int rank = c.in(0).rank();
    int start = bound(c.node().integer("start", 0), rank);
    int end = bound(c.node().integer("end", rank), rank);
    int[] part = Arrays.copyOfRange(c.in(0).shape(), start, Math.max(start, end));
    return List.of(longs(new int[] {part.length}, Arrays.stream(part).asDoubleStream().toArray()));
  }

  private static int bound(long given, int rank) {
    return (int) Math.max(0, Math.min(rank, given < 0 ? given + rank : given));
  }

  private static List<Array64> constantOfShape(Reference.Call c) {
    int[] shape = ints(c.in(0).toLongs());
    return List.of(
        c.node().has("value")
            ? ReferenceElementwise.fill(
                c.node().tensor("value").dtype(), shape, c.node().tensor("value").get(0))
            : Array64.zeros(DType.F32, shape));
  }

  private static List<Array64> range(Reference.Call c) {
    double start = c.in(0).data()[0];
    double step = c.in(2).data()[0];
    int n = (int) Math.max(0, Math.ceil((c.in(1).data()[0] - start) / step));
    return List.of(Array64.build(c.dtype(), new int[] {n}, at -> start + at[0] * step));
  }
}
