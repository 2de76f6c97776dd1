package io.assay.engine.patch;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Scores of all edges: the predicted change of the metric when the edge alone carries the source
 * prompt's value.
 *
 * @param base the metric of both prompts, by pair
 * @param values [source, destination], mean over the pairs; those of no edge mean nothing
 * @param cancelled whether it ended early; the values are then of no use
 */
public record EdgeMap(Edges edges, Baselines base, double[][] values, boolean cancelled) {
  /** An edge by its indices, and its score. */
  public record Edge(int source, int destination, double score) {}

  /** The metric of the clean prompts, mean over the pairs. */
  public double clean() {
    return base.cleanMean();
  }

  public double corrupt() {
    return base.corruptMean();
  }

  /**
   * The {@code count} edges of the largest scores, whatever their sign, without those that lead
   * from or to a component which has no edge on its other side.
   */
  public List<Edge> top(int count) {
    return pruned(ranked().subList(0, Math.min(count, edges.count())));
  }

  /**
   * Grows a circuit from the logits: takes, {@code count} times, the edge of the largest score
   * whose reader is in it, and with it what writes; then leaves out what {@link #top} does. The
   * largest come first.
   */
  public List<Edge> greedy(int count) {
    List<Edge> rest = new ArrayList<>(ranked());
    Set<Edge> grown = new HashSet<>();
    Set<String> in = new HashSet<>(Set.of(Edges.LOGITS));
    for (int i = 0; i < count && !rest.isEmpty(); i++) {
      Edge best = rest.stream().filter(e -> in.contains(reader(e))).findFirst().orElseThrow();
      rest.remove(best);
      grown.add(best);
      in.add(writer(best));
    }
    return pruned(ranked().stream().filter(grown::contains).toList());
  }

  /** All edges, the largest first; of equals the one of the lower source, then destination. */
  private List<Edge> ranked() {
    List<Edge> all = new ArrayList<>();
    for (int s = 0; s < values.length; s++) {
      for (int d = 0; d < values[s].length; d++) {
        if (edges.has(s, d)) {
          all.add(new Edge(s, d, values[s][d]));
        }
      }
    }
    all.sort(Comparator.comparingDouble(e -> -Math.abs(e.score())));
    return all;
  }

  /** The component that writes, such as {@code a1.h0}. */
  public String writer(Edge edge) {
    return edges.sources().get(edge.source());
  }

  /** The component that reads, without what it reads as. */
  public String reader(Edge edge) {
    return edges.destinations().get(edge.destination()).replaceFirst("<.>$", "");
  }

  private List<Edge> pruned(List<Edge> chosen) {
    List<Edge> kept = chosen;
    int before;
    do {
      before = kept.size();
      Set<String> writers = new HashSet<>(Set.of(Edges.LOGITS));
      Set<String> readers = new HashSet<>(Set.of(Edges.INPUT));
      kept.forEach(e -> writers.add(writer(e)));
      kept.forEach(e -> readers.add(reader(e)));
      Predicate<Edge> leads = e -> readers.contains(writer(e)) && writers.contains(reader(e));
      kept = kept.stream().filter(leads).toList();
    } while (kept.size() < before);
    return kept;
  }
}
