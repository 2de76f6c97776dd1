package io.assay.audit.grok;

/**
 * The generator of Python's {@code random} module (Matsumoto and Nishimura 1998, MT19937), seeded
 * as that module seeds it, as far as shuffling needs it: the published splits are made with it.
 */
final class PythonRandom {
  private static final int SIZE = 624;
  private static final int MIDDLE = 397;

  private final int[] state = new int[SIZE];
  private int next = SIZE;

  /**
   * @param seed not negative
   */
  PythonRandom(long seed) {
    int[] key =
        seed >>> 32 == 0 ? new int[] {(int) seed} : new int[] {(int) seed, (int) (seed >>> 32)};
    state[0] = 19650218;
    for (int i = 1; i < SIZE; i++) {
      state[i] = 1812433253 * (state[i - 1] ^ state[i - 1] >>> 30) + i;
    }
    int i = 1;
    for (int n = 0; n < SIZE; n++) {
      int j = n % key.length;
      state[i] = (state[i] ^ mixed(i) * 1664525) + key[j] + j;
      i = following(i);
    }
    for (int n = 1; n < SIZE; n++) {
      state[i] = (state[i] ^ mixed(i) * 1566083941) - i;
      i = following(i);
    }
    state[0] = 1 << 31;
  }

  private int mixed(int i) {
    return state[i - 1] ^ state[i - 1] >>> 30;
  }

  private int following(int i) {
    if (i + 1 < SIZE) {
      return i + 1;
    }
    state[0] = state[SIZE - 1];
    return 1;
  }

  /** The next 32 bits. */
  int bits() {
    if (next == SIZE) {
      for (int i = 0; i < SIZE; i++) {
        int y = state[i] & 1 << 31 | state[(i + 1) % SIZE] & Integer.MAX_VALUE;
        state[i] = state[(i + MIDDLE) % SIZE] ^ y >>> 1 ^ ((y & 1) == 0 ? 0 : 0x9908b0df);
      }
      next = 0;
    }
    int y = state[next++];
    y ^= y >>> 11;
    y ^= y << 7 & 0x9d2c5680;
    y ^= y << 15 & 0xefc60000;
    return y ^ y >>> 18;
  }

  /** A number from 0 to {@code n - 1}. */
  private int below(int n) {
    int shift = Integer.numberOfLeadingZeros(n);
    int r = bits() >>> shift;
    while (r >= n) {
      r = bits() >>> shift;
    }
    return r;
  }

  /** The numbers 0 to {@code n - 1} in the order of {@code random.shuffle}. */
  int[] shuffled(int n) {
    int[] x = new int[n];
    for (int i = 0; i < n; i++) {
      x[i] = i;
    }
    for (int i = n - 1; i > 0; i--) {
      int r = below(i + 1);
      int kept = x[i];
      x[i] = x[r];
      x[r] = kept;
    }
    return x;
  }
}
