package io.assay.engine.graph;

import java.util.Map;

/** Gradients of the activations of neural networks. At a kink they are PyTorch's. */
final class ActivationRules {
  private ActivationRules() {}

  static void register(Map<String, GradientRule> rules) {
    // PyTorch: 0 at 0. The output is asked, so that the runtime may fuse what made the input.
    rules.put("Relu", b -> b.give(0, () -> b.g().where(b.out().greaterThan(0))));
    // PyTorch: 0 at the threshold.
    rules.put(
        "ThresholdedRelu",
        b -> b.give(0, () -> b.g().where(b.in(0).greaterThan(b.node().real("alpha", 1)))));
    // PyTorch: alpha at 0.
    rules.put(
        "LeakyRelu", b -> b.give(0, () -> below(b, b.g().times(b.node().real("alpha", 0.01)))));
    rules.put("PRelu", ActivationRules::prelu);
    // PyTorch: the exponential's slope at 0, which is alpha (times gamma), and 1 for Celu.
    rules.put("Elu", b -> b.give(0, () -> below(b, b.g().times(b.in(0).exp()).times(alpha(b, 1)))));
    rules.put(
        "Celu", b -> b.give(0, () -> below(b, b.g().times(b.in(0).times(1 / alpha(b, 1)).exp()))));
    rules.put("Selu", ActivationRules::selu);
    // PyTorch: 0 at both kinks.
    rules.put(
        "HardSigmoid",
        b ->
            b.give(
                0,
                () ->
                    b.g()
                        .times(alpha(b, 0.2f))
                        .where(b.out().greaterThan(0).and(b.out().lessThan(1)))));
    rules.put("HardSwish", ActivationRules::hardSwish);
    // PyTorch: 0 at both kinks.
    rules.put(
        "Shrink",
        b -> b.give(0, () -> b.g().where(b.in(0).abs().greaterThan(b.node().real("lambd", 0.5f)))));
    rules.put("Softplus", b -> b.give(0, () -> b.g().times(b.in(0).sigmoid())));
    rules.put("Softsign", b -> b.give(0, () -> b.g().over(b.in(0).abs().plus(1).squared())));
    rules.put("Mish", ActivationRules::mish);
    rules.put("Gelu", ActivationRules::gelu);
  }

  private static double alpha(Backward b, double otherwise) {
    return b.node().real("alpha", otherwise);
  }

  /** The gradient itself above 0, {@code gradient} at 0 and below. */
  private static Expr below(Backward b, Expr gradient) {
    return b.in(0).greaterThan(0).choose(b.g(), gradient);
  }

  /** PyTorch: the slope at 0. */
  private static void prelu(Backward b) {
    b.give(0, () -> below(b, b.g().times(b.in(1))));
    b.give(1, () -> b.g().times(b.in(0)).unless(b.in(0).greaterThan(0)));
  }

  private static void selu(Backward b) {
    double alpha = alpha(b, 1.67326319217681884765625);
    double gamma = b.node().real("gamma", 1.05070102214813232421875);
    b.give(0, () -> below(b, b.g().times(b.in(0).exp()).times(alpha)).times(gamma));
  }

  /** {@code x/3 + 1/2} between -3 and 3. PyTorch: 0 at -3, 1 at 3. */
  private static void hardSwish(Backward b) {
    b.give(
        0,
        () -> {
          Expr x = b.in(0);
          Expr between = b.g().times(x.times(1.0 / 3).plus(0.5)).where(x.greaterThan(-3));
          return x.atLeast(3).choose(b.g(), between);
        });
  }

  /**
   * Of {@code x t} with {@code t = tanh(log(1 + exp(x)))}: {@code t + x (1 - t^2) sigmoid(x)}. With
   * {@code u = exp(-|x|)}, which does not overflow, t is {@code (1 + 2u) / (1 + 2u + 2u^2)} above 0
   * and {@code (u^2 + 2u) / (u^2 + 2u + 2)} below.
   */
  private static void mish(Backward b) {
    b.give(
        0,
        () -> {
          Expr x = b.in(0);
          Expr u = x.abs().neg().exp();
          Expr above = u.times(2).plus(1);
          Expr below = u.squared().plus(u.times(2));
          Expr t =
              x.greaterThan(0)
                  .choose(above.over(above.plus(u.squared().times(2))), below.over(below.plus(2)));
          return b.g().times(t.plus(x.times(t.squared().from(1)).times(x.sigmoid())));
        });
  }

  /** Of {@code x Phi(x)}, or of its tanh form {@code x/2 (1 + tanh(c (x + 0.044715 x^3)))}. */
  private static void gelu(Backward b) {
    b.give(
        0,
        () -> {
          Expr x = b.in(0);
          if (b.node().text("approximate", "none").equals("tanh")) {
            return b.g().times(tanhGelu(x));
          }
          Expr cdf = x.times(Math.sqrt(0.5)).erf().plus(1).times(0.5);
          Expr density = x.squared().times(-0.5).exp().times(1 / Math.sqrt(2 * Math.PI));
          return b.g().times(cdf.plus(x.times(density)));
        });
  }

  /** Slope of the tanh form. Beyond 100 the tanh is 1, and the square, held there, not infinite. */
  static Expr tanhGelu(Expr x) {
    double c = Math.sqrt(2 / Math.PI);
    Expr square = x.squared().atMost(1e4);
    Expr t = x.plus(square.times(x).times(0.044715)).times(c).tanh();
    Expr inner = square.times(3 * 0.044715).plus(1).times(c);
    return x.times(t.squared().from(1)).times(inner).plus(t.plus(1)).times(0.5);
  }
}
