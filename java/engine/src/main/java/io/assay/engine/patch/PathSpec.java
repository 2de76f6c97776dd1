package io.assay.engine.patch;

import io.assay.engine.InputException;
import java.util.List;

/**
 * Effects along paths: what the metric becomes if receivers get what they would from one sender of
 * the source prompt, all other heads staying as they are on the base prompt (Wang et al. 2022).
 *
 * @param from senders, such as {@code blocks.*.attn.hook_z}, each of whose heads is one
 * @param receivers {@code logits}, or queries, keys and values of heads, separated by commas
 * @param mlps whether MLPs between the two carry the effect
 * @param at {@code all}, {@code end}, a position, or the name of one: of senders and receivers
 * @param metric what is read each time
 */
public record PathSpec(
    String from,
    String receivers,
    Mlps mlps,
    String at,
    Direction direction,
    Metric metric,
    List<Pair> pairs) {
  /** What MLPs between sender and receiver do. */
  public enum Mlps {
    /** They are recomputed, and belong to the path. */
    LIVE,
    /** They stay as they are on the base prompt: the edge alone. */
    FROZEN
  }

  /**
   * @throws InputException if there are no pairs
   */
  public PathSpec {
    pairs = List.copyOf(pairs);
    if (pairs.isEmpty()) {
      throw new InputException("there is no pair of prompts; give at least one");
    }
  }

  /** Heads to the logits, at all positions, through live MLPs; the logit difference. */
  public static PathSpec toLogits(Direction direction, List<Pair> pairs) {
    return new PathSpec(
        "blocks.*.attn.hook_z", "logits", Mlps.LIVE, "all", direction, Metric.LOGIT_DIFF, pairs);
  }

  public PathSpec withReceivers(String value) {
    return new PathSpec(from, value, mlps, at, direction, metric, pairs);
  }

  public PathSpec withMlps(Mlps value) {
    return new PathSpec(from, receivers, value, at, direction, metric, pairs);
  }

  public PathSpec withAt(String value) {
    return new PathSpec(from, receivers, mlps, value, direction, metric, pairs);
  }

  public PathSpec withFrom(String value) {
    return new PathSpec(value, receivers, mlps, at, direction, metric, pairs);
  }

  public PathSpec withMetric(Metric value) {
    return new PathSpec(from, receivers, mlps, at, direction, value, pairs);
  }

  /**
   * The position in a pair, or {@link Intervention#ALL}.
   *
   * @throws InputException if the pair has no such position
   */
  int position(int index) {
    Pair pair = pairs.get(index);
    if (at.equals("all")) {
      return Intervention.ALL;
    }
    if (at.equals("end")) {
      return pair.length() - 1;
    }
    Integer named = pair.positions().get(at);
    if (named != null) {
      return named;
    }
    if (!at.matches("\\d{1,6}") || Integer.parseInt(at) >= pair.length()) {
      throw new PatchException(
          PatchException.Reason.SHAPE,
          "pairs[%d] has no position %s; it has 0 to %d%s"
              .formatted(
                  index,
                  at,
                  pair.length() - 1,
                  pair.positions().isEmpty() ? "" : " and " + pair.positions().keySet()));
    }
    return Integer.parseInt(at);
  }
}
