package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.Preset;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;

/**
 * Runs a specification, and others to compare it with, and shows what was found: live, as a table,
 * as JSON and as a report.
 *
 * @param spec the search
 * @param others the same search by other methods; mostly empty
 */
record ArcaRun(
    Engine engine,
    LanguageModel model,
    ArcaSpec spec,
    List<ArcaSpec> others,
    Common common,
    OutFolder folder) {

  int run() {
    return Recording.of(common, folder.folder(common), method(), this::run);
  }

  private String method() {
    return "arca." + spec.mode().name().toLowerCase(Locale.ROOT);
  }

  private int run(Run run) {
    Envelope envelope = Envelope.of(method(), run);
    describe(envelope);
    envelope.describe((long) spec.targets().size() * spec.restarts() * (1 + others.size()));
    folder.open();
    List<ArcaSpec> specs = new ArrayList<>(List.of(spec));
    specs.addAll(others);
    List<ArcaSearch> searches = new ArrayList<>();
    for (ArcaSpec each : specs) {
      Optional<ArcaSearch> search =
          ArcaSearch.run(
              engine, model, each, common, run.units(ArcaStory.Told.class, ArcaStory.Told::name));
      if (search.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      searches.add(search.get());
    }
    ArcaSearch first = searches.getFirst();
    first.result().warnings().forEach(common::warn);
    ArcaJson.fill(envelope, searches, !run.done().isEmpty());
    folder.writeOfficial(model, spec, first.result());
    Path report = ArcaReport.write(folder.folder(common), envelope, model, searches);
    String text = envelope.text(report);
    run.complete(text);
    if (common.json()) {
      common.out().println(text);
    } else {
      table(first);
      if (!others.isEmpty()) {
        comparison(searches);
      }
      common.out().printf(Locale.ROOT, "%.1f s in all%nreport: %s%n", envelope.seconds(), report);
    }
    return 0;
  }

  /** Prints what was searched, one line for each way to end, and two for all. */
  private void table(ArcaSearch search) {
    Tokens tokens = new Tokens(model);
    List<ArcaRow> rows = search.rows();
    int outputs = width("output", rows, row -> tokens.show(row.output()));
    int prompts = width("prompt", rows, row -> tokens.show(row.prompt()));
    String given = given(tokens, spec);
    if (!given.isEmpty()) {
      common.out().println(given);
    }
    common
        .out()
        .printf(
            "       %s  %s         J  margin  sweep  times%n",
            pad("output", outputs), pad("prompt", prompts));
    for (ArcaRow row : rows) {
      ArcaResult.Audit a = row.audit();
      String line =
          String.format(
              Locale.ROOT,
              "%-5s  %s  %s  %8.3f  %6s  %5s  %5d  %s",
              row.found() ? "found" : "-",
              pad(tokens.show(row.output()), outputs),
              pad(tokens.show(row.prompt()), prompts),
              row.J(),
              row.found() ? String.format(Locale.ROOT, "%.3f", a.greedyMargin()) : "",
              row.found() ? Integer.toString(a.sweep()) : "",
              row.times(),
              remark(a, search.story()));
      common.out().println(line.stripTrailing());
    }
    if (spec.isJoint()) {
      common.out().println("a success needs: " + spec.rule().words());
    }
    int finds = search.finds().size();
    common
        .out()
        .printf(
            Locale.ROOT,
            "%s%d of %d searches succeeded, %s, %d updates of a token%n"
                + "%d of %s when decoded again without a cache%n",
            spec.isJoint()
                ? ""
                : "a prompt for %d of %s; "
                    .formatted(search.targetsFound(), count(spec.targets().size(), "target")),
            search.successes(),
            search.result().audits().size(),
            count(finds, "distinct find"),
            search.result().coordinateUpdates(),
            search.holding(),
            count(finds, "find") + (finds == 1 ? " holds" : " hold"));
  }

  /** Prints a line for each method: what it found, and what that cost. */
  private void comparison(List<ArcaSearch> searches) {
    common.out().printf("%n%-10s  %9s  %7s  %9s%n", "method", "succeeded", "targets", "sequences");
    for (ArcaSearch s : searches) {
      common
          .out()
          .printf(
              Locale.ROOT,
              "%-10s  %9s  %7s  %9d%n",
              s.method(),
              s.successes() + "/" + s.result().audits().size(),
              s.targetsFound() + "/" + spec.targets().size(),
              s.sequences());
    }
  }

  private static String count(long number, String what) {
    return number + " " + what + (number == 1 ? "" : "s");
  }

  /** Preset and prefix in words; empty where there is neither. */
  static String given(Tokens tokens, ArcaSpec spec) {
    List<String> parts = new ArrayList<>();
    if (spec.preset() != Preset.CUSTOM) {
      parts.add("preset " + spec.preset().title());
    }
    if (!spec.prefix().isEmpty()) {
      parts.add("prefix " + tokens.show(spec.prefix()) + ", with which each prompt begins");
    }
    return String.join("; ", parts);
  }

  private static int width(String title, List<ArcaRow> rows, Function<ArcaRow, String> text) {
    int most = title.length();
    for (ArcaRow row : rows) {
      String shown = text.apply(row);
      most = Math.max(most, shown.codePointCount(0, shown.length()));
    }
    return Math.min(most, 60);
  }

  private static String pad(String text, int width) {
    return text + " ".repeat(Math.max(0, width - text.codePointCount(0, text.length())));
  }

  /** What there is to say of an audit besides its numbers; mostly nothing. */
  private static String remark(ArcaResult.Audit a, ArcaStory story) {
    List<String> remarks = new ArrayList<>();
    if (!a.success()) {
      remarks.add(a.stopReason().name().toLowerCase(Locale.ROOT).replace('_', ' '));
    } else if (!story.holds(a)) {
      remarks.add("DOES NOT HOLD");
    }
    if (a.success() && Boolean.FALSE.equals(a.textStable())) {
      remarks.add("as text it has other tokens");
    }
    if (a.alreadyProduced()) {
      remarks.add("the prefix alone produces it");
    }
    return String.join(", ", remarks);
  }

  /** Fills in what decides the result. */
  private void describe(Envelope envelope) {
    envelope.device(engine);
    envelope.model(model.model());
    ObjectNode s = envelope.spec();
    s.put("model", spec.model())
        .put("preset", spec.preset().title())
        .put("mode", spec.mode().name());
    s.set("targets", Envelope.JSON.valueToTree(spec.targets()));
    s.set("prefix", Envelope.JSON.valueToTree(spec.prefix()));
    s.put("promptLength", spec.promptLength())
        .put("outputLength", spec.outputLength())
        .put("k", spec.k())
        .put("q", spec.q())
        .put("sweeps", spec.sweeps())
        .put("restarts", spec.restarts())
        .put("seed", spec.seed())
        .put("lambda", spec.lambda())
        .put("lambdaF", spec.lambdaF())
        .put("w", spec.w())
        .put("promptUnigram", spec.promptUnigram() == null ? null : spec.promptUnigram().name())
        .put("outputUnigram", spec.outputUnigram() == null ? null : spec.outputUnigram().name())
        .put("copyFilter", spec.copyFilter().name())
        .put("successCheck", spec.successCheck().name())
        .put("noRepeat", spec.noRepeat())
        .put("keepCurrent", spec.keepCurrent())
        .put("restartOnStall", spec.restartOnStall())
        .put("order", spec.order().name())
        .put("candidates", spec.candidates().name())
        .put("method", spec.method().name())
        .put("compat", spec.compat().name())
        .put("promptAllowed", spec.promptAllowed() == null ? null : spec.promptAllowed().name())
        .put("outputAllowed", spec.outputAllowed() == null ? null : spec.outputAllowed().name());
    s.set("rule", spec.isJoint() ? Envelope.JSON.valueToTree(spec.rule()) : null);
    others.forEach(other -> s.withArray("compare").add(other.method().name()));
  }
}
