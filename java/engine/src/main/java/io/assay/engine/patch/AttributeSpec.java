package io.assay.engine.patch;

import io.assay.engine.InputException;
import java.util.List;

/**
 * What is said of components without patching each: first-order estimates of what patching does, by
 * two forward passes and a backward one for all at once (Syed et al. 2023; Hanna et al. 2024), or
 * what each writes towards the answer itself.
 *
 * @param at hooks, for {@link Method#AP} and {@link Method#DLA}
 * @param steps gradients that are averaged, for {@link Method#EAP_IG}
 * @param rule where on the way between the prompts' embeddings they are taken
 * @param metric whose change is estimated
 */
public record AttributeSpec(
    Method method,
    String at,
    int steps,
    Rule rule,
    Direction direction,
    Metric metric,
    List<Pair> pairs) {
  /** What is estimated. */
  public enum Method {
    /** The effect of patching a component: (source - base) . gradient. */
    AP,
    /** The effect of patching an edge between two components. */
    EAP,
    /** The same with gradients averaged on the way from one prompt's embeddings to the other's. */
    EAP_IG,
    /** What a component writes into the last position along the direction of the answer. */
    DLA
  }

  /** Points between source (0) and base (1), and their weights. */
  public enum Rule {
    GAUSS_LEGENDRE,
    /** (k - 1/2) / m, k = 1..m. */
    MIDPOINT,
    /** k / m, k = 0..m-1: the sum of the released code. */
    LEGACY
  }

  private static final int MOST_STEPS = 1000;

  /**
   * @throws InputException if there are no pairs, or too few or many steps
   */
  public AttributeSpec {
    pairs = List.copyOf(pairs);
    if (pairs.isEmpty()) {
      throw new InputException("there is no pair of prompts; give at least one");
    }
    if (steps < 1 || steps > MOST_STEPS) {
      throw new InputException(
          "the number of steps must be between 1 and " + MOST_STEPS + ", not " + steps);
    }
  }

  /** Attribution patching of some hooks; the metric is the logit difference. */
  public static AttributeSpec of(String at, Direction direction, List<Pair> pairs) {
    return new AttributeSpec(
        Method.AP, at, 1, Rule.GAUSS_LEGENDRE, direction, Metric.LOGIT_DIFF, pairs);
  }

  public AttributeSpec withMethod(Method value, int count, Rule by) {
    return new AttributeSpec(value, at, count, by, direction, metric, pairs);
  }

  public AttributeSpec withMetric(Metric value) {
    return new AttributeSpec(method, at, steps, rule, direction, value, pairs);
  }

  /** Places between source and base, and weights that sum to 1: [place, weight] of each. */
  double[][] nodes() {
    if (method != Method.EAP_IG) {
      return new double[][] {{1, 1}};
    }
    double[][] nodes = new double[steps][];
    for (int k = 0; k < steps; k++) {
      nodes[k] =
          switch (rule) {
            case GAUSS_LEGENDRE -> gauss(k);
            case MIDPOINT -> new double[] {(k + 0.5) / steps, 1.0 / steps};
            case LEGACY -> new double[] {(double) k / steps, 1.0 / steps};
          };
    }
    return nodes;
  }

  /** Root k of the Legendre polynomial of degree m by Newton's method, moved to [0, 1]. */
  private double[] gauss(int k) {
    double x = Math.cos(Math.PI * (k + 0.75) / (steps + 0.5));
    double slope = 1;
    for (int i = 0; i < 100; i++) {
      double before = 1;
      double value = x;
      for (int n = 2; n <= steps; n++) {
        double next = ((2 * n - 1) * x * value - (n - 1) * before) / n;
        before = value;
        value = next;
      }
      slope = steps * (x * value - before) / (x * x - 1);
      double move = value / slope;
      x -= move;
      if (Math.abs(move) < 1e-15) {
        break;
      }
    }
    return new double[] {(1 + x) / 2, 1 / ((1 - x * x) * slope * slope)};
  }
}
