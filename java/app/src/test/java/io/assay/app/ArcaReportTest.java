package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The report of a search, as a browser shows it, against the JSON of the same run. */
class ArcaReportTest {
  @TempDir Path folder;

  private static JsonNode read(Browser browser, String expression) throws Exception {
    return browser.value(expression);
  }

  @Test
  void thePageShowsTheNumbersOfTheJson() throws Exception {
    Chromium.assumeInstalled();
    Path model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    Answer answer =
        Answer.to(
            "arca",
            "reverse",
            model.toString(),
            "--target-ids",
            "5",
            "--target-ids",
            "9,4",
            "--prefix-ids",
            "3,8",
            "--prompt-length",
            "2",
            "--sweeps",
            "3",
            "--compare",
            "--json",
            "--out",
            folder.toString());
    assertEquals(0, answer.status(), answer.err());
    JsonNode run = Envelope.JSON.readTree(answer.out());
    List<JsonNode> audits = new ArrayList<>();
    run.get("result").get("audits").forEach(audits::add);
    List<JsonNode> successes =
        audits.stream().filter(a -> a.get("success").booleanValue()).toList();
    assertTrue(!successes.isEmpty() && successes.size() < audits.size(), "both ends are shown");

    for (Chromium.Screen screen : List.of(Chromium.Screen.LIGHT, Chromium.Screen.PHONE)) {
      try (Browser browser = screen.browser()) {
        browser.open(Path.of(run.get("report").textValue()));
        Chromium.drawAll(browser);
        browser.screenshot(Path.of("target", "screens", "arca-" + screen + ".png"));
        Chromium.assertClean(browser);

        // The page carries the JSON of the run.
        JsonNode carried =
            Envelope.JSON
                .readTree(read(browser, "document.getElementById('data').textContent").asText())
                .get("run");
        for (String part : List.of("run", "spec", "model", "metrics", "result")) {
          assertEquals(run.get(part), carried.get(part), part);
        }

        // The key numbers.
        JsonNode facts =
            read(
                browser,
                "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
        long targets =
            successes.stream().mapToInt(a -> a.get("target").intValue()).distinct().count();
        assertEquals(targets, facts.get(0).longValue());
        assertEquals(successes.size(), facts.get(1).longValue());
        assertEquals(
            run.get("metrics").get("coordinateUpdates").longValue(), facts.get(3).longValue());

        // Each line of the table is one of the searches, with its numbers to the last bit.
        JsonNode table =
            read(
                browser,
                """
                [...document.querySelector('table').querySelectorAll('tbody tr')].map(tr =>
                    [...tr.cells].map(td => td.dataset.value ?? td.innerText))
                """);
        int times = 0;
        for (JsonNode line : table) {
          boolean found = line.get(2).textValue().equals("yes");
          times += line.get(4).asInt();
          double J = line.get(5).asDouble();
          assertTrue(
              audits.stream()
                  .anyMatch(
                      a ->
                          found
                              ? a.get("success").booleanValue()
                                  && a.get("J").doubleValue() == J
                                  && a.get("LP").doubleValue() == line.get(6).asDouble()
                                  && a.get("greedyMargin").doubleValue() == line.get(7).asDouble()
                                  && a.get("coordinateUpdates").asInt() == line.get(10).asInt()
                              : a.get("bestSoFar").get("J").doubleValue() == J),
              line.toString());
          if (found) {
            assertEquals("yes", line.get(3).textValue(), "a find holds");
          }
        }
        assertEquals(audits.size(), times, "each search is in one line");

        // Each method is a line of the comparison, and one of the curves.
        JsonNode methods = section(browser, "The methods compared");
        List<JsonNode> compared = new ArrayList<>();
        run.get("result").get("comparison").forEach(compared::add);
        assertEquals(
            List.of("autoprompt", "gcg", "random"),
            compared.stream().map(m -> m.get("method").textValue()).toList());
        assertEquals(4, methods.size());
        shows(methods.get(0), "arca", run.get("metrics"), audits);
        for (int i = 0; i < 3; i++) {
          List<JsonNode> ended = new ArrayList<>();
          compared.get(i).get("audits").forEach(ended::add);
          assertEquals(audits.size(), ended.size());
          shows(methods.get(i + 1), compared.get(i).get("method").asText(), compared.get(i), ended);
        }
        JsonNode curves =
            read(
                browser,
                """
                data.views.find(v => v.title === 'Success against budget').lines.map(l =>
                    ({name: l.name, share: array(l.y).at(-1), budget: array(l.x).at(-1)}))
                """);
        for (int i = 0; i < 4; i++) {
          assertEquals(methods.get(i).get(0).asText(), curves.get(i).get("name").asText());
          double share = methods.get(i).get(1).asDouble() / audits.size();
          assertEquals(share, curves.get(i).get("share").asDouble(), 1e-15);
          assertTrue(curves.get(i).get("budget").asDouble() > 0);
        }

        // A way ends with the find's objective, and each change begins where the last one ended.
        JsonNode way = section(browser, "The way to find 1:");
        for (int i = 1; i < way.size(); i++) {
          assertEquals(way.get(i - 1).get(6), way.get(i).get(5));
        }
        // The search's J comes from its batch in float32, the result's is evaluated once more.
        assertEquals(
            table.get(0).get(5).asDouble(), way.get(way.size() - 1).get(6).asDouble(), 1e-4);
      }
    }
  }

  /** Cells of the table in the section whose heading begins so. */
  private static JsonNode section(Browser browser, String heading) throws Exception {
    return read(
        browser,
        """
        [...document.querySelectorAll('section')].find(s =>
            s.querySelector('h2').textContent.startsWith('%s'))
            .querySelectorAll('tbody tr').values().map(tr =>
                [...tr.cells].map(td => td.dataset.value ?? td.innerText)).toArray()
        """
            .formatted(heading));
  }

  /** A line of the comparison against the JSON of its method. */
  private static void shows(JsonNode line, String method, JsonNode metrics, List<JsonNode> audits) {
    List<JsonNode> found = audits.stream().filter(a -> a.get("success").booleanValue()).toList();
    assertEquals(method, line.get(0).asText());
    assertEquals(found.size(), line.get(1).asInt(), method);
    assertEquals(audits.size(), line.get(2).asInt(), method);
    assertEquals(
        found.stream().map(a -> a.get("target").intValue()).distinct().count(),
        line.get(3).asLong(),
        method);
    assertEquals(metrics.get("finds").asInt(), line.get(4).asInt(), method);
    assertEquals(metrics.get("finds").asInt(), line.get(5).asInt(), "each find holds: " + method);
    assertEquals(found.size(), metrics.get("verified").asInt(), method);
    long sum = audits.stream().mapToLong(ArcaReportTest::sequences).sum();
    assertEquals(sum, line.get(6).asLong(), method);
    assertEquals(sum, metrics.get("sequences").asLong(), method);
    String cheapest =
        found.stream().mapToLong(ArcaReportTest::sequences).min().stream()
            .mapToObj(Long::toString)
            .findFirst()
            .orElse("");
    assertEquals(cheapest, line.get(7).asText(), method);
  }

  private static long sequences(JsonNode audit) {
    return audit.get("forwardSequences").longValue() + audit.get("backwardSequences").longValue();
  }
}
