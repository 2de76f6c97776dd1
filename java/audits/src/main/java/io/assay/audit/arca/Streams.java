package io.assay.audit.arca;

import java.util.SplittableRandom;
import java.util.random.RandomGenerator;

/** Where the random draws of an audit come from: one stream for each (target, restart). */
interface Streams {
  /** Increment of SplitMix64, the generator of {@link SplittableRandom}. */
  long GAMMA = 0x9E3779B97F4A7C15L;

  RandomGenerator of(int target, int restart);

  /**
   * The streams of specs/arca.md 3.2, seeded with {@code mix64(seed + (target * restarts + restart
   * + 1) * gamma)}: the number that {@link SplittableRandom} gives after that many steps. What an
   * audit draws does not depend on the other audits.
   */
  static Streams seeded(long seed, int restarts) {
    return (target, restart) -> {
      long index = (long) target * restarts + restart;
      return new SplittableRandom(new SplittableRandom(seed + index * GAMMA).nextLong());
    };
  }

  /** A token below {@code vocabulary}: floor(nextDouble * vocabulary). */
  static int draw(RandomGenerator random, int vocabulary) {
    return (int) (random.nextDouble() * vocabulary);
  }
}
