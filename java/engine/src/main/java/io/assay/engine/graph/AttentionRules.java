package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Gradients of the fused attention operators: those of attention written out. */
final class AttentionRules {
  /** Hides a key; the runtime's choice, finite, so that a row that sees no key stays a number. */
  private static final double HIDDEN = -Float.MAX_VALUE;

  private AttentionRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Attention", b -> b.expand(() -> attention(b)));
    rules.put("RotaryEmbedding", b -> b.expand(() -> rotary(b, b.in(1), b.in(2), 3)));
    rules.put("com.microsoft.RotaryEmbedding", b -> b.expand(() -> rotary(b, b.in(2), b.in(3), 1)));
  }

  /**
   * Query, key and value by head, [row, head, position, width].
   *
   * @param past number of keys before the first query, for the causal mask
   */
  record Heads(Expr query, Expr key, Expr value, long past) {}

  private static List<Expr> attention(Backward b) {
    Node node = b.node();
    if (b.has(6)) {
      throw b.refused("with nonpad_kv_seqlen");
    }
    boolean flat = b.in(0).rank() == 3;
    Expr query = flat ? split(b.in(0), node.integer("q_num_heads", 1)) : b.in(0);
    Expr key = flat ? split(b.in(1), node.integer("kv_num_heads", 1)) : b.in(1);
    Expr value = flat ? split(b.in(2), node.integer("kv_num_heads", 1)) : b.in(2);
    long past = 0;
    if (b.has(4)) {
      past = b.in(4).shape()[2];
      key = b.concat(2, List.of(b.in(4), key));
      value = b.concat(2, List.of(b.in(5), value));
    }
    boolean causal = node.integer("is_causal", 0) != 0;
    Expr mask = b.has(3) ? mask(b, b.in(3)) : null;
    Expr z = attend(b, new Heads(query, key, value, past), node.real("scale", 0), mask, causal);
    return Arrays.asList(flat ? join(z) : z, key, value, null);
  }

  /** What is added to the scores: of a boolean mask, 0 where it holds. */
  private static Expr mask(Backward b, Expr mask) {
    if (mask.dtype() != DType.BOOL) {
      return mask;
    }
    DType dtype = b.in(0).dtype();
    return mask.choose(b.scalar(dtype, 0), b.scalar(dtype, HIDDEN));
  }

  /**
   * The mixed values [row, head, position, width]. Several heads in a row may share a key.
   *
   * @param scale factor of the scores; 0 is the root of the width
   * @param mask added to the scores, or null
   */
  static Expr attend(Backward b, Heads h, double scale, Expr mask, boolean causal) {
    long[] q = h.query.shape();
    long[] k = h.key.shape();
    long shared = q[1] / k[1];
    Expr query = h.query;
    Expr key = h.key;
    Expr value = h.value;
    if (shared > 1) {
      query = query.reshape(q[0], k[1], shared, q[2], q[3]);
      key = key.reshape(k[0], k[1], 1, k[2], k[3]);
      value = value.reshape(k[0], k[1], 1, k[2], value.shape()[3]);
    }
    double factor = scale == 0 ? 1 / Math.sqrt(q[3]) : scale;
    Expr scores = query.times(factor).matmul(key.transposed());
    double cap = b.node().real("softcap", 0);
    if (cap != 0) {
      scores = scores.times(1 / cap).tanh().times(cap);
    }
    scores = scores.reshape(q[0], q[1], q[2], k[2]);
    if (mask != null) {
      scores = scores.plus(mask);
    }
    if (causal) {
      scores = scores.plus(causal(b, q[2], k[2], h.past));
    }
    Expr pattern = b.op("Softmax", Map.of("axis", -1L), scores);
    if (shared > 1) {
      pattern = pattern.reshape(q[0], k[1], shared, q[2], k[2]);
    }
    return pattern.matmul(value).reshape(q[0], q[1], q[2], h.value.shape()[3]);
  }

  /** A query sees the keys up to its own. */
  private static Expr causal(Backward b, long queries, long keys, long past) {
    Tensor mask = Tensor.allocate(Arena.ofAuto(), b.in(0).dtype(), queries, keys);
    for (long i = 0; i < queries; i++) {
      for (long j = i + past + 1; j < keys; j++) {
        mask.set(i * keys + j, HIDDEN);
      }
    }
    return b.constant(mask);
  }

  /** [row, position, heads * width] by head. */
  static Expr split(Expr x, long heads) {
    long[] shape = x.shape();
    return x.reshape(shape[0], shape[1], heads, shape[2] / heads).transpose(0, 2, 1, 3);
  }

  /** Undoes {@link #split}. */
  static Expr join(Expr x) {
    long[] shape = x.shape();
    return x.transpose(0, 2, 1, 3).reshape(shape[0], shape[2], shape[1] * shape[3]);
  }

  /** Turns pairs of elements by the angle of their position; the rest passes. */
  private static List<Expr> rotary(Backward b, Expr cosines, Expr sines, int positions) {
    Node node = b.node();
    Expr x = b.in(0);
    boolean flat = x.rank() == 3;
    long heads = node.integer("num_heads", 0);
    if (flat) {
      long turned = 2 * cosines.shape()[cosines.rank() - 1];
      heads = heads == 0 ? x.shape()[2] / turned : heads;
      x = split(x, heads);
    }
    long[] shape = x.shape();
    long width = shape[3];
    long rotated = node.integer("rotary_embedding_dim", 0);
    rotated = rotated == 0 ? width : rotated;
    Expr cos = angles(b, cosines, positions, shape);
    Expr sin = angles(b, sines, positions, shape);
    Expr turning = x.slice(3, 0, rotated);
    boolean interleaved = node.integer("interleaved", 0) != 0;
    long half = rotated / 2;
    // Pairs lie side by side or half a width apart.
    int axis = interleaved ? 4 : 3;
    Expr pairs =
        interleaved
            ? turning.reshape(shape[0], shape[1], shape[2], half, 2)
            : turning.reshape(shape[0], shape[1], shape[2], 2, half);
    long[] one = {shape[0], shape[1], shape[2], half};
    Expr first = pairs.slice(axis, 0, 1).reshape(one);
    Expr second = pairs.slice(axis, 1, 2).reshape(one);
    long[] apart = pairs.shape();
    apart[axis] = 1;
    Expr re = first.times(cos).minus(second.times(sin)).reshape(apart);
    Expr im = first.times(sin).plus(second.times(cos)).reshape(apart);
    Expr out = b.concat(axis, List.of(re, im)).reshape(shape[0], shape[1], shape[2], rotated);
    if (rotated < width) {
      out = b.concat(3, List.of(out, x.slice(3, rotated, width)));
    }
    return List.of(flat ? join(out) : out);
  }

  /** Cosines or sines for every row and position, [row or 1, 1, position, half of the width]. */
  private static Expr angles(Backward b, Expr cache, int positions, long[] shape) {
    Expr picked = cache;
    if (b.has(positions)) {
      Expr at = b.in(positions);
      if (Tensor.elements(at.shape()) == 1 && at.rank() < 2) {
        // One number is the position of the first element.
        long[] steps = new long[(int) shape[2]];
        Arrays.setAll(steps, i -> i);
        at = at.reshape(1, 1).plus(b.longs(steps));
      }
      picked = b.op("Gather", Map.of("axis", 0L), cache, at);
    }
    long[] from = picked.shape();
    return picked.reshape(from[0], 1, from[1], from[2]);
  }
}
