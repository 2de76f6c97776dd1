package io.assay.audit.arca;

import static io.assay.audit.arca.Statement.atLeast;
import static io.assay.audit.arca.Statement.near;

import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** How scores rank all tokens against the exact objective, over random states (5.5). */
final class Approximation {
  private static final int V = 32;
  private static final int KEPT = 8;

  /** Rank correlation and recall of the best token among eight, averaged over the states. */
  private record Quality(double spearman, double recall) {}

  private final Engine engine;
  private final LanguageModel model;
  private final int states;

  Approximation(Engine engine, LanguageModel model, int states) {
    this.engine = engine;
    this.model = model;
    this.states = states;
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    Quality[] current = quality(1, Method.AUTOPROMPT);
    Quality[] eight = quality(8, Method.ARCA);
    Quality[] many = quality(32, Method.ARCA);
    add(s, "current", current, new double[] {.36, .55, .25, .46});
    add(s, "k8", eight, new double[] {.55, .64, .81, .95});
    add(s, "k32", many, new double[] {.63, .70, .86, .97});
    s.add(
        atLeast(
            "arca.7.averaging",
            "averaging raises the rank correlation at the prompt by",
            0.15,
            many[0].spearman() - current[0].spearman()));
    return s;
  }

  private void add(List<Statement> s, String name, Quality[] got, double[] expected) {
    String[] places = {"i1", "i3"};
    for (int p = 0; p < 2; p++) {
      String id = "arca.7." + name + "." + places[p];
      s.add(
          near(
              id + ".spearman",
              "rank correlation with the exact objective",
              expected[2 * p],
              got[p].spearman(),
              0.06));
      s.add(
          near(
              id + ".recall",
              "how often the best token is among the eight best scored",
              expected[2 * p + 1],
              got[p].recall(),
              0.06));
    }
  }

  /** Quality at the prompt position 1 and the output position 3. */
  private Quality[] quality(int k, Method method) {
    ArcaSpec spec = ArcaSpec.joint("toy-a", 3).w(0).k(k).q(V).method(method).build();
    try (Lockstep group =
        new Lockstep(
            engine,
            model,
            new Problem(spec, 3),
            List.of(new Lockstep.Item(0, 0)),
            List.of(new BitSet()),
            Streams.seeded(0, 1))) {
      double[] sums = new double[4];
      for (int t = 0; t < states; t++) {
        SplittableRandom random = new SplittableRandom(777 + t);
        int[] ids = draws(random, 6);
        Slot slot = group.settled(ids);
        int[] averaging = draws(random, k);
        int[] positions = {1, 3};
        for (int p = 0; p < 2; p++) {
          int i = positions[p];
          int[] tokens = method == Method.AUTOPROMPT ? new int[] {ids[i]} : averaging;
          Coordinate coordinate = group.coordinate(i);
          double[] scores = coordinate.scores(slot, tokens);
          double[] exact = coordinate.objectives(slot, IntStream.range(0, V).toArray());
          sums[2 * p] += spearman(scores, exact);
          sums[2 * p + 1] += recall(scores, exact);
        }
      }
      return new Quality[] {
        new Quality(sums[0] / states, sums[1] / states),
        new Quality(sums[2] / states, sums[3] / states)
      };
    }
  }

  private static int[] draws(SplittableRandom random, int count) {
    int[] ids = new int[count];
    for (int i = 0; i < count; i++) {
      ids[i] = Streams.draw(random, V);
    }
    return ids;
  }

  private static Integer[] order(double[] values) {
    Integer[] ids = IntStream.range(0, values.length).boxed().toArray(Integer[]::new);
    Arrays.sort(ids, Comparator.comparingDouble((Integer v) -> -values[v]));
    return ids;
  }

  private static double spearman(double[] a, double[] b) {
    int n = a.length;
    int[] rank = new int[n];
    Integer[] order = order(a);
    for (int r = 0; r < n; r++) {
      rank[order[r]] = r;
    }
    double sum = 0;
    Integer[] other = order(b);
    for (int r = 0; r < n; r++) {
      double d = rank[other[r]] - r;
      sum += d * d;
    }
    return 1 - 6 * sum / (n * ((double) n * n - 1));
  }

  /** Whether the truly best token is among the eight of the highest score. */
  private static double recall(double[] scores, double[] exact) {
    return Arrays.asList(order(scores)).subList(0, KEPT).contains(order(exact)[0]) ? 1 : 0;
  }
}
