package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** Steps that move elements, some by shapes that the graph computes. */
final class RandomLayout {
  private RandomLayout() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomLayout::reshape);
    steps.add(RandomLayout::transpose);
    steps.add(RandomLayout::squeeze);
    steps.add(RandomLayout::expand);
    steps.add(RandomLayout::concat);
    steps.add(RandomLayout::split);
    steps.add(RandomLayout::slice);
    steps.add(RandomLayout::pad);
    steps.add(RandomLayout::tile);
    steps.add(RandomLayout::blocks);
    steps.add(RandomLayout::triangle);
    steps.add(RandomLayout::byShape);
    steps.add(RandomLayout::byShape);
  }

  private static void reshape(RandomGraph g) {
    String x = g.any(0, 4);
    int[] shape = g.shape(x);
    int size = Array64.size(shape);
    switch (g.below(5)) {
      case 0 -> g.op("Reshape", x, g.longs(-1));
      case 1 -> g.op("Reshape", x, g.longs(factor(g, size), -1));
      case 2 -> {
        int first = factor(g, size);
        g.op("Reshape", x, g.longs(first, factor(g, size / first), -1));
      }
      case 3 -> {
        g.require(shape.length > 0);
        g.op("Reshape", x, g.longs(0, -1, 1));
      }
      default -> g.op("Flatten", attributes("axis", g.below(shape.length + 1)), x);
    }
  }

  private static int factor(RandomGraph g, int size) {
    int[] factors = IntStream.rangeClosed(1, size).filter(i -> size % i == 0).toArray();
    return factors[g.below(factors.length)];
  }

  private static void transpose(RandomGraph g) {
    String x = g.any(2, 4);
    int rank = g.rank(x);
    if (g.choices.oneIn(5)) {
      g.op("Transpose", x);
      return;
    }
    List<Long> order = new ArrayList<>(LongStream.range(0, rank).boxed().toList());
    Collections.rotate(order, 1 + g.below(rank - 1));
    if (g.choices.oneIn(2)) {
      Collections.swap(order, 0, g.below(rank));
    }
    g.op("Transpose", Map.of("perm", List.copyOf(order)), x);
  }

  private static void squeeze(RandomGraph g) {
    if (g.choices.oneIn(2)) {
      String x = g.any(s -> Arrays.stream(s).anyMatch(d -> d == 1), 2, 1, 3);
      int one = IntStream.range(0, g.rank(x)).filter(i -> g.shape(x)[i] == 1).findFirst().orElse(0);
      if (g.choices.oneIn(3)) {
        g.op("Squeeze", x);
      } else {
        g.op("Squeeze", x, g.longs(one - (long) g.below(2) * g.rank(x)));
      }
    } else {
      String x = g.any(0, 3);
      g.op("Unsqueeze", x, g.longs(g.axis(g.rank(x) + 1)));
    }
  }

  private static void expand(RandomGraph g) {
    String x = g.any(0, 3);
    int[] shape = RandomElementwise.broadcast(g, g.shape(x));
    g.require(RandomElementwise.fits(shape, g.shape(x)));
    g.op("Expand", x, g.longs(Arrays.stream(shape).asLongStream().toArray()));
  }

  private static void concat(RandomGraph g) {
    String x = g.any(1, 4);
    int axis = g.below(g.rank(x));
    List<String> parts = new ArrayList<>(List.of(x));
    int n = 1 + g.below(2);
    for (int i = 0; i < n; i++) {
      int[] other = Array64.with(g.shape(x), axis, g.size());
      parts.add(
          g.any(
              s ->
                  s.length == other.length
                      && Arrays.equals(Array64.with(s, axis, 0), Array64.with(other, axis, 0)),
              other));
    }
    long from = axis - (g.choices.oneIn(3) ? g.rank(x) : 0);
    g.op("Concat", attributes("axis", from), parts.toArray(String[]::new));
  }

  private static void split(RandomGraph g) {
    String x = g.any(s -> s.length > 0 && Arrays.stream(s).anyMatch(d -> d > 1), 2, 4);
    int axis = IntStream.range(0, g.rank(x)).filter(i -> g.shape(x)[i] > 1).toArray()[0];
    int n = g.shape(x)[axis];
    int parts = 2 + (n > 2 ? g.below(2) : 0);
    Map<String, Object> a = new LinkedHashMap<>(attributes("axis", axis));
    if (g.choices.oneIn(2)) {
      long[] sizes = new long[parts];
      Arrays.fill(sizes, 1);
      sizes[g.below(parts)] += n - parts;
      g.ops(parts, "Split", a, x, g.longs(sizes));
      return;
    }
    int each = (n + parts - 1) / parts;
    g.require(g.opset >= 18 ? each * (parts - 1) < n : n % parts == 0);
    if (g.opset >= 18) {
      a.put("num_outputs", (long) parts);
    }
    g.ops(parts, "Split", a, x);
  }

  private static void slice(RandomGraph g) {
    String x = g.any(1, 4);
    int rank = g.rank(x);
    long axis = g.axis(rank);
    int n = g.shape(x)[g.wrapped(axis, rank)];
    int start = g.below(n);
    switch (g.below(5)) {
      case 0 -> g.op("Slice", x, g.longs(start), g.longs(n), g.longs(axis));
      case 1 -> g.op("Slice", x, g.longs(start - n), g.longs(Long.MAX_VALUE), g.longs(axis));
      case 2 ->
          g.op(
              "Slice",
              x,
              g.longs(start),
              g.longs(Long.MIN_VALUE),
              g.longs(axis),
              g.longs(-1 - g.below(2)));
      case 3 -> g.op("Slice", x, g.longs(0), g.longs(100), g.longs(axis), g.longs(2 + g.below(2)));
      default -> {
        g.require(rank > 1);
        int end = g.shape(x)[1];
        g.op("Slice", x, g.longs(0, end), g.longs(-1, -end - 1), g.longs(0, 1), g.longs(1, -2));
      }
    }
  }

  private static void pad(RandomGraph g) {
    String x = g.any(1, 4);
    int rank = g.rank(x);
    String mode = g.choices.of("constant", "reflect", "edge", "wrap");
    int axis = g.below(rank);
    int n = g.shape(x)[axis];
    long before = g.below(Math.min(n, 3));
    long after = mode.equals("constant") && n > 1 ? (long) g.below(3) - 1 : g.below(Math.min(n, 3));
    g.since(mode.equals("wrap") ? 19 : 16);
    Map<String, Object> a = attributes("mode", mode);
    String[] value =
        mode.equals("constant") && g.choices.oneIn(2) ? new String[] {g.leaf()} : new String[] {""};
    if (g.opset >= 18 && g.choices.oneIn(2)) {
      g.op("Pad", a, x, g.longs(before, after), value[0], g.longs(axis - (long) g.below(2) * rank));
      return;
    }
    long[] pads = new long[2 * rank];
    pads[axis] = before;
    pads[rank + axis] = after;
    if (value[0].isEmpty()) {
      g.op("Pad", a, x, g.longs(pads));
    } else {
      g.op("Pad", a, x, g.longs(pads), value[0]);
    }
  }

  private static void tile(RandomGraph g) {
    String x = g.any(1, 3);
    long[] repeats = new long[g.rank(x)];
    Arrays.setAll(repeats, _ -> 1 + g.below(2));
    g.op("Tile", x, g.longs(repeats));
  }

  private static void blocks(RandomGraph g) {
    if (g.choices.oneIn(2)) {
      String x = g.any(s -> s.length == 4 && s[2] % 2 == 0 && s[3] % 2 == 0, 1, 2, 2, 4);
      g.op("SpaceToDepth", attributes("blocksize", 2), x);
    } else {
      String x = g.any(s -> s.length == 4 && s[1] % 4 == 0, 1, 8, 1, 2);
      g.op("DepthToSpace", attributes("blocksize", 2, "mode", g.choices.of("DCR", "CRD")), x);
    }
  }

  private static void triangle(RandomGraph g) {
    String x = g.any(2, 4);
    Map<String, Object> upper = attributes("upper", g.below(2));
    if (g.choices.oneIn(2)) {
      String k = g.constant(Tensor.ofLongs(new long[] {g.below(4) - 1}));
      g.op("Trilu", upper, x, k);
    } else {
      g.op("Trilu", upper, x);
    }
  }

  /** What exporters write for open axes: the shape is taken apart, joined, and used. */
  private static void byShape(RandomGraph g) {
    String x = g.any(1, 4);
    int rank = g.rank(x);
    String shape = g.op("Shape", x);
    switch (g.below(9)) {
      case 8 -> {
        // All but the last axis as one, by a part of the shape.
        long from = rank - 1 - (long) g.below(2) * rank;
        String last = g.op("Shape", attributes("start", from), x);
        g.op("Reshape", x, g.op("Concat", attributes("axis", 0), g.longs(-1), last));
      }
      case 0 -> {
        // All but the first axis as one.
        String first = g.op("Gather", attributes("axis", 0), shape, g.longs(0));
        g.op("Reshape", x, g.op("Concat", attributes("axis", 0), first, g.longs(-1)));
      }
      case 1 -> {
        // A last axis of size 1, by a slice of the shape.
        String front = g.op("Slice", shape, g.longs(0), g.longs(rank), g.longs(0));
        g.op("Reshape", x, g.op("Concat", attributes("axis", 0), front, g.longs(1)));
      }
      case 2 -> {
        String y = g.any(s -> s.length <= rank && stretches(s, g.shape(x)), g.shape(x)[rank - 1]);
        g.op("Expand", y, shape);
      }
      case 3 -> {
        Tensor half = Tensor.ofFloats(new float[] {0.5f}, 1);
        g.op("Mul", x, g.op("ConstantOfShape", Map.of("value", half), shape));
      }
      case 4 -> {
        // The mean by hand.
        String size = g.op("Cast", attributes("to", 1), g.op("Size", x));
        g.op("Div", x, size);
      }
      case 5 -> {
        // Every place of the first axis, from the last to the first.
        String zero = g.constant(Tensor.ofLongs(new long[] {0}));
        String one = g.constant(Tensor.ofLongs(new long[] {1}));
        String n = g.op("Gather", attributes("axis", 0), shape, zero);
        String places = g.op("Sub", g.op("Sub", n, one), g.op("Range", zero, n, one));
        g.op("Gather", attributes("axis", 0), x, places);
      }
      case 6 -> {
        // The first half of the last axis.
        String last = g.op("Gather", attributes("axis", 0), shape, g.longs(-1));
        String half = g.op("Div", g.op("Add", last, g.longs(1)), g.longs(2));
        g.op("Slice", x, g.longs(0), half, g.longs(-1));
      }
      default -> {
        // Heads: the last axis is split and moved to the front.
        g.require(rank == 3 && g.shape(x)[2] % 2 == 0);
        String front = g.op("Slice", shape, g.longs(0), g.longs(2), g.longs(0));
        String split =
            g.op("Reshape", x, g.op("Concat", attributes("axis", 0), front, g.longs(2, -1)));
        g.op("Transpose", attributes("perm", new long[] {0, 2, 1, 3}), split);
      }
    }
  }

  private static boolean stretches(int[] from, int[] to) {
    return Arrays.equals(Array64.broadcast(from, to), to) && RandomElementwise.fits(from, to);
  }
}
