package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * Gradients of the operators that work element by element. At a kink they are PyTorch's, as each
 * rule that has one says.
 */
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
    rules.put("Tan", b -> b.give(0, () -> b.g().times(b.out().squared().plus(1))));
    rules.put("Sinh", b -> b.give(0, () -> b.g().times(b.in(0).cosh())));
    rules.put("Cosh", b -> b.give(0, () -> b.g().times(b.in(0).sinh())));
    rules.put("Asin", b -> b.give(0, () -> b.g().over(b.in(0).squared().from(1).sqrt())));
    rules.put("Acos", b -> b.give(0, () -> b.g().over(b.in(0).squared().from(1).sqrt()).neg()));
    rules.put("Atan", b -> b.give(0, () -> b.g().over(b.in(0).squared().plus(1))));
    rules.put("Asinh", b -> b.give(0, () -> b.g().over(b.in(0).squared().plus(1).sqrt())));
    rules.put("Acosh", b -> b.give(0, () -> b.g().over(b.in(0).squared().plus(-1).sqrt())));
    rules.put("Atanh", b -> b.give(0, () -> b.g().over(b.in(0).squared().from(1))));
    rules.put("Erf", b -> b.give(0, () -> b.g().times(erfSlope(b.in(0)))));
    // PyTorch: 0 at 0.
    rules.put("Abs", b -> b.give(0, () -> b.g().times(b.in(0).sign())));

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
    // x - y trunc(x / y). PyTorch: where x / y is whole, as if it stayed so.
    rules.put(
        "Mod",
        b -> {
          b.give(0, b::g);
          b.give(1, () -> b.g().times(b.out().minus(b.in(0)).over(b.in(1))));
        });
    rules.put("Pow", ElementwiseRules::pow);
    rules.put(
        "Where",
        b -> {
          b.give(1, () -> b.g().where(b.in(0)));
          b.give(2, () -> b.g().unless(b.in(0)));
        });
    rules.put("Sum", b -> all(b, b::g));
    rules.put("Mean", b -> all(b, () -> b.g().times(1.0 / b.node().inputs().size())));
    rules.put("Max", ElementwiseRules::extreme);
    rules.put("Min", ElementwiseRules::extreme);
    rules.put("Clip", ElementwiseRules::clip);
    rules.put("Dropout", ElementwiseRules::dropout);
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

  /** The same gradient for all inputs. */
  private static void all(Backward b, Supplier<Expr> gradient) {
    for (int i = 0; i < b.node().inputs().size(); i++) {
      b.give(i, gradient);
    }
  }

  /** Of Max and Min. PyTorch: where several inputs are the extreme, each has an equal share. */
  private static void extreme(Backward b) {
    int n = b.node().inputs().size();
    if (n == 1) {
      b.give(0, b::g);
      return;
    }
    DType dtype = b.g().dtype();
    Expr holders =
        IntStream.range(0, n)
            .mapToObj(i -> b.in(i).sameAs(b.out()).cast(dtype))
            .reduce(Expr::plus)
            .orElseThrow();
    Expr share = b.g().over(holders);
    for (int i = 0; i < n; i++) {
      Expr x = b.in(i);
      b.give(i, () -> share.where(x.sameAs(b.out())));
    }
  }

  /**
   * To the input where it is strictly between the bounds, to a bound where the output is that bound
   * (the upper one first). PyTorch with bounds that are numbers: 0 for the input at a bound; with
   * bounds that are tensors it has half there.
   */
  private static void clip(Backward b) {
    Expr low = b.has(1) ? b.out().sameAs(b.in(1)) : null;
    Expr high = b.has(2) ? b.out().sameAs(b.in(2)) : null;
    Expr below = high == null ? b.g() : b.g().unless(high);
    b.give(0, () -> low == null ? below : below.unless(low));
    b.give(1, () -> below.where(low));
    b.give(2, () -> b.g().where(high));
  }

  /** The identity, as it is outside of training. */
  private static void dropout(Backward b) {
    boolean trains = b.has(2) && b.constant(2) != 0 && b.constant(1) != 0;
    if (trains) {
      throw new InputException(
          "node "
              + Graph.label(b.node())
              + " drops values at random, which has no gradient that can be repeated; export the"
              + " model in evaluation mode");
    }
    b.give(0, b::g);
  }
}
