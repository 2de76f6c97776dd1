package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.app.report.Browser;
import io.assay.app.report.Chromium;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code assay grok analyze}: on small random networks, on logits, on what it must refuse. */
class GrokAnalyzeTest {
  private static final int P = 11;

  @TempDir Path folder;

  private static Tensor draw(Random random, double scale, long... shape) {
    double[] values = new double[(int) Tensor.elements(shape)];
    float[] floats = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      floats[i] = (float) (scale * random.nextGaussian());
    }
    return Tensor.ofFloats(floats, shape);
  }

  /** Writes checkpoints of a network whose weights grow. */
  private Path trajectory() throws Exception {
    Path run = Files.createDirectories(folder.resolve("run"));
    for (int epoch = 0; epoch <= 200; epoch += 100) {
      Random random = new Random(1);
      double scale = 0.4 + epoch / 500.0;
      Map<String, Tensor> weights = new TreeMap<>();
      weights.put("embed.W_E", draw(random, scale, 8, P + 1));
      weights.put("pos_embed.W_pos", draw(random, scale, 3, 8));
      weights.put("blocks.0.attn.W_K", draw(random, scale, 2, 4, 8));
      weights.put("blocks.0.attn.W_Q", draw(random, scale, 2, 4, 8));
      weights.put("blocks.0.attn.W_V", draw(random, scale, 2, 4, 8));
      weights.put("blocks.0.attn.W_O", draw(random, scale, 8, 8));
      weights.put("blocks.0.mlp.W_in", draw(random, scale, 16, 8));
      weights.put("blocks.0.mlp.b_in", draw(random, scale, 16));
      weights.put("blocks.0.mlp.W_out", draw(random, scale, 8, 16));
      weights.put("blocks.0.mlp.b_out", draw(random, scale, 8));
      weights.put("unembed.W_U", draw(random, scale, 8, P + 1));
      Safetensors.write(
          run.resolve("epoch-" + epoch + ".safetensors"),
          weights,
          Map.of(
              "p",
              "" + P,
              "outputClasses",
              "" + (P + 1),
              "fracTrain",
              "0.5",
              "splitSeed",
              "3",
              "epoch",
              "" + epoch));
    }
    return run;
  }

  private Answer analyze(String... arguments) {
    List<String> all = new ArrayList<>(List.of("grok", "analyze"));
    all.addAll(List.of(arguments));
    all.addAll(List.of("--json", "--out", folder.toString()));
    return Answer.to(all.toArray(String[]::new));
  }

  private JsonNode json(String... arguments) throws Exception {
    Answer answer = analyze(arguments);
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void aFolderOfCheckpointsIsATrajectory() throws Exception {
    JsonNode run = json(trajectory().toString(), "--keys", "2,4");
    JsonNode result = run.get("result");
    assertEquals(P, result.get("p").asInt());
    assertEquals("[2,4]", result.get("keyFreqs").toString());
    assertEquals("given", result.get("keyFreqRule").asText());
    assertTrue(result.get("keysFromUngeneralisedModel").asBoolean());
    assertEquals(3, result.get("checkpoints").size());
    JsonNode last = result.get("checkpoints").get(2);
    assertEquals(200, last.get("epoch").asInt());
    assertEquals(5, last.get("excludedByFreqTrain").size());
    assertEquals(16, last.get("neuronFreq").size());
    assertTrue(last.get("sumSq").asDouble() > result.at("/checkpoints/0/sumSq").asDouble());
    List<String> csv = Files.readAllLines(Path.of(result.get("csv").asText()));
    assertEquals(4, csv.size());
    List<String> names = List.of(csv.getFirst().split(","));
    String[] cells = csv.getLast().split(",");
    assertEquals(
        last.get("trainLoss").asDouble(), Double.parseDouble(cells[names.indexOf("trainLoss")]));
  }

  @Test
  void logitsNeedNoWeights() throws Exception {
    double[] logits = new double[P * P * (P + 1)];
    for (int i = 0; i < logits.length; i++) {
      int row = i / (P + 1);
      double angle = 2 * Math.PI * 3 * (row / P + row % P - i % (P + 1)) / P;
      logits[i] = i % (P + 1) == P ? 50 : 20 * Math.cos(angle);
    }
    Path file = folder.resolve("logits.safetensors");
    Safetensors.write(file, Map.of("logits", Tensor.ofDoubles(logits, P * P, P + 1)), Map.of());
    JsonNode result =
        json(file.toString(), "--split-seed", "1", "--frac-train", "0.3").get("result");
    assertEquals("[3]", result.get("keyFreqs").toString());
    JsonNode only = result.get("checkpoints").get(0);
    assertEquals(20, only.get("a").get(2).asDouble(), 1e-9);
    assertEquals(Math.log(P), only.get("excludedTrain").asDouble(), 1e-9);
    assertEquals(1, only.at("/fveLogits/global").asDouble(), 1e-9);
    assertTrue(result.get("mechanism") == null, "there are no weights to take apart");
  }

  /** 20 cos(w_3 (a+b-c)) as a graph, 50 for the "=" class. */
  private Path graph(boolean everyPlace) {
    Graph.Builder b = Graph.builder("network").opset("", 17);
    Dim batch = Dim.symbol("batch");
    b.input("ids", new TensorType(DType.I64, List.of(batch, Dim.of(3))));
    double[] classes = new double[P + 1];
    double[] rest = new double[P + 1];
    for (int c = 0; c < P; c++) {
      classes[c] = c;
    }
    rest[P] = 50 - 20;
    b.constant("classes", Tensor.ofDoubles(classes, 1, P + 1));
    b.constant("rest", Tensor.ofDoubles(rest, 1, P + 1));
    b.constant("w", Tensor.scalar(DType.F64, 2 * Math.PI * 3 / P));
    b.constant("numbers", Tensor.ofDoubles(new double[] {1, 1, 0}, 3, 1));
    // No wave in the last class.
    double[] waves = new double[P + 1];
    Arrays.fill(waves, 0, P, 1);
    b.constant("waves", Tensor.ofDoubles(waves, 1, P + 1));
    b.constant("20", Tensor.scalar(DType.F64, 20));
    b.op("floats", "Cast", Map.of("to", 11L), "ids");
    b.op("sum", "MatMul", Map.of(), "floats", "numbers");
    b.op("difference", "Sub", Map.of(), "sum", "classes");
    b.op("angle", "Mul", Map.of(), "difference", "w");
    b.op("only", "Mul", Map.of(), "angle", "waves");
    b.op("wave", "Cos", Map.of(), "only");
    b.op("scaled", "Mul", Map.of(), "wave", "20");
    String end = everyPlace ? "last" : "logits";
    b.op(end, "Add", Map.of(), "scaled", "rest");
    if (everyPlace) {
      b.constant("place", Tensor.ofDoubles(new double[] {3, 2, 1}, 3, 1));
      b.constant("axis", Tensor.ofLongs(new long[] {1}, 1));
      b.op("row", "Unsqueeze", Map.of(), "last", "axis");
      b.op("logits", "Div", Map.of(), "row", "place");
    }
    b.type("logits", everyPlace ? places(batch) : rows(batch));
    Path file = folder.resolve("network.onnx");
    b.output("logits").build().write(file);
    return file;
  }

  private static TensorType rows(Dim batch) {
    return new TensorType(DType.F64, List.of(batch, Dim.of(P + 1)));
  }

  private static TensorType places(Dim batch) {
    return new TensorType(DType.F64, List.of(batch, Dim.of(3), Dim.of(P + 1)));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aGraphIsRunOnAllPairs(boolean everyPlace) throws Exception {
    JsonNode result = json(graph(everyPlace).toString(), "--split-seed", "1").get("result");
    assertEquals(P, result.get("p").asInt());
    assertEquals("[3]", result.get("keyFreqs").toString());
    JsonNode only = result.get("checkpoints").get(0);
    assertEquals(20, only.get("a").get(2).asDouble(), 1e-9);
    assertEquals(Math.log(P), only.get("excludedTrain").asDouble(), 1e-9);
  }

  @Test
  void wrongInputIsRefusedInOneSentence() throws Exception {
    refused("there is neither a file nor a folder", folder.resolve("none.safetensors").toString());
    Path run = trajectory();
    refused("key frequency 6", run.toString(), "--keys", "6");
    refused("leaves no pair", run.toString(), "--fraction", "0.001");
    refused("training set", run.toString(), "--frac-train", "1");
    Path empty = Files.createDirectories(folder.resolve("empty"));
    refused("holds no .safetensors", empty.toString());
    Path text = Files.writeString(folder.resolve("text.pth"), "no zip");
    refused("cannot be read as a PyTorch file", text.toString());
    Path other = folder.resolve("other.onnx");
    Graph.builder("other")
        .opset("", 17)
        .input("x", TensorType.of(DType.F32, 3))
        .output("x")
        .build()
        .write(other);
    refused("name the one of all classes 'logits'", other.toString());
  }

  private void refused(String words, String... arguments) {
    analyze(arguments).assertRefused(words);
  }

  @Test
  void theReportShowsTheNumbersOfTheJson() throws Exception {
    Chromium.assumeInstalled();
    JsonNode run = json(trajectory().toString());
    JsonNode metrics = run.get("metrics");
    double[] facts = {
      metrics.get("allLoss").doubleValue(),
      metrics.get("restrictedAll").doubleValue(),
      metrics.get("excludedTrain").doubleValue(),
      100 * metrics.get("fveLogits").doubleValue(),
      metrics.get("giniWE").doubleValue(),
      metrics.get("giniWL").doubleValue()
    };
    for (Chromium.Screen screen : List.of(Chromium.Screen.LIGHT, Chromium.Screen.PHONE)) {
      assertShows(screen, run, facts);
    }
  }

  private static void assertShows(Chromium.Screen screen, JsonNode run, double[] numbers)
      throws Exception {
    try (Browser browser = screen.browser()) {
      browser.open(Path.of(run.get("report").textValue()));
      Chromium.drawAll(browser);
      browser.screenshot(Path.of("target", "screens", "grok.analyze-" + screen + ".png"));
      Chromium.assertClean(browser);
      JsonNode facts =
          browser.value(
              "[...document.querySelectorAll('.facts dd')].map(d => Number(d.dataset.value))");
      for (int i = 0; i < numbers.length; i++) {
        assertEquals(numbers[i], facts.get(i).doubleValue(), "fact " + i);
      }
    }
  }
}
