package io.assay.engine.patch;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Runs the prompts of pairs without a patch; the last runs are kept. */
final class BaseRuns implements AutoCloseable {
  private final BlockSessions blocks;
  private final Patcher patcher;
  private final Direction direction;
  private final Metric metric;
  private final List<Pair> pairs;

  /** Hooks whose values the sources are read for by a graph of the whole model. */
  private final List<String> read;

  private List<Integer> last;
  private BaseCache cache;

  /**
   * @param hooks whose values are taken from the source prompts
   */
  BaseRuns(
      BlockSessions blocks,
      Patcher patcher,
      Direction direction,
      Metric metric,
      List<Pair> pairs,
      List<HookPoint> hooks) {
    this.blocks = blocks;
    this.patcher = patcher;
    this.direction = direction;
    this.metric = metric;
    this.pairs = pairs;
    this.read =
        hooks.stream().filter(h -> !h.part().equals("hook_z")).map(HookPoint::name).toList();
  }

  /**
   * What some pairs computed; what was given before is closed.
   *
   * @param indices of pairs of one length
   */
  BaseCache of(List<Integer> indices) {
    if (!indices.equals(last)) {
      List<int[]> base = new ArrayList<>();
      List<int[]> source = new ArrayList<>();
      for (int i : indices) {
        base.add(Baselines.ints(pairs.get(i).base(direction)));
        source.add(Baselines.ints(pairs.get(i).source(direction)));
      }
      close();
      List<int[]> both = new ArrayList<>(base);
      both.addAll(source);
      cache =
          new BaseCache(
              blocks,
              both,
              patcher.model().layers(),
              patcher.model().heads(),
              read.isEmpty() ? Map.of() : patcher.read(source, read));
      last = indices;
    }
    return cache;
  }

  /**
   * The metric of all pairs.
   *
   * @param groups the pairs, those together that are run together
   */
  Baselines baselines(List<List<Integer>> groups) {
    double[] clean = new double[pairs.size()];
    double[] corrupt = new double[pairs.size()];
    boolean noise = direction == Direction.NOISE;
    for (List<Integer> group : groups) {
      BaseCache runs = of(group);
      for (int n = 0; n < group.size(); n++) {
        int pair = group.get(n);
        Metric.Readout read = metric.of(patcher.model(), pairs.get(pair));
        (noise ? clean : corrupt)[pair] = read.of(runs.hidden(), n);
        (noise ? corrupt : clean)[pair] = read.of(runs.hidden(), (long) group.size() + n);
        Baselines.requireFinite(patcher, pairs.get(pair), pair, clean[pair], corrupt[pair]);
      }
    }
    return new Baselines(clean, corrupt);
  }

  @Override
  public void close() {
    if (cache != null) {
      cache.close();
      cache = null;
      last = null;
    }
  }
}
