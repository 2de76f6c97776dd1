package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Steps of reductions, of softmax and of normalisations. */
final class RandomReductions {
  private RandomReductions() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomReductions::reduce);
    steps.add(RandomReductions::reduce);
    steps.add(RandomReductions::softmax);
    steps.add(RandomReductions::cumSum);
    steps.add(RandomReductions::topK);
    steps.add(RandomReductions::behind);
    steps.add(RandomReductions::channels);
    steps.add(RandomReductions::loss);
    steps.add(RandomReductions::byHand);
  }

  private static void reduce(RandomGraph g) {
    String x = g.any(1, 4);
    String op =
        g.choices.of(
            "ReduceSum",
            "ReduceMean",
            "ReduceSumSquare",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd");
    if (op.equals("ReduceLogSum") || op.equals("ReduceL2")) {
      x = RandomElementwise.positive(g, x);
    }
    reduce(g, op, x, g.choices.oneIn(5) ? null : g.axes(g.rank(x)));
  }

  /** Axes are an input since operator set 18, those of ReduceSum since 13. */
  static String reduce(RandomGraph g, String op, String x, long[] axes) {
    Map<String, Object> a = new LinkedHashMap<>(attributes("keepdims", 1 - g.below(2)));
    boolean byInput = g.opset >= 18 || op.equals("ReduceSum");
    if (axes == null) {
      if (byInput && g.choices.oneIn(4)) {
        a.put("noop_with_empty_axes", 1L);
      }
      return g.op(op, a, x);
    }
    if (byInput) {
      return g.op(op, a, x, g.longs(axes));
    }
    a.putAll(attributes("axes", axes));
    return g.op(op, a, x);
  }

  private static void softmax(RandomGraph g) {
    String x = g.any(1, 4);
    g.op(g.choices.of("Softmax", "LogSoftmax"), attributes("axis", g.axis(g.rank(x))), x);
  }

  private static void cumSum(RandomGraph g) {
    String x = g.any(1, 4);
    String axis = g.constant(Tensor.ofLongs(new long[] {g.axis(g.rank(x))}));
    g.op("CumSum", attributes("exclusive", g.below(2), "reverse", g.below(2)), x, axis);
  }

  private static void topK(RandomGraph g) {
    String x = g.any(1, 3);
    long axis = g.axis(g.rank(x));
    int n = g.shape(x)[g.wrapped(axis, g.rank(x))];
    g.ops(2, "TopK", attributes("axis", axis, "largest", g.below(2)), x, g.longs(1 + g.below(n)));
  }

  /** Normalisations over the last axes. */
  private static void behind(RandomGraph g) {
    String x = g.any(1, 4);
    int rank = g.rank(x);
    String op = g.choices.of("LayerNormalization", "LpNormalization", "RMSNormalization");
    if (op.equals("LpNormalization")) {
      g.op(
          op,
          attributes("axis", g.axis(rank), "p", 2 - g.below(2)),
          RandomElementwise.positive(g, x));
      return;
    }
    g.since(op.equals("RMSNormalization") ? 23 : 17);
    long axis = g.axis(rank);
    int[] tail = Arrays.copyOfRange(g.shape(x), g.wrapped(axis, rank), rank);
    Map<String, Object> a = attributes("axis", axis, "epsilon", g.choices.of(0.25, 0.0625));
    if (op.equals("LayerNormalization") && g.choices.oneIn(2)) {
      g.op(op, a, x, g.like(tail), g.like(tail));
    } else {
      g.op(op, a, x, g.like(tail));
    }
  }

  /** Normalisations by channel. */
  private static void channels(RandomGraph g) {
    String x = g.any(3, 4);
    int n = g.shape(x)[1];
    Map<String, Object> a = attributes("epsilon", g.choices.of(0.25, 0.0625));
    switch (g.below(4)) {
      case 0 -> g.op("InstanceNormalization", a, x, g.like(n), g.like(n));
      case 1 ->
          g.op("BatchNormalization", a, x, g.like(n), g.like(n), g.like(n), g.leaf(0.5, 2, n));
      case 2 -> {
        g.since(18);
        int groups = n % 2 == 0 ? 1 + g.below(2) : 1;
        int size = g.opset >= 21 ? n : groups;
        Map<String, Object> more = new LinkedHashMap<>(a);
        more.put("num_groups", (long) groups);
        g.op("GroupNormalization", more, x, g.like(size), g.like(size));
      }
      default -> {
        g.require(g.rank(x) == 4);
        g.op("LRN", attributes("size", 1 + 2 * g.below(2), "alpha", 0.5, "bias", 1.5), x);
      }
    }
  }

  private static void loss(RandomGraph g) {
    String x = g.any(2, 3);
    int[] shape = g.shape(x);
    int[] labelShape = shape.length == 2 ? new int[] {shape[0]} : new int[] {shape[0], shape[2]};
    long[] labels = new long[Array64.size(labelShape)];
    Arrays.setAll(labels, i -> g.below(shape[1]));
    Map<String, Object> a =
        new LinkedHashMap<>(attributes("reduction", g.choices.of("mean", "sum", "none")));
    if (g.choices.oneIn(3) && labels.length > 1) {
      a.put("ignore_index", -100L);
      labels[labels.length - 1] = -100;
    }
    List<String> inputs = new ArrayList<>(List.of(x, g.longs(labels, labelShape)));
    if (g.choices.oneIn(3)) {
      double[] weights = new double[shape[1]];
      Arrays.setAll(weights, i -> 0.5 + i / 4.0);
      float[] floats = new float[weights.length];
      for (int i = 0; i < floats.length; i++) {
        floats[i] = (float) weights[i];
      }
      inputs.add(g.constant(Tensor.ofFloats(floats, floats.length)));
    }
    String[] in = inputs.toArray(String[]::new);
    switch (g.below(3)) {
      case 0 -> g.op("SoftmaxCrossEntropyLoss", a, in);
      case 1 -> g.ops(2, "SoftmaxCrossEntropyLoss", a, in);
      default -> g.op("NegativeLogLikelihoodLoss", a, in);
    }
  }

  /** A normalisation as exporters write it out. */
  private static void byHand(RandomGraph g) {
    String x = g.any(1, 4);
    long[] axes = {-1};
    String mean = mean(g, x, axes);
    String centred = g.op("Sub", x, mean);
    String variance = mean(g, g.op("Mul", centred, centred), axes);
    String deviation = g.op("Sqrt", g.op("Add", variance, g.number(0.25)));
    g.op("Div", centred, deviation);
  }

  private static String mean(RandomGraph g, String x, long[] axes) {
    Map<String, Object> keep = attributes("keepdims", 1);
    if (g.opset >= 18) {
      return g.op("ReduceMean", keep, x, g.longs(axes));
    }
    return g.op("ReduceMean", attributes("keepdims", 1, "axes", axes), x);
  }
}
