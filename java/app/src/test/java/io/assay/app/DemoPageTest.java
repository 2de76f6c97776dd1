package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoPageTest {
  @TempDir Path folder;

  private static void plant(Envelope envelope, boolean found) {
    ObjectNode plant = envelope.result().withArray("plants").addObject().put("title", "a <plant>");
    plant.putObject("planted").put("prompt", " one").put("output", " two & three");
    if (found) {
      plant.putObject("found").put("prompt", " four").put("output", " five").put("updates", 17);
    } else {
      plant.putNull("found");
    }
    plant
        .put("verified", found)
        .put("control_found", false)
        .put("best", -0.1234)
        .put("control_best", -20.0)
        .put("control_sequences", 48005)
        .put("seconds", 2.5)
        .put("control_seconds", 31.25);
  }

  @Test
  void thePageShowsTheNumbersOfTheJsonAndNeedsNoNetwork() throws Exception {
    Envelope envelope = new Envelope("demo");
    envelope.metrics().put("planted", 2).put("found", 1).put("verified", 1).put("control_found", 0);
    envelope.metrics().put("search_seconds", 2.5).put("control_seconds", 31.25);
    envelope.spec().put("seed", 12345);
    plant(envelope, true);
    plant(envelope, false);
    Path file = DemoPage.write(folder, envelope);
    String page = Files.readString(file);
    assertEquals(folder.resolve(envelope.run() + ".html"), file);
    for (String shown :
        new String[] {
          "1 of 2 planted behaviours found and verified; 0 in the control",
          "a &lt;plant&gt;",
          "two &amp; three",
          "after 17 updates",
          "-0.123</span>",
          "width:50.0%",
          "-20.000</span>",
          "not found after 48005 sequences",
          "<dt>seconds of search</dt><dd>2.5</dd>",
          "<dt>in the control</dt><dd>31.3</dd>",
          "<span>-40</span><span>-20</span><span>0</span>",
          "12345"
        }) {
      assertTrue(page.contains(shown), shown);
    }
    assertFalse(page.contains("http"), "a page needs no network");
    assertFalse(page.contains("a <plant>"), "texts are escaped");
    assertEquals(1, page.split("holds</span>", -1).length - 1, "one find was verified");
    assertEquals(1, page.split(">nothing</span>", -1).length - 1, "one plant was not found");
  }
}
