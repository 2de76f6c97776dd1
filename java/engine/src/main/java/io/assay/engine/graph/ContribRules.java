package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Gradients of the fused operators that exporters and the runtime's optimiser write, by the
 * standard operators that they were fused from.
 */
final class ContribRules {
  private ContribRules() {}

  static void register(Map<String, GradientRule> rules) {
    expanded(rules, "FusedMatMul", ContribRules::fusedMatMul);
    expanded(rules, "FusedGemm", b -> activated(b, without(b, "Gemm")));
    expanded(rules, "FusedConv", ContribRules::fusedConv);
    expanded(rules, "Gelu", b -> gelu(b.in(0)));
    expanded(rules, "BiasGelu", b -> gelu(b.in(0).plus(b.in(1))));
    rules.put("com.microsoft.FastGelu", ContribRules::fastGelu);
    expanded(rules, "QuickGelu", ContribRules::quickGelu);
    rules.put(
        "com.microsoft.SkipLayerNormalization",
        b -> b.expand(() -> skipped(b, "LayerNormalization", 4)));
    rules.put(
        "com.microsoft.SkipSimplifiedLayerNormalization",
        b -> b.expand(() -> skipped(b, "SimplifiedLayerNormalization", 3)));
    rules.put("com.microsoft.EmbedLayerNormalization", b -> b.expand(() -> embedded(b)));
    expanded(rules, "MultiHeadAttention", ContribRules::multiHead);
    expanded(rules, "Attention", ContribRules::packedAttention);
  }

  private static void expanded(
      Map<String, GradientRule> rules, String op, Function<Backward, Expr> body) {
    rules.put("com.microsoft." + op, b -> b.expand(() -> List.of(body.apply(b))));
  }

  private static Expr fusedMatMul(Backward b) {
    Node node = b.node();
    if (node.integer("transBatchA", 0) != 0 || node.integer("transBatchB", 0) != 0) {
      throw b.refused("with swapped batch axes");
    }
    boolean first = node.integer("transA", 0) != 0 && b.in(0).rank() > 1;
    boolean second = node.integer("transB", 0) != 0 && b.in(1).rank() > 1;
    Expr x = first ? b.in(0).transposed() : b.in(0);
    double alpha = node.real("alpha", 1);
    if (!first && b.in(1).rank() == 2 && x.rank() >= 2) {
      // A weight is not transposed, since that would copy it.
      long[] shape = x.shape();
      Expr rows = x.reshape(-1, shape[shape.length - 1]).gemm(b.in(1), false, second, alpha);
      shape[shape.length - 1] = rows.shape()[1];
      return rows.reshape(shape);
    }
    return x.matmul(second ? b.in(1).transposed() : b.in(1)).times(alpha);
  }

  private static Expr fusedConv(Backward b) {
    Expr y = without(b, "Conv");
    return activated(b, b.has(3) ? y.plus(b.in(3)) : y);
  }

  /** The standard operator that the node is without its activation function. */
  private static Expr without(Backward b, String op) {
    Map<String, Object> attributes = new HashMap<>(b.node().attributes());
    attributes.keySet().removeIf(name -> name.startsWith("activation"));
    Expr[] inputs = new Expr[b.has(2) ? 3 : 2];
    Arrays.setAll(inputs, b::in);
    return b.op(op, attributes, inputs);
  }

  private static Expr activated(Backward b, Expr x) {
    Node node = b.node();
    double[] given = node.reals("activation_params");
    double alpha = node.real("activation_alpha", given == null ? 0.01 : given[0]);
    double beta = node.real("activation_beta", given == null || given.length < 2 ? 0 : given[1]);
    String name = node.text("activation", "");
    DType dtype = x.dtype();
    return switch (name) {
      case "" -> x;
      case "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign" -> b.op(name, Map.of(), x);
      case "LeakyRelu", "Elu" -> b.op(name, Map.of("alpha", (float) alpha), x);
      case "HardSigmoid" -> b.op(name, Map.of("alpha", (float) alpha, "beta", (float) beta), x);
      case "Clip" -> b.op(name, Map.of(), x, b.scalar(dtype, given[0]), b.scalar(dtype, given[1]));
      default -> throw b.refused("for the activation function " + name);
    };
  }

  /** Written out, since Gelu is an operator of set 20. */
  private static Expr gelu(Expr x) {
    return x.times(x.times(Math.sqrt(0.5)).erf().plus(1)).times(0.5);
  }

  /** The tanh form of Gelu, of x or of x and a bias. */
  private static void fastGelu(Backward b) {
    Expr g = b.g().times(ActivationRules.tanhGelu(b.has(1) ? b.in(0).plus(b.in(1)) : b.in(0)));
    b.give(0, () -> g);
    b.give(1, () -> g);
  }

  private static Expr quickGelu(Backward b) {
    Expr x = b.in(0);
    return x.times(b.op("Sigmoid", Map.of(), x.times(b.node().real("alpha", 1.702))));
  }

  /** The sum is the last of the outputs; mean and deviation have no gradient. */
  private static List<Expr> skipped(Backward b, String norm, int bias) {
    Expr sum = b.in(0).plus(b.in(1));
    if (b.has(bias)) {
      sum = sum.plus(b.in(bias));
    }
    Expr shift = bias == 4 && b.has(3) ? b.in(3) : null;
    return Arrays.asList(normalised(b, norm, sum, b.in(2), shift), null, null, sum);
  }

  private static Expr normalised(Backward b, String norm, Expr x, Expr scale, Expr shift) {
    Map<String, Object> attributes =
        Map.of("epsilon", (float) b.node().real("epsilon", 1e-12), "axis", -1L);
    return shift == null
        ? b.op(norm, attributes, x, scale)
        : b.op(norm, attributes, x, scale, shift);
  }

  private static List<Expr> embedded(Backward b) {
    Expr sum = b.op("Gather", Map.of(), b.in(2), b.in(0));
    long positions = b.in(0).shape()[1];
    Expr places =
        b.has(8) ? b.op("Gather", Map.of(), b.in(3), b.in(8)) : b.in(3).slice(0, 0, positions);
    sum = sum.plus(places);
    if (b.has(1)) {
      sum = sum.plus(b.op("Gather", Map.of(), b.in(4), b.in(1)));
    }
    Expr y = normalised(b, "LayerNormalization", sum, b.in(5), b.in(6));
    return Arrays.asList(y, null, sum);
  }

  private static Expr multiHead(Backward b) {
    if (b.has(4) || b.has(6)) {
      throw b.refused("with a key padding mask or a past");
    }
    Expr query = b.in(0);
    Expr key = b.in(1);
    Expr value = b.in(2);
    if (b.has(3)) {
      long q = query.shape()[2];
      long k = q + key.shape()[2];
      query = query.plus(b.in(3).slice(0, 0, q));
      key = key.plus(b.in(3).slice(0, q, k));
      value = value.plus(b.in(3).slice(0, k, k + value.shape()[2]));
    }
    return mixed(b, query, key, value, b.has(5) ? b.in(5) : null);
  }

  /**
   * Query, key and value by one product; a mask [row, position] of integers hides where it is 0.
   */
  private static Expr packedAttention(Backward b) {
    Node node = b.node();
    boolean hides = b.has(3) && b.in(3).rank() != 2;
    if (b.has(4) || b.has(6) || hides || node.integer("do_rotary", 0) != 0) {
      throw b.refused("with a past, a mask of lengths, or rotation");
    }
    Expr x = b.in(0);
    long[] shape = x.shape();
    Expr all = x.reshape(-1, shape[2]).gemm(b.in(1), false, false, 1);
    if (b.has(2)) {
      all = all.plus(b.in(2));
    }
    all = all.reshape(shape[0], shape[1], b.in(1).shape()[1]);
    long[] sizes = node.integers("qkv_hidden_sizes");
    long q = sizes == null ? all.shape()[2] / 3 : sizes[0];
    long k = q + (sizes == null ? q : sizes[1]);
    Expr mask = null;
    if (b.has(3)) {
      Expr seen = b.in(3).cast(x.dtype()).reshape(shape[0], 1, 1, b.in(3).shape()[1]);
      mask = seen.from(1).times(node.real("mask_filter_value", -10000));
    }
    if (b.has(5)) {
      mask = mask == null ? b.in(5) : mask.plus(b.in(5));
    }
    return mixed(b, all.slice(2, 0, q), all.slice(2, q, k), all.slice(2, k, all.shape()[2]), mask);
  }

  private static Expr mixed(Backward b, Expr query, Expr key, Expr value, Expr mask) {
    Node node = b.node();
    long heads = node.integer("num_heads", 1);
    AttentionRules.Heads split =
        new AttentionRules.Heads(
            AttentionRules.split(query, heads),
            AttentionRules.split(key, heads),
            AttentionRules.split(value, heads),
            0);
    boolean causal = node.integer("unidirectional", 0) != 0;
    return AttentionRules.join(
        AttentionRules.attend(b, split, node.real("scale", 0), mask, causal));
  }
}
