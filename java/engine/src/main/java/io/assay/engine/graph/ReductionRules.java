package io.assay.engine.graph;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.IntStream;

/** Gradients of reductions, and of the normalisations that are built on them. */
final class ReductionRules {
  private ReductionRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("ReduceSum", b -> b.give(0, () -> spread(b)));
    rules.put("ReduceMean", b -> b.give(0, () -> spread(b).times(1.0 / reduced(b))));
    rules.put("ReduceSumSquare", b -> b.give(0, () -> spread(b).times(b.in(0).times(2))));
    // PyTorch: 0 at 0.
    rules.put("ReduceL1", b -> b.give(0, () -> spread(b).times(b.in(0).sign())));
    rules.put("ReduceL2", b -> b.give(0, () -> norm(b)));
    rules.put("ReduceLogSum", b -> b.give(0, () -> spread(b).over(b.in(0).sum(axes(b)))));
    rules.put("ReduceLogSumExp", b -> b.give(0, () -> logSumExp(b)));
    rules.put("ReduceMax", b -> b.give(0, () -> extreme(b)));
    rules.put("ReduceMin", b -> b.give(0, () -> extreme(b)));
    rules.put("ReduceProd", b -> b.give(0, () -> product(b)));
    rules.put("CumSum", b -> b.give(0, () -> cumSum(b)));
    rules.put("Softmax", b -> b.give(0, () -> softmax(b)));
    rules.put("LogSoftmax", b -> b.give(0, () -> logSoftmax(b)));
    rules.put("LayerNormalization", ReductionRules::layerNormalization);
  }

  /** The gradient with the reduced axes back, to be stretched over the input. */
  private static Expr spread(Backward b) {
    return withAxes(b, b.g());
  }

  /** A value of the output's shape with the reduced axes back, of size 1. */
  private static Expr withAxes(Backward b, Expr reduced) {
    long[] shape = b.in(0).shape();
    for (long axis : axes(b)) {
      shape[(int) axis] = 1;
    }
    return reduced.reshape(shape);
  }

  /** {@code g x / y}. PyTorch: 0 where the norm is 0. */
  private static Expr norm(Backward b) {
    Expr y = withAxes(b, b.out());
    return spread(b).times(b.in(0)).over(y).unless(y.sameAs(0));
  }

  /**
   * {@code g exp(x - y)}, divided by the sum of these shares, which is 1 but for the rounding of y:
   * at 1e8 that is a factor. 0 for a term that is 0, also where all are.
   */
  private static Expr logSumExp(Backward b) {
    Expr x = b.in(0);
    Expr share = x.minus(withAxes(b, b.out())).exp();
    Expr exact = share.over(share.sum(axes(b)));
    return spread(b).times(exact).unless(x.sameAs(Double.NEGATIVE_INFINITY));
  }

  /** PyTorch's amax and amin: elements that are the extreme share the gradient evenly. */
  private static Expr extreme(Backward b) {
    Expr holds = b.in(0).sameAs(withAxes(b, b.out()));
    return spread(b).over(holds.cast(b.g().dtype()).sum(axes(b))).where(holds);
  }

  /**
   * The product of the other elements, by that of all that are not 0: divided by x where none is 0,
   * as it is for the only 0, and 0 beside another 0.
   */
  private static Expr product(Backward b) {
    Expr x = b.in(0);
    Expr isZero = x.sameAs(0);
    Expr nonZero = isZero.choose(b.scalar(x.dtype(), 1), x);
    Expr zeros = isZero.cast(x.dtype()).sum(axes(b));
    Expr others = nonZero.product(axes(b)).over(nonZero);
    return spread(b).times(others).where(zeros.sameAs(isZero.cast(x.dtype())));
  }

  /** The sum from the other end. */
  private static Expr cumSum(Backward b) {
    Map<String, Object> attributes =
        Map.of(
            "exclusive",
            b.node().integer("exclusive", 0),
            "reverse",
            1 - b.node().integer("reverse", 0));
    return b.g().op("CumSum", attributes, b.in(1));
  }

  private static long reduced(Backward b) {
    long[] shape = b.in(0).shape();
    return Arrays.stream(axes(b)).map(axis -> shape[(int) axis]).reduce(1, (x, y) -> x * y);
  }

  private static long[] axes(Backward b) {
    int rank = b.in(0).rank();
    long[] axes = b.longs("axes", 1);
    if (axes == null || axes.length == 0) {
      boolean none = b.node().integer("noop_with_empty_axes", 0) != 0;
      return none ? new long[0] : IntStream.range(0, rank).asLongStream().toArray();
    }
    return Arrays.stream(axes).map(axis -> Backward.axis(axis, rank)).toArray();
  }

  private static int softmaxAxis(Backward b) {
    return Backward.axis(b.node().integer("axis", -1), b.in(0).rank());
  }

  /**
   * {@code y (g - sum(g y))}. Exporters put 0 where y is not a number, in rows of attention that
   * are wholly masked: there the gradient is PyTorch's, which is 0.
   */
  private static Expr softmax(Backward b) {
    Expr y = b.outWhereNumber();
    return y.times(b.g().minus(b.g().times(y).sum(softmaxAxis(b))));
  }

  /** {@code g - exp(y) sum(g)}. */
  private static Expr logSoftmax(Backward b) {
    return b.g().minus(b.out().exp().times(b.g().sum(softmaxAxis(b))));
  }

  /**
   * With {@code h = (x - mean) / s}: {@code dx = (k - mean(k) - h mean(k h)) / s} where {@code k =
   * g scale}; {@code dscale = g h}, {@code dbias = g}. The optional outputs (mean, 1 / s) have no
   * gradient.
   */
  private static void layerNormalization(Backward b) {
    b.onlyFirstOutput();
    b.give(2, b::g);
    if (!b.wants(0) && !b.wants(1)) {
      return;
    }
    Expr x = b.in(0);
    int first = Backward.axis(b.node().integer("axis", -1), x.rank());
    long[] axes = IntStream.range(first, x.rank()).asLongStream().toArray();
    Expr centred = x.minus(x.mean(axes));
    Expr s = centred.squared().mean(axes).plus(b.node().real("epsilon", 1e-5)).sqrt();
    Expr h = centred.over(s);
    b.give(
        0,
        () -> {
          Expr k = b.g().times(b.in(1));
          return k.minus(k.mean(axes)).minus(h.times(k.times(h).mean(axes))).over(s);
        });
    b.give(1, () -> b.g().times(h));
  }
}
