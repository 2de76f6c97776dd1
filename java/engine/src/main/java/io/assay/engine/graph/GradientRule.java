package io.assay.engine.graph;

/**
 * The vector-Jacobian product of one operator: from the gradient of a node's outputs to those of
 * its inputs. It reads like the formula:
 *
 * <pre>
 *   rules.put("Mul", b -&gt; {
 *     b.give(0, () -&gt; b.g().times(b.in(1)));
 *     b.give(1, () -&gt; b.g().times(b.in(0)));
 *   });
 * </pre>
 *
 * <p>{@link Backward#give} computes nothing that is not needed, and undoes broadcasting.
 */
@FunctionalInterface
interface GradientRule {
  void apply(Backward b);
}
