package io.assay.engine.graph;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Operators that read or write elements at indices. */
final class ReferenceIndexing {
  private ReferenceIndexing() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("Gather", ReferenceIndexing::gather);
    table.put("GatherElements", c -> List.of(pick(c.in(0), c.axis("axis", 0), c.in(1))));
    table.put("GatherND", ReferenceIndexing::gatherNd);
    table.put("OneHot", ReferenceIndexing::oneHot);
    table.put("ScatterElements", ReferenceIndexing::scatterElements);
    table.put("ScatterND", ReferenceIndexing::scatterNd);
  }

  private static int wrapped(double index, int size) {
    return (int) (index < 0 ? index + size : index);
  }

  /** The elements of x at some places along an axis. */
  static Array64 take(Array64 x, int axis, int... places) {
    return ReferenceReductions.along(
        x, axis, row -> Arrays.stream(places).mapToDouble(i -> row[i]).toArray());
  }

  /** GatherElements: the place along the axis is that which the indices say. */
  static Array64 pick(Array64 x, int axis, Array64 indices) {
    return Array64.build(
        x.dtype(),
        indices.shape(),
        at -> {
          int place = wrapped(indices.data()[ReferenceLayout.exact(indices, at)], x.shape()[axis]);
          return x.data()[ReferenceLayout.exact(x, Array64.with(at, axis, place))];
        });
  }

  private static List<Array64> gather(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 indices = c.in(1);
    int axis = c.axis("axis", 0);
    int[] places =
        Arrays.stream(indices.data()).mapToInt(i -> wrapped(i, x.shape()[axis])).toArray();
    int[] shape =
        Array64.join(
            Arrays.copyOf(x.shape(), axis),
            indices.shape(),
            Arrays.copyOfRange(x.shape(), axis + 1, x.rank()));
    return List.of(take(x, axis, places).reshape(shape));
  }

  private static List<Array64> gatherNd(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 indices = c.in(1);
    int batch = (int) c.node().integer("batch_dims", 0);
    int last = indices.rank() - 1;
    int depth = indices.shape()[last];
    int[] shape =
        Array64.join(
            Arrays.copyOf(indices.shape(), last),
            Arrays.copyOfRange(x.shape(), batch + depth, x.rank()));
    return List.of(
        Array64.build(
            x.dtype(),
            shape,
            at -> {
              int[] from = new int[x.rank()];
              System.arraycopy(at, 0, from, 0, batch);
              for (int i = 0; i < depth; i++) {
                int[] tuple = Array64.join(Arrays.copyOf(at, last), new int[] {i});
                double index = indices.data()[ReferenceLayout.exact(indices, tuple)];
                from[batch + i] = wrapped(index, x.shape()[batch + i]);
              }
              System.arraycopy(at, last, from, batch + depth, at.length - last);
              return x.data()[ReferenceLayout.exact(x, from)];
            }));
  }

  private static List<Array64> oneHot(Reference.Call c) {
    Array64 indices = c.in(0);
    int depth = (int) c.in(1).data()[0];
    int rank = indices.rank() + 1;
    int axis = (int) c.node().integer("axis", -1);
    int at = axis < 0 ? axis + rank : axis;
    int[] shape =
        Array64.join(
            Arrays.copyOf(indices.shape(), at),
            new int[] {depth},
            Arrays.copyOfRange(indices.shape(), at, rank - 1));
    return List.of(
        Array64.build(
            c.in(2).dtype(),
            shape,
            place -> {
              int[] rest =
                  Array64.join(Arrays.copyOf(place, at), Arrays.copyOfRange(place, at + 1, rank));
              double index = indices.data()[ReferenceLayout.exact(indices, rest)];
              return c.in(2).data()[wrapped(index, depth) == place[at] ? 1 : 0];
            }));
  }

  private static double combined(String reduction, double old, double update) {
    return switch (reduction) {
      case "none" -> update;
      case "add" -> old + update;
      case "mul" -> old * update;
      case "max" -> Math.max(old, update);
      default -> Math.min(old, update);
    };
  }

  private static List<Array64> scatterElements(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 indices = c.in(1);
    int axis = c.axis("axis", 0);
    double[] out = x.data().clone();
    int[] at = new int[indices.rank()];
    for (int i = 0; i < indices.data().length; i++) {
      int place = wrapped(indices.data()[i], x.shape()[axis]);
      int to = ReferenceLayout.exact(x, Array64.with(at, axis, place));
      out[to] = combined(c.node().text("reduction", "none"), out[to], c.in(2).data()[i]);
      Array64.next(at, indices.shape());
    }
    return List.of(x.withData(out));
  }

  private static List<Array64> scatterNd(Reference.Call c) {
    Array64 x = c.in(0);
    Array64 indices = c.in(1);
    int depth = indices.shape()[indices.rank() - 1];
    int width = Array64.size(Arrays.copyOfRange(x.shape(), depth, x.rank()));
    double[] out = x.data().clone();
    for (int i = 0; i < indices.data().length / depth; i++) {
      int to = 0;
      for (int j = 0; j < depth; j++) {
        to = to * x.shape()[j] + wrapped(indices.data()[i * depth + j], x.shape()[j]);
      }
      for (int j = 0; j < width; j++) {
        int place = to * width + j;
        double update = c.in(2).data()[i * width + j];
        out[place] = combined(c.node().text("reduction", "none"), out[place], update);
      }
    }
    return List.of(x.withData(out));
  }
}
