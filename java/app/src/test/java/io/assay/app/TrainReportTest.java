package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import io.assay.app.report.View;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The report of a training, as a browser shows it, against the JSON of the same run. */
class TrainReportTest {
  @TempDir Path folder;

  @Test
  void thePageShowsTheNumbersOfTheJson() throws Exception {
    Chromium.assumeInstalled();
    String line = "organism build planted-lm --steps 25 --json --out " + folder.resolve("organism");
    Child.Life life = Child.begin(folder, null, List.of(line.split(" "))).end();
    assertEquals(0, life.status(), life.err());
    JsonNode run = Envelope.JSON.readTree(life.out());
    for (Chromium.Screen screen : List.of(Chromium.Screen.LIGHT, Chromium.Screen.PHONE)) {
      try (Browser browser = screen.browser()) {
        browser.open(Path.of(run.get("report").textValue()));
        Chromium.drawAll(browser);
        browser.screenshot(Path.of("target", "screens", "training-" + screen + ".png"));
        Chromium.assertClean(browser);
        JsonNode facts =
            browser.value(
                "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
        JsonNode metrics = run.get("metrics");
        assertEquals(metrics.get("heldOutLoss").doubleValue(), facts.get(0).doubleValue());
        assertEquals(metrics.get("lastLoss").doubleValue(), facts.get(1).doubleValue());
        assertEquals(25, facts.get(2).intValue());
        assertEquals(run.get("seconds").doubleValue(), facts.get(3).doubleValue());

        JsonNode stretches = run.get("result").get("stretches");
        JsonNode table =
            browser.value(
                """
                [...document.querySelectorAll('tbody tr')].map(tr =>
                    [...tr.cells].map(td => td.dataset.value ?? td.innerText))
                """);
        assertEquals(13, stretches.size());
        assertEquals(13, table.size());
        for (int i = 0; i < table.size(); i++) {
          assertEquals(stretches.get(i).get("step").asInt(), table.get(i).get(0).asInt());
          assertEquals(stretches.get(i).get("loss").asDouble(), table.get(i).get(1).asDouble());
          assertEquals(stretches.get(i).get("sha256").asText(), table.get(i).get(2).asText());
        }
        JsonNode curve =
            browser.value(
                "(l => [array(l.x), array(l.y), array(l.low), array(l.high)].map(a => [...a]))"
                    + "(data.views[0].lines[0])");
        assertEquals(1, curve.get(0).get(0).asDouble(), "it begins with the first update");
        assertTrue(curve.get(1).get(0).asDouble() > metrics.get("lastLoss").asDouble(), "learns");
      }
    }
  }

  @Test
  void aCurveHasMeansOfWindowsAndBandsAroundThem() {
    double[] losses = new double[52];
    for (int i = 0; i < losses.length; i++) {
      losses[i] = i % 2 == 0 ? 10 : 20 + i;
    }
    View.Line line = TrainReport.smooth(losses);
    // Windows of one up to the 25th update, then of two, of three behind the 50th.
    assertEquals(25 + 13 + 1, line.x().length);
    assertArrayEquals(new double[] {1, 2, 3}, java.util.Arrays.copyOf(line.x(), 3));
    assertEquals(21, line.y()[1]);
    assertEquals(26.5, line.x()[25]);
    assertEquals((45 + 10) / 2.0, line.y()[25]);
    assertEquals(10, line.low()[25]);
    assertEquals(45, line.high()[25]);
    assertEquals(52, line.x()[38], "what is left at the end");
  }
}
