package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoPageTest {
  @TempDir Path folder;

  private static void plant(Envelope envelope, String id, boolean found) {
    ObjectNode plant = envelope.result().withArray("plants").addObject();
    plant.put("id", id).put("title", "a <plant> called " + id);
    pair(plant.putObject("planted"), 1);
    if (found) {
      pair(plant.putObject("found").put("updates", 17), 4);
    } else {
      plant.putNull("found");
    }
    plant
        .put("verified", found)
        .put("control_found", false)
        .put("best", found ? -0.1234 : -12.5)
        .put("control_best", -20.0)
        .put("control_sequences", 48005);
  }

  private static void pair(ObjectNode pair, int first) {
    pair.putArray("promptIds").add(first).add(first + 1);
    pair.putArray("outputIds").add(first + 2);
  }

  @Test
  void thePageShowsTheNumbersOfTheJson() throws Exception {
    Envelope envelope = new Envelope("demo");
    envelope.metrics().put("planted", 2).put("found", 1).put("verified", 1).put("control_found", 0);
    envelope.metrics().put("search_seconds", 2.5).put("control_seconds", 31.25);
    envelope.spec().put("seed", 12345);
    plant(envelope, "one", true);
    plant(envelope, "two", false);
    Path file = DemoPage.write(folder, envelope, id -> " <" + id + ">", List.of());
    assertEquals(folder.resolve(envelope.run() + ".html"), file);
    shows(file, envelope.tree(file), id -> " <" + id + ">");
  }

  /** Opens a page of the demo in a browser and compares it with the demo's JSON. */
  static void shows(Path file, JsonNode run, IntFunction<String> texts) throws Exception {
    Chromium.assumeInstalled();
    for (Chromium.Screen screen : List.of(Chromium.Screen.LIGHT, Chromium.Screen.PHONE)) {
      try (Browser browser = screen.browser()) {
        browser.open(file);
        Chromium.drawAll(browser);
        browser.screenshot(Path.of("target", "screens", "demo-" + screen + ".png"));
        Chromium.assertClean(browser);
        JsonNode metrics = run.get("metrics");
        assertEquals(
            "%d of %d planted behaviours found and verified; %d in the control"
                .formatted(
                    metrics.get("verified").asInt(),
                    metrics.get("planted").asInt(),
                    metrics.get("control_found").asInt()),
            browser.value("document.querySelector('h1').textContent").asText());
        JsonNode facts =
            browser.value(
                "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
        List<String> names =
            List.of("verified", "control_found", "search_seconds", "control_seconds");
        for (int i = 0; i < names.size(); i++) {
          assertEquals(
              metrics.get(names.get(i)).doubleValue(), facts.get(i).doubleValue(), names.get(i));
        }
        JsonNode table =
            browser.value(
                """
                [...document.querySelectorAll('tbody tr')].map(tr => [...tr.cells].map(td =>
                    td.dataset.value ?? ([...td.querySelectorAll('.tok')].map(t => t.textContent).join('')
                        || td.textContent)))
                """);
        int row = 0;
        for (JsonNode plant : run.get("result").get("plants")) {
          JsonNode found = plant.get("found");
          JsonNode cells = table.get(row++);
          String at = plant.get("id").asText();
          assertEquals(at, cells.get(0).asText());
          assertEquals(texts(plant.get("planted"), texts), cells.get(1).asText(), at);
          assertEquals(texts(found, texts), cells.get(2).asText(), at);
          String holds = found.isNull() ? "" : plant.get("verified").asBoolean() ? "yes" : "no";
          assertEquals(holds, cells.get(3).asText(), at);
          if (!found.isNull()) {
            assertEquals(found.get("updates").asInt(), cells.get(4).asInt(), at);
          }
          assertEquals(plant.get("best").doubleValue(), cells.get(5).asDouble(), at);
          assertEquals(
              plant.get("control_found").asBoolean() ? "yes" : "no", cells.get(6).asText(), at);
          assertEquals(plant.get("control_best").doubleValue(), cells.get(7).asDouble(), at);
          assertEquals(plant.get("control_sequences").asLong(), cells.get(8).asLong(), at);
        }
        assertEquals(row, table.size());
        List<String> headings = new ArrayList<>();
        browser
            .value("[...document.querySelectorAll('h2')].map(h => h.textContent)")
            .forEach(h -> headings.add(h.asText()));
        run.get("result")
            .get("plants")
            .forEach(p -> assertTrue(headings.contains(p.get("title").asText()), p.toString()));
      }
    }
  }

  private static String texts(JsonNode pair, IntFunction<String> texts) {
    StringBuilder text = new StringBuilder();
    pair.path("promptIds").forEach(id -> text.append(texts.apply(id.asInt())));
    pair.path("outputIds").forEach(id -> text.append(texts.apply(id.asInt())));
    return text.toString();
  }
}
