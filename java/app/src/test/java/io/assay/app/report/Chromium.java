package io.assay.app.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** What every report must stand in a real browser. */
public final class Chromium {
  private Chromium() {}

  /** Screens on which a report is read. */
  public enum Screen {
    LIGHT(1200, 900, false),
    DARK(1200, 900, true),
    PHONE(390, 800, false);

    private final int width;
    private final int height;
    private final boolean dark;

    Screen(int width, int height, boolean dark) {
      this.width = width;
      this.height = height;
      this.dark = dark;
    }

    /** A browser with this screen. */
    public Browser browser() throws IOException {
      return new Browser(width, height, dark);
    }
  }

  /** Skips the test where there is no Chromium, and says so. */
  public static void assumeInstalled() {
    assumeTrue(
        Browser.installed().isPresent(),
        "no chromium on the PATH: the reports are not opened in a browser");
  }

  /** Scrolls through the page, so that every picture is drawn, and waits until they are. */
  public static void drawAll(Browser browser) throws IOException {
    browser.value(
        """
        (async () => {
          const until = performance.now() + 60000;
          for (const plot of document.querySelectorAll('.plot')) {
            plot.scrollIntoView();
            while (!plot.querySelector('canvas') && performance.now() < until) {
              await new Promise(requestAnimationFrame);
            }
          }
          while (performance.getEntriesByType('mark').length < document.querySelectorAll('.plot').length
              && performance.now() < until) {
            await new Promise(requestAnimationFrame);
          }
          scrollTo(0, 0);
        })()
        """);
    assertEquals(
        browser.value("document.querySelectorAll('.plot').length").asInt(),
        browser.value("performance.getEntriesByType('mark').length").asInt(),
        "pictures drawn");
  }

  /** No complaint, no request, and no serious fault that axe finds. */
  public static void assertClean(Browser browser) throws IOException {
    assertEquals(List.of(), faults(browser), "accessibility");
    String words = "[...document.body.innerText.matchAll(/\\b(null|undefined|NaN)\\b/g)].length";
    assertEquals(0, browser.value(words).asInt(), "values that are none are shown as such");
    assertEquals(List.of(), browser.complaints, "console");
    assertEquals(List.of(), browser.requests, "network");
  }

  private static List<String> faults(Browser browser) throws IOException {
    try (InputStream in = ClassLoader.getSystemResourceAsStream("axe.min.js")) {
      browser.value(new String(in.readAllBytes(), StandardCharsets.UTF_8) + "; 0");
    }
    JsonNode report =
        browser.value("axe.run().then(r => ({passes: r.passes.length, violations: r.violations}))");
    assertTrue(report.get("passes").asInt() > 10, "axe found nothing to look at");
    List<String> faults = new ArrayList<>();
    for (JsonNode fault : report.get("violations")) {
      if (List.of("serious", "critical").contains(fault.get("impact").asText())) {
        faults.add(fault.get("id").asText() + ": " + fault.get("nodes").get(0));
      }
    }
    return faults;
  }
}
