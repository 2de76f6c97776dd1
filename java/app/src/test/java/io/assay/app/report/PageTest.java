package io.assay.app.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.report.View.Axis;
import io.assay.app.report.View.Column;
import io.assay.app.report.View.Edge;
import io.assay.app.report.View.Line;
import io.assay.app.report.View.Mark;
import io.assay.app.report.View.Node;
import io.assay.app.report.View.Token;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every view, with data of the kind it is for, in a real browser. */
class PageTest {
  @TempDir Path folder;

  private static final String ATTACK = "</script><img src=x onerror=\"window.owned=1\"><b>{a|b}";

  private static final List<String> WORDS =
      List.of(
          "When", " Mary", " and", " John", " went", " to", " the", " store", ",", " John", " gave",
          " a", " drink", " to", ATTACK);

  static View.HeatMap headMap() {
    Random random = new Random(1);
    float[] values = new float[12 * 12 * 15];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * (i % 13 == 0 ? 1 : .2f);
    }
    values[5] = Float.NaN;
    return new View.HeatMap(
        "Patching each head at each position",
        "How much of the logit difference comes back when one head's output is taken from the clean"
            + " run.",
        new Axis("position", WORDS),
        Axis.counted("layer", 12),
        Axis.counted("head", 12),
        "nats",
        true,
        values);
  }

  static View.Attention attention(int size, int heads) {
    Random random = new Random(2);
    float[] values = new float[heads * size * size];
    for (int row = 0; row < heads * size; row++) {
      int q = row % size;
      double sum = 0;
      for (int k = 0; k <= q; k++) {
        double weight = Math.exp(3 * random.nextGaussian()) / (1 + .05 * (q - k));
        values[row * size + k] = (float) weight;
        sum += weight;
      }
      for (int k = 0; k < size; k++) {
        values[row * size + k] = k <= q ? (float) (values[row * size + k] / sum) : Float.NaN;
      }
    }
    return new View.Attention(
        "Attention of head 9.6 over " + size + " tokens",
        "Rows are queries, columns the keys they attend to.",
        IntStream.range(0, size).mapToObj(i -> WORDS.get(i % WORDS.size())).toList(),
        IntStream.range(0, heads).mapToObj(h -> "9." + (h + 6)).toList(),
        values);
  }

  static View.Lines curve(int points) {
    Random random = new Random(3);
    double[] x = DoubleStream.iterate(1, v -> v + 1).limit(points).toArray();
    double[] y = new double[points];
    for (int i = 0; i < points; i++) {
      y[i] = 5 / Math.sqrt(x[i]) * Math.exp(.1 * random.nextGaussian());
    }
    double[] low = DoubleStream.of(y).map(v -> .8 * v).toArray();
    double[] high = DoubleStream.of(y).map(v -> 1.25 * v).toArray();
    return new View.Lines(
        "Loss over " + points + " steps",
        "The band holds nine of ten seeds.",
        "step",
        "loss, nats",
        true,
        true,
        List.of(
            new Line("training", x, y, low, high),
            new Line("validation", x, DoubleStream.of(y).map(v -> v + .2).toArray())));
  }

  private static View.Bars spectrum() {
    double[] values = IntStream.range(0, 57).mapToDouble(k -> .02 + .01 * Math.sin(k)).toArray();
    List<Integer> keys = List.of(14, 35, 41, 42, 52);
    keys.forEach(k -> values[k] = .7 + .01 * k);
    return new View.Bars(
        "Fourier spectrum of the embedding",
        "Norm of each frequency's sine and cosine.",
        "frequency",
        "norm",
        IntStream.range(0, 57).mapToObj(Integer::toString).toList(),
        values,
        "key frequency",
        keys);
  }

  static View.Table table() {
    List<List<?>> rows = new ArrayList<>();
    for (int i = 0; i < 120; i++) {
      rows.add(
          java.util.Arrays.asList(
              i,
              List.of(
                  new Token(WORDS.get(i % 15), i == 3 ? Mark.CHANGED : Mark.NONE),
                  new Token(" " + i, Mark.OUTPUT)),
              i % 7 == 0 ? null : Math.sin(i),
              i % 2 == 0,
              i == 14 ? ATTACK : "row " + i));
    }
    return new View.Table(
        "Found pairs",
        "Sorted by rank at first.",
        List.of(
            new Column("rank"),
            new Column("prompt and output"),
            new Column("log p", "nats", 3),
            new Column("holds"),
            new Column("remark")),
        rows);
  }

  private static View.TokenText text(String title, double sign) {
    List<Token> tokens =
        IntStream.range(0, 15)
            .mapToObj(i -> new Token(WORDS.get(i), sign * Math.cos(i), Mark.NONE))
            .toList();
    return new View.TokenText(title, "", "nats", true, tokens);
  }

  private static View.Circuit circuit() {
    return new View.Circuit(
        "Circuit of indirect object identification",
        "Effects that are left when all others are cut.",
        new Axis("position", List.of("S1", "S1+1", "S2", "END")),
        Axis.counted("layer", 4),
        "nats",
        List.of(
            new Node("0.1", 2, 0, "duplicate token"),
            new Node("1.4", 1, 1, "previous token"),
            new Node("2.5", 2, 2, "induction"),
            new Node("3.9", 3, 3, "name mover"),
            new Node("2.6", 3, 2, "S-inhibition")),
        List.of(new Edge(0, 4, -.8), new Edge(1, 2, .4), new Edge(2, 4, -.5), new Edge(4, 3, 1.7)));
  }

  static Path write(Path file, String title, View... views) {
    ObjectNode run = new ObjectMapper().createObjectNode().put("assay", "0").put("run", "example");
    run.putObject("spec").put("seed", 12345678901234L).put("prompt", ATTACK);
    run.putObject("model").put("name", ATTACK).put("sha256", "0123");
    return new Page(
            title,
            "Examples of every view.",
            List.of(new Page.Fact("found", 4, "of 5"), new Page.Fact("margin", 0.123456, "logits")),
            run,
            List.of(views))
        .write(file);
  }

  @Test
  void everyViewIsDrawnAndNothingIsAskedOfTheNetwork() throws Exception {
    Path file =
        write(
            folder.resolve("all.html"),
            "All views " + ATTACK,
            headMap(),
            attention(15, 2),
            curve(2000),
            spectrum(),
            table(),
            text("Surprise of each token", 1),
            circuit(),
            new View.Pair(
                "Before and after patching", "", text("clean", 1), text("corrupted", -1)));
    assertTrue(Files.size(file) < 3_000_000, "size " + Files.size(file));
    Chromium.assumeInstalled();
    for (Chromium.Screen screen : Chromium.Screen.values()) {
      try (Browser browser = screen.browser()) {
        browser.open(file);
        Chromium.drawAll(browser);
        browser.screenshot(Path.of("target", "screens", "views-" + screen + ".png"));
        Chromium.assertClean(browser);
        assertTrue(browser.value("window.owned").isMissingNode(), "a script came in with a text");
        assertEquals(0, browser.value("document.querySelectorAll('img').length").asInt());
        assertEquals(
            "All views " + ATTACK, browser.value("document.title").asText(), "texts are whole");
        JsonNode wide =
            browser.value(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assertEquals(0, wide.asInt(), screen + ": the page is wider than the screen");
      }
    }
  }

  @Test
  void keysAndButtonsDoWhatTheySay() throws Exception {
    Chromium.assumeInstalled();
    View.HeatMap map = headMap();
    Path file =
        write(folder.resolve("keys.html"), "Keys", map, table(), attention(300, 1), curve(50));
    try (Browser browser = Chromium.Screen.LIGHT.browser()) {
      browser.open(file);
      Chromium.drawAll(browser);

      // By keyboard: the first stop skips to the results, the second changes the colours.
      browser.press("Tab", 9);
      assertEquals("#main", browser.value("document.activeElement.getAttribute('href')").asText());
      browser.press("Tab", 9);
      browser.press("Enter", 13);
      assertEquals("dark", browser.value("document.documentElement.dataset.theme").asText());

      // Arrow keys walk over the cells of a map: right, down, and the value is said.
      browser.value("document.querySelector('.plot').focus()");
      browser.press("ArrowRight", 39);
      browser.press("ArrowRight", 39);
      browser.press("ArrowDown", 40);
      String said = browser.value("document.querySelector('.plot + .said').textContent").asText();
      assertTrue(said.startsWith("layer 1, head 1, position When: "), said);
      double shown = Double.parseDouble(said.replaceAll(".*: (\\S+) nats", "$1"));
      assertEquals(map.values()[13], shown, 1e-3 * Math.abs(map.values()[13]), said);

      // The slider goes to another slice, whose value at the same place is another.
      browser.value(
          """
          (() => {
            const slider = document.querySelector('input[type=range]');
            slider.value = 2;
            slider.dispatchEvent(new Event('input'));
            return 0;
          })()
          """);
      browser.press("ArrowLeft", 37);
      said = browser.value("document.querySelector('.plot + .said').textContent").asText();
      assertTrue(said.startsWith("layer 1, head 0, position  and: "), said);
      shown = Double.parseDouble(said.replaceAll(".*: (\\S+) nats", "$1"));
      assertEquals(map.values()[2 * 144 + 12], shown, 1e-3 * Math.abs(shown), said);

      // Sorting by a number, nulls last; searching.
      String rank = "document.querySelector('tbody td').dataset.value";
      browser.value("document.querySelectorAll('thead button')[2].click()");
      assertEquals(33, browser.value(rank).asInt(), "sin(i) is greatest at 33 below 120");
      browser.value("document.querySelectorAll('thead button')[2].click()");
      assertEquals(11, browser.value(rank).asInt(), "and least at 11");
      assertEquals(
          "ascending", browser.value("document.querySelectorAll('th')[2].ariaSort").asText());
      browser.value(
          """
          (() => {
            const search = document.querySelector('input[type=search]');
            search.value = 'ROW 117';
            search.dispatchEvent(new Event('input'));
            return 0;
          })()
          """);
      assertEquals(1, browser.value("document.querySelectorAll('tbody tr').length").asInt());
      assertEquals(117, browser.value(rank).asInt());

      // Pictures as files.
      String picture = "document.querySelectorAll('.plot')[%d].picture.%s()";
      for (int i = 0; i < 3; i++) {
        String drawn =
            "(svg => svg.documentElement.nodeName + svg.querySelectorAll('path').length)"
                + "(new DOMParser().parseFromString(%s, 'image/svg+xml'))";
        String svg = browser.value(drawn.formatted(picture.formatted(i, "svg"))).asText();
        assertTrue(svg.matches("svg[1-9]\\d+"), "a picture with paths, not " + svg);
        String png = browser.value(picture.formatted(i, "png")).asText();
        byte[] bytes = java.util.Base64.getDecoder().decode(png.substring(png.indexOf(',') + 1));
        assertEquals(0x89504e47, java.nio.ByteBuffer.wrap(bytes).getInt(), "a PNG's first bytes");
      }

      // A tile of a long pattern opens into single tokens.
      browser.value("document.querySelectorAll('.plot')[1].focus()");
      browser.press("ArrowRight", 39);
      String tile =
          browser.value("document.querySelectorAll('.plot + .said')[1].textContent").asText();
      assertTrue(tile.startsWith("queries 0 to 3, keys 0 to 3"), tile);
      browser.press("Enter", 13);
      browser.press("ArrowLeft", 37);
      tile = browser.value("document.querySelectorAll('.plot + .said')[1].textContent").asText();
      assertEquals("1 from query 0 'When' to key 0 'When'", tile);
      Chromium.assertClean(browser);
    }
  }
}
