package io.assay.audit.arca;

import static io.assay.audit.Statement.atLeast;
import static io.assay.audit.Statement.near;

import io.assay.audit.Statement;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * How scores rank all tokens against the exact objective, over random states: both tables of
 * specs/arca.md 5.5 and what they must show.
 */
final class Approximation {
  /** Averaging tokens of the largest row; a row of fewer repeats its own, with the same mean. */
  private static final int MOST = 32;

  private static final int KEPT = 8;
  private static final int PROMPT = 1;
  private static final int OUTPUT = 3;
  private static final int[] POSITIONS = {PROMPT, OUTPUT};
  private static final double TOLERANCE = 0.06;

  /**
   * A way to score.
   *
   * @param averaged random tokens whose gradients are averaged; 0 for the current token alone
   * @param exact whether the exact autoregressive term A is added
   */
  private record Row(String id, int averaged, boolean exact) {}

  private static final Row CURRENT = new Row("current", 0, false);
  private static final Row CURRENT_EXACT = new Row("current-a", 0, true);
  private static final Row ONE = new Row("k1", 1, true);
  private static final Row EIGHT = new Row("k8", 8, true);
  private static final Row MANY = new Row("k32", MOST, true);
  private static final Row MANY_LINEAR = new Row("k32-no-a", MOST, false);

  /** Rank correlation, and how often the best token is among the eight best scored. */
  private record Quality(double spearman, double recall) {}

  private final Engine engine;

  Approximation(Engine engine) {
    this.engine = engine;
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    // Rows that average the same tokens stand together and share one gradient.
    List<Row> rows = List.of(CURRENT, CURRENT_EXACT, ONE, EIGHT, MANY, MANY_LINEAR);
    double[][] table = {
      {.36, .55, .25, .46},
      {.36, .55, .68, .80},
      {.35, .47, .68, .85},
      {.55, .64, .81, .95},
      {.63, .70, .86, .97},
      {.63, .70, .38, .56}
    };
    Quality[][] a = qualities(Toys.a(DType.F64), 300, rows);
    compare(s, "arca.7.", rows, table, a);
    s.add(
        atLeast(
            "arca.7.averaging",
            "what averaging adds to the rank correlation at the prompt",
            0.15,
            a[4][0].spearman() - a[0][0].spearman()));
    s.add(
        atLeast(
            "arca.7.exact",
            "what the exact term adds to the rank correlation at the output",
            0.25,
            a[4][1].spearman() - a[5][1].spearman()));
    s.add(
        atLeast(
            "arca.7.exact.current",
            "what it adds to the current token's gradient there",
            0.25,
            a[1][1].spearman() - a[0][1].spearman()));

    List<Row> both = List.of(CURRENT, MANY);
    double[][] larger = {{.61, .42, .31, .15}, {.84, .66, .92, .89}};
    compare(s, "arca.7.b.", both, larger, qualities(Toys.b(DType.F64), 200, both));
    return s;
  }

  private static void compare(
      List<Statement> s, String group, List<Row> rows, double[][] expected, Quality[][] got) {
    for (int r = 0; r < rows.size(); r++) {
      for (int p = 0; p < POSITIONS.length; p++) {
        String id = group + rows.get(r).id() + ".i" + POSITIONS[p];
        s.add(
            near(
                id + ".spearman",
                "rank correlation with the exact objective",
                expected[r][2 * p],
                got[r][p].spearman(),
                TOLERANCE));
        s.add(
            near(
                id + ".recall",
                "how often the best token is among the eight best scored",
                expected[r][2 * p + 1],
                got[r][p].recall(),
                TOLERANCE));
      }
    }
  }

  /** Quality of each row at the prompt and at the output position. */
  private Quality[][] qualities(LanguageModel model, int states, List<Row> rows) {
    int vocabulary = model.vocabulary();
    int[] all = IntStream.range(0, vocabulary).toArray();
    double[][][] sums = new double[rows.size()][POSITIONS.length][2];
    ArcaSpec spec = ArcaSpec.joint("toy", 3).w(0).k(MOST).q(vocabulary).build();
    Problem problem = new Problem(spec, 3);
    try (Lockstep group =
        new Lockstep(
            engine,
            model,
            problem,
            List.of(new Lockstep.Item(0, 0)),
            List.of(new BitSet()),
            Streams.seeded(0, 1))) {
      for (int t = 0; t < states; t++) {
        SplittableRandom random = new SplittableRandom(777 + t);
        int[] ids = new int[6];
        for (int i = 0; i < ids.length; i++) {
          ids[i] = Streams.draw(random, vocabulary);
        }
        Slot slot = group.settled(ids);
        int[] drawn = new int[MOST];
        for (int i = 0; i < MOST; i++) {
          drawn[i] = Streams.draw(random, vocabulary);
        }
        for (int p = 0; p < POSITIONS.length; p++) {
          Coordinate coordinate = group.coordinate(POSITIONS[p]);
          double[] exact = coordinate.objectives(slot, all);
          double[] term = exactTerm(model, problem, slot, POSITIONS[p]);
          double[] linear = null;
          for (int r = 0; r < rows.size(); r++) {
            Row row = rows.get(r);
            if (r == 0 || row.averaged() != rows.get(r - 1).averaged()) {
              int[] tokens = averaging(row, ids[POSITIONS[p]], drawn);
              linear = products(model, coordinate.gradient(slot, tokens));
            }
            double[] scores = row.exact() ? sum(linear, term) : linear;
            sums[r][p][0] += spearman(scores, exact);
            sums[r][p][1] += recall(scores, exact);
          }
        }
      }
    }
    return Arrays.stream(sums)
        .map(
            row ->
                Arrays.stream(row)
                    .map(sum -> new Quality(sum[0] / states, sum[1] / states))
                    .toArray(Quality[]::new))
        .toArray(Quality[][]::new);
  }

  /** {@link #MOST} averaging tokens: those of the row, as often as they fit. */
  private static int[] averaging(Row row, int current, int[] drawn) {
    return IntStream.range(0, MOST)
        .map(j -> row.averaged() == 0 ? current : drawn[j % row.averaged()])
        .toArray();
  }

  /** A of specs/arca.md 2.4, from what the model said before the position. */
  private static double[] exactTerm(LanguageModel model, Problem problem, Slot slot, int i) {
    double alpha = problem.alpha(i);
    int width = model.width();
    double[] hidden = slot.hidden.toDoubles();
    double[] before = Arrays.copyOfRange(hidden, (i - 1) * width, i * width);
    return Arrays.stream(products(model, before))
        .map(logit -> alpha * (logit - slot.lse[i - 1]))
        .toArray();
  }

  private static double[] sum(double[] a, double[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> a[i] + b[i]).toArray();
  }

  /** The products of all embeddings, which are also the head, with a vector. */
  private static double[] products(LanguageModel model, double[] vector) {
    int width = vector.length;
    double[] embedding =
        Tensor.of(model.dtype(), model.embedding().data(), model.vocabulary(), width).toDoubles();
    double[] products = new double[model.vocabulary()];
    for (int v = 0; v < products.length; v++) {
      for (int c = 0; c < width; c++) {
        products[v] += embedding[v * width + c] * vector[c];
      }
    }
    return products;
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
