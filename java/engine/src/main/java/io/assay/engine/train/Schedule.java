package io.assay.engine.train;

/**
 * How the learning rate moves over a run: up in a straight line while it warms up, then as named.
 * The values are those of the transformers library's schedules.
 */
public enum Schedule {
  /** Stays. */
  CONSTANT,
  /** Falls in a straight line, to 0 at the end. */
  LINEAR,
  /** Falls along half a cosine, to 0 at the end. */
  COSINE;

  /**
   * What the learning rate is multiplied by.
   *
   * @param done updates done before this one; with a warm-up the first update has the factor 0
   * @param warmup updates of the warm-up
   * @param steps updates of the whole run, more than {@code done}
   */
  public double factor(long done, long warmup, long steps) {
    if (done < warmup) {
      return (double) done / warmup;
    }
    double past = (double) (done - warmup) / (steps - warmup);
    return switch (this) {
      case CONSTANT -> 1;
      case LINEAR -> 1 - past;
      case COSINE -> (1 + StrictMath.cos(Math.PI * past)) / 2;
    };
  }
}
