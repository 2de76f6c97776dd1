package io.assay.engine.graph;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** All gradient rules, by operator, and the operators that have no gradient. */
final class GradientRules {
  /** Their outputs do not change, or jump, where their inputs move: no gradient flows. */
  private static final Set<String> CONSTANT =
      Set.of(
          "Shape",
          "Size",
          "ConstantOfShape",
          "Range",
          "ArgMax",
          "ArgMin",
          "NonZero",
          "Equal",
          "Less",
          "LessOrEqual",
          "Greater",
          "GreaterOrEqual",
          "Not",
          "And",
          "Or",
          "Xor",
          "IsNaN",
          "IsInf",
          "Floor",
          "Ceil",
          "Round",
          "Sign",
          "EyeLike");

  /** By {@link Node#qualifiedOp}. */
  private static final Map<String, GradientRule> RULES = new HashMap<>();

  static {
    ElementwiseRules.register(RULES);
    ActivationRules.register(RULES);
    ProductRules.register(RULES);
    ReductionRules.register(RULES);
    LayoutRules.register(RULES);
    IndexingRules.register(RULES);
    LossRules.register(RULES);
    ConvolutionRules.register(RULES);
    PoolingRules.register(RULES);
    NormalisationRules.register(RULES);
    RecurrentRules.register(RULES);
    AttentionRules.register(RULES);
    EinsumRules.register(RULES);
    ContribRules.register(RULES);
  }

  /** Control flow and sequences, which {@link Graph#specialise} writes out by other operators. */
  private static final Set<String> WRITTEN_OUT =
      Set.of(
          "If",
          "Loop",
          "Scan",
          "SequenceEmpty",
          "SequenceConstruct",
          "SplitToSequence",
          "SequenceAt",
          "SequenceInsert",
          "SequenceErase",
          "SequenceLength",
          "ConcatFromSequence");

  private GradientRules() {}

  /** The rule of a node's operator, or null if there is none. */
  static GradientRule of(Node node) {
    return RULES.get(node.qualifiedOp());
  }

  /** Whether there is no gradient through nodes of this operator, for want of a rule. */
  static boolean isMissing(Node node) {
    boolean writtenOut = node.domain().isEmpty() && WRITTEN_OUT.contains(node.op());
    return of(node) == null && !isConstant(node) && !writtenOut;
  }

  /** Whether no gradient flows through a node. */
  static boolean isConstant(Node node) {
    return node.domain().isEmpty() && CONSTANT.contains(node.op());
  }
}
