package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.LongStream;

/** Shape rules of operators that move elements: reshaping, cutting, joining, gathering. */
final class LayoutShapes {
  private LayoutShapes() {}

  /** How a table takes a rule for one or more operators. */
  interface Table {
    void rule(Shapes.Rule rule, String... ops);
  }

  static void register(Table table) {
    table.rule(LayoutShapes::reshape, "Reshape");
    table.rule(LayoutShapes::flatten, "Flatten");
    table.rule(LayoutShapes::transpose, "Transpose");
    table.rule(LayoutShapes::squeeze, "Squeeze");
    table.rule(LayoutShapes::unsqueeze, "Unsqueeze");
    table.rule(LayoutShapes::slice, "Slice");
    table.rule(LayoutShapes::split, "Split");
    table.rule(LayoutShapes::concat, "Concat");
    table.rule(o -> o.one(o.dtype(0), o.broadcast(o.shape(0), o.longs(1))), "Expand");
    table.rule(LayoutShapes::tile, "Tile");
    table.rule(LayoutShapes::pad, "Pad");
    table.rule(LayoutShapes::gather, "Gather");
    table.rule(o -> o.one(o.dtype(0), o.shape(1)), "GatherElements");
    table.rule(LayoutShapes::gatherNd, "GatherND");
    table.rule(LayoutShapes::oneHot, "OneHot");
    table.rule(LayoutShapes::constantOfShape, "ConstantOfShape");
    table.rule(LayoutShapes::range, "Range");
    table.rule(o -> o.one(DType.I64, o.rank(0)), "Shape");
    table.rule(o -> o.one(DType.I64), "Size");
    table.rule(LayoutShapes::depthToSpace, "DepthToSpace");
    table.rule(LayoutShapes::spaceToDepth, "SpaceToDepth");
  }

  private static List<TensorType> reshape(Operands o) {
    long[] from = o.shape(0);
    long[] to = o.longs(1);
    boolean zeroIsZero = o.node().integer("allowzero", 0) != 0;
    int open = -1;
    long known = 1;
    for (int i = 0; i < to.length; i++) {
      if (to[i] == 0 && !zeroIsZero) {
        to[i] = i < from.length ? from[i] : -2;
      }
      if (to[i] == -1 && open < 0) {
        open = i;
      } else {
        known *= to[i];
      }
    }
    long elements = Tensor.elements(from);
    if (open >= 0 && known > 0 && elements % known == 0) {
      to[open] = elements / known;
      known = elements;
    }
    if (known != elements) {
      throw o.wrong("reshapes " + o.type(0) + " to " + Arrays.toString(o.longs(1)));
    }
    return o.one(o.dtype(0), to);
  }

  private static List<TensorType> flatten(Operands o) {
    long[] shape = o.shape(0);
    long given = o.node().integer("axis", 1);
    int axis = given == shape.length ? shape.length : o.axis(given, shape.length);
    return o.one(
        o.dtype(0),
        Tensor.elements(Arrays.copyOf(shape, axis)),
        Tensor.elements(Arrays.copyOfRange(shape, axis, shape.length)));
  }

  private static List<TensorType> transpose(Operands o) {
    long[] shape = o.shape(0);
    long[] order = o.node().integers("perm");
    if (order != null && order.length != shape.length) {
      throw o.wrong("transposes " + o.type(0) + " by " + Arrays.toString(order));
    }
    long[] out = new long[shape.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = shape[order == null ? out.length - 1 - i : o.axis(order[i], out.length)];
    }
    return o.one(o.dtype(0), out);
  }

  private static List<TensorType> squeeze(Operands o) {
    long[] shape = o.shape(0);
    long[] axes = o.longs("axes", 1);
    Set<Integer> gone = axes(o, axes, shape.length);
    List<Long> out = new ArrayList<>();
    for (int i = 0; i < shape.length; i++) {
      boolean removed = axes == null ? shape[i] == 1 : gone.contains(i);
      if (!removed) {
        out.add(shape[i]);
      } else if (shape[i] != 1) {
        throw o.wrong("squeezes axis " + i + " of " + o.type(0));
      }
    }
    return o.one(o.dtype(0), out.stream().mapToLong(Long::longValue).toArray());
  }

  private static List<TensorType> unsqueeze(Operands o) {
    long[] shape = o.shape(0);
    long[] axes = o.longs("axes", 1);
    long[] out = new long[shape.length + axes.length];
    Set<Integer> added = axes(o, axes, out.length);
    if (added.size() != axes.length) {
      throw o.wrong("adds an axis twice: " + Arrays.toString(axes));
    }
    for (int i = 0, from = 0; i < out.length; i++) {
      out[i] = added.contains(i) ? 1 : shape[from++];
    }
    return o.one(o.dtype(0), out);
  }

  private static Set<Integer> axes(Operands o, long[] axes, int rank) {
    Set<Integer> set = new HashSet<>();
    for (int i = 0; axes != null && i < axes.length; i++) {
      set.add(o.axis(axes[i], rank));
    }
    return set;
  }

  private static List<TensorType> slice(Operands o) {
    long[] shape = o.shape(0);
    long[] starts = o.longs("starts", 1);
    long[] ends = o.longs("ends", 2);
    long[] axes = o.longs("axes", 3);
    long[] steps = o.longs(4);
    for (int i = 0; i < starts.length; i++) {
      int axis = axes == null ? i : o.axis(axes[i], shape.length);
      long size = shape[axis];
      long step = steps == null ? 1 : steps[i];
      long start = starts[i] < 0 ? starts[i] + size : starts[i];
      long end = ends[i] < 0 ? Math.max(ends[i], -size - 1) + size : ends[i];
      if (step > 0) {
        start = Math.clamp(start, 0, size);
        end = Math.clamp(end, 0, size);
        shape[axis] = Math.max(0, Math.ceilDiv(end - start, step));
      } else if (step < 0 && size > 0) {
        start = Math.clamp(start, 0, size - 1);
        end = Math.clamp(end, -1, size - 1);
        shape[axis] = Math.max(0, Math.ceilDiv(start - end, -step));
      } else if (step == 0) {
        throw o.wrong("slices with the step 0");
      }
    }
    return o.one(o.dtype(0), shape);
  }

  private static List<TensorType> split(Operands o) {
    long[] shape = o.shape(0);
    int axis = o.axis("axis", 0, shape.length);
    long[] parts = o.longs("split", 1);
    if (parts == null) {
      int n = o.node().outputs().size();
      long part = Math.ceilDiv(shape[axis], n);
      parts = new long[n];
      Arrays.fill(parts, part);
      parts[n - 1] = shape[axis] - part * (n - 1);
    }
    if (LongStream.of(parts).sum() != shape[axis] || parts.length != o.node().outputs().size()) {
      throw o.wrong("splits " + o.type(0) + " into " + Arrays.toString(parts));
    }
    List<TensorType> out = new ArrayList<>();
    for (long part : parts) {
      long[] piece = shape.clone();
      piece[axis] = part;
      out.addAll(o.one(o.dtype(0), piece));
    }
    return out;
  }

  private static List<TensorType> concat(Operands o) {
    long[] out = o.shape(0);
    int axis = o.axis("axis", 0, out.length);
    for (int i = 1; i < o.node().inputs().size(); i++) {
      long[] shape = o.shape(i);
      boolean fits = shape.length == out.length;
      for (int j = 0; fits && j < out.length; j++) {
        fits = j == axis || shape[j] == out[j];
      }
      if (!fits) {
        throw o.wrong("joins " + o.type(0) + " and " + o.type(i) + " along axis " + axis);
      }
      out[axis] += shape[axis];
    }
    return o.one(o.dtype(0), out);
  }

  private static List<TensorType> tile(Operands o) {
    long[] shape = o.shape(0);
    long[] repeats = o.longs(1);
    for (int i = 0; i < shape.length; i++) {
      shape[i] = Math.multiplyExact(shape[i], repeats[i]);
    }
    return o.one(o.dtype(0), shape);
  }

  private static List<TensorType> pad(Operands o) {
    long[] shape = o.shape(0);
    long[] pads = o.longs("pads", 1);
    long[] axes = o.longs(3);
    int n = pads.length / 2;
    for (int i = 0; i < n; i++) {
      shape[axes == null ? i : o.axis(axes[i], shape.length)] += pads[i] + pads[n + i];
    }
    return o.one(o.dtype(0), shape);
  }

  private static List<TensorType> gather(Operands o) {
    long[] shape = o.shape(0);
    int axis = o.axis("axis", 0, shape.length);
    Tensor indices = o.constants().apply(o.node().input(1));
    for (long i = 0; indices != null && i < indices.elements(); i++) {
      long at = indices.getLong(i);
      if (at < -shape[axis] || at >= shape[axis]) {
        throw o.wrong("looks up row " + at + " of a table of " + shape[axis]);
      }
    }
    return o.one(
        o.dtype(0),
        join(
            Arrays.copyOf(shape, axis),
            o.shape(1),
            Arrays.copyOfRange(shape, axis + 1, shape.length)));
  }

  private static List<TensorType> gatherNd(Operands o) {
    long[] shape = o.shape(0);
    long[] indices = o.shape(1);
    int batch = (int) o.node().integer("batch_dims", 0);
    int last = indices.length - 1;
    long depth = last < 0 ? -1 : indices[last];
    if (depth < 1 || batch < 0 || batch > last || batch + depth > shape.length) {
      throw o.wrong("gathers from " + o.type(0) + " by indices " + o.type(1));
    }
    return o.one(
        o.dtype(0),
        join(
            Arrays.copyOf(indices, last),
            Arrays.copyOfRange(shape, (int) (batch + depth), shape.length)));
  }

  private static List<TensorType> oneHot(Operands o) {
    long[] indices = o.shape(0);
    int axis = o.axis("axis", -1, indices.length + 1);
    return o.one(
        o.dtype(2),
        join(
            Arrays.copyOf(indices, axis),
            new long[] {o.longs(1)[0]},
            Arrays.copyOfRange(indices, axis, indices.length)));
  }

  private static List<TensorType> constantOfShape(Operands o) {
    DType dtype = o.node().has("value") ? o.node().tensor("value").dtype() : DType.F32;
    return o.one(dtype, o.longs(0));
  }

  private static List<TensorType> range(Operands o) {
    double[] bounds = new double[3];
    for (int i = 0; i < 3; i++) {
      Tensor value = o.constants().apply(o.node().input(i));
      if (value == null) {
        throw o.wrong("counts up to a number that is not constant");
      }
      bounds[i] = value.get(0);
    }
    return o.one(o.dtype(0), (long) Math.max(0, Math.ceil((bounds[1] - bounds[0]) / bounds[2])));
  }

  private static List<TensorType> depthToSpace(Operands o) {
    long[] shape = o.shape(0);
    long block = block(o, shape);
    if (shape[1] % (block * block) != 0) {
      throw o.wrong("spreads the channels of " + o.type(0) + " over blocks of " + block);
    }
    return o.one(
        o.dtype(0), shape[0], shape[1] / (block * block), shape[2] * block, shape[3] * block);
  }

  private static List<TensorType> spaceToDepth(Operands o) {
    long[] shape = o.shape(0);
    long block = block(o, shape);
    if (shape[2] % block != 0 || shape[3] % block != 0) {
      throw o.wrong("cuts " + o.type(0) + " into blocks of " + block);
    }
    return o.one(
        o.dtype(0), shape[0], shape[1] * block * block, shape[2] / block, shape[3] / block);
  }

  private static long block(Operands o, long[] shape) {
    long block = o.node().integer("blocksize", 0);
    if (shape.length != 4 || block < 1) {
      throw o.wrong("moves blocks of " + block + " in " + o.type(0) + ", which needs four axes");
    }
    return block;
  }

  private static long[] join(long[]... parts) {
    return Arrays.stream(parts).flatMapToLong(LongStream::of).toArray();
  }
}
