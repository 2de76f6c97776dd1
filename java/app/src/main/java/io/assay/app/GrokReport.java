package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Axis;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Line;
import io.assay.audit.grok.Attention;
import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.audit.grok.LogitMeasures;
import io.assay.audit.grok.Mechanism;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The report of an analysis of a network that adds mod p: the figures of the paper. */
final class GrokReport {
  private static final String NATS = "loss, nats";
  private static final String KEY = "key frequency";
  private static final String EPOCH = "epoch";

  private final GrokAnalysis a;
  private final List<Point> points;
  private final LogitMeasures last;
  private final int frequencies;

  private GrokReport(GrokAnalysis a) {
    this.a = a;
    points = a.points();
    last = points.getLast().logits();
    frequencies = (a.p() - 1) / 2;
  }

  /** Writes the report into {@code folder}, under the name of the run. */
  static Path analysis(Path folder, Envelope envelope, GrokAnalysis a) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    GrokReport report = new GrokReport(a);
    return new Page(
            "How " + run.at("/model/name").asText() + " adds mod " + a.p(),
            report.summary(),
            report.facts(),
            run,
            report.views())
        .write(file);
  }

  /** What the demo shows of an analysis: the training, and what the network has learned. */
  static List<View> chapter(GrokAnalysis a) {
    GrokReport report = new GrokReport(a);
    return List.of(
        report.losses(),
        report.spectrum("Spectrum of W_L", a.points().getLast().weights().neuronLogits()),
        report.plane());
  }

  private String summary() {
    String list =
        a.keys().frequencies().stream().map(String::valueOf).collect(Collectors.joining(", "));
    String keys =
        list.isEmpty()
            ? "No key frequencies, by " + a.keys().rule() + "."
            : "Key frequencies " + list + ", by " + a.keys().rule() + ".";
    if (!a.generalised()) {
      keys += " The network has not generalised.";
    }
    if (a.keys().ambiguous()) {
      keys += " The choice is ambiguous: a frequency left out is nearly as strong as one kept.";
    }
    if (a.keys().notSparse()) {
      keys +=
          " These are too many, or too even, for the restricted loss to say anything: it is then a"
              + " mean over the pairs of each sum.";
    }
    return keys;
  }

  private List<Fact> facts() {
    List<Fact> facts = new ArrayList<>();
    facts.add(new Fact("loss over all pairs", last.all().loss(), "nats"));
    facts.add(new Fact("restricted loss", last.restricted().loss(), "nats"));
    facts.add(new Fact("excluded loss", last.excludedTrain(), "nats"));
    facts.add(new Fact("logits explained", 100 * last.explained(), "%"));
    if (a.mechanism() != null) {
      facts.add(new Fact("Gini of W_E", points.getLast().weights().giniEmbedding(), ""));
      facts.add(new Fact("Gini of W_L", points.getLast().weights().giniNeuronLogits(), ""));
    }
    return facts;
  }

  private List<View> views() {
    List<View> views = new ArrayList<>();
    if (points.size() > 1) {
      views.add(losses());
      views.add(single());
      views.add(measures());
      if (a.mechanism() != null) {
        views.add(squares());
      }
    }
    if (a.mechanism() != null) {
      views.add(spectrum("Spectrum of W_E", points.getLast().weights().embedding()));
      views.add(spectrum("Spectrum of W_L", points.getLast().weights().neuronLogits()));
    }
    views.add(coefficients());
    if (a.mechanism() != null) {
      views.add(plane());
      views.add(neurons());
    }
    views.add(removed());
    if (a.mechanism() != null) {
      views.add(ablations());
      views.add(readOuts());
      views.add(attention());
    }
    return views;
  }

  private Line line(String name, ToDoubleFunction<Point> of) {
    return new Line(
        name,
        points.stream().mapToDouble(Point::epoch).toArray(),
        points.stream().mapToDouble(of).toArray());
  }

  private View losses() {
    List<Line> lines = new ArrayList<>();
    lines.add(line("training", x -> x.logits().train().loss()));
    lines.add(line("test", x -> x.logits().test().loss()));
    lines.add(line("restricted", x -> x.logits().restricted().loss()));
    lines.add(line("excluded", x -> x.logits().excludedTrain()));
    double[] all =
        lines.stream()
            .flatMapToDouble(l -> Arrays.stream(l.y()))
            .filter(y -> y > 0 && Double.isFinite(y))
            .toArray();
    double[] ends = {Arrays.stream(all).min().orElse(1), Arrays.stream(all).max().orElse(1)};
    phase(lines, "memorised", a.phases().memorised(), ends);
    phase(lines, "circuit formed", a.phases().formed(), ends);
    phase(lines, "cleaned up", a.phases().cleaned(), ends);
    return new View.Lines(
        "Training, with its phases",
        "Restricted: the mean logits and the key frequencies alone, over all pairs. Excluded:"
            + " without the key frequencies, over the training set. The upright lines end the"
            + " phases.",
        EPOCH,
        NATS,
        false,
        true,
        lines);
  }

  private static void phase(List<Line> lines, String name, Double epoch, double[] ends) {
    if (epoch != null) {
      lines.add(new Line(name, new double[] {epoch, epoch}, ends));
    }
  }

  private View single() {
    List<Line> lines = new ArrayList<>();
    for (int k : a.keys().frequencies()) {
      lines.add(line("without " + k, x -> x.logits().excludedByFrequency()[k - 1]));
    }
    lines.add(line("without the worst of all", x -> x.logits().excludedMax()));
    return new View.Lines(
        "Excluded loss, one frequency at a time",
        "Over the training set. The worst of all frequencies needs no choice of key frequencies.",
        EPOCH,
        NATS,
        false,
        true,
        lines);
  }

  private View measures() {
    List<Line> lines = new ArrayList<>();
    lines.add(line("test accuracy", x -> x.logits().test().accuracy()));
    lines.add(line("logits explained", x -> x.logits().explained()));
    if (a.mechanism() != null) {
      lines.add(line("Gini of W_E", x -> x.weights().giniEmbedding()));
      lines.add(line("Gini of W_L", x -> x.weights().giniNeuronLogits()));
    }
    return new View.Lines(
        "Progress measures",
        "The share of right answers, of the logits' variance that cosines of a + b - c explain, and"
            + " how sparse the Fourier spectra are.",
        EPOCH,
        "share",
        false,
        false,
        lines);
  }

  private View squares() {
    return new View.Lines(
        "Sum of squared weights",
        "",
        EPOCH,
        "sum of squares",
        false,
        false,
        List.of(line("all weights", x -> x.weights().sumSquares())));
  }

  private List<String> counted() {
    return IntStream.rangeClosed(1, frequencies).mapToObj(Integer::toString).toList();
  }

  private List<Integer> marks() {
    return a.keys().frequencies().stream().map(k -> k - 1).toList();
  }

  private View spectrum(String title, double[] norms) {
    double[] pairs = new double[frequencies];
    for (int k = 1; k <= frequencies; k++) {
      pairs[k - 1] = Math.hypot(norms[2 * k - 1], norms[2 * k]);
    }
    return new View.Bars(
        title,
        "Norm of the cosine and the sine of each frequency together.",
        "frequency",
        "norm",
        counted(),
        pairs,
        KEY,
        marks());
  }

  private View coefficients() {
    return new View.Bars(
        "Coefficients of cos(w (a + b - c)) in the logits",
        "By least squares over all pairs and classes.",
        "frequency",
        "coefficient",
        counted(),
        last.a(),
        KEY,
        marks());
  }

  private View plane() {
    double[][] plane = a.mechanism().plane();
    List<String> rows = new ArrayList<>(List.of("constant"));
    for (int k = 1; k <= frequencies; k++) {
      rows.add("cos " + k);
      rows.add("sin " + k);
    }
    float[] values = new float[rows.size() * rows.size()];
    for (int i = 0; i < values.length; i++) {
      // The mean of all logits says nothing, and would hide the rest.
      values[i] = i == 0 ? Float.NaN : (float) plane[i / rows.size()][i % rows.size()];
    }
    return new View.HeatMap(
        "Logits in two Fourier dimensions",
        "Norm over the classes of each product of a wave of a and a wave of b; the product of both"
            + " constants is left out.",
        null,
        new Axis("wave of a", rows),
        new Axis("wave of b", rows),
        "norm",
        false,
        values);
  }

  private View neurons() {
    double[] counts = new double[frequencies + 1];
    int[] of = points.getLast().neurons().frequency();
    for (int j = 0; j < of.length; j++) {
      counts[points.getLast().neurons().isClustered(j) ? of[j] - 1 : frequencies]++;
    }
    List<String> labels = new ArrayList<>(counted());
    labels.add("none");
    return new View.Bars(
        "Neurons by frequency",
        "A neuron belongs to a frequency that explains at least 85 % of its variance over all"
            + " pairs; those that belong to none, "
            + (int) counts[frequencies]
            + ", are the last bar.",
        "frequency",
        "neurons",
        labels,
        counts,
        KEY,
        marks());
  }

  private View removed() {
    double[] logs =
        Arrays.stream(last.excludedByFrequency()).map(x -> Math.log10(x) - floor()).toArray();
    return new View.Bars(
        "Loss without each frequency",
        "Over the training set: by how many powers of ten it rises above the loss of the whole"
            + " network, %.3g nats.".formatted(last.train().loss()),
        "frequency",
        "powers of ten",
        counted(),
        logs,
        KEY,
        marks());
  }

  private double floor() {
    return Math.log10(last.train().loss());
  }

  private View ablations() {
    List<List<?>> rows = new ArrayList<>();
    for (Mechanism.Ablated x : a.mechanism().ablations()) {
      rows.add(
          List.of(
              x.name(),
              String.format(Locale.ROOT, "%.4g", x.loss()),
              Math.log10(x.loss()),
              100 * x.accuracy()));
    }
    return new View.Table(
        "What is left without a part",
        "Over all pairs.",
        List.of(
            new Column("taken out, or replaced"),
            new Column("loss"),
            new Column("loss", "powers of ten", 2),
            new Column("right", "%", 2)),
        rows);
  }

  private View readOuts() {
    List<List<?>> rows = new ArrayList<>();
    for (Mechanism.ReadOut r : a.mechanism().readOuts()) {
      rows.add(
          List.of(
              r.frequency(),
              r.cosine(),
              100 * r.cosineExplained(),
              r.sine(),
              100 * r.sineExplained(),
              r.products()[0],
              r.products()[1]));
    }
    return new View.Table(
        "What the neurons write along the directions of W_L",
        "u and v are the directions of a frequency's cosine and sine. Of a sum of angles the"
            + " coefficients of cos cos and sin sin are equal and opposite.",
        List.of(
            new Column("frequency"),
            new Column("cos(w (a + b)) in u", "", 2),
            new Column("explained", "%", 2),
            new Column("sin(w (a + b)) in v", "", 2),
            new Column("explained", "%", 2),
            new Column("cos cos in u", "", 2),
            new Column("sin sin in u", "", 2)),
        rows);
  }

  private View attention() {
    List<List<?>> rows = new ArrayList<>();
    for (Attention head : a.mechanism().attention()) {
      rows.add(
          Arrays.asList(
              head.head(),
              head.frequency(),
              Double.isNaN(head.explained()) ? null : 100 * head.explained(),
              head.alpha(),
              head.beta(),
              100 * head.mean(),
              100 * head.equals()));
    }
    return new View.Table(
        "Heads",
        "Attention to a, by the difference of the cosines and of the sines of a and b.",
        List.of(
            new Column("head"),
            new Column("frequency"),
            new Column("explained", "%", 2),
            new Column("cosines", "", 3),
            new Column("sines", "", 3),
            new Column("to a", "%, mean", 1),
            new Column("to =", "%, mean", 3)),
        rows);
  }
}
