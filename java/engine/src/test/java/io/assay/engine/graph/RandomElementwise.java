package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Steps of operators that work element by element, with their integer and boolean side paths. */
final class RandomElementwise {
  private RandomElementwise() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomElementwise::smooth);
    steps.add(RandomElementwise::binary);
    steps.add(RandomElementwise::binary);
    steps.add(RandomElementwise::kinked);
    steps.add(RandomElementwise::domain);
    steps.add(RandomElementwise::variadic);
    steps.add(RandomElementwise::where);
    steps.add(RandomElementwise::clip);
    steps.add(RandomElementwise::pow);
    steps.add(RandomElementwise::integers);
    steps.add(RandomElementwise::contrib);
  }

  private static void smooth(RandomGraph g) {
    String x = g.any();
    String op =
        g.choices.of(
            "Neg",
            "Tanh",
            "Sigmoid",
            "Sin",
            "Cos",
            "Exp",
            "Erf",
            "Softplus",
            "Atan",
            "Asinh",
            "Sinh",
            "Cosh",
            "Identity",
            "Gelu",
            "Mish",
            "Tan",
            "Dropout",
            "Cast");
    switch (op) {
      case "Gelu" -> {
        g.since(20);
        g.op(op, attributes("approximate", g.choices.of("none", "tanh")), x);
      }
      case "Mish" -> {
        g.since(18);
        g.op(op, x);
      }
      case "Cast" -> g.op(op, attributes("to", 1), g.op(op, attributes("to", 11), x));
      default -> g.op(op, x);
    }
  }

  private static void kinked(RandomGraph g) {
    String x = g.any();
    String op =
        g.choices.of(
            "Relu",
            "Abs",
            "LeakyRelu",
            "Elu",
            "Celu",
            "Selu",
            "HardSigmoid",
            "HardSwish",
            "ThresholdedRelu",
            "Softsign",
            "Shrink",
            "PRelu");
    switch (op) {
      case "LeakyRelu", "Elu", "Celu" -> g.op(op, attributes("alpha", g.choices.of(0.3, 1.5)), x);
      case "Selu" -> g.op(op, attributes("alpha", 1.2, "gamma", 0.7), x);
      case "HardSigmoid" -> g.op(op, attributes("alpha", 0.4, "beta", 0.45), x);
      case "Shrink" -> g.op(op, attributes("lambd", 0.375, "bias", 0.125), x);
      case "ThresholdedRelu" -> g.op(op, attributes("alpha", 0.25), x);
      case "PRelu" -> {
        // The runtime broadcasts the slope to the input, never the other way.
        int[] shape = g.shape(x);
        int[] slope = broadcast(g, shape);
        g.require(Arrays.equals(Array64.broadcast(shape, slope), shape));
        g.op(op, x, g.like(slope));
      }
      default -> g.op(op, x);
    }
  }

  /** Operators that are not defined everywhere, of a value that is brought there. */
  private static void domain(RandomGraph g) {
    String x = g.any();
    String op =
        g.choices.of("Sqrt", "Log", "Reciprocal", "Asin", "Acos", "Atanh", "Acosh", "Div", "Mod");
    switch (op) {
      case "Asin", "Acos", "Atanh" ->
          g.op(op, g.op("Mul", g.op(g.choices.of("Sin", "Tanh"), x), g.number(0.875)));
      case "Acosh" -> g.op(op, g.op("Add", positive(g, x), g.number(1.25)));
      case "Div" -> {
        String y = partner(g, x);
        g.op(op, y, positive(g, x));
      }
      case "Mod" -> {
        String y = partner(g, x);
        g.op(op, attributes("fmod", 1), y, positive(g, x));
      }
      default -> g.op(op, positive(g, x));
    }
  }

  static String positive(RandomGraph g, String x) {
    return switch (g.below(3)) {
      case 0 -> g.op("Add", g.op("Mul", x, x), g.number(0.5));
      case 1 -> g.op("Exp", x);
      default -> g.op("Add", g.op("Softplus", x), g.number(0.125));
    };
  }

  /** A shape that broadcasts with the one given. */
  static int[] broadcast(RandomGraph g, int... shape) {
    int from = g.choices.oneIn(3) ? g.below(shape.length + 1) : 0;
    int[] out = Arrays.copyOfRange(shape, from, shape.length);
    for (int i = 0; i < out.length; i++) {
      if (g.choices.oneIn(4)) {
        out[i] = out[i] == 1 ? g.size() : 1;
      }
    }
    return from == 0 && out.length < 4 && g.choices.oneIn(8)
        ? Array64.join(new int[] {2}, out)
        : out;
  }

  static boolean fits(int[] a, int[] b) {
    for (int i = 1; i <= Math.min(a.length, b.length); i++) {
      int x = a[a.length - i];
      int y = b[b.length - i];
      if (x != y && x != 1 && y != 1) {
        return false;
      }
    }
    return Array64.size(Array64.broadcast(a, b)) <= 72;
  }

  static String partner(RandomGraph g, String x) {
    int[] shape = broadcast(g, g.shape(x));
    return g.any(s -> fits(g.shape(x), s), shape);
  }

  private static void binary(RandomGraph g) {
    String x = g.any();
    String y = partner(g, x);
    String op = g.choices.of("Mul", "Add", "Sub", "Div", "Max", "Min");
    if (g.choices.oneIn(2)) {
      g.op(op, y, x);
    } else {
      g.op(op, x, y);
    }
  }

  private static void variadic(RandomGraph g) {
    String x = g.any();
    String y = partner(g, x);
    String z = partner(g, g.choices.oneIn(2) ? y : x);
    g.require(fits(Array64.broadcast(g.shape(x), g.shape(y)), g.shape(z)));
    g.op(g.choices.of("Sum", "Mean", "Max", "Min"), x, y, z);
  }

  /** A condition: a comparison, a constant, or what logic makes of them. */
  private static String condition(RandomGraph g, String x) {
    return switch (g.below(5)) {
      case 0 -> compare(g, x);
      case 1 -> g.op("Not", compare(g, x));
      case 2 -> {
        String other = compare(g, x);
        yield g.op(g.choices.of("And", "Or", "Xor"), compare(g, x), other);
      }
      case 3 -> g.op("Cast", attributes("to", 9), g.op("Relu", x));
      default -> {
        int[] shape = broadcast(g, g.shape(x));
        Tensor t = Array64.build(DType.BOOL, shape, at -> Arrays.stream(at).sum() % 2).tensor();
        yield g.constant(t);
      }
    };
  }

  private static String compare(RandomGraph g, String x) {
    String op = g.choices.of("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal");
    return g.op(op, x, g.choices.oneIn(2) ? partner(g, x) : g.number(0.21875));
  }

  private static void where(RandomGraph g) {
    String x = g.any();
    String condition = condition(g, x);
    g.require(fits(g.shape(condition), g.shape(x)));
    if (g.choices.oneIn(4)) {
      g.op("Mul", x, g.op("Cast", attributes("to", 1), condition));
      return;
    }
    String y = g.choices.oneIn(3) ? g.number(0.5) : partner(g, x);
    g.require(fits(Array64.broadcast(g.shape(condition), g.shape(x)), g.shape(y)));
    if (g.choices.oneIn(2)) {
      g.op("Where", condition, y, x);
    } else {
      g.op("Where", condition, x, y);
    }
  }

  private static void clip(RandomGraph g) {
    String x = g.any();
    switch (g.below(4)) {
      case 0 -> g.op("Clip", x, g.number(-0.75), g.number(0.5));
      case 1 -> g.op("Clip", x, g.number(-0.25));
      case 2 -> g.op("Clip", x, "", g.number(0.75));
      default -> g.op("Clip", x, g.leaf(-1, -0.5), g.leaf(0.25, 1));
    }
  }

  private static void pow(RandomGraph g) {
    String x = g.any();
    switch (g.below(5)) {
      case 0 -> g.op("Mul", x, x);
      case 1 -> g.op("Pow", positive(g, x), g.number(g.choices.of(2.0, 3.0, -1.5, 0.5)));
      case 2 -> g.op("Pow", positive(g, x), partner(g, x));
      case 3 ->
          g.op(
              "Pow",
              positive(g, x),
              g.constant(Tensor.ofLongs(new long[] {g.choices.in(2, 3, -1, 0)})));
      default -> g.op("Pow", positive(g, x), g.op("Cast", attributes("to", 1), floor(g, x)));
    }
  }

  private static String floor(RandomGraph g, String x) {
    String op = g.choices.of("Floor", "Ceil", "Round", "Sign");
    return g.op("Cast", attributes("to", g.choices.of(7, 6)), g.op(op, g.op("Tanh", x)));
  }

  /** A float value over an integer path, where no gradient flows, back into a float. */
  private static void integers(RandomGraph g) {
    String x = g.any();
    String whole = floor(g, x);
    String moved =
        switch (g.below(3)) {
          case 0 -> whole;
          case 1 -> g.op("Add", whole, whole);
          default -> g.op("Mul", whole, whole);
        };
    String back = g.op("Cast", attributes("to", 1), moved);
    g.op(g.choices.of("Mul", "Add", "Sub"), g.choices.oneIn(2) ? partner(g, x) : x, back);
  }

  private static void contrib(RandomGraph g) {
    String domain = "com.microsoft.";
    String x = g.any(1, 4);
    int last = g.shape(x)[g.rank(x) - 1];
    switch (g.below(5)) {
      case 0 -> g.op(domain + "Gelu", x);
      case 1 -> g.op(domain + "QuickGelu", attributes("alpha", 1.25), x);
      case 2 -> g.op(domain + "BiasGelu", x, g.like(last));
      case 3 -> g.op(domain + "FastGelu", x, g.like(last));
      default -> {
        g.require(g.rank(x) == 3);
        Map<String, Object> epsilon = attributes("epsilon", 0.25);
        String y = g.like(g.shape(x));
        g.op(domain + "SkipLayerNormalization", epsilon, x, y, g.like(last), g.like(last));
      }
    }
  }
}
