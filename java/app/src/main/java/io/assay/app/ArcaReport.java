package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** The report of a search: one HTML file that needs nothing else. */
final class ArcaReport {
  private static final String STYLE =
      """
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em;
             color: #1b1b1b; background: #fff }
      h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
      table { border-collapse: collapse; width: 100% }
      th, td { text-align: left; padding: .35em .6em; border-bottom: 1px solid #ddd }
      th { font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
      code { background: #f2f2f2; padding: .1em .3em; border-radius: 3px; white-space: pre-wrap }
      .yes { color: #00693e } .no { color: #8a8a8a }
      .chips span { display: inline-block; background: #f2f2f2; border-radius: 3px; margin: 1px;
             padding: 0 .3em; white-space: pre; font-family: ui-monospace, monospace }
      .chips .now { background: #ffe2a8 } .chips .out { background: #d9efe5 }
      .chips .fix { color: #777 }
      details { margin: .8em 0 } summary { cursor: pointer } svg { display: block; margin: .6em 0 }
      .wide { overflow-x: auto }
      .bar { background: #e6e6e6; height: .8em } .bar i { display: block; background: #00693e;
             height: 100% }
      """;

  private ArcaReport() {}

  /**
   * Writes the report into {@code folder}, under the name of the run.
   *
   * @throws InputException if it cannot be written
   */
  static Path write(
      Path folder,
      Envelope envelope,
      LanguageModel model,
      ArcaSpec spec,
      ArcaResult result,
      ArcaStory story) {
    Path file = folder.resolve(envelope.run() + ".html");
    try {
      Files.writeString(file, html(envelope, model, spec, result, story));
    } catch (IOException e) {
      throw new InputException(
          "the report " + file + " cannot be written; choose another --out", e);
    }
    return file;
  }

  private static String html(
      Envelope envelope, LanguageModel model, ArcaSpec spec, ArcaResult result, ArcaStory story) {
    StringBuilder page = new StringBuilder();
    page.append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>")
        .append(escape(envelope.run()))
        .append("</title>\n<style>\n")
        .append(STYLE)
        .append("</style>\n</head>\n<body>\n<h1>Which prompts make ")
        .append(escape(model.model().name()))
        .append(" say it?</h1>\n");
    page.append(lead(spec));
    Tokens tokens = new Tokens(model);
    String given = ArcaRun.given(tokens, spec);
    if (!given.isEmpty()) {
      page.append("<p>").append(escape(given)).append("</p>\n");
    }
    if (!spec.isJoint()) {
      share(page, "Outputs for which a prompt was found", result.anySuccessRate());
    }
    share(page, "Searches that succeeded", result.successRate());
    audits(page, tokens, spec, result, story);
    ways(page, tokens, spec, result, story);
    record(page, model, spec, result);
    return page.append("</body>\n</html>\n").toString();
  }

  private static String lead(ArcaSpec spec) {
    return spec.isJoint()
        ? "<p>Assay %s searched prompts of %d and outputs of %d tokens together by %s, %d times.</p>\n"
            .formatted(
                Version.text(),
                spec.promptLength(),
                spec.outputLength(),
                spec.method(),
                spec.restarts())
        : "<p>Assay %s searched prompts of %d tokens by %s, %d times for each of %d outputs.</p>\n"
            .formatted(
                Version.text(),
                spec.promptLength(),
                spec.method(),
                spec.restarts(),
                spec.targets().size());
  }

  private static void share(StringBuilder page, String what, double share) {
    page.append(
        String.format(
            Locale.ROOT,
            "<p>%s: %.0f&nbsp;%%</p>%n<div class=\"bar\"><i style=\"width:%.1f%%\"></i></div>%n",
            what,
            100 * share,
            100 * share));
  }

  private static void audits(
      StringBuilder page, Tokens tokens, ArcaSpec spec, ArcaResult result, ArcaStory story) {
    page.append(
        """
        <h2>What was found</h2>
        <p>A find holds if the model, decoding greedily without any cache, continues the prompt with
        the output. Searches with the same find are one line; of those that failed, the line is the
        best that they came across. J is the objective, in nats. The margin is the smallest distance between the two best logits over the output.
        A text is stable if it encodes to the same tokens again; otherwise only the ids reproduce the
        find.</p>
        <div class="wide"><table>
        <tr><th>output</th><th>times</th><th>prompt</th><th>found</th><th>holds</th>\
        <th>J</th><th>margin</th><th>text</th><th>updates</th></tr>
        """);
    for (ArcaRow row : ArcaRow.of(spec, result)) {
      ArcaResult.Audit a = row.audit();
      page.append(
          String.format(
              Locale.ROOT,
              "<tr><td><code>%s</code></td><td class=\"n\">%d</td><td><code>%s</code></td>"
                  + "<td class=\"%s\">%s</td><td>%s</td><td class=\"n\">%.3f</td>"
                  + "<td class=\"n\">%s</td><td>%s</td><td class=\"n\">%d</td></tr>%n",
              escape(tokens.show(row.output())),
              row.times(),
              escape(tokens.show(row.prompt())),
              row.found() ? "yes" : "no",
              row.found() ? "in sweep " + a.sweep() : "no",
              row.found() ? story.holds(a) ? "yes" : "NO" : "",
              row.J(),
              row.found() ? String.format(Locale.ROOT, "%.3f", a.greedyMargin()) : "",
              !row.found() || a.textStable() == null
                  ? ""
                  : a.textStable() ? "stable" : "not stable",
              a.coordinateUpdates()));
    }
    page.append("</table></div>\n");
  }

  // ---- the way to a find ----

  private static void ways(
      StringBuilder page, Tokens tokens, ArcaSpec spec, ArcaResult result, ArcaStory story) {
    if (result.audits().stream().allMatch(a -> story.moves(a).isEmpty())) {
      return;
    }
    page.append(
        """
        <h2>How they were found</h2>
        <p>Each line is an update that changed a token, marked; the curve is the objective J.</p>
        """);
    boolean open = true;
    for (ArcaRow row : ArcaRow.of(spec, result)) {
      ArcaResult.Audit a = row.audit();
      List<ArcaListener.Move> moves = story.moves(a);
      if (moves.isEmpty()) {
        continue;
      }
      page.append(open ? "<details open>" : "<details>")
          .append("<summary><code>")
          .append(escape(tokens.show(row.prompt()) + " \u2192 " + tokens.show(row.output())))
          .append("</code>, restart ")
          .append(a.restart())
          .append("</summary>\n");
      open = false;
      curve(page, moves);
      page.append("<table>\n<tr><th>sweep</th><th>tokens</th><th>J, nats</th></tr>\n");
      int free = spec.prefix().size();
      int start = free + spec.promptLength();
      for (int i = 0; i < moves.size(); i++) {
        ArcaListener.Move move = moves.get(i);
        page.append("<tr><td class=\"n\">")
            .append(move.sweep())
            .append("</td><td class=\"chips\">");
        for (int t = 0; t < move.ids().size(); t++) {
          boolean changed = i > 0 && !move.ids().get(t).equals(moves.get(i - 1).ids().get(t));
          String kind = changed ? "now" : t < free ? "fix" : t < start ? "" : "out";
          page.append(t == start ? " \u2192 " : "")
              .append("<span class=\"")
              .append(kind)
              .append("\">")
              .append(escape(tokens.token(move.ids().get(t))))
              .append("</span>");
        }
        page.append(String.format(Locale.ROOT, "</td><td class=\"n\">%.3f</td></tr>%n", move.J()));
      }
      page.append("</table>\n</details>\n");
    }
  }

  /** J over the updates, as a line. */
  private static void curve(StringBuilder page, List<ArcaListener.Move> moves) {
    if (moves.size() < 2) {
      return;
    }
    double low = moves.stream().mapToDouble(ArcaListener.Move::J).min().orElseThrow();
    double high = moves.stream().mapToDouble(ArcaListener.Move::J).max().orElseThrow();
    double scale = high > low ? 70 / (high - low) : 0;
    page.append(
        String.format(
            Locale.ROOT,
            "<svg width=\"600\" height=\"90\" role=\"img\" aria-label=\"J from %.3f to %.3f\">"
                + "<polyline fill=\"none\" stroke=\"#00693e\" stroke-width=\"2\" points=\"",
            moves.getFirst().J(),
            moves.getLast().J()));
    for (int i = 0; i < moves.size(); i++) {
      page.append(
          String.format(
              Locale.ROOT,
              "%.1f,%.1f ",
              5 + 500.0 * i / (moves.size() - 1),
              80 - scale * (moves.get(i).J() - low)));
    }
    page.append(
        String.format(
            Locale.ROOT,
            "\"/><text x=\"512\" y=\"14\" font-size=\"12\">%.2f</text>"
                + "<text x=\"512\" y=\"84\" font-size=\"12\">%.2f</text></svg>%n",
            high,
            low));
  }

  private static void record(
      StringBuilder page, LanguageModel model, ArcaSpec spec, ArcaResult result) {
    page.append("<h2>Record</h2>\n<table>\n");
    row(page, "model", spec.model());
    row(page, "identity (SHA-256)", model.model().sha256());
    row(page, "preset", spec.preset().title());
    row(page, "seed", spec.seed());
    row(page, "k, q, sweeps", spec.k() + ", " + spec.q() + ", " + spec.sweeps());
    row(page, "lambda, lambda-f, w", spec.lambda() + ", " + spec.lambdaF() + ", " + spec.w());
    row(page, "copy filter", spec.copyFilter());
    if (spec.isJoint()) {
      row(
          page,
          "prompt table",
          spec.promptUnigram() == null ? "none" : spec.promptUnigram().name());
      row(
          page,
          "output table",
          spec.outputUnigram() == null ? "none" : spec.outputUnigram().name());
      row(page, "a success needs", spec.rule().words());
    }
    row(page, "coordinate updates", result.coordinateUpdates());
    row(page, "seconds", String.format(Locale.ROOT, "%.1f", result.seconds()));
    result.warnings().forEach(w -> row(page, "warning", w));
    page.append("</table>\n");
  }

  private static void row(StringBuilder page, String what, Object value) {
    page.append("<tr><th>%s</th><td>%s</td></tr>%n".formatted(what, escape(value.toString())));
  }

  private static String escape(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }
}
