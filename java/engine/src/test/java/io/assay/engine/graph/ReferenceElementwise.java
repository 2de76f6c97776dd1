package io.assay.engine.graph;

import static java.lang.Math.exp;
import static java.lang.Math.log1p;
import static java.lang.Math.max;
import static java.lang.Math.min;
import static java.lang.Math.tanh;

import io.assay.engine.tensor.DType;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleBiFunction;

/** Operators that work element by element. */
final class ReferenceElementwise {
  private ReferenceElementwise() {}

  static void register(Map<String, Reference.Operator> table) {
    unary(table, "Identity", x -> x);
    unary(table, "Neg", x -> -x);
    unary(table, "Exp", Math::exp);
    unary(table, "Log", Math::log);
    unary(table, "Sqrt", Math::sqrt);
    unary(table, "Reciprocal", x -> 1 / x);
    unary(table, "Tanh", Math::tanh);
    unary(table, "Sigmoid", ReferenceElementwise::sigmoid);
    unary(table, "Sin", Math::sin);
    unary(table, "Cos", Math::cos);
    unary(table, "Tan", Math::tan);
    unary(table, "Sinh", Math::sinh);
    unary(table, "Cosh", Math::cosh);
    unary(table, "Asin", Math::asin);
    unary(table, "Acos", Math::acos);
    unary(table, "Atan", Math::atan);
    unary(table, "Asinh", x -> Math.signum(x) * Math.log(Math.abs(x) + Math.hypot(x, 1)));
    unary(table, "Acosh", x -> Math.log(x + Math.sqrt(x - 1) * Math.sqrt(x + 1)));
    unary(table, "Atanh", x -> (log1p(x) - log1p(-x)) / 2);
    unary(table, "Erf", ReferenceElementwise::erf);
    unary(table, "Abs", Math::abs);
    unary(table, "Sign", Math::signum);
    unary(table, "Floor", Math::floor);
    unary(table, "Ceil", Math::ceil);
    unary(table, "Round", Math::rint);
    unary(table, "Relu", x -> max(x, 0));
    unary(table, "Softplus", ReferenceElementwise::softplus);
    unary(table, "Softsign", x -> x / (1 + Math.abs(x)));
    unary(table, "Mish", x -> x * tanh(softplus(x)));
    unary(table, "HardSwish", x -> x * max(0, min(1, x / 6 + 0.5)));
    with(
        table,
        "Shrink",
        (n, x) -> Math.abs(x) > n.real("lambd", 0.5) ? x - Math.signum(x) * n.real("bias", 0) : 0);
    with(table, "LeakyRelu", (n, x) -> x < 0 ? n.real("alpha", 0.01f) * x : x);
    with(table, "ThresholdedRelu", (n, x) -> x > n.real("alpha", 1) ? x : 0);
    with(table, "Elu", (n, x) -> x < 0 ? n.real("alpha", 1) * Math.expm1(x) : x);
    with(table, "Celu", (n, x) -> celu(x, n.real("alpha", 1)));
    with(table, "Selu", (n, x) -> selu(x, n));
    with(table, "Gelu", (n, x) -> gelu(x, n.text("approximate", "none")));
    with(
        table,
        "HardSigmoid",
        (n, x) -> max(0, min(1, n.real("alpha", 0.2f) * x + n.real("beta", 0.5))));

    binary(table, "Add", Double::sum);
    binary(table, "Sub", (x, y) -> x - y);
    binary(table, "Mul", (x, y) -> x * y);
    table.put(
        "Div",
        c -> c.dtype().isFloat() ? two(c, (x, y) -> x / y) : two(c, (x, y) -> (long) (x / y)));
    binary(table, "Mod", (x, y) -> x % y);
    binary(table, "Pow", Math::pow);
    binary(table, "PRelu", (x, slope) -> x < 0 ? slope * x : x);
    binary(table, "Sum", Double::sum);
    binary(table, "Max", Math::max);
    binary(table, "Min", Math::min);
    table.put("Mean", c -> mean(c));

    compare(table, "Equal", (x, y) -> x == y ? 1 : 0);
    compare(table, "Less", (x, y) -> x < y ? 1 : 0);
    compare(table, "LessOrEqual", (x, y) -> x <= y ? 1 : 0);
    compare(table, "Greater", (x, y) -> x > y ? 1 : 0);
    compare(table, "GreaterOrEqual", (x, y) -> x >= y ? 1 : 0);
    compare(table, "And", (x, y) -> x * y);
    compare(table, "Or", Math::max);
    compare(table, "Xor", (x, y) -> x == y ? 0 : 1);
    unary(table, "Not", x -> 1 - x);

    table.put("Where", ReferenceElementwise::where);
    table.put("Clip", ReferenceElementwise::clip);
    table.put("Cast", ReferenceElementwise::cast);
    table.put("Dropout", c -> List.of(c.in(0), fill(DType.BOOL, c.in(0).shape(), 1)));
    unary(table, "com.microsoft.Gelu", x -> gelu(x, "none"));
    with(table, "com.microsoft.QuickGelu", (n, x) -> x * sigmoid(n.real("alpha", 1.702f) * x));
    table.put("com.microsoft.BiasGelu", c -> two(c, (x, y) -> gelu(x + y, "none")));
    table.put(
        "com.microsoft.FastGelu",
        c -> c.has(1) ? two(c, (x, y) -> gelu(x + y, "tanh")) : one(c, x -> gelu(x, "tanh")));
  }

  private static void unary(
      Map<String, Reference.Operator> table, String op, DoubleUnaryOperator f) {
    table.put(op, c -> one(c, f));
  }

  private static void with(
      Map<String, Reference.Operator> table, String op, ToDoubleBiFunction<Node, Double> f) {
    table.put(op, c -> one(c, x -> f.applyAsDouble(c.node(), x)));
  }

  private static void binary(
      Map<String, Reference.Operator> table, String op, DoubleBinaryOperator f) {
    table.put(op, c -> two(c, f));
  }

  private static void compare(
      Map<String, Reference.Operator> table, String op, DoubleBinaryOperator f) {
    table.put(
        op,
        c -> {
          Array64 y = two(c, f).getFirst();
          return List.of(new Array64(DType.BOOL, y.shape(), y.data()));
        });
  }

  static List<Array64> one(Reference.Call c, DoubleUnaryOperator f) {
    double[] out = new double[c.in(0).data().length];
    for (int i = 0; i < out.length; i++) {
      out[i] = f.applyAsDouble(c.in(0).data()[i]);
    }
    return List.of(c.in(0).withData(out));
  }

  /** Two inputs, or more one after the other, broadcast. */
  private static List<Array64> two(Reference.Call c, DoubleBinaryOperator f) {
    Array64 out = c.in(0);
    for (Array64 y : c.inputs().subList(1, c.inputs().size())) {
      Array64 x = out;
      int[] shape = Array64.broadcast(x.shape(), y.shape());
      out = Array64.build(c.dtype(), shape, at -> f.applyAsDouble(x.get(at), y.get(at)));
    }
    return List.of(out);
  }

  private static List<Array64> mean(Reference.Call c) {
    Array64 sum = two(c, Double::sum).getFirst();
    return one(new Reference.Call(c.node(), List.of(sum), c.around()), x -> x / c.inputs().size());
  }

  private static List<Array64> where(Reference.Call c) {
    int[] shape = Array64.broadcast(c.in(0).shape(), c.in(1).shape(), c.in(2).shape());
    return List.of(
        Array64.build(
            c.in(1).dtype(),
            shape,
            at -> c.in(0).get(at) != 0 ? c.in(1).get(at) : c.in(2).get(at)));
  }

  private static List<Array64> clip(Reference.Call c) {
    double low = c.has(1) ? c.in(1).get() : Double.NEGATIVE_INFINITY;
    double high = c.has(2) ? c.in(2).get() : Double.POSITIVE_INFINITY;
    return one(c, x -> min(max(x, low), high));
  }

  private static List<Array64> cast(Reference.Call c) {
    DType to = OnnxTypes.require(c.node().integer("to", 1), "a cast");
    Array64 y =
        one(c, x -> to == DType.BOOL ? (x == 0 ? 0 : 1) : to.isFloat() ? x : (long) x).getFirst();
    return List.of(new Array64(to, y.shape(), y.data()));
  }

  static Array64 fill(DType dtype, int[] shape, double value) {
    return Array64.build(dtype, shape, _ -> value);
  }

  static double sigmoid(double x) {
    return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
  }

  static double softplus(double x) {
    return max(x, 0) + log1p(exp(-Math.abs(x)));
  }

  private static double celu(double x, double alpha) {
    return max(0, x) + min(0, alpha * Math.expm1(x / alpha));
  }

  private static double selu(double x, Node n) {
    double alpha = n.real("alpha", 1.67326319217681884765625);
    double gamma = n.real("gamma", 1.05070102214813232421875);
    return gamma * (x > 0 ? x : alpha * Math.expm1(x));
  }

  private static double gelu(double x, String approximate) {
    return approximate.equals("tanh")
        ? 0.5 * x * (1 + tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))
        : 0.5 * x * (1 + erf(x / Math.sqrt(2)));
  }

  /** Abramowitz and Stegun, 7.1.6; beyond 6 the difference from 1 is below 1e-16. */
  static double erf(double x) {
    if (Math.abs(x) > 6) {
      return Math.signum(x);
    }
    double term = x;
    double sum = x;
    for (int n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / Math.sqrt(Math.PI) * exp(-x * x) * sum;
  }
}
