package io.assay.engine.graph;

import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/**
 * Tells whether the inputs of a node are too near to a point where its derivative jumps, or to the
 * edge of where it is defined: float32 may stand on the other side there, and a difference is no
 * derivative.
 */
final class Kinks {
  /** Ten times as far as the longest step of a difference. */
  private static final double MARGIN = 0.008;

  /** How far a quotient, a root or a logarithm stays from 0. */
  private static final double DOMAIN = 0.1;

  private Kinks() {}

  static boolean isNear(Node node, List<Array64> in) {
    return switch (node.qualifiedOp()) {
      case "Relu", "Abs", "Sign", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Softsign" ->
          near(in.getFirst(), 0);
      case "ReduceL1" -> near(in.getFirst(), 0);
      case "ThresholdedRelu" -> near(in.getFirst(), node.real("alpha", 1));
      case "Shrink" -> {
        double kink = node.real("lambd", 0.5);
        yield near(in.getFirst(), -kink) || near(in.getFirst(), kink);
      }
      case "HardSwish" -> near(in.getFirst(), -3) || near(in.getFirst(), 3);
      case "HardSigmoid" -> {
        double alpha = node.real("alpha", 0.2f);
        double beta = node.real("beta", 0.5);
        yield near(in.getFirst(), -beta / alpha) || near(in.getFirst(), (1 - beta) / alpha);
      }
      case "Floor", "Ceil" -> jumps(in.getFirst(), x -> x - Math.rint(x));
      case "Round" -> jumps(in.getFirst(), x -> x + 0.5 - Math.rint(x + 0.5));
      case "Cast" -> cast(node, in.getFirst());
      case "Clip" -> bound(in, 1) || bound(in, 2);
      case "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual" -> tied(in);
      case "Max", "Min" -> tied(in);
      case "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "TopK", "GlobalMaxPool" ->
          crowded(in.getFirst().data(), MARGIN / 4);
      case "MaxPool" -> crowded(in.getFirst().data(), MARGIN / 8);
      case "Sqrt", "Log" -> least(in.getFirst()) < DOMAIN;
      case "Pow" -> least(in.getFirst()) < DOMAIN;
      case "Reciprocal" -> any(in.getFirst(), x -> Math.abs(x) - DOMAIN);
      case "Div" -> any(in.get(1), x -> Math.abs(x) - DOMAIN);
      case "Mod" -> whole(in.get(0), in.get(1));
      case "Asin", "Acos", "Atanh" -> any(in.getFirst(), x -> 1 - DOMAIN - Math.abs(x));
      case "Acosh" -> least(in.getFirst()) < 1 + DOMAIN;
      case "Tan" -> any(in.getFirst(), x -> Math.abs(Math.cos(x)) - 3 * DOMAIN);
      default -> false;
    };
  }

  /** Whether a quotient is nearly whole somewhere, for its size. */
  private static boolean whole(Array64 x, Array64 y) {
    int[] shape = Array64.broadcast(x.shape(), y.shape());
    Array64 quotient = Array64.build(x.dtype(), shape, at -> x.get(at) / y.get(at));
    return x.dtype().isFloat() && jumps(quotient, q -> (q - Math.rint(q)) / (1 + Math.abs(q)) / 4);
  }

  private static boolean any(Array64 x, DoubleUnaryOperator distance) {
    return Arrays.stream(x.data()).map(distance).anyMatch(d -> d < 0);
  }

  private static double least(Array64 x) {
    return Arrays.stream(x.data()).min().orElse(1);
  }

  private static boolean near(Array64 x, double kink) {
    return any(x, v -> Math.abs(v - kink) - MARGIN);
  }

  private static boolean jumps(Array64 x, DoubleUnaryOperator distance) {
    return any(x, v -> Math.abs(distance.applyAsDouble(v)) - MARGIN);
  }

  private static boolean cast(Node node, Array64 x) {
    if (!x.dtype().isFloat()) {
      return false;
    }
    return switch ((int) node.integer("to", 1)) {
      case 6, 7 -> jumps(x, v -> v - Math.rint(v));
      case 9 -> near(x, 0);
      default -> false;
    };
  }

  private static boolean bound(List<Array64> in, int i) {
    return i < in.size() && in.get(i) != null && near(in.getFirst(), in.get(i).get());
  }

  /** Whether two inputs are nearly the same somewhere. */
  private static boolean tied(List<Array64> in) {
    for (int i = 0; i < in.size(); i++) {
      for (int j = 0; j < i; j++) {
        Array64 x = in.get(i);
        Array64 y = in.get(j);
        int[] shape = Array64.broadcast(x.shape(), y.shape());
        Array64 gap = Array64.build(x.dtype(), shape, at -> x.get(at) - y.get(at));
        if (x.dtype().isFloat() && near(gap, 0)) {
          return true;
        }
      }
    }
    return false;
  }

  /** Whether two elements are nearly the same. */
  private static boolean crowded(double[] values, double margin) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    for (int i = 1; i < sorted.length; i++) {
      if (sorted[i] - sorted[i - 1] < margin) {
        return true;
      }
    }
    return false;
  }
}
