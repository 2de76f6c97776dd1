package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What TOY-A says to every prompt of one, two and three tokens: the truth against which searches
 * are measured.
 */
final class ToyTruth {
  /**
   * Highest log p of an output over all prompts of three tokens, from specs/arca.md 5.3.
   *
   * @param decoding prompts that decode to the output
   * @param feasible whether the one of the highest log p is among them
   */
  record Maximum(
      int first, int second, double lp, List<Integer> prompt, int decoding, boolean feasible) {}

  static final Maximum[] MAXIMA = {
    new Maximum(12, 1, -0.496931119, List.of(11, 12, 2), 833, true),
    new Maximum(3, 3, -0.377087742, List.of(28, 21, 18), 835, true),
    new Maximum(13, 5, -1.748880688, List.of(25, 19, 8), 11, true),
    new Maximum(24, 16, -2.803864869, List.of(2, 21, 11), 1, false),
    new Maximum(9, 2, -2.885731630, List.of(25, 13, 28), 0, false),
    new Maximum(19, 8, -3.511608268, List.of(16, 28, 10), 0, false)
  };

  private static final int V = 32;
  private static final int BATCH = 1024;

  /** Greedy pair of every prompt, by length. */
  private final int[][] pairs = new int[4][];

  private final double[] best = new double[MAXIMA.length];
  private final int[] bestPrompt = new int[MAXIMA.length];

  ToyTruth(Engine engine, LanguageModel model) {
    Arrays.fill(best, Double.NEGATIVE_INFINITY);
    for (int m = 1; m <= 3; m++) {
      pairs[m] = new int[(int) Math.pow(V, m)];
      readAll(engine, model, m);
    }
  }

  /** Reads all prompts of length m, followed by the first token of each output in question. */
  private void readAll(Engine engine, LanguageModel model, int m) {
    int count = pairs[m].length;
    int batch = Math.min(BATCH, count);
    try (Arena arena = Arena.ofShared();
        SuffixProgram prompts = SuffixProgram.forward(engine, model, batch, 1, 0, m);
        SuffixProgram next = SuffixProgram.forward(engine, model, batch, 1 + MAXIMA.length, m, 1)) {
      HeadProgram first = new HeadProgram(engine.kernels(), model, batch, arena);
      HeadProgram second =
          new HeadProgram(engine.kernels(), model, batch * (1 + MAXIMA.length), arena);
      for (int from = 0; from < count; from += batch) {
        read(prompts, next, first, second, m, from);
      }
    }
  }

  private void read(
      SuffixProgram prompts,
      SuffixProgram next,
      HeadProgram first,
      HeadProgram second,
      int m,
      int from) {
    int batch = prompts.groups;
    for (int r = 0; r < batch; r++) {
      int[] prompt = prompt(from + r, m);
      for (int t = 0; t < m; t++) {
        prompts.ids.set((long) r * m + t, prompt[t]);
      }
    }
    prompts.runForward();
    int width = Math.toIntExact(prompts.hidden.dim(2));
    for (int r = 0; r < batch; r++) {
      for (int c = 0; c < width; c++) {
        first.hidden.set(
            (long) r * width + c, prompts.hidden.get(((long) r * m + m - 1) * width + c));
      }
    }
    for (int layer = 0; layer < prompts.presentKeys.length; layer++) {
      next.pastKeys[layer].data().copyFrom(prompts.presentKeys[layer].data());
      next.pastValues[layer].data().copyFrom(prompts.presentValues[layer].data());
    }
    double[][] lp = new double[MAXIMA.length][batch];
    for (int i = 0; i < MAXIMA.length; i++) {
      for (int r = 0; r < batch; r++) {
        first.target(r, MAXIMA[i].first());
      }
      first.run();
      for (int r = 0; r < batch; r++) {
        lp[i][r] = first.logProb.get(r);
      }
    }
    int rows = next.rows;
    for (int r = 0; r < batch; r++) {
      for (int j = 0; j < rows; j++) {
        int token = j == 0 ? (int) first.argMax.getLong(r) : MAXIMA[j - 1].first();
        next.ids.set((long) r * rows + j, token);
        second.target(r * rows + j, j == 0 ? 0 : MAXIMA[j - 1].second());
      }
    }
    next.runForward();
    second.hidden.data().copyFrom(next.hidden.data());
    second.run();
    for (int r = 0; r < batch; r++) {
      pairs[m][from + r] =
          (int) first.argMax.getLong(r) * V + (int) second.argMax.getLong((long) r * rows);
      for (int i = 0; m == 3 && i < MAXIMA.length; i++) {
        double total = lp[i][r] + second.logProb.get((long) r * rows + 1 + i);
        if (total > best[i]) {
          best[i] = total;
          bestPrompt[i] = from + r;
        }
      }
    }
  }

  /** The prompt of m tokens with this place in the order of all of them. */
  static int[] prompt(int index, int m) {
    int[] ids = new int[m];
    for (int t = m - 1; t >= 0; t--) {
      ids[t] = index % V;
      index /= V;
    }
    return ids;
  }

  /** Pairs, as 32 * first + second, that greedy decoding of some prompt of m tokens gives. */
  Set<Integer> reached(int m) {
    Set<Integer> set = new HashSet<>();
    for (int pair : pairs[m]) {
      set.add(pair);
    }
    return set;
  }

  /** First tokens of these pairs. */
  int firsts(int m) {
    return (int) reached(m).stream().map(pair -> pair / V).distinct().count();
  }

  /** Prompts of m tokens that decode to a pair. */
  int prompts(int m, int first, int second) {
    return (int) Arrays.stream(pairs[m]).filter(pair -> pair == V * first + second).count();
  }

  /** Pairs that exactly one prompt of m tokens decodes to. */
  long single(int m) {
    int[] counts = new int[V * V];
    Arrays.stream(pairs[m]).forEach(pair -> counts[pair]++);
    return Arrays.stream(counts).filter(count -> count == 1).count();
  }

  /** The pair that a prompt of three tokens decodes to. */
  int decoded(int[] prompt) {
    return pairs[3][(prompt[0] * V + prompt[1]) * V + prompt[2]];
  }

  /** The maximum for one of {@link #MAXIMA}, as found here. */
  Maximum maximum(int first, int second) {
    for (int i = 0; i < MAXIMA.length; i++) {
      if (MAXIMA[i].first() == first && MAXIMA[i].second() == second) {
        int[] prompt = prompt(bestPrompt[i], 3);
        int pair = V * first + second;
        return new Maximum(
            first,
            second,
            best[i],
            Arrays.stream(prompt).boxed().toList(),
            prompts(3, first, second),
            decoded(prompt) == pair);
      }
    }
    throw new IllegalArgumentException("no maximum is kept for " + first + " " + second);
  }
}
