package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands of patching: what they print, refuse and show. */
class PatchCommandTest {
  private static final int PAIRS = 3;
  private static final int LENGTH = 6;

  @TempDir Path folder;
  private Path model;
  private Path pairs;

  @BeforeEach
  void makeModel() throws IOException {
    model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    pairs = writePairs(folder.resolve("pairs.jsonl"), PAIRS, LENGTH);
  }

  /** Pairs of random tokens that end alike. */
  static Path writePairs(Path file, int count, int length) throws IOException {
    Random random = new Random(2);
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      List<Integer> clean = new ArrayList<>();
      List<Integer> corrupt = new ArrayList<>();
      for (int t = 0; t < length; t++) {
        clean.add(random.nextInt(500));
        corrupt.add(t == length - 1 ? clean.get(t) : Integer.valueOf(random.nextInt(500)));
      }
      lines.add(
          "{\"clean_ids\":%s,\"corrupt_ids\":%s,\"answer\":%d,\"wrong\":%d}"
              .formatted(clean, corrupt, 500 + i % 6, 506 + i % 6));
    }
    return Files.write(file, lines);
  }

  private List<String> line(String verb, String... more) {
    List<String> line = new ArrayList<>(List.of("patch", verb, model.toString()));
    line.addAll(List.of("--pairs", pairs.toString(), "--out", folder.resolve("out").toString()));
    line.addAll(List.of(more));
    return line;
  }

  private Answer run(String verb, String... more) {
    return Answer.to(line(verb, more).toArray(String[]::new));
  }

  private JsonNode json(String verb, String... more) throws IOException {
    List<String> line = line(verb, more);
    line.add("--json");
    Answer answer = Answer.to(line.toArray(String[]::new));
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void aSweepHasAxesValuesAndPairs() throws IOException {
    JsonNode run = json("sweep", "--direction", "noise", "--per-pair");
    JsonNode result = run.get("result");
    assertEquals("[\"layer\",\"position\",\"head\"]", result.get("axes").toString());
    assertEquals("metric", result.get("values_are").textValue());
    assertEquals(2, result.get("values").size());
    assertEquals(LENGTH, result.get("values").get(0).size());
    assertEquals(4, result.get("values").get(0).get(0).size());
    double clean = result.get("clean").doubleValue();
    double corrupt = result.get("corrupt").doubleValue();
    JsonNode each = result.get("pairs");
    double mean = 0;
    for (int i = 0; i < PAIRS; i++) {
      mean += each.get("values").get(i).get(1).get(5).get(2).doubleValue() / PAIRS;
    }
    double value = result.get("values").get(1).get(5).get(2).doubleValue();
    assertEquals(mean, value, 1e-12);
    assertEquals(
        (value - corrupt) / (clean - corrupt),
        result.get("normalised").get(1).get(5).get(2).doubleValue(),
        1e-12);
    // Of the last block, what is before the end is of no effect.
    assertEquals(clean, result.get("values").get(1).get(2).get(0).doubleValue(), 1e-5);
    assertTrue(run.get("spec").get("choices").size() == 6, run.toString());
    assertTrue(result.get("disagreements").isArray());
    assertTrue(Files.exists(Path.of(run.get("report").textValue())));
  }

  @Test
  void pathsAndEstimates() throws IOException {
    JsonNode path = json("path", "--direction", "noise", "--receiver", "blocks.1.attn.hook_q[3]");
    assertEquals("[\"layer\",\"head\"]", path.get("result").get("axes").toString());
    assertEquals("blocks.1.attn.hook_q[3]", path.get("result").get("receiver").textValue());
    JsonNode values = path.get("result").get("values");
    assertEquals(path.get("result").get("clean"), values.get(1).get(0), "no path from there");

    JsonNode ap = json("attribute", "--direction", "noise").get("result");
    assertEquals("[\"layer\",\"position\",\"head\"]", ap.get("axes").toString());
    assertEquals("metric", path.get("result").get("values_are").textValue());
    assertEquals("change", ap.get("values_are").textValue());
    JsonNode eap = json("attribute", "--direction", "noise", "--method", "eap-ig").get("result");
    assertEquals(1 + 2 * 5, eap.get("sources").size());
    assertEquals(2 * 13 + 1, eap.get("destinations").size());
    assertEquals(eap.get("sources").size(), eap.get("values").size());
    assertEquals(0, eap.get("mask").get(10).get(0).intValue());
    assertEquals("change", eap.get("values_are").textValue());
    JsonNode greedy = eap.get("circuit");
    assertTrue(greedy.findValuesAsText("destination").contains("logits"), greedy.toString());
    for (int i = 1; i < greedy.size(); i++) {
      double before = Math.abs(greedy.get(i - 1).get("score").doubleValue());
      assertTrue(before >= Math.abs(greedy.get(i).get("score").doubleValue()), "edge " + i);
    }
    JsonNode top =
        json(
                "attribute",
                "--direction",
                "noise",
                "--method",
                "eap",
                "--select",
                "top",
                "--edges",
                "9")
            .get("result")
            .get("circuit");
    assertTrue(top.size() <= 9 && greedy.size() > 9, top.size() + " and " + greedy.size());
    JsonNode written = json("attribute", "--direction", "noise", "--method", "dla").get("result");
    assertEquals("[\"layer\",\"head\"]", written.get("axes").toString());
    assertEquals("share", written.get("values_are").textValue());
  }

  /** A Llama whose queries share keys and values, by the hooks that are proposed for it. */
  @Test
  void headsOfKeysMayBeFewerThanThoseOfQueries() throws IOException {
    model = folder.resolve("llama.onnx");
    Files.copy(Path.of("../engine/src/test/resources/onnx/llama.dynamo.onnx"), model);
    String map = folder.resolve("llama.hooks.json").toString();
    Answer proposed = Answer.to("models", "hooks", model.toString(), "--propose", "--write", map);
    assertEquals(0, proposed.status(), proposed.err());
    Files.writeString(
        pairs, "{\"clean_ids\":[1,2,3],\"corrupt_ids\":[4,5,3],\"answer\":6,\"wrong\":7}\n");
    JsonNode queries = json("sweep", "--direction", "noise").get("result");
    JsonNode keys =
        json("sweep", "--direction", "noise", "--at", "blocks.*.attn.hook_k").get("result");
    int heads = queries.get("labels").get(2).size();
    int shared = keys.get("labels").get(2).size();
    assertTrue(shared < heads && shared > 0, heads + " and " + shared);
    JsonNode all =
        json("sweep", "--direction", "noise", "--at", "blocks.0.hook_resid_pre", "--per", "all");
    double corrupt = all.get("result").get("corrupt").doubleValue();
    assertEquals(corrupt, all.get("result").get("values").doubleValue(), 1e-5);
    JsonNode eap = json("attribute", "--direction", "noise", "--method", "eap").get("result");
    int layers = queries.get("labels").get(0).size();
    assertEquals(layers * (heads + 2 * shared + 1) + 1, eap.get("destinations").size());
    json("path", "--direction", "noise", "--receiver", "blocks.1.attn.hook_k[0]");
  }

  @Test
  void peopleReadTheLargestEffects() {
    Answer sweep = run("sweep", "--direction", "denoise", "--at", "blocks.*.hook_mlp_out");
    assertEquals(0, sweep.status(), sweep.err());
    assertTrue(sweep.out().contains("denoise: the corrupt prompt runs"), sweep.out());
    assertTrue(sweep.out().lines().anyMatch(l -> l.startsWith("layer 1 position 5")), sweep.out());
    Answer edges = run("attribute", "--direction", "noise", "--method", "eap");
    assertTrue(edges.out().contains(" -> logits"), edges.out());
  }

  private void refused(String words, String verb, String... more) {
    Answer answer = run(verb, more);
    assertEquals(2, answer.status(), answer.toString());
    assertTrue(answer.err().contains(words), answer.err());
    assertEquals(1, answer.err().lines().count(), answer.err());
  }

  @Test
  void wrongInputIsOneSentence() throws IOException {
    refused("--direction", "sweep");
    refused("near it are", "sweep", "--direction", "noise", "--at", "blocks.*.attn.hook_y");
    refused(
        "is not before",
        "path",
        "--direction",
        "noise",
        "--from",
        "blocks.1.attn.hook_z[0]",
        "--receiver",
        "blocks.0.attn.hook_k");
    refused("there are ap, eap, eap-ig", "attribute", "--direction", "noise", "--method", "x");
    refused("--bos needs", "sweep", "--direction", "noise", "--bos");
    Files.writeString(
        pairs, "{\"clean_ids\":[1,2,3],\"corrupt_ids\":[1,5],\"answer\":4,\"wrong\":5}\n");
    refused(
        "has 3 tokens in clean and 2 in corrupt; they part at token 1",
        "sweep",
        "--direction",
        "noise");
  }

  /** Each with one that does not say what it would do, and what to do in its place. */
  @Test
  void idleOptionsAreRefused() {
    String[][] cases = {
      {"--steps", "7", "ap", "eap-ig"},
      {"--steps", "7", "dla", "eap-ig"},
      {"--rule", "legacy", "eap", "eap-ig"},
      {"--edges", "7", "dla", "eap or eap-ig"},
      {"--select", "top", "ap", "eap or eap-ig"},
      {"--at", "blocks.*.attn.hook_z", "eap", "ap or dla"},
      {"--per-pair", null, "eap-ig", "ap or dla"},
    };
    for (String[] c : cases) {
      List<String> line = new ArrayList<>(List.of("--direction", "noise", "--method", c[2], c[0]));
      if (c[1] != null) {
        line.add(c[1]);
      }
      refused(
          "%s has no effect with --method %s; leave it out, or choose --method %s"
              .formatted(c[0], c[2], c[3]),
          "attribute",
          line.toArray(String[]::new));
    }
  }

  /** A browser shows the numbers of the JSON, and complains of nothing. */
  @Test
  void theReportsShowTheNumbers() throws IOException {
    Chromium.assumeInstalled();
    JsonNode sweep = json("sweep", "--direction", "noise");
    JsonNode eap = json("attribute", "--direction", "noise", "--method", "eap");
    for (JsonNode run : List.of(sweep, eap)) {
      try (Browser browser = Chromium.Screen.LIGHT.browser()) {
        browser.open(Path.of(run.get("report").textValue()));
        Chromium.drawAll(browser);
        browser.screenshot(Path.of("target", "screens", run.get("method").textValue() + ".png"));
        Chromium.assertClean(browser);
        String text = browser.value("document.body.innerText").asText();
        int choices = text.indexOf("noising: the clean prompt runs");
        assertTrue(choices > 0, text);
        int metric = text.indexOf("logit(answer) - logit(wrong) at the last position");
        assertTrue(
            metric >= 0 && metric < text.indexOf("The six"),
            "the first lines say what is read: " + text);
        if (run == eap) {
          assertTrue(text.contains("logit difference, corrupt"), text);
          JsonNode edges =
              browser.value("data.views.find(v => v.kind === 'Circuit').edges.map(e => e.weight)");
          double sum = 0;
          for (JsonNode edge : run.get("result").get("circuit")) {
            sum += edge.get("score").doubleValue();
          }
          for (JsonNode edge : edges) {
            sum -= edge.doubleValue();
          }
          assertEquals(0, sum, 1e-9, "the edges that are drawn are those that were chosen");
        }
        if (run == sweep) {
          JsonNode facts =
              browser.value(
                  "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
          assertEquals(run.get("result").get("clean").doubleValue(), facts.get(0).doubleValue());
          JsonNode heat = browser.value("[...array(data.views[1].values)]");
          String drawn =
              browser
                  .value(
                      """
                      (() => {
                        const series = echarts.getInstanceByDom(
                            document.querySelector('.plot')).getOption().series[0];
                        return series.label.formatter({value: series.data[29]});
                      })()
                      """)
                  .asText();
          assertEquals(heat.get(29).doubleValue(), Double.parseDouble(drawn), 0.0051);
          assertEquals(2 * LENGTH * 4, heat.size());
          double want =
              run.get("result").get("values").get(1).get(5).get(2).doubleValue()
                  - run.get("result").get("clean").doubleValue();
          assertEquals(want, heat.get((4 + 2) * LENGTH + 5).doubleValue(), 1e-5);
        }
      }
    }
  }
}
