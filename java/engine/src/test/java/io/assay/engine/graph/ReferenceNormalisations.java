package io.assay.engine.graph;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Operators that give groups of elements mean 0, or variance or length 1. */
final class ReferenceNormalisations {
  private ReferenceNormalisations() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("LayerNormalization", c -> List.of(behind(c, true)));
    table.put("RMSNormalization", c -> List.of(behind(c, false)));
    table.put("SimplifiedLayerNormalization", c -> List.of(behind(c, false)));
    table.put("BatchNormalization", ReferenceNormalisations::batch);
    table.put("InstanceNormalization", c -> List.of(grouped(c, c.in(0).shape()[1])));
    table.put("GroupNormalization", c -> List.of(grouped(c, c.node().integer("num_groups", 1))));
    table.put("LRN", ReferenceNormalisations::localResponse);
    table.put("com.microsoft.SkipLayerNormalization", ReferenceNormalisations::skipped);
  }

  private static double[] normal(double[] row, boolean centres, double epsilon) {
    double mean = centres ? ReferenceReductions.sum(row) / row.length : 0;
    double squares = Arrays.stream(row).map(x -> (x - mean) * (x - mean)).sum();
    double deviation = Math.sqrt(squares / row.length + epsilon);
    return Arrays.stream(row).map(x -> (x - mean) / deviation).toArray();
  }

  /** Over all axes from the stated one on. */
  private static Array64 behind(Reference.Call c, boolean centres) {
    int axis = c.axis("axis", -1);
    double epsilon = c.node().real("epsilon", 1e-5f);
    return behind(c.in(0), axis, centres, epsilon, c.in(1), c.in(2));
  }

  private static Array64 behind(
      Array64 x, int axis, boolean centres, double epsilon, Array64 scale, Array64 bias) {
    int rows = Array64.size(Arrays.copyOf(x.shape(), axis));
    int[] flat = {rows, x.data().length / rows};
    Array64 h =
        ReferenceReductions.along(x.reshape(flat), 1, row -> normal(row, centres, epsilon))
            .reshape(x.shape());
    return Array64.build(
        x.dtype(), x.shape(), at -> h.get(at) * scale.get(at) + (bias == null ? 0 : bias.get(at)));
  }

  private static List<Array64> skipped(Reference.Call c) {
    double epsilon = c.node().real("epsilon", 1e-12f);
    Array64 sum =
        Array64.build(
            c.dtype(),
            c.in(0).shape(),
            at -> c.in(0).get(at) + c.in(1).get(at) + (c.has(4) ? c.in(4).get(at) : 0));
    Array64 y = behind(sum, sum.rank() - 1, true, epsilon, c.in(2), c.in(3));
    return Arrays.asList(y, null, null, sum);
  }

  private static List<Array64> batch(Reference.Call c) {
    double epsilon = c.node().real("epsilon", 1e-5f);
    return List.of(
        Array64.build(
            c.dtype(),
            c.in(0).shape(),
            at -> {
              int channel = at[1];
              return (c.in(0).get(at) - c.in(3).data()[channel])
                      / Math.sqrt(c.in(4).data()[channel] + epsilon)
                      * c.in(1).data()[channel]
                  + c.in(2).data()[channel];
            }));
  }

  /** Over the spatial axes and the channels of a group; scale and bias by channel, or by group. */
  private static Array64 grouped(Reference.Call c, long groups) {
    Array64 x = c.in(0);
    double epsilon = c.node().real("epsilon", 1e-5f);
    int channels = x.shape()[1];
    int each = x.data().length / x.shape()[0] / (int) groups;
    Array64 h =
        ReferenceReductions.along(
                x.reshape(x.shape()[0] * (int) groups, each), 1, row -> normal(row, true, epsilon))
            .reshape(x.shape());
    return Array64.build(
        x.dtype(),
        x.shape(),
        at -> {
          int place = at[1] / (channels / c.in(1).data().length);
          return h.get(at) * c.in(1).data()[place] + c.in(2).data()[place];
        });
  }

  private static List<Array64> localResponse(Reference.Call c) {
    Node n = c.node();
    Array64 x = c.in(0);
    int size = (int) n.integer("size", 1);
    return List.of(
        Array64.build(
            x.dtype(),
            x.shape(),
            at -> {
              double squares = 0;
              int first = Math.max(0, at[1] - (size - 1) / 2);
              int last = Math.min(x.shape()[1] - 1, at[1] + size / 2);
              for (int channel = first; channel <= last; channel++) {
                double v = x.get(Array64.with(at, 1, channel));
                squares += v * v;
              }
              double base = n.real("bias", 1) + n.real("alpha", 1e-4f) / size * squares;
              return x.get(at) / Math.pow(base, n.real("beta", 0.75));
            }));
  }
}
