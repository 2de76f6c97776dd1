package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.model.BlockGraphs;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.PathSpec.Mlps;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Paths from heads to the logits. All heads are frozen, so that positions do not meet: only the
 * last row is recomputed, through the MLPs behind each sender, of all senders together.
 */
final class PathToLogits implements AutoCloseable {
  /** Pairs that are done together. */
  private static final int TOGETHER = 8;

  private final LanguageModel model;
  private final PathSpec spec;
  private final List<Endpoint> senders;
  private final BlockSessions sessions;
  private final BaseRuns runs;

  /**
   * @param senders heads, in the order of layers
   */
  PathToLogits(
      Engine engine,
      LanguageModel model,
      BlockGraphs blocks,
      Patcher patcher,
      PathSpec spec,
      List<Endpoint> senders) {
    this.model = model;
    this.spec = spec;
    this.senders = senders;
    this.sessions = new BlockSessions(engine, model, blocks);
    this.runs =
        new BaseRuns(sessions, patcher, spec.direction(), spec.metric(), spec.pairs(), List.of());
  }

  /** The metric of all pairs without a patch. */
  Baselines baselines(List<List<Integer>> chunks) {
    return runs.baselines(chunks);
  }

  /** Pairs of one length, as many together as may be. */
  static List<List<Integer>> chunks(List<Pair> pairs) {
    Map<Integer, List<Integer>> byLength = new LinkedHashMap<>();
    for (int i = 0; i < pairs.size(); i++) {
      byLength.computeIfAbsent(pairs.get(i).length(), _ -> new ArrayList<>()).add(i);
    }
    List<List<Integer>> chunks = new ArrayList<>();
    for (List<Integer> group : byLength.values()) {
      for (int from = 0; from < group.size(); from += TOGETHER) {
        chunks.add(List.copyOf(group.subList(from, Math.min(group.size(), from + TOGETHER))));
      }
    }
    return chunks;
  }

  /** The metric [pair, sender]. */
  double[] values(List<Integer> indices) {
    BaseCache base = runs.of(indices);
    try (Arena arena = Arena.ofShared()) {
      Tensor hidden = sessions.lastNorm(arena, stream(arena, base, indices));
      double[] values = new double[indices.size() * senders.size()];
      for (int n = 0; n < indices.size(); n++) {
        Metric.Readout metric = spec.metric().of(model, spec.pairs().get(indices.get(n)));
        for (int s = 0; s < senders.size(); s++) {
          values[n * senders.size() + s] = metric.of(hidden, (long) s * indices.size() + n);
        }
      }
      return values;
    }
  }

  /** The final stream of the last position, [sender, pair, width]. */
  private Tensor stream(Arena arena, BaseCache base, List<Integer> indices) {
    long prompts = indices.size();
    Tensor rows = null;
    int begun = 0;
    for (int layer = 0; layer < model.layers(); layer++) {
      int first = begun;
      while (begun < senders.size() && senders.get(begun).hook().layer() == layer) {
        begun++;
      }
      if (begun == 0) {
        continue;
      }
      Tensor before = last(arena, base.before(layer));
      Tensor middle = last(arena, base.middle(layer));
      Tensor all = Tensor.allocate(arena, model.dtype(), begun * prompts, model.width());
      if (first > 0) {
        // Senders of earlier blocks meet this one's attention as the base run has it.
        Tensor attention = Rows.difference(arena, middle, before);
        Rows.copy(Rows.sum(arena, attention, rows), 0, all, 0, first * prompts, model.width());
      }
      if (begun > first) {
        Tensor patched = patched(arena, base, layer, indices);
        for (int s = first; s < begun; s++) {
          for (long n = 0; n < prompts; n++) {
            long from = n * model.heads() + senders.get(s).head();
            Rows.copy(patched, from, all, s * prompts + n, 1, model.width());
          }
        }
      }
      rows =
          spec.mlps() == Mlps.LIVE
              ? sessions.secondHalf(arena, layer, all)
              : Rows.sum(
                  arena, Rows.difference(arena, last(arena, base.before(layer + 1)), middle), all);
    }
    return rows;
  }

  /** The stream at the last position with a change of each head, [prompt, head, width]. */
  private Tensor patched(Arena arena, BaseCache base, int layer, List<Integer> indices) {
    int[] rows = new int[indices.size()];
    int[] from = new int[indices.size()];
    for (int n = 0; n < rows.length; n++) {
      int position = spec.position(indices.get(n));
      rows[n] = (n + 1) * base.length() - 1;
      boolean changes = position == Intervention.ALL || position == base.length() - 1;
      from[n] = changes ? rows[n] : -1;
    }
    Tensor source = base.source(HookPoint.of("blocks." + layer + ".attn.hook_z"));
    return sessions.patchedHeads(arena, layer, base, source, rows, from);
  }

  /** The last position of a value [prompt, position, ...]. */
  private Tensor last(Arena arena, Tensor stream) {
    long width = stream.elements() / (stream.dim(0) * stream.dim(1));
    Tensor rows = Tensor.allocate(arena, stream.dtype(), stream.dim(0), width);
    for (long n = 0; n < stream.dim(0); n++) {
      Rows.copy(stream, (n + 1) * stream.dim(1) - 1, rows, n, 1, width);
    }
    return rows;
  }

  @Override
  public void close() {
    runs.close();
    sessions.close();
  }
}
