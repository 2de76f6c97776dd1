package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Steps that read or write at indices, given or computed. */
final class RandomIndexing {
  private RandomIndexing() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomIndexing::gather);
    steps.add(RandomIndexing::gatherElements);
    steps.add(RandomIndexing::gatherNd);
    steps.add(RandomIndexing::oneHot);
    steps.add(RandomIndexing::scatterElements);
    steps.add(RandomIndexing::scatterNd);
    steps.add(RandomIndexing::atTheLargest);
  }

  /** Drawn indices in [-size, size). */
  private static String indices(RandomGraph g, int size, int... shape) {
    long[] drawn = new long[Array64.size(shape)];
    Arrays.setAll(drawn, _ -> g.below(2 * size) - size);
    return g.longs(drawn, shape);
  }

  private static void gather(RandomGraph g) {
    String x = g.any(1, 3);
    long axis = g.axis(g.rank(x));
    int size = g.shape(x)[g.wrapped(axis, g.rank(x))];
    g.op("Gather", attributes("axis", axis), x, indices(g, size, g.drawnShape(0, 2)));
  }

  private static void gatherElements(RandomGraph g) {
    String x = g.any(1, 3);
    long axis = g.axis(g.rank(x));
    int at = g.wrapped(axis, g.rank(x));
    int[] shape = Array64.with(g.shape(x), at, g.size());
    String places = indices(g, g.shape(x)[at], shape);
    g.op("GatherElements", attributes("axis", axis), x, places);
  }

  private static String tuples(RandomGraph g, int[] sizes, int... shape) {
    int depth = shape[shape.length - 1];
    long[] drawn = new long[Array64.size(shape)];
    for (int i = 0; i < drawn.length; i++) {
      drawn[i] = g.below(2 * sizes[i % depth]) - sizes[i % depth];
    }
    return g.longs(drawn, shape);
  }

  private static void gatherNd(RandomGraph g) {
    String x = g.any(1, 4);
    int[] shape = g.shape(x);
    int batch = shape.length > 1 ? g.below(Math.min(3, shape.length)) : 0;
    int depth = 1 + g.below(shape.length - batch);
    int[] sizes = Arrays.copyOfRange(shape, batch, shape.length);
    int[] places = Array64.join(Arrays.copyOf(shape, batch), new int[] {g.size(), depth});
    g.op("GatherND", attributes("batch_dims", batch), x, tuples(g, sizes, places));
  }

  private static void oneHot(RandomGraph g) {
    int depth = 1 + g.size();
    String values = g.like(2);
    int[] shape = g.drawnShape(1, 2);
    g.op(
        "OneHot",
        attributes("axis", g.axis(shape.length + 1)),
        indices(g, depth, shape),
        g.constant(Tensor.ofLongs(new long[] {depth})),
        values);
  }

  private static Map<String, Object> reduction(RandomGraph g) {
    String reduction = g.choices.of("none", "add", "mul", "max", "min");
    g.since(reduction.equals("max") || reduction.equals("min") ? 18 : 16);
    return new LinkedHashMap<>(attributes("reduction", reduction));
  }

  private static void scatterElements(RandomGraph g) {
    String x = g.any(1, 3);
    int rank = g.rank(x);
    long axis = g.axis(rank);
    int at = g.wrapped(axis, rank);
    int size = g.shape(x)[at];
    Map<String, Object> a = reduction(g);
    a.put("axis", axis);
    // Without a reduction the runtime may write equal places in any order: they are different.
    boolean apart = a.get("reduction").equals("none");
    int n = 1 + g.below(size);
    int[] shape = Array64.with(g.shape(x), at, n);
    long[] places = new long[Array64.size(shape)];
    int[] place = new int[rank];
    int shift = g.below(size);
    for (int i = 0; i < places.length; i++) {
      places[i] = apart ? (place[at] + shift) % size : g.below(2 * size) - size;
      Array64.next(place, shape);
    }
    g.op("ScatterElements", a, x, g.longs(places, shape), g.like(shape));
  }

  private static void scatterNd(RandomGraph g) {
    String x = g.any(1, 3);
    int[] shape = g.shape(x);
    Map<String, Object> a = reduction(g);
    boolean apart = a.get("reduction").equals("none");
    int depth = apart ? 1 : 1 + g.below(shape.length);
    int n = 1 + g.below(shape[0]);
    String places;
    if (apart) {
      long[] drawn = new long[n];
      int shift = g.below(shape[0]);
      Arrays.setAll(drawn, i -> (i + shift) % shape[0]);
      places = g.longs(drawn, n, 1);
    } else {
      places = tuples(g, shape, n, depth);
    }
    int[] updates = Array64.join(new int[] {n}, Arrays.copyOfRange(shape, depth, shape.length));
    g.op("ScatterND", a, x, places, g.like(updates));
  }

  /** Picks by indices that depend on a float value, through which no gradient flows. */
  private static void atTheLargest(RandomGraph g) {
    String x = g.any(1, 3);
    long axis = g.axis(g.rank(x));
    String op = g.choices.of("ArgMax", "ArgMin");
    if (g.choices.oneIn(2)) {
      String place = g.op(op, attributes("axis", axis), x);
      g.op("GatherElements", attributes("axis", axis), x, place);
    } else {
      int size = g.shape(x)[g.wrapped(axis, g.rank(x))];
      String place = g.op(op, attributes("axis", axis, "keepdims", 0), x);
      String table = g.like(size, 2);
      g.op("Gather", attributes("axis", 0), table, place);
    }
  }
}
