package io.assay.app;

import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
      Path folder, Envelope envelope, LanguageModel model, ArcaSpec spec, ArcaResult result) {
    Path file = folder.resolve(envelope.run() + ".html");
    try {
      Files.writeString(file, html(envelope, model, spec, result));
    } catch (IOException e) {
      throw new InputException(
          "the report " + file + " cannot be written; choose another --out", e);
    }
    return file;
  }

  private static String html(
      Envelope envelope, LanguageModel model, ArcaSpec spec, ArcaResult result) {
    StringBuilder page = new StringBuilder();
    page.append("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>")
        .append(escape(envelope.run()))
        .append("</title>\n<style>\n")
        .append(STYLE)
        .append("</style>\n</head>\n<body>\n<h1>Which prompts make ")
        .append(escape(model.model().name()))
        .append(" say it?</h1>\n");
    page.append(
        "<p>Assay %s searched prompts of %d tokens by %s, %d times for each of %d outputs.</p>\n"
            .formatted(
                Version.text(),
                spec.promptLength(),
                spec.method(),
                spec.restarts(),
                spec.targets().size()));
    share(page, "Outputs for which a prompt was found", result.anySuccessRate());
    share(page, "Searches that succeeded", result.successRate());
    audits(page, new Tokens(model), result);
    record(page, model, spec, result);
    return page.append("</body>\n</html>\n").toString();
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

  private static void audits(StringBuilder page, Tokens tokens, ArcaResult result) {
    page.append(
        """
        <h2>What was found</h2>
        <table>
        <tr><th>output</th><th>restart</th><th>prompt</th><th>succeeded</th>\
        <th>log p(output | prompt), nats</th><th>margin</th><th>updates</th></tr>
        """);
    for (ArcaResult.Audit a : result.audits()) {
      page.append(
          String.format(
              Locale.ROOT,
              "<tr><td><code>%s</code></td><td class=\"n\">%d</td><td><code>%s</code></td>"
                  + "<td class=\"%s\">%s</td><td class=\"n\">%.3f</td><td class=\"n\">%.3f</td>"
                  + "<td class=\"n\">%d</td></tr>%n",
              escape(tokens.show(a.outputIds())),
              a.restart(),
              escape(tokens.show(a.promptIds())),
              a.success() ? "yes" : "no",
              a.success() ? "yes, in sweep " + a.sweep() : "no",
              a.LP(),
              a.greedyMargin(),
              a.coordinateUpdates()));
    }
    page.append("</table>\n");
  }

  private static void record(
      StringBuilder page, LanguageModel model, ArcaSpec spec, ArcaResult result) {
    page.append("<h2>Record</h2>\n<table>\n");
    row(page, "model", spec.model());
    row(page, "SHA-256", model.model().sha256());
    row(page, "seed", spec.seed());
    row(page, "k, q, sweeps", spec.k() + ", " + spec.q() + ", " + spec.sweeps());
    row(page, "coordinate updates", result.coordinateUpdates());
    row(page, "seconds", String.format(Locale.ROOT, "%.1f", result.seconds()));
    result.warnings().forEach(w -> row(page, "warning", w));
    page.append("</table>\n");
  }

  private static void row(StringBuilder page, String what, Object value) {
    page.append("<tr><th>%s</th><td>%s</td></tr>%n".formatted(what, escape(value.toString())));
  }

  private static String escape(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }
}
