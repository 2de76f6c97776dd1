package io.assay.engine.patch;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Patches that recompute only what they change: from the patched layer on, and of each patched copy
 * the rows from the patched position on, beside the base run's keys and values; of the last block
 * the last position only.
 */
final class SuffixSweep implements SweepWork {
  /**
   * Rows of the patched copies that are held at once. At GPT-2 small's width four times as many
   * make a row 16 % slower, since what is around the products then leaves the cache; the products
   * themselves gain nothing from 700 rows on.
   */
  static final int MOST_ROWS = 1536;

  /** Parts of a block that can be patched so. */
  private static final Set<String> BEFORE_ATTENTION =
      Set.of("hook_q", "hook_k", "hook_v", "hook_pattern");

  private static final Set<String> AFTER_ATTENTION =
      Set.of("hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post");

  private final LanguageModel model;
  private final SweepSpec spec;
  private final Chunk chunk;
  private final int heads;
  private final Ablation ablation;
  private final BlockSessions sessions;
  private final int[] positions;
  private final boolean all;
  private final Layout layout;
  private final BaseCache base;

  /**
   * Rows of the base run that are patched, in the order of the sequences: each has as many patched
   * rows as a sequence has copies, side by side.
   */
  private final int[] places;

  SuffixSweep(
      LanguageModel model,
      SweepSpec spec,
      Places places,
      Chunk chunk,
      int heads,
      Ablation ablation,
      BlockSessions sessions,
      BaseCache base) {
    this.model = model;
    this.spec = spec;
    this.chunk = chunk;
    this.heads = heads;
    this.ablation = ablation;
    this.sessions = sessions;
    this.base = base;
    int[] at = places.at().get(chunk.pairs().getFirst());
    positions = Arrays.copyOfRange(at, chunk.from(), chunk.to());
    all = positions[0] == Intervention.ALL;
    List<Integer> starts =
        all ? List.of(0) : Arrays.stream(positions).distinct().sorted().boxed().toList();
    layout = new Layout(chunk.pairs().size(), heads, base.length(), starts);
    this.places =
        starts.stream()
            .flatMapToInt(
                start ->
                    IntStream.range(0, layout.prompts())
                        .flatMap(
                            prompt ->
                                IntStream.range(start, start + patched(start))
                                    .map(t -> prompt * base.length() + t)))
            .toArray();
  }

  /** Whether such a sweep knows a hook. */
  static boolean knows(HookPoint hook) {
    return hook.layer() >= 0
        && (BEFORE_ATTENTION.contains(hook.part())
            || AFTER_ATTENTION.contains(hook.part())
            || hook.part().equals("hook_resid_pre"));
  }

  /** Chunks of pairs that are alike, so that each holds no more rows than it may. */
  static List<Chunk> chunks(List<Integer> pairs, int[] positions, int length, int copies) {
    List<int[]> ranges = new ArrayList<>();
    int from = 0;
    int rows = 0;
    int most = 0;
    for (int i = 0; i < positions.length; i++) {
      int its = copies * (length - Math.max(0, positions[i]));
      if (i > from && rows + its > MOST_ROWS) {
        ranges.add(new int[] {from, i});
        from = i;
        rows = 0;
      }
      rows += its;
      most = Math.max(most, rows);
    }
    ranges.add(new int[] {from, positions.length});
    int together = Math.max(1, MOST_ROWS / most);
    List<Chunk> chunks = new ArrayList<>();
    for (int p = 0; p < pairs.size(); p += together) {
      List<Integer> part = pairs.subList(p, Math.min(pairs.size(), p + together));
      ranges.forEach(range -> chunks.add(new Chunk(List.copyOf(part), range[0], range[1])));
    }
    return chunks;
  }

  @Override
  public double[] values(HookPoint hook) {
    try (Arena arena = Arena.ofShared()) {
      return values(arena, hook);
    }
  }

  private double[] values(Arena arena, HookPoint hook) {
    int layer = hook.layer();
    int next = hook.part().equals("hook_resid_pre") ? layer : layer + 1;
    Tensor source = source(arena, hook);
    boolean attends = BEFORE_ATTENTION.contains(hook.part());
    Tensor patched = attends ? null : patchedRows(arena, hook, source);
    Tensor rows =
        attends
            ? patchedAttention(arena, hook, source)
            : spread("stream", base.before(next), patched);
    if (next == model.layers()) {
      return metrics(sessions.lastNorm(arena, layout.ends(arena, rows)));
    }
    Tensor qkv = attends || all ? null : projections(arena, next, patched);
    return metrics(sessions.finish(arena, layout, next, rows, qkv, base));
  }

  /** Queries, keys and values of all rows, of which only those that are patched are computed. */
  private Tensor projections(Arena arena, int layer, Tensor patched) {
    Tensor own = Tensor.allocate(arena, patched.dtype(), patched.dim(0), 3L * model.width());
    sessions.projections(layer, patched, own);
    return spread("projections", base.projections(layer), own);
  }

  /** The value of the hook that patches take: [prompt, ...]. */
  private Tensor source(Arena arena, HookPoint hook) {
    if (spec.by() == SweepSpec.By.RESAMPLE) {
      return base.source(hook);
    }
    Tensor row = ablation.bank(hook, base.length());
    Tensor rows = Tensor.allocate(arena, row.dtype(), Rows.withRows(row, chunk.pairs().size()));
    for (int n = 0; n < chunk.pairs().size(); n++) {
      Rows.copy(row, 0, rows, n, 1, row.elements());
    }
    return rows;
  }

  /** Output of the block where it is patched: rows [place * copy, width]. */
  private Tensor patchedRows(Arena arena, HookPoint hook, Tensor source) {
    int layer = hook.layer();
    if (hook.part().equals("hook_z")) {
      Tensor middle = sessions.patchedHeads(arena, layer, base, source, places, places);
      return sessions.secondHalf(arena, layer, middle);
    }
    Tensor own = atPlaces(arena, source);
    return switch (hook.part()) {
      case "hook_resid_pre", "hook_resid_post" -> own;
      case "hook_mlp_out" -> Rows.sum(arena, atPlaces(arena, base.middle(layer)), own);
      case "hook_resid_mid" -> sessions.secondHalf(arena, layer, own);
      case "hook_attn_out" ->
          sessions.secondHalf(
              arena, layer, Rows.sum(arena, atPlaces(arena, base.before(layer)), own));
      default -> throw new IllegalArgumentException(hook.name());
    };
  }

  /** The rows of a value [prompt, position, width] that are patched. */
  private Tensor atPlaces(Arena arena, Tensor value) {
    Tensor rows = Tensor.allocate(arena, value.dtype(), places.length, model.width());
    for (int i = 0; i < places.length; i++) {
      Rows.copy(value, places[i], rows, i, 1, model.width());
    }
    return rows;
  }

  /** Output of a block in which each copy's own head is patched before it writes. */
  private Tensor patchedAttention(Arena arena, HookPoint hook, Tensor source) {
    int layer = hook.layer();
    int width = model.width();
    Tensor rows = spread("stream", base.before(layer));
    Tensor qkv = spread("projections", base.projections(layer));
    Tensor z = sessions.scratch("one", layout.rows(), width);
    boolean pattern = hook.part().equals("hook_pattern");
    if (!pattern) {
      replace(qkv, List.of("hook_q", "hook_k", "hook_v").indexOf(hook.part()), source);
    }
    sessions.attention(layout, layer, qkv, base, z);
    if (pattern) {
      read(z, source, qkv, base.projections(layer));
    }
    Tensor middle = sessions.scratch("other", layout.rows(), width);
    sessions.firstHalf(layer, z, rows, middle);
    return sessions.secondHalf(arena, layer, middle);
  }

  /** Positions of a sequence from its start on that are patched. */
  private int patched(int start) {
    return all ? base.length() - start : 1;
  }

  /**
   * Puts the source [prompt, position, head, head width] in the place of queries, keys or values.
   */
  private void replace(Tensor qkv, int part, Tensor source) {
    layout.forEach(
        (row, start, prompt, head) -> {
          for (int t = 0; t < patched(start); t++) {
            long from = ((long) prompt * base.length() + start + t) * heads + head;
            long to = ((row + t) * 3L + part) * heads + head;
            Rows.copy(source, from, qkv, to, 1, model.headWidth());
          }
        });
  }

  /** What heads read by the patterns [prompt, head, query, key] instead of their own. */
  private void read(Tensor z, Tensor patterns, Tensor qkv, Tensor past) {
    int length = base.length();
    int each = model.headWidth();
    layout.forEach(
        (row, start, prompt, head) -> {
          for (int t = start; t < start + patched(start); t++) {
            long weight = (((long) prompt * heads + head) * length + t) * length;
            for (int c = 0; c < each; c++) {
              double sum = 0;
              for (int key = 0; key <= t; key++) {
                Tensor values = key < start ? past : qkv;
                long at = key < start ? (long) prompt * length + key : row + key - start;
                sum +=
                    patterns.get(weight + key)
                        * values.get(((at * 3 + 2) * heads + head) * each + c);
              }
              z.set(((row + t - (long) start) * heads + head) * each + c, sum);
            }
          }
        });
  }

  /** Rows of all sequences from those of the base run, [..., width]. */
  private Tensor spread(String use, Tensor of) {
    long width = of.dim(of.rank() - 1);
    Tensor rows = sessions.scratch(use, layout.rows(), width);
    layout.forEach(
        (row, start, prompt, _) -> {
          long from = (long) prompt * base.length() + start;
          Rows.copy(of, from, rows, row, base.length() - start, width);
        });
    return rows;
  }

  /** The same with the rows that are patched, [place * copy, width], where they belong. */
  private Tensor spread(String use, Tensor of, Tensor patched) {
    Tensor rows = spread(use, of);
    int[] place = {0};
    layout.forEach(
        (row, start, _, copy) -> {
          int count = patched(start);
          for (int t = 0; t < count; t++) {
            long own = (place[0] + t) * (long) layout.copies() + copy;
            Rows.copy(patched, own, rows, row + t, 1, rows.dim(1));
          }
          place[0] += copy == layout.copies() - 1 ? count : 0;
        });
    return rows;
  }

  /** The metric [pair, position, head] of the hidden rows [start, prompt, copy, width]. */
  private double[] metrics(Tensor hidden) {
    int prompts = layout.prompts();
    double[] values = new double[prompts * positions.length * heads];
    for (int n = 0; n < prompts; n++) {
      Metric.Readout metric = spec.metric().of(model, spec.pairs().get(chunk.pairs().get(n)));
      for (int p = 0; p < positions.length; p++) {
        int start = all ? 0 : layout.starts().indexOf(positions[p]);
        for (int h = 0; h < heads; h++) {
          values[(n * positions.length + p) * heads + h] =
              metric.of(hidden, ((long) start * prompts + n) * heads + h);
        }
      }
    }
    return values;
  }

  @Override
  public void close() {}
}
