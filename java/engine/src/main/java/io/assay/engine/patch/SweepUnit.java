package io.assay.engine.patch;

/**
 * A finished piece of a sweep: one hook, for some pairs and positions.
 *
 * @param hook index among the hooks that the specification names
 * @param chunk index of the chunk of pairs and positions
 * @param values the metric, [pair of the chunk, position of the chunk, head]
 */
public record SweepUnit(int hook, int chunk, double[] values) {
  /** Name in a ledger. */
  public String name() {
    return "hook " + hook + " chunk " + chunk;
  }
}
