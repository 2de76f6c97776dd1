package io.assay.engine.model;

import io.assay.engine.graph.Evaluator;
import io.assay.engine.graph.Graph;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Compares proposed hooks with the numbers of one run: the rows of a pattern sum to one, the mix is
 * the pattern times the values, the pattern the softmax of the scores, the scores a multiple of the
 * product of queries and keys, and the residual stream behind a block is that before it and what
 * its halves add.
 */
final class HookNumbers {
  /** Of float32 sums, over their largest entry. */
  private static final double TOLERANCE = 1e-4;

  private final Graph graph;
  private final Map<String, Tensor> inputs;
  private final Evaluator evaluator;
  private final Map<String, Tensor> values = new LinkedHashMap<>();
  private final Map<String, HookProposal> hooks = new LinkedHashMap<>();

  HookNumbers(Graph graph, Map<String, Tensor> inputs, Evaluator evaluator) {
    this.graph = graph;
    this.inputs = inputs;
    this.evaluator = evaluator;
  }

  /** The proposals, each with what its numbers say. */
  List<HookProposal> check(List<HookProposal> proposals) {
    Graph.Builder b = graph.edit();
    proposals.forEach(p -> b.output(p.value()));
    Map<String, Tensor> run = evaluator.evaluate(b.build(), inputs);
    for (HookProposal p : proposals) {
      hooks.put(p.hook(), p);
      values.put(p.hook(), shaped(run.get(p.value()), p));
    }
    for (String hook : List.copyOf(hooks.keySet())) {
      if (hook.endsWith(".hook_pattern")) {
        attention(hook.substring(0, hook.length() - "hook_pattern".length()));
      } else if (hook.endsWith("hook_resid_post")) {
        stream(hook.substring(0, hook.length() - "hook_resid_post".length()));
      }
    }
    return new ArrayList<>(hooks.values());
  }

  private void because(String hook, boolean holds, String reason) {
    hooks.computeIfPresent(hook, (_, p) -> p.because(holds, reason));
  }

  private void attention(String at) {
    Tensor pattern = values.get(at + "hook_pattern");
    double worst = 0;
    boolean causal = pattern.dim(2) == pattern.dim(3);
    long keys = pattern.dim(3);
    for (long row = 0; row < pattern.elements() / keys; row++) {
      double sum = 0;
      for (long key = 0; key < keys; key++) {
        double p = pattern.get(row * keys + key);
        sum += p;
        causal &= key <= row % pattern.dim(2) || p == 0;
      }
      // A guard makes the row of a query that may see nothing zero.
      worst = Math.max(worst, sum == 0 ? 0 : Math.abs(sum - 1));
    }
    because(
        at + "hook_pattern",
        worst <= TOLERANCE,
        worst <= TOLERANCE
            ? "rows sum to one; " + (causal ? "causal" : "not causal")
            : "rows sum to one only within " + worst);
    mixed(at, pattern);
    scores(at, pattern);
  }

  /** z = pattern times values, of the keys' head that the query's head reads. */
  private void mixed(String at, Tensor pattern) {
    Tensor v = values.get(at + "hook_v");
    Tensor z = values.get(at + "hook_z");
    if (v == null
        || z == null
        || z.rank() != 4
        || v.rank() != 4
        || pattern.dim(1) % v.dim(2) != 0) {
      return;
    }
    long group = pattern.dim(1) / v.dim(2);
    double worst = 0;
    for (long b = 0; b < z.dim(0); b++) {
      for (long t = 0; t < z.dim(1); t++) {
        for (long h = 0; h < z.dim(2); h++) {
          for (long d = 0; d < z.dim(3); d++) {
            double sum = 0;
            for (long k = 0; k < pattern.dim(3); k++) {
              sum += at(pattern, b, h, t, k) * at(v, b, k, h / group, d);
            }
            worst = Math.max(worst, Math.abs(sum - at(z, b, t, h, d)));
          }
        }
      }
    }
    if (worst <= TOLERANCE * largest(z)) {
      because(at + "hook_z", true, "is the pattern times hook_v");
      because(at + "hook_v", true, "the pattern times it is hook_z");
    }
  }

  /** Whether a value is there and of the shape [row, position, head, head width]. */
  private boolean fits(Tensor t, long positions, long heads) {
    return t != null && t.rank() == 4 && t.dim(1) == positions && t.dim(2) == heads;
  }

  /** The pattern is the softmax of the scores, and these are a multiple of q k. */
  private void scores(String at, Tensor pattern) {
    Tensor scores = values.get(at + "hook_attn_scores");
    Tensor q = values.get(at + "hook_q");
    Tensor k = values.get(at + "hook_k");
    if (scores == null || !Arrays.equals(scores.shape(), pattern.shape())) {
      return;
    }
    double worst = 0;
    long keys = pattern.dim(3);
    for (long row = 0; row < pattern.elements() / keys; row++) {
      double top = Double.NEGATIVE_INFINITY;
      for (long i = row * keys; i < (row + 1) * keys; i++) {
        top = Math.max(top, scores.get(i));
      }
      double sum = 0;
      for (long i = row * keys; i < (row + 1) * keys; i++) {
        sum += Math.exp(scores.get(i) - top);
      }
      for (long i = row * keys; i < (row + 1) * keys; i++) {
        worst = Math.max(worst, Math.abs(Math.exp(scores.get(i) - top) / sum - pattern.get(i)));
      }
    }
    because(
        at + "hook_attn_scores",
        worst <= TOLERANCE,
        worst <= TOLERANCE ? "its softmax is hook_pattern" : "what the Softmax reads");
    if (k == null
        || !fits(q, pattern.dim(2), pattern.dim(1))
        || k.rank() != 4
        || k.dim(1) != keys
        || q.dim(2) % k.dim(2) != 0
        || q.dim(3) != k.dim(3)) {
      return;
    }
    double qq = 0;
    double qs = 0;
    double ss = 0;
    long group = q.dim(2) / k.dim(2);
    for (long b = 0; b < scores.dim(0); b++) {
      for (long h = 0; h < scores.dim(1); h++) {
        for (long t = 0; t < scores.dim(2); t++) {
          for (long j = 0; j < keys; j++) {
            if (at(pattern, b, h, t, j) > 0) {
              double product = 0;
              for (long d = 0; d < q.dim(3); d++) {
                product += at(q, b, t, h, d) * at(k, b, j, h / group, d);
              }
              double s = at(scores, b, h, t, j);
              qq += product * product;
              qs += product * s;
              ss += s * s;
            }
          }
        }
      }
    }
    // One factor explains all scores if their angle to the products is zero.
    boolean multiple =
        ss > 0 && qq > 0 && 1 - Math.abs(qs) / Math.sqrt(qq * ss) <= TOLERANCE * TOLERANCE * 100;
    String why =
        multiple
            ? "the scores are a multiple of hook_q times hook_k"
            : "read by the scores, into which more enters, such as positions";
    because(at + "hook_q", multiple, why);
    because(at + "hook_k", multiple, why);
  }

  /** What is before the block and what its halves add is what is behind it. */
  private void stream(String at) {
    Tensor post = values.get(at + "hook_resid_post");
    Tensor pre = values.get(at + "hook_resid_pre");
    List<String> parts = new ArrayList<>();
    for (String part : List.of("attn", "cross_attn", "attn_2", "mlp")) {
      if (values.containsKey(at + "hook_" + part + "_out")) {
        parts.add(at + "hook_" + part + "_out");
      }
    }
    if (pre == null || pre.elements() != post.elements() || parts.size() < 2) {
      return;
    }
    double worst = 0;
    for (long i = 0; i < post.elements(); i++) {
      double sum = pre.get(i);
      for (String part : parts) {
        Tensor t = values.get(part);
        sum += t.elements() == post.elements() ? t.get(i) : Double.NaN;
      }
      double difference = Math.abs(sum - post.get(i));
      worst = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : Math.max(worst, difference);
    }
    boolean holds = worst <= TOLERANCE * largest(post);
    String why =
        holds
            ? "hook_resid_pre and what the halves add sum to hook_resid_post"
            : "hook_resid_post is not hook_resid_pre and what the halves add: the stream is"
                + " normalised or moved between";
    because(at + "hook_resid_pre", holds, why);
    because(at + "hook_resid_post", holds, why);
    because(at + "hook_resid_mid", holds, why);
    parts.forEach(part -> because(part, holds, why));
  }

  private static double at(Tensor t, long a, long b, long c, long d) {
    return t.get(((a * t.dim(1) + b) * t.dim(2) + c) * t.dim(3) + d);
  }

  private static double largest(Tensor t) {
    double largest = 1e-30;
    for (long i = 0; i < t.elements(); i++) {
      largest = Math.max(largest, Math.abs(t.get(i)));
    }
    return largest;
  }

  /** A value in the documented shape of its hook. */
  private Tensor shaped(Tensor t, HookProposal p) {
    Tensor split = t;
    if (p.rows() != null) {
      long[] whole = graph.type(p.rows()).shape();
      split = split.reshape(whole[0], whole[1], split.dim(1));
    }
    if (p.heads() > 0) {
      int last = split.rank() - 1;
      long[] shape = Arrays.copyOf(split.shape(), last + 2);
      shape[last + 1] = shape[last] / p.heads();
      shape[last] = p.heads();
      split = split.reshape(shape);
    }
    if (p.transpose().isEmpty()) {
      return split;
    }
    int rank = split.rank();
    long[] shape = new long[rank];
    for (int i = 0; i < rank; i++) {
      shape[i] = split.dim(p.transpose().get(i).intValue());
    }
    double[] out = new double[Math.toIntExact(split.elements())];
    long[] index = new long[rank];
    for (int i = 0; i < out.length; i++) {
      long rest = i;
      for (int axis = rank - 1; axis >= 0; axis--) {
        index[p.transpose().get(axis).intValue()] = rest % shape[axis];
        rest /= shape[axis];
      }
      long from = 0;
      for (int axis = 0; axis < rank; axis++) {
        from = from * split.dim(axis) + index[axis];
      }
      out[i] = split.get(from);
    }
    return Tensor.ofDoubles(out, shape);
  }
}
