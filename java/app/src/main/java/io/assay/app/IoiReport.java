package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Axis;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Line;
import io.assay.audit.ioi.CircuitResult;
import io.assay.audit.ioi.CircuitSpec;
import io.assay.audit.ioi.Form;
import io.assay.audit.ioi.HeadScores;
import io.assay.audit.ioi.IoiBaseline;
import io.assay.audit.ioi.IoiBaseline.Scored;
import io.assay.audit.ioi.Node;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/** The reports of the task: how well a model does it, and which heads do it. */
final class IoiReport {
  private static final String LOGITS = "logit difference, nats";

  /** Share of attention from which on a head is named after it. */
  private static final double ATTENDS = 0.3;

  private IoiReport() {}

  /** Writes the report of a baseline into {@code folder}, under the name of the run. */
  static Path baseline(Path folder, Envelope envelope, IoiBaseline baseline) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    IoiBaseline.Summary s = baseline.summary();
    return new Page(
            "Does " + run.at("/model/name").asText() + " find the name that was mentioned once?",
            "Prompts such as '%s', answered by ' %s'. The logit difference is logit(IO) - logit(S) behind the prompt; IO is the right name, S the other."
                .formatted(
                    baseline.prompts().getFirst().prompt().text(),
                    baseline.prompts().getFirst().prompt().io()),
            List.of(
                new Fact("mean logit difference", s.logitDifference(), "nats"),
                new Fact("IO over S", 100 * s.answerOverWrong(), "% of " + s.prompts()),
                new Fact("says IO", 100 * s.answered(), "% of " + s.prompts()),
                new Fact("probability of IO", 100 * s.answerProbability(), "%, mean")),
            run,
            List.of(templates(baseline), prompts(baseline)))
        .write(file);
  }

  private static View templates(IoiBaseline baseline) {
    List<Integer> templates =
        baseline.prompts().stream().map(p -> p.prompt().template()).distinct().sorted().toList();
    float[] values = new float[templates.size() * Form.values().length];
    for (int i = 0; i < values.length; i++) {
      int template = templates.get(i / Form.values().length);
      Form form = Form.values()[i % Form.values().length];
      values[i] =
          (float)
              baseline.prompts().stream()
                  .filter(p -> p.prompt().template() == template && p.prompt().form() == form)
                  .mapToDouble(Scored::logitDifference)
                  .average()
                  .orElse(Double.NaN);
    }
    return new View.HeatMap(
        "By template and form",
        "Means. BABA names S first, ABBA names IO first; an empty place had no prompt.",
        null,
        new Axis("template", templates.stream().map(String::valueOf).toList()),
        new Axis("form", Arrays.stream(Form.values()).map(Form::name).toList()),
        LOGITS,
        true,
        values);
  }

  private static View prompts(IoiBaseline baseline) {
    List<List<?>> rows = new ArrayList<>();
    for (Scored s : baseline.prompts()) {
      rows.add(
          List.of(
              s.prompt().template() + " " + s.prompt().form(),
              s.prompt().text(),
              s.prompt().io(),
              s.logitDifference(),
              100 * s.answerProbability(),
              s.isAnswered()));
    }
    return new View.Table(
        "Prompts",
        "",
        List.of(
            new Column("template"),
            new Column("prompt"),
            new Column("IO"),
            new Column("logit difference", "nats", 3),
            new Column("probability of IO", "%", 1),
            new Column("says IO")),
        rows);
  }

  /**
   * Writes the report of a circuit into {@code folder}, under the name of the run.
   *
   * @param token text of a token
   */
  static Path circuit(
      Path folder,
      Envelope envelope,
      CircuitSpec spec,
      CircuitResult r,
      IntFunction<String> token) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    String name = run.at("/model/name").asText();
    List<View> views = new ArrayList<>();
    views.add(choices(spec));
    if (!r.circuit().isEmpty()) {
      views.add(heads(spec, r));
      views.add(roles(r));
    }
    if (!r.edges().isEmpty()) {
      views.add(graph(r));
    }
    if (r.patterns().length > 0) {
      views.add(patterns(r, token));
    }
    if (!r.attention().isEmpty()) {
      views.add(attention(r));
    }
    if (!r.search().isEmpty()) {
      views.add(search(r));
    }
    if (!r.circuit().isEmpty()) {
      views.add(minimality(r));
      views.add(completeness(r));
    }
    views.add(spread(r));
    views.add(perPrompt(r));
    List<Fact> facts = new ArrayList<>();
    facts.add(new Fact("logit difference of the model", r.model(), "nats"));
    facts.add(new Fact("IO over S", 100 * r.positive(), "% of " + r.whole().length));
    if (!r.circuit().isEmpty()) {
      facts.add(new Fact("kept by the circuit", 100 * r.faithfulness(), "%"));
      facts.add(new Fact("nodes", r.circuit().size(), "of " + r.layers() * r.heads() + " heads"));
      double share = 100 * r.mostIncomplete() / Math.abs(r.model());
      facts.add(
          new Fact(
              "largest incompleteness",
              r.mostIncomplete(),
              String.format(Locale.ROOT, "nats, %.0f %% of the model's", share)));
    }
    return new Page(
            r.isClaimed()
                ? "Which heads of " + name + " find the name"
                : "No circuit is claimed in " + name,
            doubts(
                r,
                r.isClaimed()
                    ? "These heads, with every other one knocked out, keep the logit difference on"
                        + " prompts that the search has not seen."
                    : "Since " + r.reason() + "."),
            facts,
            run,
            views)
        .write(file);
  }

  /** A lead, and behind it what is doubtful. */
  private static String doubts(CircuitResult r, String lead) {
    return r.warnings().isEmpty()
        ? lead
        : lead + " Doubtful: " + String.join("; ", r.warnings()) + ".";
  }

  /** What the demo shows of a circuit: its graph, and where its heads attend to. */
  static List<View> chapter(CircuitResult r, IntFunction<String> token) {
    return r.circuit().isEmpty() ? List.of() : List.of(graph(r), patterns(r, token), spread(r));
  }

  private static View choices(CircuitSpec spec) {
    List<List<?>> rows = new ArrayList<>();
    new TreeMap<>(IoiCircuitCommand.choices(spec))
        .forEach((choice, value) -> rows.add(List.of(choice, value)));
    rows.add(List.of("metric", "logit(IO) - logit(S) at END, mean over the prompts"));
    return new View.Table(
        "What the numbers depend on",
        "Other choices give other numbers, and can give another circuit.",
        List.of(new Column("choice"), new Column("here")),
        rows);
  }

  private static View heads(CircuitSpec spec, CircuitResult r) {
    float[] values = new float[r.layers() * r.heads()];
    Arrays.fill(values, Float.NaN);
    for (CircuitResult.Minimality m : r.minimality()) {
      int at = m.node().layer() * r.heads() + m.node().head();
      values[at] = (float) (Float.isNaN(values[at]) ? m.value() : Math.max(values[at], m.value()));
    }
    return new View.HeatMap(
        "Heads of the circuit",
        "How much each adds to the circuit, for the set of other heads removed with which it adds"
            + " most. "
            + outside(spec),
        null,
        Axis.counted("layer", r.layers()),
        Axis.counted("head", r.heads()),
        LOGITS,
        false,
        values);
  }

  /** How it was decided which heads are no part of the circuit. */
  private static String outside(CircuitSpec spec) {
    return spec.given().isEmpty()
        ? String.format(
            Locale.ROOT,
            "Empty places are outside: the search took these heads out, since with all of them"
                + " knocked out at once the rest stays within %.0f %% of the model's logit"
                + " difference on its prompts.",
            100 * (1 - spec.target()))
        : "Empty places are outside: these heads were not named, and nothing was searched.";
  }

  /** The heads, the effects of each on later ones, and on the logits. */
  private static View graph(CircuitResult r) {
    List<Node> heads = r.headsOfCircuit();
    List<View.Node> nodes = new ArrayList<>();
    heads.forEach(n -> nodes.add(new View.Node(n.toString(), n.head(), n.layer(), role(r, n))));
    nodes.add(new View.Node("logits", (r.heads() - 1) / 2.0, r.layers(), "logits"));
    List<String> rows = new ArrayList<>(Axis.counted("layer", r.layers()).labels());
    rows.add("logits");
    List<View.Edge> edges = new ArrayList<>();
    for (CircuitResult.Edge e : r.edges()) {
      int to = e.to() == null ? heads.size() : heads.indexOf(e.to());
      edges.add(new View.Edge(heads.indexOf(e.from()), to, -e.effect()));
    }
    return new View.Circuit(
        "The circuit",
        "An edge is what the logit difference loses when the later head alone (or the logits)"
            + " reads from the earlier one what it writes in the corrupted prompt: path patching,"
            + " through MLPs. Colours of heads say where they attend most.",
        Axis.counted("head", r.heads()),
        new Axis("layer", rows),
        LOGITS,
        nodes,
        edges);
  }

  /** Where a head attends to, of the places that are measured. */
  private static String role(CircuitResult r, Node head) {
    return r.attention().stream()
        .filter(a -> a.shares()[head.layer()][head.head()] >= ATTENDS)
        .max(Comparator.comparingDouble(a -> a.shares()[head.layer()][head.head()]))
        .map(HeadScores::name)
        .orElse("elsewhere");
  }

  private static View patterns(CircuitResult r, IntFunction<String> token) {
    List<String> tokens =
        Arrays.stream(r.prompts().getFirst().ids())
            .mapToObj(id -> token.apply(Math.toIntExact(id)))
            .toList();
    int each = tokens.size() * tokens.size();
    float[] values = new float[r.patterns().length * each];
    for (int i = 0; i < r.patterns().length; i++) {
      System.arraycopy(r.patterns()[i], 0, values, i * each, each);
    }
    return new View.Attention(
        "Attention of the circuit's heads",
        "In the first prompt. Point at a token to see what it attends to.",
        tokens,
        r.headsOfCircuit().stream().map(Node::toString).toList(),
        values);
  }

  private static View attention(CircuitResult r) {
    float[] values = new float[r.attention().size() * r.layers() * r.heads()];
    int next = 0;
    for (HeadScores scores : r.attention()) {
      for (double[] layer : scores.shares()) {
        for (double share : layer) {
          values[next++] = (float) share;
        }
      }
    }
    return new View.HeatMap(
        "Where all heads attend",
        "Mean share of attention over the prompts; the slider chooses from which token and to"
            + " which. A head that finds the duplicate attends from S2 to S1, one that moves the"
            + " name from END to IO.",
        new Axis("attention", r.attention().stream().map(HeadScores::name).toList()),
        Axis.counted("layer", r.layers()),
        Axis.counted("head", r.heads()),
        "share of attention",
        false,
        values);
  }

  /** What each head of the circuit attends to, and whether it writes that. */
  private static View roles(CircuitResult r) {
    List<Column> columns = new ArrayList<>(List.of(new Column("head")));
    r.attention().forEach(a -> columns.add(new Column(a.name(), "%", 1)));
    columns.add(new Column("copies", "%", 1));
    columns.add(new Column("copies negatively", "%", 1));
    List<List<?>> rows = new ArrayList<>();
    for (CircuitResult.Copy c : r.copies()) {
      List<Object> row = new ArrayList<>(List.of(c.layer() + "." + c.head()));
      r.attention().forEach(a -> row.add(100 * a.shares()[c.layer()][c.head()]));
      row.add(100 * c.positive());
      row.add(100 * c.negative());
      rows.add(row);
    }
    return new View.Table(
        "What the heads of the circuit do",
        "Mean attention, and the share of names that are among the five highest logits of what the"
            + " head alone writes of them (or of its opposite).",
        columns,
        rows);
  }

  private static View search(CircuitResult r) {
    double[] left = r.search().stream().mapToDouble(CircuitResult.Step::left).toArray();
    double[] kept = r.search().stream().mapToDouble(CircuitResult.Step::logitDifference).toArray();
    double[] model = new double[left.length];
    Arrays.fill(model, r.model());
    return new View.Lines(
        "Search",
        "Heads are taken out one after the other, first those without which the logit difference"
            + " stays nearest to the model's; then heads are exchanged, since some stand in for"
            + " others.",
        "heads left",
        LOGITS,
        false,
        false,
        List.of(new Line("heads left", left, kept), new Line("model", left, model)));
  }

  private static View minimality(CircuitResult r) {
    List<List<?>> rows = new ArrayList<>();
    for (CircuitResult.Minimality m : r.minimality()) {
      rows.add(
          List.of(m.node().toString(), m.value(), m.with(), m.without(), m.removed().toString()));
    }
    return new View.Table(
        "Is each head needed?",
        "The set of other heads that is removed is, of those tried, the one behind which the head"
            + " adds most.",
        List.of(
            new Column("head"),
            new Column("adds", "nats", 3),
            new Column("with it", "nats", 3),
            new Column("without", "nats", 3),
            new Column("removed")),
        rows);
  }

  private static View completeness(CircuitResult r) {
    List<List<?>> rows = new ArrayList<>();
    for (CircuitResult.Completeness c : r.completeness()) {
      rows.add(
          List.of(
              c.kind(),
              c.removed().stream().map(Node::toString).toList().toString(),
              c.incompleteness(),
              c.circuit(),
              c.model()));
    }
    return new View.Table(
        "Is anything missing?",
        "Heads are removed from the circuit and from the model: a circuit that has all that matters"
            + " changes as the model does.",
        List.of(
            new Column("chosen"),
            new Column("removed"),
            new Column("incompleteness", "nats", 3),
            new Column("circuit", "nats", 3),
            new Column("model", "nats", 3)),
        rows);
  }

  private static View spread(CircuitResult r) {
    List<Line> lines = new ArrayList<>();
    lines.add(sorted("model", r.whole()));
    if (r.kept().length > 0) {
      lines.add(sorted("circuit", r.kept()));
    }
    return new View.Lines(
        "Spread over the prompts",
        "Each curve has its prompts from the least logit difference to the greatest.",
        "share of the prompts, %",
        LOGITS,
        false,
        false,
        lines);
  }

  private static Line sorted(String name, double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double[] share =
        IntStream.range(0, sorted.length)
            .mapToDouble(i -> 100 * (i + 0.5) / sorted.length)
            .toArray();
    return new Line(name, share, sorted);
  }

  private static View perPrompt(CircuitResult r) {
    List<List<?>> rows = new ArrayList<>();
    for (int i = 0; i < r.whole().length; i++) {
      Double kept = r.kept().length == 0 ? null : r.kept()[i];
      rows.add(
          Arrays.asList(
              r.prompts().get(i).template() + " " + r.prompts().get(i).form(),
              r.prompts().get(i).text(),
              r.whole()[i],
              kept));
    }
    return new View.Table(
        "Prompts",
        "",
        List.of(
            new Column("template"),
            new Column("prompt"),
            new Column("model", "nats", 3),
            new Column("circuit", "nats", 3)),
        rows);
  }
}
