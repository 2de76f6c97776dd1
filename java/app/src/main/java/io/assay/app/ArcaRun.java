package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.arca.ArcaAudit;
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
import java.util.function.Function;

/** Runs a specification and shows what it found: live, as a table, as JSON and as a report. */
final class ArcaRun {
  private final Engine engine;
  private final LanguageModel model;
  private final ArcaSpec spec;
  private final Common common;
  private final OutFolder folder;

  ArcaRun(Engine engine, LanguageModel model, ArcaSpec spec, Common common, OutFolder folder) {
    this.engine = engine;
    this.model = model;
    this.spec = spec;
    this.common = common;
    this.folder = folder;
  }

  int run() {
    return Recording.of(common, folder.folder(common), method(), this::run);
  }

  private String method() {
    return "arca." + spec.mode().name().toLowerCase(Locale.ROOT);
  }

  private int run(Run run) {
    Envelope envelope = Envelope.of(method(), run);
    describe(envelope, engine, model, spec);
    envelope.describe((long) spec.targets().size() * spec.restarts());
    folder.open();
    ArcaStory story;
    ArcaResult result;
    try (ArcaProgress progress = new ArcaProgress(common)) {
      story = new ArcaStory(progress, run.units(ArcaStory.Told.class, ArcaStory.Told::name));
      result = ArcaAudit.run(engine, model, spec, story);
    }
    if (run.isCancelled()) {
      return Recording.INTERRUPTED;
    }
    story.verify(engine, model, spec.prefix(), result);
    result.warnings().forEach(common::warn);
    fill(envelope, spec, result);
    envelope.metrics().put("verified", story.holding(result));
    folder.writeOfficial(model, spec, result);
    Path report = ArcaReport.write(folder.folder(common), envelope, model, spec, result, story);
    String text = envelope.text(report);
    run.complete(text);
    if (common.json()) {
      common.out().println(text);
    } else {
      table(common, model, spec, result, story);
      common.out().println("report: " + report);
    }
    return 0;
  }

  /** Prints what was searched, one line for each way to end, and two for all. */
  static void table(
      Common common, LanguageModel model, ArcaSpec spec, ArcaResult result, ArcaStory story) {
    Tokens tokens = new Tokens(model);
    List<ArcaRow> rows = ArcaRow.of(spec, result);
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
              remark(a, story));
      common.out().println(line.stripTrailing());
    }
    if (spec.isJoint()) {
      common.out().println("a success needs: " + spec.rule().words());
    }
    long targets = rows.stream().map(r -> r.audit().target()).distinct().count();
    List<ArcaRow> finds = rows.stream().filter(ArcaRow::found).toList();
    long targetsFound = finds.stream().map(r -> r.audit().target()).distinct().count();
    common
        .out()
        .printf(
            Locale.ROOT,
            "%s%d of %d searches succeeded, %s, %d updates in %.1f s%n"
                + "%d of %s when decoded again without a cache%n",
            spec.isJoint()
                ? ""
                : "a prompt for %d of %s; ".formatted(targetsFound, count(targets, "target")),
            finds.stream().mapToInt(ArcaRow::times).sum(),
            result.audits().size(),
            count(finds.size(), "distinct find"),
            result.coordinateUpdates(),
            result.seconds(),
            finds.stream().filter(row -> story.holds(row.audit())).count(),
            count(finds.size(), "find") + (finds.size() == 1 ? " holds" : " hold"));
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
  private static void describe(
      Envelope envelope, Engine engine, LanguageModel model, ArcaSpec spec) {
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
  }

  /** Fills in the result. */
  private static void fill(Envelope envelope, ArcaSpec spec, ArcaResult result) {
    envelope
        .metrics()
        .put("finds", ArcaRow.of(spec, result).stream().filter(ArcaRow::found).count())
        .put("successRate", result.successRate())
        .put("anySuccessRate", result.anySuccessRate())
        .put("coordinateUpdates", result.coordinateUpdates())
        .put("operations", result.operations())
        .put("slots", result.slots());
    envelope.result().set("audits", audits(result.audits()));
    envelope.result().set("warnings", Envelope.JSON.valueToTree(result.warnings()));
  }

  /** JSON has no number for what is none. */
  private static Double number(double x) {
    return Double.isFinite(x) ? x : null;
  }

  private static ArrayNode audits(List<ArcaResult.Audit> audits) {
    ArrayNode list = Envelope.JSON.createArrayNode();
    for (ArcaResult.Audit a : audits) {
      ObjectNode node =
          list.addObject()
              .put("target", a.target())
              .put("restart", a.restart())
              .put("success", a.success())
              .put("sweep", a.sweep())
              .put("coordinateUpdates", a.coordinateUpdates());
      node.set("promptIds", Envelope.JSON.valueToTree(a.promptIds()));
      node.set("outputIds", Envelope.JSON.valueToTree(a.outputIds()));
      node.put("promptText", a.promptText())
          .put("outputText", a.outputText())
          .put("J", number(a.J()))
          .put("LP", number(a.LP()))
          .put("FL", number(a.FL()));
      node.set("promptUnigram", Envelope.JSON.valueToTree(a.promptUnigram()));
      node.set("outputUnigram", Envelope.JSON.valueToTree(a.outputUnigram()));
      node.put("greedyMargin", number(a.greedyMargin()))
          .put("textStable", a.textStable())
          .put("alreadyProduced", a.alreadyProduced())
          .put("forbidden", a.forbidden());
      if (a.bestSoFar() == null) {
        node.putNull("bestSoFar");
      } else {
        ObjectNode best = node.putObject("bestSoFar");
        best.set("promptIds", Envelope.JSON.valueToTree(a.bestSoFar().promptIds()));
        best.set("outputIds", Envelope.JSON.valueToTree(a.bestSoFar().outputIds()));
        best.put("J", a.bestSoFar().J());
      }
      node.put("forwardSequences", a.forwardSequences())
          .put("backwardSequences", a.backwardSequences())
          .put("seconds", a.seconds())
          .put("seed", a.seed())
          .put("stopReason", a.stopReason().name());
    }
    return list;
  }
}
