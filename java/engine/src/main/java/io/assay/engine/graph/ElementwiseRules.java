package io.assay.engine.graph;

import java.util.Map;

/** Gradients of the operators that work element by element. */
final class ElementwiseRules {
  private ElementwiseRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Identity", b -> b.give(0, b::g));
    rules.put("Cast", b -> b.give(0, () -> b.g().cast(b.in(0).dtype())));
    rules.put("CastLike", rules.get("Cast"));
    rules.put("Neg", b -> b.give(0, () -> b.g().neg()));
    rules.put("Exp", b -> b.give(0, () -> b.g().times(b.out())));
    rules.put("Log", b -> b.give(0, () -> b.g().over(b.in(0))));
    rules.put("Sqrt", b -> b.give(0, () -> b.g().over(b.out().times(2))));
    rules.put("Reciprocal", b -> b.give(0, () -> b.g().times(b.out().squared()).neg()));
    rules.put("Tanh", b -> b.give(0, () -> b.g().times(b.out().squared().from(1))));
    rules.put("Sigmoid", b -> b.give(0, () -> b.g().times(b.out().times(b.out().from(1)))));
    rules.put("Sin", b -> b.give(0, () -> b.g().times(b.in(0).cos())));
    rules.put("Cos", b -> b.give(0, () -> b.g().times(b.in(0).sin()).neg()));
    rules.put("Erf", b -> b.give(0, () -> b.g().times(erfSlope(b.in(0)))));
    // PyTorch: 0 at 0.
    rules.put("Relu", b -> b.give(0, () -> b.g().where(b.in(0).greaterThan(0))));
    // PyTorch: 0 at 0.
    rules.put("Abs", b -> b.give(0, () -> b.g().times(b.in(0).sign())));
    rules.put("Gelu", ElementwiseRules::gelu);

    rules.put(
        "Add",
        b -> {
          b.give(0, b::g);
          b.give(1, b::g);
        });
    rules.put(
        "Sub",
        b -> {
          b.give(0, b::g);
          b.give(1, () -> b.g().neg());
        });
    rules.put(
        "Mul",
        b -> {
          b.give(0, () -> b.g().times(b.in(1)));
          b.give(1, () -> b.g().times(b.in(0)));
        });
    rules.put(
        "Div",
        b -> {
          b.give(0, () -> b.g().over(b.in(1)));
          b.give(1, () -> b.g().times(b.out()).over(b.in(1)).neg());
        });
    rules.put("Pow", ElementwiseRules::pow);
    rules.put(
        "Where",
        b -> {
          b.give(1, () -> b.g().where(b.in(0)));
          b.give(2, () -> b.g().unless(b.in(0)));
        });
    rules.put("Sum", ElementwiseRules::sum);
  }

  /** {@code 2 / sqrt(pi) exp(-x^2)}. */
  private static Expr erfSlope(Expr x) {
    return x.squared().neg().exp().times(2 / Math.sqrt(Math.PI));
  }

  /**
   * {@code y x^(y-1)}, and {@code x^y log x}. PyTorch: 0 for the base where the exponent is 0, and
   * 0 for the exponent where the base is 0 and the exponent is not negative.
   */
  private static void pow(Backward b) {
    double exponent = b.constant(1);
    b.give(
        0,
        () -> {
          Expr x = b.in(0);
          if (exponent == 2) {
            return b.g().times(x.times(2));
          }
          if (exponent == 3) {
            return b.g().times(x.squared().times(3));
          }
          Expr y = b.in(1).cast(x.dtype());
          return b.g().times(y.times(x.pow(y.plus(-1)))).unless(y.sameAs(0));
        });
    b.give(
        1,
        () -> {
          Expr x = b.in(0);
          Expr flat = x.sameAs(0).and(b.in(1).atLeast(0));
          return b.g().times(b.out().times(x.log())).unless(flat);
        });
  }

  /** Of {@code x Phi(x)}, or of its tanh form {@code x/2 (1 + tanh(c (x + 0.044715 x^3)))}. */
  private static void gelu(Backward b) {
    b.give(
        0,
        () -> {
          Expr x = b.in(0);
          if (b.node().text("approximate", "none").equals("tanh")) {
            double c = Math.sqrt(2 / Math.PI);
            Expr t = x.plus(x.squared().times(x).times(0.044715)).times(c).tanh();
            Expr inner = x.squared().times(3 * 0.044715).plus(1).times(c);
            Expr slope = x.times(t.squared().from(1)).times(inner).plus(t.plus(1)).times(0.5);
            return b.g().times(slope);
          }
          Expr cdf = x.times(Math.sqrt(0.5)).erf().plus(1).times(0.5);
          Expr density = x.squared().times(-0.5).exp().times(1 / Math.sqrt(2 * Math.PI));
          return b.g().times(cdf.plus(x.times(density)));
        });
  }

  private static void sum(Backward b) {
    for (int i = 0; i < b.node().inputs().size(); i++) {
      b.give(i, b::g);
    }
  }
}
