package io.assay.app;

import io.assay.engine.patch.Baselines;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.EdgeMap;
import io.assay.engine.patch.Metric;
import io.assay.engine.patch.PatchMap;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** The largest effects of a map, for a terminal. */
final class PatchTable {
  private static final int SHOWN = 12;

  private PatchTable() {}

  static void print(Common common, PatchMap map, Metric metric, Direction direction) {
    double base = base(map, direction);
    unpatched(common, map.base(), metric, direction);
    common.out().printf("%-28s %9s %9s %9s%n", "patched", "metric", "effect", "score");
    for (int cell : strongest(map, base)) {
      double score = map.normalised(cell);
      common
          .out()
          .printf(
              Locale.ROOT,
              "%-28s %9.4f %+9.4f %9s%n",
              name(map, cell),
              map.mean(cell),
              map.mean(cell) - base,
              Double.isNaN(score) ? "-" : String.format(Locale.ROOT, "%.3f", score));
    }
    if (map.cells() > SHOWN) {
      common.out().printf("and %d more; --json prints all%n", map.cells() - SHOWN);
    }
    if (Double.isNaN(map.normalised(0))) {
      common.warn("there is no score: " + PatchJson.NO_SCORE);
    }
  }

  /** The metric of both prompts, and which of them runs. */
  private static void unpatched(Common common, Baselines base, Metric metric, Direction direction) {
    common
        .out()
        .printf(
            Locale.ROOT,
            "%s: clean %.4f, corrupt %.4f, over %d pairs; %s: the %s prompt runs%n",
            metric.words(),
            base.cleanMean(),
            base.corruptMean(),
            base.clean().length,
            direction.name().toLowerCase(Locale.ROOT),
            direction == Direction.DENOISE ? "corrupt" : "clean");
  }

  /** The largest estimates of first order. */
  static void estimates(Common common, PatchMap map, Metric metric, Direction direction) {
    unpatched(common, map.base(), metric, direction);
    common.out().printf("%-28s %9s%n", "component", "estimate");
    for (int cell : strongest(map, 0)) {
      common.out().printf(Locale.ROOT, "%-28s %+9.4f%n", name(map, cell), map.mean(cell));
    }
  }

  /** The edges of a circuit. */
  static void print(
      Common common, EdgeMap map, List<EdgeMap.Edge> circuit, Metric metric, Direction direction) {
    unpatched(common, map.base(), metric, direction);
    List<String> sources = map.edges().sources();
    List<String> destinations = map.edges().destinations();
    common.out().printf("%-28s %9s%n", "edge", "estimate");
    for (EdgeMap.Edge e : circuit) {
      String name = sources.get(e.source()) + " -> " + destinations.get(e.destination());
      common.out().printf(Locale.ROOT, "%-28s %+9.4f%n", name, e.score());
    }
    common.out().printf("%d of %d edges%n", circuit.size(), map.edges().count());
  }

  /** The metric without a patch. */
  static double base(PatchMap map, Direction direction) {
    return direction == Direction.DENOISE ? map.corrupt() : map.clean();
  }

  /** The cells of the largest effects, the largest first. */
  static List<Integer> strongest(PatchMap map, double base) {
    return IntStream.range(0, map.cells())
        .boxed()
        .sorted(Comparator.comparingDouble(cell -> -Math.abs(map.mean(cell) - base)))
        .limit(SHOWN)
        .toList();
  }

  /** Where a cell is, such as {@code layer 9 position 14 head 6}. */
  static String name(PatchMap map, int cell) {
    List<String> parts = new ArrayList<>();
    int rest = cell;
    for (int axis = map.axes().size() - 1; axis >= 0; axis--) {
      List<String> labels = map.labels().get(axis);
      parts.addFirst(map.axes().get(axis) + " " + labels.get(rest % labels.size()));
      rest /= labels.size();
    }
    return parts.isEmpty() ? "all" : String.join(" ", parts);
  }
}
