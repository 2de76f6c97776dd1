package io.assay.audit.ioi;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * Where the heads of a model attend, as mean shares of attention (specs/ioi.md 3.5).
 *
 * @param name what is measured
 * @param shares [layer][head]
 */
public record HeadScores(String name, double[][] shares) {
  /** Sequences that are run together, and weights of attention that are held at once: 256 MB. */
  private static final int ROWS = 32;

  private static final long HELD = 1L << 26;

  /** A place that attention goes from and one that it goes to; -1 leaves a row out. */
  private interface Pick {
    int at(int row, int query);
  }

  /**
   * Attention between the named tokens of prompts: from END to IO and to S (both mentions), from S2
   * to S1 and to the token behind S1.
   *
   * @throws InputException if the model has no {@code hook_pattern}, or there is no prompt
   */
  public static List<HeadScores> ofPrompts(
      Engine engine, LanguageModel model, List<Example> prompts) {
    List<long[]> ids = prompts.stream().map(Example::ids).toList();
    List<Positions> at = prompts.stream().map(Example::positions).toList();
    try (Patterns patterns = new Patterns(engine, model, ids)) {
      double[][] one = patterns.mean((r, q) -> q == at.get(r).end() ? at.get(r).s1() : -1);
      double[][] two = patterns.mean((r, q) -> q == at.get(r).end() ? at.get(r).s2() : -1);
      for (int l = 0; l < one.length; l++) {
        for (int h = 0; h < one[l].length; h++) {
          one[l][h] += two[l][h];
        }
      }
      return List.of(
          new HeadScores(
              "END to IO", patterns.mean((r, q) -> q == at.get(r).end() ? at.get(r).io() : -1)),
          new HeadScores("END to S", one),
          new HeadScores(
              "S2 to S1", patterns.mean((r, q) -> q == at.get(r).s2() ? at.get(r).s1() : -1)),
          new HeadScores(
              "S2 to S1+1",
              patterns.mean((r, q) -> q == at.get(r).s2() ? at.get(r).s1Next() : -1)));
    }
  }

  /**
   * The patterns of some heads in one sequence.
   *
   * @return [head][query * tokens + key]
   * @throws InputException if the model has no {@code hook_pattern}
   */
  public static float[][] patterns(
      Engine engine, LanguageModel model, long[] ids, List<Node> heads) {
    try (Patterns patterns = new Patterns(engine, model, List.of(ids))) {
      return patterns.of(heads);
    }
  }

  /**
   * Attention on random tokens that are repeated once: to the token before, to the same token
   * earlier (duplicate), and to the one behind that (induction); means over all places that have
   * one.
   *
   * @param half tokens before the repetition, all different
   * @param first least token to draw
   * @param last greatest
   * @param bos token before all, or -1 for none
   * @param rows sequences
   * @throws InputException if the model has no {@code hook_pattern}, or the sequences do not fit it
   */
  public static List<HeadScores> ofRepetition(
      Engine engine,
      LanguageModel model,
      int half,
      int first,
      int last,
      int bos,
      int rows,
      long seed) {
    if (last - first + 1 < half || first < 0 || last >= model.vocabulary()) {
      throw new InputException(
          half
              + " different tokens are drawn from "
              + first
              + " to "
              + last
              + "; give a range of that many ids of the model, which end at "
              + (model.vocabulary() - 1));
    }
    int lead = bos < 0 ? 0 : 1;
    SplittableRandom random = new SplittableRandom(seed);
    List<long[]> ids = new ArrayList<>();
    for (int r = 0; r < rows; r++) {
      long[] row = new long[lead + 2 * half];
      row[0] = bos;
      for (int i = 0; i < half; i++) {
        long drawn;
        int from = lead;
        int to = lead + i;
        do {
          drawn = random.nextInt(first, last + 1);
        } while (contains(row, from, to, drawn));
        row[to] = drawn;
        row[to + half] = drawn;
      }
      ids.add(row);
    }
    try (Patterns patterns = new Patterns(engine, model, ids)) {
      return List.of(
          new HeadScores("previous token", patterns.mean((r, q) -> q - 1)),
          new HeadScores("duplicate", patterns.mean((r, q) -> q < lead + half ? -1 : q - half)),
          new HeadScores(
              "induction", patterns.mean((r, q) -> q < lead + half ? -1 : q - half + 1)));
    }
  }

  private static boolean contains(long[] row, int from, int to, long id) {
    return Arrays.stream(row, from, to).anyMatch(other -> other == id);
  }

  /** The attention patterns of some sequences, which are filled up on the right. */
  private static final class Patterns implements AutoCloseable {
    private final Session session;
    private final List<String> hooks;
    private final List<long[]> sequences;
    private final int length;
    private final int together;

    Patterns(Engine engine, LanguageModel model, List<long[]> sequences) {
      this.sequences = sequences;
      this.length = sequences.stream().mapToInt(ids -> ids.length).max().orElse(0);
      this.hooks =
          model.model().hooks().names().stream()
              .filter(hook -> hook.matches("blocks\\.\\d+\\.attn\\.hook_pattern"))
              .toList();
      if (hooks.isEmpty() || sequences.isEmpty()) {
        throw new InputException(
            hooks.isEmpty()
                ? "the model "
                    + model.model().name()
                    + " has no hook blocks.0.attn.hook_pattern; bind it by a hook map"
                : "there is no sequence; give at least one");
      }
      Graph graph = model.model().hooks().expose(model.whole(), hooks);
      this.session = engine.compile(graph.slice(List.of("input_ids"), hooks));
      long each = (long) hooks.size() * Math.max(1, model.heads()) * length * length;
      this.together = Math.clamp(HELD / each, 1, ROWS);
    }

    /** Mean share from each query to the key that is picked, over all places that have one. */
    double[][] mean(Pick key) {
      double[][] sums = new double[hooks.size()][];
      long count = 0;
      for (int from = 0; from < sequences.size(); from += together) {
        List<long[]> chunk = sequences.subList(from, Math.min(sequences.size(), from + together));
        long[] ids = new long[chunk.size() * length];
        for (int r = 0; r < chunk.size(); r++) {
          System.arraycopy(chunk.get(r), 0, ids, r * length, chunk.get(r).length);
        }
        Map<String, Tensor> seen =
            session.run(Map.of("input_ids", Tensor.ofLongs(ids, chunk.size(), length)));
        for (int r = 0; r < chunk.size(); r++) {
          for (int q = 0; q < chunk.get(r).length; q++) {
            int k = key.at(from + r, q);
            count += k < 0 ? 0 : 1;
            for (int layer = 0; k >= 0 && layer < sums.length; layer++) {
              sums[layer] = add(sums[layer], seen.get(hooks.get(layer)), r, q, k);
            }
          }
        }
      }
      for (double[] layer : sums) {
        for (int h = 0; h < layer.length; h++) {
          layer[h] /= count;
        }
      }
      return sums;
    }

    /** Those of the first sequence. */
    float[][] of(List<Node> heads) {
      long[] ids = sequences.getFirst();
      Map<String, Tensor> seen = session.run(Map.of("input_ids", Tensor.ofLongs(ids, 1, length)));
      float[][] found = new float[heads.size()][length * length];
      for (int i = 0; i < found.length; i++) {
        Tensor pattern = seen.get(hooks.get(heads.get(i).layer()));
        long first = (long) heads.get(i).head() * length * length;
        for (int at = 0; at < found[i].length; at++) {
          found[i][at] = (float) pattern.get(first + at);
        }
      }
      return found;
    }

    private static double[] add(double[] sums, Tensor pattern, long row, long query, long key) {
      int heads = Math.toIntExact(pattern.dim(1));
      double[] all = sums == null ? new double[heads] : sums;
      for (int h = 0; h < heads; h++) {
        long place = ((row * heads + h) * pattern.dim(2) + query) * pattern.dim(3) + key;
        all[h] += pattern.get(place);
      }
      return all;
    }

    @Override
    public void close() {
      session.close();
    }
  }
}
