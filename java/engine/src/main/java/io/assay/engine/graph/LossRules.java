package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import java.util.Map;

/** Gradients of the losses by class labels. */
final class LossRules {
  private LossRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("NegativeLogLikelihoodLoss", b -> b.give(0, () -> likelihood(b)));
    rules.put("SoftmaxCrossEntropyLoss", b -> b.give(0, () -> crossEntropy(b)));
  }

  /**
   * Of the input, the logarithms [N, C, ...]: {@code -w g} at the label's class, 0 elsewhere. w is
   * the weight of the class, 0 for the ignored label, and divided by its sum where the reduction is
   * the mean.
   */
  private static Expr likelihood(Backward b) {
    if (b.wants(2)) {
      throw new InputException(
          "no gradient is known for the class weights of node "
              + Graph.label(b.node())
              + "; take that of other values");
    }
    Expr x = b.in(0);
    Expr labels = b.in(1).cast(DType.I64);
    long classes = x.shape()[1];
    Expr weight = null;
    if (b.node().has("ignore_index")) {
      Expr ignored = labels.sameAs(b.node().integer("ignore_index", 0));
      labels = labels.unless(ignored);
      weight = ignored.choose(b.scalar(x.dtype(), 0), b.scalar(x.dtype(), 1));
    }
    if (b.has(2)) {
      Expr ofLabel = b.in(2).op("Gather", Map.of("axis", 0L), labels);
      weight = weight == null ? ofLabel : weight.times(ofLabel);
    }
    if (weight == null) {
      weight = b.scalar(x.dtype(), 1).expandTo(labels.shape());
    }
    Expr scaled = b.g().times(weight);
    if (b.node().text("reduction", "mean").equals("mean")) {
      scaled = scaled.over(weight.sumTo());
    }
    long[] shape = x.shape();
    shape[1] = 1;
    Expr hot =
        labels
            .op("OneHot", Map.of("axis", 1L), b.longs(new long[] {classes}), b.longs(0, 1))
            .cast(x.dtype());
    return hot.times(scaled.neg().reshape(shape));
  }

  /**
   * {@code d - softmax(x) sum(d)} where d is the gradient of the logarithms: that of the loss, and
   * what reached the second output, which shows them.
   */
  private static Expr crossEntropy(Backward b) {
    Expr d = likelihood(b);
    if (b.reached(1)) {
      d = d.plus(b.g(1));
    }
    Expr softmax =
        b.node().output(1).isEmpty() ? b.in(0).op("Softmax", Map.of("axis", 1L)) : b.out(1).exp();
    return d.minus(softmax.times(d.sum(1)));
  }
}
