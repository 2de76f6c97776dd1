package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Line;
import io.assay.app.report.View.Mark;
import io.assay.app.report.View.Token;
import io.assay.audit.arca.ArcaListener.Move;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/** The report of a search: what was found, whether it holds, and the way to it token by token. */
final class ArcaReport {
  /** Finds whose way is shown. */
  private static final int WAYS = 12;

  /** Curves in one picture. */
  private static final int CURVES = 6;

  private final Tokens tokens;
  private final List<ArcaSearch> searches;
  private final ArcaSpec spec;
  private final ArcaResult result;
  private final ArcaStory story;
  private final List<ArcaRow> rows;
  private final List<ArcaRow> finds;

  private ArcaReport(LanguageModel model, List<ArcaSearch> searches) {
    this.tokens = new Tokens(model);
    this.searches = searches;
    ArcaSearch first = searches.getFirst();
    this.spec = first.spec();
    this.result = first.result();
    this.story = first.story();
    this.rows = first.rows();
    this.finds = first.finds();
  }

  /**
   * Writes the report into {@code folder}, under the name of the run.
   *
   * @param searches the search, and those that it is compared with
   * @throws io.assay.engine.InputException if it cannot be written
   */
  static Path write(
      Path folder, Envelope envelope, LanguageModel model, List<ArcaSearch> searches) {
    Path file = folder.resolve(envelope.run() + ".html");
    JsonNode run = envelope.tree(file);
    ArcaReport report = new ArcaReport(model, searches);
    return new Page(
            "Which prompts make " + model.model().name() + " say it?",
            report.lead(),
            report.facts(run.path("seconds").asDouble()),
            run,
            report.views())
        .write(file);
  }

  private String lead() {
    String what =
        spec.isJoint()
            ? "Prompts of %d and outputs of %d tokens were searched together by %s, %d times."
                .formatted(spec.promptLength(), spec.outputLength(), spec.method(), spec.restarts())
            : "Prompts of %d tokens were searched by %s, %d times for each of %d output%s."
                .formatted(
                    spec.promptLength(),
                    spec.method(),
                    spec.restarts(),
                    spec.targets().size(),
                    spec.targets().size() == 1 ? "" : "s");
    String given = ArcaRun.given(tokens, spec);
    String needs = spec.isJoint() ? " A success needs: " + spec.rule().words() + "." : "";
    return what + needs + (given.isEmpty() ? "" : " Given: " + given + ".");
  }

  private List<Fact> facts(double seconds) {
    ArcaSearch first = searches.getFirst();
    List<Fact> facts = new ArrayList<>();
    if (!spec.isJoint()) {
      facts.add(
          new Fact(
              "outputs for which a prompt was found",
              first.targetsFound(),
              "of " + spec.targets().size()));
    }
    facts.add(
        new Fact("searches that succeeded", first.successes(), "of " + result.audits().size()));
    facts.add(
        new Fact(
            "different finds that hold when decoded again", first.holding(), "of " + finds.size()));
    facts.add(new Fact("updates of a token", result.coordinateUpdates(), "in all"));
    facts.add(new Fact("time of the run", seconds, "s"));
    return facts;
  }

  private List<View> views() {
    List<View> views = new ArrayList<>();
    views.add(found());
    views.add(budget());
    if (searches.size() > 1) {
      views.add(methods());
    }
    if (finds.size() > 1) {
      views.add(margins());
    }
    List<ArcaRow> told = finds.stream().filter(row -> story.moves(row.audit()).size() > 1).toList();
    if (!told.isEmpty()) {
      views.add(objectives(told));
    }
    if (!told.isEmpty()) {
      views.add(beforeAndAfter(told.getFirst()));
    }
    told.stream().limit(WAYS).forEach(row -> views.add(way(row)));
    return views;
  }

  /** Where the search for a find began and where it ended. */
  private View beforeAndAfter(ArcaRow row) {
    List<Move> moves = story.moves(row.audit());
    Move first = moves.getFirst();
    Move last = moves.getLast();
    return new View.Pair(
        "Find %d, before and after the search".formatted(rows.indexOf(row) + 1),
        "Changed tokens are marked. J rises from %s to %s nats; the greatest J is 0."
            .formatted(nats(first.J()), nats(last.J())),
        new View.TokenText("before: random tokens", "", "", false, sequence(first, null)),
        new View.TokenText("after: the find", "", "", false, sequence(last, first)));
  }

  private static String nats(double J) {
    return String.format(Locale.ROOT, "%.3f", J);
  }

  /**
   * The tokens of a state; those that differ from an earlier one, which may be null, are marked.
   */
  private List<Token> sequence(Move now, Move before) {
    return IntStream.range(0, now.ids().size())
        .mapToObj(
            t ->
                token(
                    now.ids().get(t),
                    before != null && !now.ids().get(t).equals(before.ids().get(t))
                        ? Mark.CHANGED
                        : mark(t)))
        .toList();
  }

  private View found() {
    List<List<?>> cells = new ArrayList<>();
    for (ArcaRow row : rows) {
      Audit a = row.audit();
      boolean found = row.found();
      cells.add(
          Arrays.asList(
              cells.size() + 1,
              sequence(row),
              found,
              found ? story.holds(a) : null,
              row.times(),
              number(row.J()),
              found ? number(a.LP()) : null,
              found ? number(a.greedyMargin()) : null,
              found ? a.textStable() : null,
              found ? a.sweep() : null,
              a.coordinateUpdates(),
              remark(row)));
    }
    return new View.Table(
        "What was found",
        "A find holds if the model, decoding greedily without any cache, continues the prompt with"
            + " the output. Searches with the same end are one line; of one that failed, the line"
            + " is the best that it came across. The margin is the smallest distance between the"
            + " two best logits over the output. A text is stable if it encodes to the same tokens"
            + " again; otherwise only the ids reproduce the find.",
        List.of(
            new Column("#"),
            new Column("prompt \u2192 output"),
            new Column("found"),
            new Column("holds"),
            new Column("times"),
            new Column("J", "nats", 3),
            new Column("log p", "output given prompt, nats", 3),
            new Column("margin", "logits", 3),
            new Column("text stable"),
            new Column("sweep", "from 0", 0),
            new Column("updates"),
            new Column("remark")),
        cells);
  }

  private String remark(ArcaRow row) {
    Audit a = row.audit();
    if (!row.found()) {
      return a.stopReason().name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
    return a.alreadyProduced() ? "the prefix alone produces it" : null;
  }

  private View margins() {
    boolean unstable = finds.stream().anyMatch(r -> Boolean.FALSE.equals(r.audit().textStable()));
    return new View.Bars(
        "How firmly each find holds",
        "The smallest distance between the two best logits over the output: near zero, another"
            + " device or precision may say something else.",
        "find",
        "margin, logits",
        finds.stream().map(row -> Integer.toString(rows.indexOf(row) + 1)).toList(),
        finds.stream().mapToDouble(row -> row.audit().greedyMargin()).toArray(),
        unstable ? "text is not stable" : null,
        IntStream.range(0, finds.size())
            .filter(i -> Boolean.FALSE.equals(finds.get(i).audit().textStable()))
            .boxed()
            .toList());
  }

  /** The share that had succeeded after so much work, as steps. */
  private View budget() {
    List<Line> lines = new ArrayList<>();
    for (ArcaSearch search : searches) {
      List<Audit> audits = search.result().audits();
      long most = audits.stream().mapToLong(ArcaSearch::sequences).max().orElse(0);
      lines.add(
          steps(
              searches.size() > 1 ? search.method() : "searches",
              audits.stream().filter(Audit::success).mapToLong(ArcaSearch::sequences).toArray(),
              audits.size(),
              most));
      if (searches.size() == 1 && !spec.isJoint() && spec.restarts() > 1) {
        Map<Integer, Long> first = new TreeMap<>();
        audits.stream()
            .filter(Audit::success)
            .forEach(a -> first.merge(a.target(), ArcaSearch.sequences(a), Math::min));
        lines.add(
            steps(
                "outputs, by any of their searches",
                first.values().stream().mapToLong(Long::longValue).toArray(),
                spec.targets().size(),
                most));
      }
    }
    return new View.Lines(
        "Success against budget",
        "The share that had succeeded when the model had read so many sequences, forward or"
            + " backward, in each search."
            + (searches.size() > 1 ? " A line ends where the budget of its method does." : ""),
        "sequences that each search ran",
        "share that succeeded",
        searches.size() > 1,
        false,
        lines);
  }

  private View methods() {
    List<List<?>> cells = new ArrayList<>();
    for (ArcaSearch search : searches) {
      List<Audit> audits = search.result().audits();
      cells.add(
          Arrays.asList(
              search.method(),
              search.successes(),
              audits.size(),
              search.targetsFound(),
              search.finds().size(),
              search.holding(),
              search.sequences(),
              audits.stream().filter(Audit::success).mapToLong(ArcaSearch::sequences).min().stream()
                  .boxed()
                  .findFirst()
                  .orElse(null)));
    }
    return new View.Table(
        "The methods compared",
        "The same outputs, length, seed and restarts. arca averages gradients at random tokens;"
            + " autoprompt takes one gradient at the current token; gcg swaps at random at all"
            + " places at once; random has no gradient.",
        List.of(
            new Column("method"),
            new Column("succeeded"),
            new Column("searches"),
            new Column("outputs", "of " + spec.targets().size(), 0),
            new Column("finds"),
            new Column("finds that hold"),
            new Column("sequences", "in all", 0),
            new Column("cheapest success", "sequences", 0)),
        cells);
  }

  /**
   * The share of {@code of} that had succeeded, as steps from 1 to {@code most}.
   *
   * @param after what each success had cost
   */
  private static Line steps(String name, long[] after, int of, long most) {
    long[] sorted = after.clone();
    Arrays.sort(sorted);
    double[] x = new double[2 * sorted.length + 2];
    double[] y = new double[x.length];
    x[0] = 1;
    for (int i = 0; i < sorted.length; i++) {
      x[2 * i + 1] = sorted[i];
      y[2 * i + 1] = (double) i / of;
      x[2 * i + 2] = sorted[i];
      y[2 * i + 2] = (i + 1.0) / of;
    }
    x[x.length - 1] = most;
    y[x.length - 1] = (double) sorted.length / of;
    return new Line(name, x, y);
  }

  private View objectives(List<ArcaRow> told) {
    List<Line> lines =
        told.stream()
            .limit(CURVES)
            .map(
                row -> {
                  List<Move> moves = story.moves(row.audit());
                  return new Line(
                      "find " + (rows.indexOf(row) + 1),
                      IntStream.rangeClosed(1, moves.size()).asDoubleStream().toArray(),
                      moves.stream().mapToDouble(Move::J).toArray());
                })
            .toList();
    return new View.Lines(
        "The objective on the way to a find",
        "J after each update that changed a token. The search takes the best candidate even where"
            + " that lowers J."
            + (told.size() > lines.size() ? " The first " + lines.size() + " finds." : ""),
        "changes of a token",
        "J, nats",
        false,
        false,
        lines);
  }

  private View way(ArcaRow row) {
    List<Move> moves = story.moves(row.audit());
    List<List<?>> cells = new ArrayList<>();
    for (int i = 0; i < moves.size(); i++) {
      Move now = moves.get(i);
      Move before = i == 0 ? null : moves.get(i - 1);
      List<Integer> changed =
          before == null
              ? List.of()
              : IntStream.range(0, now.ids().size())
                  .filter(t -> !now.ids().get(t).equals(before.ids().get(t)))
                  .boxed()
                  .toList();
      boolean one = changed.size() == 1;
      cells.add(
          Arrays.asList(
              i + 1,
              now.sweep(),
              one ? place(changed.getFirst()) : before == null ? "start" : "new start",
              one ? token(before, changed.getFirst()) : List.of(),
              one ? token(now, changed.getFirst()) : List.of(),
              before == null ? null : number(before.J()),
              number(now.J()),
              before == null ? null : number(now.J() - before.J()),
              sequence(now, before)));
    }
    return new View.Table(
        "The way to find %d: %s \u2192 %s"
            .formatted(rows.indexOf(row) + 1, tokens.show(row.prompt()), tokens.show(row.output())),
        "Restart %d. Each line is an update that changed a token: which one, from what to what, and J before and after."
            .formatted(row.audit().restart()),
        List.of(
            new Column("change"),
            new Column("sweep", "from 0", 0),
            new Column("place"),
            new Column("from"),
            new Column("to"),
            new Column("J before", "nats", 3),
            new Column("J after", "nats", 3),
            new Column("gain", "nats", 3),
            new Column("prompt \u2192 output")),
        cells);
  }

  private List<Token> token(Move move, int place) {
    return List.of(token(move.ids().get(place), Mark.NONE));
  }

  private Token token(int id, Mark mark) {
    return new Token(tokens.token(id), mark);
  }

  /** Which coordinate a place of prefix, prompt and output is, counted from 1. */
  private String place(int t) {
    int prompt = t - spec.prefix().size();
    return prompt < spec.promptLength()
        ? "prompt " + (prompt + 1)
        : "output " + (prompt - spec.promptLength() + 1);
  }

  private Mark mark(int t) {
    int prompt = t - spec.prefix().size();
    return prompt < 0 ? Mark.FIXED : prompt < spec.promptLength() ? Mark.NONE : Mark.OUTPUT;
  }

  private List<Token> sequence(ArcaRow row) {
    List<Token> sequence = new ArrayList<>();
    row.prompt().forEach(id -> sequence.add(token(id, mark(sequence.size()))));
    row.output().forEach(id -> sequence.add(token(id, Mark.OUTPUT)));
    return sequence;
  }

  /** A table has no number for what is none. */
  private static Double number(double x) {
    return Double.isFinite(x) ? x : null;
  }
}
