package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import io.assay.engine.run.RunRecord;
import io.assay.engine.run.RunRecord.State;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** What was run, and going on with what was interrupted. */
@Command(
    name = "runs",
    description = {
      "Lists runs, goes on with interrupted ones, compares and exports them.",
      "A run is kept in the ledger of the folder that --out named, else of the user's data folder",
      "($ASSAY_HOME, else $XDG_DATA_HOME/assay, else ~/.local/share/assay)."
    },
    synopsisSubcommandLabel = "VERB")
final class RunsCommand implements Runnable {
  private static final String RUN = "Name of a run, as `assay runs list` shows it.";

  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }

  /** The ledger that a verb looks into. */
  static class Place {
    @Mixin private Help help;

    @Option(
        names = "--out",
        paramLabel = "DIR",
        description = "Folder of the ledger (default: the user's data folder).")
    private Path named;

    Path folder() {
      return named == null ? Common.userFolder() : named;
    }

    /** The command that goes on with a run. */
    String resuming(String run) {
      return Recording.command(folder(), named != null, run);
    }
  }

  /** The same, and how the verb answers. */
  static final class Answer extends Place {
    @Option(names = "--json", description = "Print one JSON object and nothing else.")
    private boolean json;
  }

  /** Does something with the ledger, if there is one. */
  private <T> Optional<T> look(Place place, Function<Ledger, T> work) {
    return Ledger.find(place.folder())
        .map(
            found -> {
              try (Ledger ledger = found) {
                T result = work.apply(ledger);
                Recording.warnOfDamage(ledger, spec.commandLine().getErr());
                return result;
              }
            });
  }

  /** Does something with the ledger, which must be there. */
  private <T> T with(Place place, Function<Ledger, T> work) {
    return look(place, work)
        .orElseThrow(
            () ->
                new InputException(
                    "there is no ledger in the folder "
                        + place.folder()
                        + "; name the one of the run with --out DIR"));
  }

  private void say(Answer place, Envelope envelope, List<String> lines) {
    if (place.json) {
      spec.commandLine().getOut().println(envelope.text(null));
    } else {
      lines.forEach(spec.commandLine().getOut()::println);
    }
  }

  @Command(name = "list", description = "Lists the runs of a ledger, the oldest first.")
  int list(@Mixin Answer place) {
    Envelope envelope = new Envelope("runs.list");
    List<RunRecord> runs = look(place, Ledger::runs).orElse(List.of());
    List<String> lines = new ArrayList<>();
    if (!runs.isEmpty()) {
      lines.add(
          "%-40s  %-11s  %-17s  %9s  begun".formatted("run", "state", "units done", "seconds"));
    }
    envelope.result().putArray("runs");
    for (RunRecord run : runs) {
      envelope.result().withArray("runs").add(brief(run));
      lines.add(
          String.format(
              Locale.ROOT,
              "%-40s  %-11s  %-17s  %9.1f  %s",
              run.name(),
              word(run.state()),
              run.finished() + " of " + run.units(),
              run.seconds(),
              run.started().truncatedTo(ChronoUnit.SECONDS)));
    }
    if (runs.isEmpty()) {
      lines.add("no runs in " + place.folder());
    }
    say(place, envelope, lines);
    return 0;
  }

  private static String word(State state) {
    return state.name().toLowerCase(Locale.ROOT);
  }

  /** What a list says of a run. */
  private static ObjectNode brief(RunRecord run) {
    return Envelope.JSON
        .createObjectNode()
        .put("run", run.name())
        .put("method", run.method())
        .put("state", word(run.state()))
        .put("units", run.units())
        .put("finished", run.finished())
        .put("started", run.started().toString())
        .put("ended", run.ended() == null ? null : run.ended().toString())
        .put("seconds", run.seconds());
  }

  private static JsonNode tree(String json) {
    try {
      return json == null ? null : Envelope.JSON.readTree(json);
    } catch (JsonProcessingException e) {
      throw new InputException("the ledger is damaged: it holds " + json + ", which is no JSON", e);
    }
  }

  @Command(name = "show", description = "Shows one run: how it was begun, how it stands.")
  int show(@Mixin Answer place, @Parameters(paramLabel = "RUN", description = RUN) String name) {
    Envelope envelope = new Envelope("runs.show");
    RunRecord run = with(place, ledger -> ledger.run(name));
    ObjectNode result = envelope.result();
    result.setAll(brief(run));
    result.set("arguments", Envelope.JSON.valueToTree(run.arguments()));
    result.put("folder", run.folder()).put("failure", run.failure());
    result.set("provenance", tree(run.provenance()));
    result.set("envelope", tree(run.result()));
    Map<String, String> values = new LinkedHashMap<>();
    values.put("run", run.name());
    values.put("state", word(run.state()));
    values.put("units done", run.finished() + " of " + run.units());
    values.put("begun", run.started().truncatedTo(ChronoUnit.SECONDS).toString());
    values.put("seconds", String.format(Locale.ROOT, "%.1f", run.seconds()));
    values.put(
        "command",
        "assay " + String.join(" ", run.arguments().stream().map(Words::argument).toList()));
    values.put("in folder", run.folder());
    values.put("failure", run.failure());
    if (run.provenance() != null) {
      values.putAll(Csv.flat(result.get("provenance")));
    }
    JsonNode whole = result.path("envelope");
    if (whole.isObject()) {
      Csv.flat(whole.path("metrics")).forEach((k, v) -> values.put("metrics." + k, v));
      values.put("report", whole.path("report").asText());
    }
    List<String> lines = new ArrayList<>();
    values.forEach(
        (k, v) -> {
          if (v != null) {
            lines.add("%-22s %s".formatted(k, v));
          }
        });
    if (run.state() == State.INTERRUPTED || run.state() == State.FAILED) {
      lines.add("`" + place.resuming(name) + "` goes on");
    }
    say(place, envelope, lines);
    return 0;
  }

  private static String text(JsonNode value) {
    return value.isTextual() ? value.textValue() : value.toString();
  }

  @Command(
      name = "resume",
      description =
          "Goes on with a run that was interrupted, killed or failed: units that were finished are"
              + " not done again, and the result is that of an undisturbed run. Of a finished run"
              + " the result is printed again.")
  int resume(
      @Mixin Answer place,
      @Option(names = "--quiet", description = "Print results only.") boolean quiet,
      @Parameters(paramLabel = "RUN", description = RUN) String name) {
    RunRecord run = with(place, ledger -> ledger.run(name));
    if (run.state() == State.FINISHED) {
      spec.commandLine().getOut().println(place.json ? run.result() : finished(run));
      return 0;
    }
    requireFolder(run);
    Main.Resuming how = new Main.Resuming(place.folder(), name, place.json, quiet);
    String[] arguments = run.arguments().toArray(String[]::new);
    return Main.run(how, arguments, spec.commandLine().getOut(), spec.commandLine().getErr());
  }

  private static String finished(RunRecord run) {
    JsonNode envelope = tree(run.result());
    return run.name()
        + " is finished: "
        + envelope.path("metrics")
        + "\nreport: "
        + envelope.path("report").asText();
  }

  /** Files that the run was begun with may be named from the folder where it was begun. */
  private static void requireFolder(RunRecord run) {
    Path then = Path.of(run.folder());
    if (then.equals(Path.of("").toAbsolutePath())) {
      return;
    }
    for (String argument : run.arguments()) {
      String value = argument.substring(argument.indexOf('=') + 1);
      for (String part : List.of(value, value.replaceFirst(":[^:/]*$", ""))) {
        if (!part.isEmpty()
            && part.indexOf(0) < 0
            && !Path.of(part).isAbsolute()
            && Files.exists(then.resolve(part))) {
          throw new InputException(
              "the run %s was begun in the folder %s with the file %s; resume it in that folder"
                  .formatted(run.name(), then, part));
        }
      }
    }
  }

  /** How units are written. */
  enum Format {
    JSONL,
    CSV
  }

  @Command(
      name = "export",
      description =
          "Writes the finished units of a run to standard output, one a line: run, unit, time and"
              + " all that the unit says of itself; as CSV, with a column for each value, nested"
              + " ones by their path, such as audit.J.")
  int export(
      @Mixin Place place,
      @Option(
              names = "--format",
              paramLabel = "jsonl|csv",
              defaultValue = "jsonl",
              description = "Format (default: jsonl).")
          Format format,
      @Parameters(paramLabel = "RUN", description = RUN) String name) {
    RunRecord run = with(place, ledger -> ledger.run(name));
    List<ObjectNode> rows = new ArrayList<>();
    for (RunRecord.Unit unit : with(place, ledger -> ledger.units(name))) {
      ObjectNode row = Envelope.JSON.createObjectNode();
      row.put("run", name).put("unit", unit.name()).put("finished", unit.finished().toString());
      row.set("result", tree(unit.result()));
      rows.add(row);
    }
    (format == Format.JSONL ? rows : Csv.lines(rows)).forEach(spec.commandLine().getOut()::println);
    if (run.state() != State.FINISHED) {
      spec.commandLine()
          .getErr()
          .printf(
              "assay: the run %s is %s: %d of %d units are written%n",
              name, word(run.state()), rows.size(), run.units());
    }
    return 0;
  }

  @Command(
      name = "compare",
      description =
          "Says where two runs differ, in settings, metrics and results; times aside. Exit"
              + " status 0 if they do not, 1 if they do.")
  int compare(
      @Mixin Answer place,
      @Parameters(paramLabel = "RUN", description = RUN) String first,
      @Parameters(paramLabel = "RUN", description = RUN) String second) {
    Envelope envelope = new Envelope("runs.compare");
    Map<String, String> a = Csv.flat(envelope(with(place, ledger -> ledger.run(first))));
    Map<String, String> b = Csv.flat(envelope(with(place, ledger -> ledger.run(second))));
    TreeSet<String> paths = new TreeSet<>(a.keySet());
    paths.addAll(b.keySet());
    paths.removeIf(
        path ->
            COST.contains(path.substring(path.lastIndexOf('.') + 1))
                || Objects.equals(a.get(path), b.get(path)));
    envelope.result().putArray("differences");
    for (String path : paths) {
      envelope
          .result()
          .withArray("differences")
          .addObject()
          .put("path", path)
          .put("first", a.get(path))
          .put("second", b.get(path));
    }
    envelope.metrics().put("differences", paths.size());
    say(place, envelope, differences(paths, a, b));
    return paths.isEmpty() ? 0 : 1;
  }

  /** Differences for people: of settings and metrics all, of results the first. */
  private static List<String> differences(
      TreeSet<String> paths, Map<String, String> a, Map<String, String> b) {
    if (paths.isEmpty()) {
      return List.of("the runs have the same settings and the same result");
    }
    List<String> shown = new ArrayList<>();
    for (String part : List.of("spec.", "model.", "metrics.")) {
      paths.stream().filter(p -> p.startsWith(part)).forEach(shown::add);
    }
    paths.stream().filter(p -> !p.startsWith("result.") && !shown.contains(p)).forEach(shown::add);
    List<String> results = paths.stream().filter(p -> p.startsWith("result.")).toList();
    shown.addAll(results.subList(0, Math.min(MOST_RESULTS, results.size())));
    List<String> lines = new ArrayList<>();
    for (String path : shown) {
      lines.add("%-40s  %s  |  %s".formatted(path, brief(a.get(path)), brief(b.get(path))));
    }
    if (shown.size() < paths.size()) {
      lines.add(
          "and %d more values of the results; --json names them"
              .formatted(paths.size() - shown.size()));
    }
    return lines;
  }

  private static String brief(String value) {
    return value == null ? "none" : value.length() > 60 ? value.substring(0, 57) + "..." : value;
  }

  /** Values of the results that a comparison shows people. */
  private static final int MOST_RESULTS = 20;

  /** What a run costs, and how it is called: different in every run. */
  private static final TreeSet<String> COST =
      new TreeSet<>(List.of("run", "seconds", "report", "operations"));

  private static JsonNode envelope(RunRecord run) {
    if (run.state() != State.FINISHED) {
      throw new InputException(
          "the run " + run.name() + " is not finished, but " + word(run.state()) + "; resume it");
    }
    return tree(run.result());
  }

  @Command(
      name = "gc",
      description =
          "Forgets finished runs that are older than some days, with reports and checkpoints,"
              + " and gives their space back. Runs that can be resumed are kept.")
  int gc(
      @Mixin Answer place,
      @Option(
              names = "--days",
              paramLabel = "N",
              defaultValue = "30",
              description = "Keep what was begun in the last N days (default: 30).")
          int days,
      @Option(names = "--all-states", description = "Forget runs that could be resumed, too.")
          boolean all) {
    if (days < 0) {
      throw new InputException("--days is " + days + "; it must be 0 or more");
    }
    Envelope envelope = new Envelope("runs.gc");
    envelope.result().putArray("removed");
    List<String> removed = with(place, ledger -> removed(ledger, days, all));
    removed.forEach(envelope.result().withArray("removed")::add);
    envelope.metrics().put("removed", removed.size());
    List<String> lines = new ArrayList<>(removed.stream().map(run -> "removed " + run).toList());
    lines.add(removed.size() + " removed");
    say(place, envelope, lines);
    return 0;
  }

  private static List<String> removed(Ledger ledger, int days, boolean all) {
    List<String> removed = new ArrayList<>();
    Instant now = Instant.now();
    for (RunRecord run : ledger.runs()) {
      boolean over = run.state() == State.FINISHED || all && run.state() != State.RUNNING;
      if (over && isOld(run.started(), now, days)) {
        remove(ledger, run.name());
        removed.add(run.name());
      }
    }
    ledger.compact();
    return removed;
  }

  /** Whether a run is older than some days; 0 is every run, also one of a clock that was ahead. */
  static boolean isOld(Instant started, Instant now, int days) {
    return days == 0 || !started.isAfter(now.minus(days, ChronoUnit.DAYS));
  }

  private static void remove(Ledger ledger, String run) {
    ledger.remove(run);
    Run.clean(ledger.file().resolveSibling(run));
    Path report = ledger.file().resolveSibling(run + ".html");
    try {
      Files.deleteIfExists(report);
    } catch (IOException e) {
      throw new IllegalStateException("the report " + report + " cannot be removed", e);
    }
  }

  /** JSON as rows of a table. */
  static final class Csv {
    private Csv() {}

    /** The values below {@code node}, by their path; arrays of plain values are one value. */
    static Map<String, String> flat(JsonNode node) {
      Map<String, String> values = new LinkedHashMap<>();
      flat("", node, values);
      return values;
    }

    private static void flat(String at, JsonNode node, Map<String, String> values) {
      if (node.isObject()) {
        node.properties()
            .forEach(
                e -> flat(at.isEmpty() ? e.getKey() : at + "." + e.getKey(), e.getValue(), values));
      } else if (node.isArray() && !node.isEmpty() && node.get(0).isContainerNode()) {
        for (int i = 0; i < node.size(); i++) {
          flat(at + "." + i, node.get(i), values);
        }
      } else if (!node.isNull()) {
        values.put(at, text(node));
      }
    }

    /** A line of names and one for each row (RFC 4180). */
    static List<String> lines(List<ObjectNode> rows) {
      Set<String> columns = new LinkedHashSet<>();
      List<Map<String, String>> flat = rows.stream().map(Csv::flat).toList();
      flat.forEach(row -> columns.addAll(row.keySet()));
      List<String> lines = new ArrayList<>();
      lines.add(String.join(",", columns.stream().map(Csv::quoted).toList()));
      for (Map<String, String> row : flat) {
        lines.add(
            String.join(",", columns.stream().map(c -> quoted(row.getOrDefault(c, ""))).toList()));
      }
      return lines;
    }

    private static String quoted(String text) {
      return text.matches("[^\",\\r\\n]*") ? text : '"' + text.replace("\"", "\"\"") + '"';
    }
  }
}
