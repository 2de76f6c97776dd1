package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Page;
import io.assay.app.report.Page.Fact;
import io.assay.app.report.View;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Mark;
import io.assay.app.report.View.Token;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;

/** The report of the demo, made from its JSON: what was planted beside what was found. */
final class DemoPage {
  private final JsonNode run;
  private final IntFunction<String> token;
  private final List<View> more;

  private DemoPage(JsonNode run, IntFunction<String> token, List<View> more) {
    this.run = run;
    this.token = token;
    this.more = more;
  }

  /**
   * Writes the page into {@code folder}, under the name of the run.
   *
   * @param token text of a token
   * @param more what else is shown, behind the searches
   * @throws io.assay.engine.InputException if it cannot be written
   */
  static Path write(Path folder, Envelope envelope, IntFunction<String> token, List<View> more) {
    Path file = folder.resolve(envelope.run() + ".html");
    return new DemoPage(envelope.tree(file), token, more).page().write(file);
  }

  private Page page() {
    JsonNode metrics = run.path("metrics");
    int planted = metrics.path("planted").asInt();
    int verified = metrics.path("verified").asInt();
    int inControl = metrics.path("control_found").asInt();
    List<View> views = new ArrayList<>();
    plants().forEach(plant -> views.add(pair(plant)));
    views.add(distances());
    views.add(table());
    views.addAll(more);
    return new Page(
        "%d of %d planted behaviours found and verified; %d in the control"
            .formatted(verified, planted, inControl),
        "A small language model was trained on generated text in which "
            + planted
            + " behaviours were planted. Assay was given the model and what to look for: an output"
            + " to reverse, or tables that say which words are of the wanted kind. It was not given"
            + " the prompts. The control read the same text without the plants, and was searched in"
            + " the same way.",
        List.of(
            new Fact("found and verified", verified, "of " + planted),
            new Fact("found in the control", inControl, "of " + planted),
            new Fact("time of the search", metrics.path("search_seconds").asDouble(), "s"),
            new Fact("time in the control", metrics.path("control_seconds").asDouble(), "s")),
        run,
        views);
  }

  private List<JsonNode> plants() {
    List<JsonNode> plants = new ArrayList<>();
    run.path("result").path("plants").forEach(plants::add);
    return plants;
  }

  private View pair(JsonNode plant) {
    JsonNode found = plant.path("found");
    String end =
        found.isObject()
            ? "Found after %d updates of a token. Decoded again, word by word, it %s."
                .formatted(
                    found.path("updates").asInt(),
                    plant.path("verified").asBoolean() ? "holds" : "does not hold")
            : "Not found.";
    String control =
        " In the control: %s after %d sequences."
            .formatted(
                plant.path("control_found").asBoolean() ? "found" : "not found",
                plant.path("control_sequences").asLong());
    return new View.Pair(
        plant.path("title").asText(),
        end + control,
        text("planted", plant.path("planted")),
        text(found.isObject() ? "found" : "found: nothing", found));
  }

  private View text(String title, JsonNode pair) {
    return new View.TokenText(title, "", "", false, tokens(pair));
  }

  private List<Token> tokens(JsonNode pair) {
    List<Token> tokens = new ArrayList<>();
    pair.path("promptIds").forEach(id -> tokens.add(token(id, Mark.NONE)));
    pair.path("outputIds").forEach(id -> tokens.add(token(id, Mark.OUTPUT)));
    return tokens;
  }

  private Token token(JsonNode id, Mark mark) {
    return new Token(token.apply(id.asInt()), mark);
  }

  private View distances() {
    List<JsonNode> plants = plants();
    double[] values = new double[2 * plants.size()];
    List<String> labels = new ArrayList<>();
    List<Integer> control = new ArrayList<>();
    for (JsonNode plant : plants) {
      values[labels.size()] = distance(plant.path("best"));
      labels.add(plant.path("id").asText());
      control.add(labels.size());
      values[labels.size()] = distance(plant.path("control_best"));
      labels.add(plant.path("id").asText() + ", control");
    }
    return new View.Bars(
        "How far the nearest prompt was from being answered so",
        "The best objective that a search met, with its sign turned: 0 would be a prompt that the"
            + " model surely continues so. What is found ends near 0; in the control nothing comes"
            + " near.",
        "behaviour",
        "-J, nats",
        labels,
        values,
        "control",
        control);
  }

  /** Nothing is drawn where a search met no prompt that is allowed. */
  private static double distance(JsonNode best) {
    return Double.isFinite(best.asDouble()) ? -best.asDouble() : Double.NaN;
  }

  private View table() {
    List<List<?>> rows = new ArrayList<>();
    for (JsonNode plant : plants()) {
      JsonNode found = plant.path("found");
      rows.add(
          Arrays.asList(
              plant.path("id").asText(),
              tokens(plant.path("planted")),
              tokens(found),
              found.isObject() ? plant.path("verified").asBoolean() : null,
              found.isObject() ? found.path("updates").asInt() : null,
              plant.path("best").asDouble(),
              plant.path("control_found").asBoolean(),
              plant.path("control_best").asDouble(),
              plant.path("control_sequences").asLong()));
    }
    return new View.Table(
        "The numbers",
        "J is the objective, at most 0. A sequence is a prompt that the model read.",
        List.of(
            new Column("behaviour"),
            new Column("planted"),
            new Column("found"),
            new Column("holds"),
            new Column("updates"),
            new Column("best J", "nats", 3),
            new Column("found in control"),
            new Column("best J", "control, nats", 3),
            new Column("sequences", "control", 0)),
        rows);
  }
}
