package io.assay.engine.patch;

/**
 * The finished estimates of one chunk of pairs.
 *
 * @param chunk index
 * @param values of components [pair of the chunk, cell]; of edges the sums over the chunk's pairs,
 *     [source, destination]
 */
public record AttributeUnit(int chunk, double[] values) {
  /** Name in a ledger. */
  public String name() {
    return "chunk " + chunk;
  }
}
