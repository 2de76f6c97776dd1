package io.assay.engine.patch;

import java.util.List;

/** A way to do one chunk of a sweep. */
interface SweepWork extends AutoCloseable {
  /**
   * Pairs that are done together, and which of the map's positions.
   *
   * @param pairs indices, of one length and with the same places
   * @param from first position of the map
   * @param to behind the last
   */
  record Chunk(List<Integer> pairs, int from, int to) {}

  /** The metric [pair, position, head] for one hook. */
  double[] values(HookPoint hook);

  @Override
  void close();
}
