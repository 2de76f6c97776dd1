package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Axis;
import io.assay.app.report.View.Column;
import io.assay.engine.patch.Direction;
import io.assay.engine.patch.Disagreement;
import io.assay.engine.patch.EdgeMap;
import io.assay.engine.patch.Metric;
import io.assay.engine.patch.PatchMap;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;

/** Reports of patching: the choices, the map, the spread over the pairs, what disagrees. */
final class PatchReport {
  private static final int SHOWN = 40;

  private final Path folder;
  private final Envelope envelope;
  private final PatchChoices choices;

  private final Metric metric;

  /** What the numbers are. */
  private final String unit;

  /**
   * @param folder where reports are written, under the names of their runs
   */
  PatchReport(Path folder, Envelope envelope, PatchChoices choices, Metric metric) {
    this.folder = folder;
    this.envelope = envelope;
    this.choices = choices;
    this.metric = metric;
    this.unit = metric.words();
  }

  /**
   * Writes the report of a map.
   *
   * @param base the metric without a patch, by pair; null where the values are changes already
   * @param disagreements between kinds of effects; may be empty
   */
  Path write(PatchMap map, double[] base, List<Disagreement> disagreements) {
    double unpatched = base == null ? 0 : Arrays.stream(base).average().orElseThrow();
    int strongest = PatchTable.strongest(map, unpatched).getFirst();
    double effect = map.mean(strongest) - unpatched;
    List<View> views = new ArrayList<>(List.of(choices.table(metric), heat(map, unpatched)));
    if (!disagreements.isEmpty()) {
      views.add(disagreements(map, disagreements));
    }
    views.add(spread(map, base));
    return page(
        "%s has the largest effect, %+.3f"
            .formatted(capital(PatchTable.name(map, strongest)), effect),
        List.of(
            new Fact(unit + ", clean", map.clean(), ""),
            new Fact(unit + ", corrupt", map.corrupt(), ""),
            new Fact("largest effect", effect, "of " + PatchTable.name(map, strongest)),
            new Fact("pairs", map.base().clean().length, "")),
        views);
  }

  /**
   * Writes the report of scores of edges.
   *
   * @param circuit the edges that were chosen
   */
  Path write(EdgeMap map, List<EdgeMap.Edge> circuit) {
    List<String> sources = map.edges().sources();
    List<String> destinations = map.edges().destinations();
    float[] values = new float[sources.size() * destinations.size()];
    List<Integer> real = new ArrayList<>();
    for (int i = 0; i < values.length; i++) {
      int s = i / destinations.size();
      int d = i % destinations.size();
      boolean edge = map.edges().has(s, d);
      values[i] = edge ? (float) map.values()[s][d] : Float.NaN;
      if (edge) {
        real.add(i);
      }
    }
    real.sort(Comparator.comparingDouble(i -> -Math.abs(values[i])));
    List<List<?>> rows = new ArrayList<>();
    for (int i : real.subList(0, Math.min(SHOWN, real.size()))) {
      int s = i / destinations.size();
      int d = i % destinations.size();
      rows.add(List.of(sources.get(s), destinations.get(d), map.values()[s][d]));
    }
    int best = real.getFirst();
    return page(
        "The edge %s to %s has the largest estimate, %+.3f"
            .formatted(
                sources.get(best / destinations.size()),
                destinations.get(best % destinations.size()),
                values[best]),
        List.of(
            new Fact(unit + ", clean", map.clean(), ""),
            new Fact(unit + ", corrupt", map.corrupt(), ""),
            new Fact("edges", map.edges().count(), ""),
            new Fact("pairs", map.base().clean().length, "")),
        List.of(
            choices.table(metric),
            circuit(map, circuit),
            new View.HeatMap(
                "Edges",
                "Change of the "
                    + unit
                    + ", to first order, if the edge alone carries the other prompt's value. Empty"
                    + " where there is no edge.",
                null,
                new Axis("from", sources),
                new Axis("to", destinations),
                unit,
                true,
                values),
            new View.Table(
                "Largest estimates",
                "Exact edges come from `assay patch path --mlps frozen`.",
                List.of(new Column("from"), new Column("to"), new Column("estimate", unit, 4)),
                rows)));
  }

  /** The chosen edges between their components; what a head reads as is added up. */
  private View circuit(EdgeMap map, List<EdgeMap.Edge> edges) {
    int layers = map.edges().layers();
    int heads = map.edges().heads();
    Map<String, Integer> places = new LinkedHashMap<>();
    Map<List<Integer>, Double> weights = new LinkedHashMap<>();
    for (EdgeMap.Edge e : edges) {
      List<Integer> ends = new ArrayList<>();
      for (String end : List.of(map.writer(e), map.reader(e))) {
        places.putIfAbsent(end, places.size());
        ends.add(places.get(end));
      }
      weights.merge(ends, e.score(), Double::sum);
    }
    List<String> columns = new ArrayList<>(Axis.counted("head", heads).labels());
    List<String> rows = new ArrayList<>(Axis.counted("layer", layers).labels());
    columns.add("MLP");
    rows.addFirst("input");
    rows.add("logits");
    List<View.Node> nodes = places.keySet().stream().map(n -> node(n, layers, heads)).toList();
    List<View.Edge> shown =
        weights.entrySet().stream()
            .map(e -> new View.Edge(e.getKey().get(0), e.getKey().get(1), e.getValue()))
            .toList();
    return new View.Circuit(
        "The chosen edges",
        "Estimates of what each edge carries, queries, keys and values of a head added up.",
        new Axis("head", columns),
        new Axis("layer", rows),
        unit,
        nodes,
        shown);
  }

  private static View.Node node(String name, int layers, int heads) {
    if (name.startsWith("a")) {
      String[] parts = name.substring(1).split("\\.h");
      return new View.Node(
          name, Integer.parseInt(parts[1]), 1 + Integer.parseInt(parts[0]), "head");
    }
    if (name.startsWith("m")) {
      return new View.Node(name, heads, 1 + Integer.parseInt(name.substring(1)), "MLP");
    }
    boolean input = name.equals("input");
    return new View.Node(name, heads / 2.0, input ? 0 : layers + 1, input ? "input" : "logits");
  }

  private Path page(String title, List<Fact> facts, List<View> views) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    String lead =
        "%s of %s, replaced by %s; %s; %s; %s. Read is %s at the last position."
            .formatted(
                capital(choices.granularity()),
                choices.component(),
                choices.value(),
                choices.positions(),
                choices.direction(),
                choices.set(),
                metric.formula());
    return new Page(title, lead, facts, run, views).write(file);
  }

  private static String capital(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
  }

  /** Heads (or layers) by positions; layers by heads where there are no positions. */
  private View heat(PatchMap map, double unpatched) {
    List<String> axes = map.axes();
    int position = axes.indexOf("position");
    List<String> columns =
        axes.isEmpty()
            ? List.of("all")
            : map.labels().get(position < 0 ? axes.size() - 1 : position);
    List<String> rows = new ArrayList<>();
    float[] values = new float[map.cells()];
    for (int cell = 0; cell < map.cells(); cell++) {
      int column = place(map, cell, position < 0 ? axes.size() - 1 : position);
      String row = rowName(map, cell, position < 0 ? axes.size() - 1 : position);
      if (!rows.contains(row)) {
        rows.add(row);
      }
      values[rows.indexOf(row) * columns.size() + column] = (float) (map.mean(cell) - unpatched);
    }
    String across = axes.isEmpty() ? "" : axes.get(position < 0 ? axes.size() - 1 : position);
    return new View.HeatMap(
        "Effects",
        "Change of the " + unit + ", mean over the pairs; the earliest layer is the first row.",
        null,
        new Axis(axes.contains("head") && position >= 0 ? "layer.head" : "layer", rows),
        new Axis(across, columns),
        unit,
        true,
        values);
  }

  /** Index of a cell on one axis. */
  private static int place(PatchMap map, int cell, int axis) {
    int rest = cell;
    for (int a = map.axes().size() - 1; a > axis; a--) {
      rest /= map.labels().get(a).size();
    }
    return axis < 0 ? 0 : rest % map.labels().get(axis).size();
  }

  private static String rowName(PatchMap map, int cell, int without) {
    List<String> parts = new ArrayList<>();
    for (int axis = 0; axis < map.axes().size(); axis++) {
      if (axis != without) {
        parts.add(map.labels().get(axis).get(place(map, cell, axis)));
      }
    }
    return parts.isEmpty() ? "all" : String.join(".", parts);
  }

  private View disagreements(PatchMap map, List<Disagreement> found) {
    List<List<?>> rows = new ArrayList<>();
    for (Disagreement d : found) {
      List<Object> row = new ArrayList<>();
      row.add(PatchTable.name(map, d.cell()));
      row.add(d.node());
      row.add(Double.isNaN(d.path()) ? null : d.path());
      row.add(Double.isNaN(d.estimate()) ? null : d.estimate());
      row.add(
          (d.pathDiffers() ? "later heads answer it. " : "")
              + (d.estimateDiffers() ? "not linear: do not trust the estimate." : ""));
      rows.add(row);
    }
    return new View.Table(
        "Where the kinds of effect disagree",
        "The node patch lets all later heads answer; the direct path to the logits does not; the"
            + " estimate is of first order. Listed are those of which two differ by more than half"
            + " of the larger, which is at least a tenth of the largest effect.",
        List.of(
            new Column("component"),
            new Column("node", unit, 4),
            new Column("direct path", unit, 4),
            new Column("estimate", unit, 4),
            new Column("meaning")),
        rows);
  }

  /**
   * The strongest cells with quartiles over the pairs and an interval of the mean.
   *
   * @param base as of {@link #write}; changes have no score, which is one of the metric
   */
  private View spread(PatchMap map, double[] base) {
    int pairs = map.base().clean().length;
    double unpatched = base == null ? 0 : Arrays.stream(base).average().orElseThrow();
    List<Integer> order =
        IntStream.range(0, map.cells())
            .boxed()
            .sorted(Comparator.comparingDouble(c -> -Math.abs(map.mean(c) - unpatched)))
            .limit(SHOWN)
            .toList();
    List<List<?>> rows = new ArrayList<>();
    for (int cell : order) {
      double[] effects = new double[pairs];
      for (int i = 0; i < pairs; i++) {
        effects[i] = map.values()[cell][i] - (base == null ? 0 : base[i]);
      }
      double mean = Arrays.stream(effects).average().orElseThrow();
      double square = Arrays.stream(effects).map(e -> (e - mean) * (e - mean)).sum();
      double half = pairs < 2 ? Double.NaN : 1.96 * Math.sqrt(square / (pairs - 1) / pairs);
      Arrays.sort(effects);
      double score = base == null ? Double.NaN : map.normalised(cell);
      List<Object> row = new ArrayList<>();
      row.add(PatchTable.name(map, cell));
      row.add(mean);
      row.add(Double.isNaN(half) ? null : half);
      row.add(quantile(effects, 0.25));
      row.add(quantile(effects, 0.5));
      row.add(quantile(effects, 0.75));
      row.add(Double.isNaN(score) ? null : score);
      rows.add(row);
    }
    return new View.Table(
        "Spread over the pairs",
        "The largest effects; +- is half of a 95 % interval of the mean by the normal distribution"
            + (base == null
                ? "."
                : "; the score is the ratio of means (patched - corrupt) / (clean - corrupt)."),
        List.of(
            new Column("component"),
            new Column("mean effect", unit, 4),
            new Column("+-", unit, 4),
            new Column("lower quartile", "", 4),
            new Column("median", "", 4),
            new Column("upper quartile", "", 4),
            new Column("score", "", 3)),
        rows);
  }

  private static double quantile(double[] sorted, double q) {
    double at = q * (sorted.length - 1);
    int low = (int) at;
    int high = Math.min(sorted.length - 1, low + 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
  }

  /** The metric without a patch, by pair. */
  static double[] base(PatchMap map, Direction direction) {
    return direction == Direction.DENOISE ? map.base().corrupt() : map.base().clean();
  }
}
