package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** The demo as one HTML file that needs nothing else, made from the demo's JSON. */
final class DemoPage {
  private static final String STYLE =
      """
      :root { color-scheme: light dark; --ink: #1d1f21; --soft: #5d646b; --paper: #fbfaf7;
              --card: #ffffff; --line: #dcd9d2; --good: #0b6b3a; --bad: #a3271f; --none: #b9b4aa }
      @media (prefers-color-scheme: dark) {
        :root { --ink: #e8e6e1; --soft: #a5aab0; --paper: #16181a; --card: #1f2225; --line: #383c40;
                --good: #63d297; --bad: #ff8d83; --none: #5c6166 } }
      body { font: 17px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto;
             padding: 0 1.2rem; color: var(--ink); background: var(--paper) }
      h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .6rem }
      h2 { font-size: 1.1rem; margin: 0 0 .8rem }
      section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
                padding: 1.1rem 1.3rem; margin: 1.1rem 0 }
      .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem }
      .pair h3, dt { font-size: .8rem; color: var(--soft); margin: 0 0 .2rem; font-weight: 600;
                     text-transform: uppercase; letter-spacing: .04em }
      code { font: .95em/1.6 ui-monospace, monospace; white-space: pre-wrap }
      .says { color: var(--bad); font-weight: 600 }
      .yes { color: var(--good) } .no { color: var(--bad) }
      .bars { margin-top: 1rem; font-size: .88rem; color: var(--soft) }
      .bar { display: grid; grid-template-columns: 6.5rem 1fr 9.5rem; gap: .6rem; align-items: center }
      .bar b { display: block; height: .7rem; border-radius: .35rem; background: var(--line) }
      .bar i { display: block; height: 100%; border-radius: .35rem; background: var(--none) }
      .bar i.hit { background: var(--good) }
      .scale { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums }
      dl { display: grid; grid-template-columns: 11rem 1fr; gap: .3rem 1rem; margin: 0 }
      dd { margin: 0; overflow-wrap: anywhere }
      """;

  /** Objective, in nats, at which a bar has no length. */
  private static final double LOWEST = -40;

  private DemoPage() {}

  /**
   * Writes the page into {@code folder}, under the name of the run.
   *
   * @throws InputException if it cannot be written
   */
  static Path write(Path folder, Envelope envelope) {
    Path file = folder.resolve(envelope.run() + ".html");
    try {
      Files.writeString(file, html(envelope.tree(file)));
    } catch (IOException e) {
      throw new InputException("the page " + file + " cannot be written; choose another --out", e);
    }
    return file;
  }

  static String html(JsonNode run) {
    JsonNode metrics = run.path("metrics");
    StringBuilder page = new StringBuilder();
    page.append(
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <link rel="icon" href="data:,">
        <title>Assay: what was planted, what was found</title>
        <style>
        """);
    page.append(STYLE).append("</style>\n</head>\n<body>\n");
    page.append(
        """
        <h1>%d of %d planted behaviours found and verified; %d in the control</h1>
        <p>A small language model was trained on generated text in which five behaviours were
        planted. Assay was given the model and what to look for: an output to reverse, or tables
        that say which words are of the wanted kind. It was not given the prompts. The control read
        the same text without the plants, and was searched in the same way.</p>
        """
            .formatted(
                metrics.path("verified").asInt(),
                metrics.path("planted").asInt(),
                metrics.path("control_found").asInt()));
    run.path("result").path("plants").forEach(plant -> section(page, plant));
    page.append("<section>\n<h2>Record</h2>\n<dl>\n");
    term(page, "model", run.path("model").path("name").asText());
    term(page, "its identity", run.path("model").path("sha256").asText());
    term(page, "that of the control", run.path("spec").path("control").asText());
    page.append(
        """
        <dt></dt><dd>An identity is the SHA-256 over the configuration and the weights of a model,
        as <code>models info</code> shows it; that of each file is in the model's card.</dd>
        """);
    term(page, "seconds of search", seconds(metrics.path("search_seconds")));
    term(page, "in the control", seconds(metrics.path("control_seconds")));
    term(page, "seed", run.path("spec").path("seed").asText());
    term(page, "Assay", run.path("assay").asText());
    term(page, "run", run.path("run").asText());
    return page.append("</dl>\n</section>\n</body>\n</html>\n").toString();
  }

  private static void section(StringBuilder page, JsonNode plant) {
    JsonNode found = plant.path("found");
    page.append("<section>\n<h2>").append(escape(plant.path("title").asText())).append("</h2>\n");
    page.append("<div class=\"pair\">\n<div><h3>planted</h3>");
    says(page, plant.path("planted"));
    page.append("</div>\n<div><h3>found</h3>");
    if (found.isObject()) {
      says(page, found);
      page.append(
          plant.path("verified").asBoolean()
              ? "<br><span class=\"yes\">decoded again, word by word: holds</span>"
              : "<br><span class=\"no\">decoded again, word by word: does not hold</span>");
    } else {
      page.append("<span class=\"no\">nothing</span>");
    }
    page.append("</div>\n</div>\n<div class=\"bars\">\n");
    bar(page, "planted-lm", plant.path("best").asDouble(), found.isObject());
    bar(
        page,
        "control",
        plant.path("control_best").asDouble(),
        plant.path("control_found").asBoolean());
    page.append(
        String.format(
            Locale.ROOT,
            "<div class=\"bar\"><span></span><span class=\"scale\"><span>%.0f</span>"
                + "<span>%.0f</span><span>0</span></span><span>nats</span></div>%n"
                + "Highest objective that the search met; 0 is the most there can be. %s Control:"
                + " %s after %d sequences.%n</div>%n</section>%n",
            LOWEST,
            LOWEST / 2,
            found.isObject()
                ? "Found after " + found.path("updates").asInt() + " updates of a token."
                : "",
            plant.path("control_found").asBoolean() ? "found" : "not found",
            plant.path("control_sequences").asLong()));
  }

  private static String seconds(JsonNode seconds) {
    return String.format(Locale.ROOT, "%.1f", seconds.asDouble());
  }

  private static void says(StringBuilder page, JsonNode pair) {
    page.append("<code>")
        .append(escape(pair.path("prompt").asText().strip()))
        .append(" → <span class=\"says\">")
        .append(escape(pair.path("output").asText().strip()))
        .append("</span></code>");
  }

  private static void bar(StringBuilder page, String who, double best, boolean hit) {
    double share = Math.max(0, Math.min(1, 1 - best / LOWEST));
    page.append(
        String.format(
            Locale.ROOT,
            "<div class=\"bar\"><span>%s</span><b><i%s style=\"width:%.1f%%\"></i></b>"
                + "<span>%.3f</span></div>%n",
            who,
            hit ? " class=\"hit\"" : "",
            100 * share,
            best));
  }

  private static void term(StringBuilder page, String what, String value) {
    page.append("<dt>").append(what).append("</dt><dd>").append(escape(value)).append("</dd>\n");
  }

  private static String escape(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }
}
