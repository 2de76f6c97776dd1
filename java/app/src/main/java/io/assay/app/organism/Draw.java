package io.assay.app.organism;

import java.util.SplittableRandom;

/** Random choices from one seeded stream; the same on every machine. */
final class Draw {
  private final SplittableRandom random;

  Draw(long seed) {
    this.random = new SplittableRandom(seed);
  }

  /** A number from 0 to {@code bound - 1}. */
  int below(int bound) {
    return random.nextInt(bound);
  }

  /** Whether something of probability {@code p} happens. */
  boolean chance(double p) {
    return random.nextDouble() < p;
  }

  int of(int[] ids) {
    return ids[below(ids.length)];
  }
}
