package io.assay.engine.patch;

/**
 * The finished paths of one chunk of pairs.
 *
 * @param chunk index
 * @param values the metric [pair of the chunk, sender]
 */
public record PathUnit(int chunk, double[] values) {
  /** Name in a ledger. */
  public String name() {
    return "chunk " + chunk;
  }
}
