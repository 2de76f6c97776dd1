package io.assay.engine.graph;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Gradients of normalisations. */
final class NormalisationRules {
  private NormalisationRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("RMSNormalization", NormalisationRules::rmsNormalization);
    rules.put("SimplifiedLayerNormalization", NormalisationRules::rmsNormalization);
    rules.put("BatchNormalization", NormalisationRules::batchNormalization);
    rules.put("InstanceNormalization", b -> b.expand(() -> instanceNormalization(b)));
    rules.put("GroupNormalization", b -> b.expand(() -> groupNormalization(b)));
    rules.put("LpNormalization", b -> b.expand(() -> lpNormalization(b)));
    rules.put("LRN", b -> b.expand(() -> localResponse(b)));
  }

  /**
   * With {@code h = x / s} and {@code s^2 = mean(x^2) + epsilon}: {@code dx = (k - h mean(k h)) /
   * s} where {@code k = g scale}; {@code dscale = g h}.
   */
  private static void rmsNormalization(Backward b) {
    b.onlyFirstOutput();
    Expr x = b.in(0);
    int first = Backward.axis(b.node().integer("axis", -1), x.rank());
    long[] axes = IntStream.range(first, x.rank()).asLongStream().toArray();
    Expr s = x.squared().mean(axes).plus(b.node().real("epsilon", 1e-5)).sqrt();
    Expr h = x.over(s);
    b.give(
        0,
        () -> {
          Expr k = b.g().times(b.in(1));
          return k.minus(h.times(k.times(h).mean(axes))).over(s);
        });
    b.give(1, () -> b.g().times(h));
  }

  /** {@code (x - mean) scale / sqrt(variance + epsilon) + bias}, the statistics given. */
  private static void batchNormalization(Backward b) {
    if (b.node().integer("training_mode", 0) != 0) {
      throw b.refused("in training mode");
    }
    b.expand(
        () -> {
          int rank = b.in(0).rank();
          Expr s = b.in(4).plus(b.node().real("epsilon", 1e-5)).sqrt();
          Expr factor = channels(b.in(1).over(s), rank);
          Expr centred = b.in(0).minus(channels(b.in(3), rank));
          return List.of(centred.times(factor).plus(channels(b.in(2), rank)));
        });
  }

  /** One number for each channel, axis 1 of a value of this rank. */
  private static Expr channels(Expr x, int rank) {
    long[] shape = new long[Math.max(rank - 1, 1)];
    Arrays.fill(shape, 1);
    shape[0] = x.shape()[0];
    return x.reshape(shape);
  }

  private static List<Expr> instanceNormalization(Backward b) {
    return scaled(b, standardised(b, b.in(0).shape()[1]), b.in(1), b.in(2));
  }

  /** Since operator set 21 scale and bias are those of the channels, before those of the groups. */
  private static List<Expr> groupNormalization(Backward b) {
    long channels = b.in(0).shape()[1];
    long groups = b.node().integer("num_groups", 1);
    return scaled(
        b,
        standardised(b, groups),
        perChannel(b.in(1), channels, groups),
        perChannel(b.in(2), channels, groups));
  }

  private static Expr perChannel(Expr x, long channels, long groups) {
    if (x.shape()[0] == channels) {
      return x;
    }
    return x.reshape(groups, 1).expandTo(groups, channels / groups).reshape(channels);
  }

  /** The input with mean 0 and variance 1 in each of the groups of its channels. */
  private static Expr standardised(Backward b, long groups) {
    Expr x = b.in(0);
    Expr rows = x.reshape(x.shape()[0], groups, -1);
    Expr ones = b.scalar(x.dtype(), 1).expandTo(rows.shape()[2]);
    Map<String, Object> attributes = Map.of("epsilon", (float) b.node().real("epsilon", 1e-5));
    return b.op("LayerNormalization", attributes, rows, ones).reshape(x.shape());
  }

  private static List<Expr> scaled(Backward b, Expr h, Expr scale, Expr bias) {
    int rank = b.in(0).rank();
    return List.of(h.times(channels(scale, rank)).plus(channels(bias, rank)));
  }

  private static List<Expr> lpNormalization(Backward b) {
    Expr x = b.in(0);
    int axis = Backward.axis(b.node().integer("axis", -1), x.rank());
    boolean absolute = b.node().integer("p", 2) == 1;
    Expr norm = absolute ? b.op("Abs", Map.of(), x).sum(axis) : x.squared().sum(axis).sqrt();
    return List.of(x.over(norm));
  }

  /** {@code x / (bias + alpha / size * sum of the squares of size channels around)^beta}. */
  private static List<Expr> localResponse(Backward b) {
    Node node = b.node();
    Expr x = b.in(0);
    long size = node.integer("size", 1);
    long channels = x.shape()[1];
    Expr squares = x.squared().pad(1, (size - 1) / 2, size - 1 - (size - 1) / 2);
    Expr sum = squares.slice(1, 0, channels);
    for (long i = 1; i < size; i++) {
      sum = sum.plus(squares.slice(1, i, i + channels));
    }
    Expr base = sum.times(node.real("alpha", 1e-4) / size).plus(node.real("bias", 1));
    return List.of(x.times(base.pow(b.scalar(x.dtype(), -node.real("beta", 0.75)))));
  }
}
