package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The reports of the task, as a browser shows them, against the JSON of the same runs. */
class IoiReportTest {
  private static final Path ORGANISM = Path.of("../../onnx-models/organisms/ioi-lm");

  @TempDir Path folder;

  private JsonNode run(String command) throws Exception {
    Answer answer =
        Answer.to(
            "ioi",
            command,
            ORGANISM.toString(),
            "--prompts",
            "40",
            "--json",
            "--out",
            folder.toString());
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void thePagesShowTheNumbersOfTheJson() throws Exception {
    Chromium.assumeInstalled();
    JsonNode baseline = run("baseline");
    JsonNode metrics = baseline.get("metrics");
    double[] ofBaseline = {
      metrics.get("logitDifference").doubleValue(),
      100 * metrics.get("answerOverWrong").doubleValue(),
      100 * metrics.get("answered").doubleValue(),
      100 * metrics.get("answerProbability").doubleValue()
    };
    JsonNode circuit = run("circuit");
    metrics = circuit.get("metrics");
    assertTrue(circuit.get("result").get("circuit").size() > 0, "a circuit is shown");
    double[] ofCircuit = {
      metrics.get("logitDifference").doubleValue(),
      100 * metrics.get("positive").doubleValue(),
      100 * metrics.get("faithfulness").doubleValue(),
      circuit.get("result").get("circuit").size(),
      metrics.get("mostIncomplete").doubleValue()
    };
    for (Chromium.Screen screen : List.of(Chromium.Screen.LIGHT, Chromium.Screen.PHONE)) {
      assertShows(screen, baseline, ofBaseline);
      assertShows(screen, circuit, ofCircuit);
    }
  }

  private static void assertShows(Chromium.Screen screen, JsonNode run, double[] numbers)
      throws Exception {
    String method = run.get("method").textValue();
    try (Browser browser = screen.browser()) {
      browser.open(Path.of(run.get("report").textValue()));
      Chromium.drawAll(browser);
      browser.screenshot(Path.of("target", "screens", method + "-" + screen + ".png"));
      Chromium.assertClean(browser);
      JsonNode facts =
          browser.value(
              "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
      for (int i = 0; i < numbers.length; i++) {
        assertEquals(numbers[i], facts.get(i).doubleValue(), method + " " + i);
      }
      if (method.equals("ioi.circuit")) {
        assertShowsCircuit(browser, run.get("result"));
      }
    }
  }

  /**
   * The edges are those of the JSON, which has changes, and pointing at a token asks what it
   * attends to.
   */
  private static void assertShowsCircuit(Browser browser, JsonNode result) throws Exception {
    JsonNode weights =
        browser.value("data.views.find(v => v.kind === 'Circuit').edges.map(e => e.weight)");
    assertEquals(result.get("edges").size(), weights.size());
    for (int i = 0; i < weights.size(); i++) {
      double effect = result.get("edges").get(i).get("effect").doubleValue();
      assertEquals(-effect, weights.get(i).doubleValue(), "what is lost without the edge");
    }
    assertTrue(weights.size() >= result.get("circuit").size(), "each head writes to the logits");
    String said =
        browser
            .value(
                """
                (() => {
                  const tokens = document.querySelector('.tokens.long');
                  tokens.children[3].dispatchEvent(
                      new PointerEvent('pointerenter', {pointerType: 'mouse'}));
                  return tokens.previousElementSibling.textContent;
                })()
                """)
            .asText();
    assertTrue(said.startsWith("What token 3 "), said);
  }
}
