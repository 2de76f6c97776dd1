package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A folder and its exported graphs, by the command line, against the numbers stored for them. */
class ModelsRunTest {
  private static final Path MODEL = Path.of("../engine/src/test/resources/gpt2-tiny");
  private static final int ROWS = 6;
  private static final int LENGTH = 12;

  /** Tokens in the stored cache. */
  private static final int PAST = 7;

  @TempDir private Path folder;

  private final Map<String, Tensor> reference =
      Safetensors.read(MODEL.resolve("reference.safetensors")).tensors();

  private Map<String, Tensor> run(String model, Map<String, Tensor> inputs) {
    Path in = folder.resolve("in.safetensors");
    Path out = folder.resolve("out.safetensors");
    Safetensors.write(in, inputs, Map.of());
    Answer answer =
        Answer.to(
            "models",
            "run",
            MODEL.resolve(model).toString(),
            "--inputs",
            in.toString(),
            "--out",
            out.toString());
    assertEquals(0, answer.status(), answer.err());
    return Safetensors.read(out).tensors();
  }

  private static Tensor mask() {
    long[] ones = new long[ROWS * LENGTH];
    Arrays.fill(ones, 1);
    return Tensor.ofLongs(ones, ROWS, LENGTH);
  }

  private static void assertClose(Tensor want, Tensor got) {
    assertArrayEquals(want.shape(), got.shape());
    // Ten times what float32 costs the libraries that computed the stored values.
    assertArrayEquals(want.toDoubles(), got.toDoubles(), 4e-5);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "onnx/model.ts.onnx", "onnx/model.dynamo.onnx", "onnx/model-past.ts.onnx"})
  void logitsAreTheStoredOnes(String model) {
    Map<String, Tensor> inputs =
        Map.of("input_ids", reference.get("input_ids"), "attention_mask", mask());
    assertClose(reference.get("logits.input_ids"), run(model, inputs).get("logits"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "onnx/model-past.ts.onnx"})
  void aCacheStandsForTheFirstTokens(String model) {
    Map<String, Tensor> inputs = new HashMap<>();
    long[] rest = new long[ROWS * (LENGTH - PAST)];
    for (int i = 0; i < rest.length; i++) {
      int row = i / (LENGTH - PAST);
      rest[i] = reference.get("input_ids").getLong(row * LENGTH + PAST + i % (LENGTH - PAST));
    }
    inputs.put("input_ids", Tensor.ofLongs(rest, ROWS, LENGTH - PAST));
    inputs.put("attention_mask", mask());
    for (String part : new String[] {"0.key", "0.value", "1.key", "1.value", "2.key", "2.value"}) {
      inputs.put("past." + part, reference.get("kv." + part));
    }
    Map<String, Tensor> got = run(model, inputs);
    assertClose(reference.get("kv.logits_rest"), got.get("logits"));
    assertEquals(LENGTH, got.get("present.2.value").dim(2));

    inputs.remove("past.1.key");
    Path in = folder.resolve("in.safetensors");
    Safetensors.write(in, inputs, Map.of());
    String out = folder.resolve("out.safetensors").toString();
    Answer.to(
            "models",
            "run",
            MODEL.resolve(model).toString(),
            "--inputs",
            in.toString(),
            "--out",
            out)
        .assertRefused("past.1.key");
  }

  /** More tokens than there are positions. */
  @ParameterizedTest
  @ValueSource(strings = {"", "onnx/model.ts.onnx", "onnx/model.dynamo.onnx"})
  void aSequenceThatIsTooLongIsOneSentence(String model) {
    Tensor ids = Tensor.ofLongs(new long[2 * 300], 2, 300);
    Answer answer = answer(MODEL.resolve(model), Map.of("input_ids", ids, "attention_mask", ids));
    answer.assertRefused("the shapes of the input file do not fit: node ");
    assertTrue(answer.err().endsWith(" looks up row 64 of a table of 64\n"), answer.err());
  }

  @Test
  void inputsThatDisagreeAreRefused() {
    Path in = folder.resolve("in.safetensors");
    Tensor shorter = Tensor.ofLongs(new long[ROWS * 3], ROWS, 3);
    Safetensors.write(
        in, Map.of("input_ids", reference.get("input_ids"), "attention_mask", shorter), Map.of());
    Answer.to(
            "models",
            "run",
            MODEL.resolve("onnx/model.ts.onnx").toString(),
            "--inputs",
            in.toString(),
            "--out",
            folder.resolve("out.safetensors").toString())
        .assertRefused(" in the tensor input_ids and 3 in the tensor attention_mask");
  }

  /** An operator without a gradient is named with the path to it, and ignored where none leads. */
  @Test
  void anOperatorWithoutAGradientIsNamed() throws Exception {
    Graph.Builder b = Graph.builder("g").opset("", 18);
    b.input("x", TensorType.of(DType.F32, 1, 3));
    b.op("hard", "Hardmax", Map.of(), "x");
    b.op("double", "Add", Map.of(), "hard", "hard");
    b.op("y", "Neg", Map.of(), "double");
    b.op("z", "Neg", Map.of(), "x");
    Path file = folder.resolve("hard.onnx");
    b.output("y").output("z").build().write(file);
    Tensor x = Tensor.ofFloats(new float[] {1, 3, 2}, 1, 3);
    Path in = folder.resolve("in.safetensors");
    Path out = folder.resolve("out.safetensors");
    Safetensors.write(in, Map.of("x", x, "seed", x), Map.of());
    String[] call = {
      "models",
      "run",
      file.toString(),
      "--inputs",
      in.toString(),
      "--out",
      out.toString(),
      "--gradient-of",
      "y=seed",
      "--wrt",
      "x"
    };
    Answer.to(call)
        .assertRefused(
            "no gradient is known for the operator Hardmax of node hard (Hardmax), which lies on"
                + " the path y (Neg) <- double (Add) <- hard (Hardmax); export the model without"
                + " it, take the gradient of values behind it, or add a rule");
    JsonNode missing = json("models", "info", file.toString(), "--json");
    assertEquals("[\"Hardmax\"]", missing.at("/result/no_gradient").toString());
    call[8] = "z=seed";
    assertEquals(0, Answer.to(call).status());
    Map<String, Tensor> got = Safetensors.read(out).tensors();
    assertArrayEquals(new double[] {-1, -3, -2}, got.get("grad.x").toDoubles());
    assertArrayEquals(new double[] {0, -2, 0}, got.get("y").toDoubles(), 1e-30);
  }

  /**
   * {@code y = (table[ids] A * scale) C}: its numbers are worked out by hand. The scale is made of
   * integers alone, in three steps, so that a gradient's graph has it as a constant.
   */
  private Path scaled(String name) {
    Graph.Builder b = Graph.builder("main_graph").opset("", 18);
    TensorType.Dim rows = TensorType.Dim.symbol("rows");
    b.input("ids", new TensorType(DType.I64, List.of(rows)));
    b.constant("table", Tensor.ofFloats(new float[] {1, -2, 0, 0, 3, 4}, 3, 2));
    b.constant("A", Tensor.ofFloats(new float[] {1, 2, 3, 0, 1, -1}, 2, 3));
    b.constant("steps", Tensor.ofLongs(new long[] {1, 2, 3}, 3));
    b.constant("C", Tensor.ofFloats(new float[] {1, 10, 100}, 3, 1));
    b.op("looked.up", "Gather", Map.of(), "table", "ids");
    b.op("product", "MatMul", Map.of(), "looked.up", "A");
    b.op("whole", "Cast", Map.of("to", 1L), "steps");
    b.op("minus", "Neg", Map.of(), "whole");
    b.op("scale", "Neg", Map.of(), "minus");
    b.op("scaled", "Mul", Map.of(), "product", "scale");
    b.output(b.op("y", "MatMul", Map.of(), "scaled", "C"));
    b.op("root", "Sqrt", Map.of(), "product");
    Path file = folder.resolve(name + ".onnx");
    b.build().write(file);
    return file;
  }

  private Answer answer(Path model, Map<String, Tensor> inputs, String... options) {
    Path in = folder.resolve("in.safetensors");
    Safetensors.write(in, inputs, Map.of());
    List<String> call = new ArrayList<>(List.of("models", "run", model.toString()));
    call.addAll(List.of("--inputs", in.toString()));
    call.addAll(List.of("--out", folder.resolve("out.safetensors").toString()));
    call.addAll(List.of(options));
    return Answer.to(call.toArray(String[]::new));
  }

  private Map<String, Tensor> results(Path model, Map<String, Tensor> inputs, String... options) {
    Answer answer = answer(model, inputs, options);
    assertEquals(0, answer.status(), answer.err());
    assertEquals("", answer.err());
    return Safetensors.read(folder.resolve("out.safetensors")).tensors();
  }

  private static void assertNumbers(Map<String, Tensor> got, String name, double... want) {
    assertArrayEquals(want, got.get(name).toDoubles(), name);
  }

  @Test
  void aPatchStandsForAValue() {
    Path model = scaled("scaled");
    Map<String, Tensor> in = new HashMap<>(Map.of("ids", Tensor.ofLongs(new long[] {0}, 1)));
    assertNumbers(results(model, in), "y", 1501);
    in.put("other", Tensor.ofFloats(new float[] {2, 0, 1}, 3));
    assertNumbers(results(model, in, "--patch", "whole=other"), "y", 502);
    in.put("three", Tensor.ofFloats(new float[] {3, 4, 5}, 1, 3));
    in.put("seed", Tensor.ofFloats(new float[] {2}, 1, 1));
    in.put("ones", Tensor.ofFloats(new float[] {1, 1, 1}, 3, 1));
    String gradient = "--gradient-of y=seed --patch scaled=three --expose scaled --expose product";
    Map<String, Tensor> got =
        results(model, in, (gradient + " --wrt scaled --wrt A --wrt C").split(" "));
    assertNumbers(got, "y", 543);
    assertNumbers(got, "scaled", 3, 4, 5);
    assertNumbers(got, "product", 1, 0, 5);
    assertNumbers(got, "grad.scaled", 2, 20, 200);
    assertNumbers(got, "grad.A", 0, 0, 0, 0, 0, 0);
    assertNumbers(got, "grad.C", 6, 8, 10);
    assertNumbers(results(model, in, "--patch", "C=ones", "--patch", "scaled=three"), "y", 12);

    answer(model, in, "--patch", "scaled=other")
        .assertRefused("--patch scaled=other is F32[3], but the value is F32[1,3]");
    answer(model, in, "--patch", "scaled=none").assertRefused("one of ids, ");
    answer(model, in, "--patch", "scaled").assertRefused("is not of the form VALUE=TENSOR");
    answer(model, in, "--patch", "scaled=three", "--patch", "scaled=three")
        .assertRefused("names the value scaled twice");
  }

  @Test
  void whatDoesNotFitIsOneSentence() throws Exception {
    Path model = scaled("scaled");
    answer(model, Map.of("ids", Tensor.ofLongs(new long[] {0, 7, -4}, 3)))
        .assertRefused(
            "the tensor ids holds 7, which is looked up in a table of 3 rows; give ids from 0 to"
                + " 2");
    Map<String, Tensor> last = Map.of("ids", Tensor.ofLongs(new long[] {-1}, 1));
    assertNumbers(results(model, last, "--expose", "looked.up"), "looked.up", 3, 4);
    answer(model, Map.of("ids", Tensor.ofLongs(new long[0], 0)))
        .assertRefused("the tensor ids is I64[0], which is empty; give no size of 0");
    answer(model, Map.of("ids", Tensor.ofLongs(new long[2], 1, 2)))
        .assertRefused("the input ids of the graph scaled is I64[rows], not I64[1, 2]");
    answer(model, Map.of("seed", Tensor.scalar(DType.F32, 1)))
        .assertRefused("the input file has no tensor ids, only seed; the model scaled takes ids");
    answer(model, last, "--expose", "scalde")
        .assertRefused(
            "the model scaled has no hook, weight or value scalde; near it are scale, scaled, ");
  }

  @Test
  void numbersThatAreNoneAreCounted() throws Exception {
    Path model = scaled("scaled");
    Map<String, Tensor> in =
        Map.of(
            "ids",
            Tensor.ofLongs(new long[] {0, 1}, 2),
            "three",
            Tensor.ofFloats(new float[] {-1, 4, Float.POSITIVE_INFINITY, 1, 1, 1}, 2, 3));
    String[] options = {"--patch", "product=three", "--expose", "root"};
    Answer answer = answer(model, in, options);
    assertEquals(0, answer.status(), answer.err());
    String roots = "root holds 1 NaN and 1 infinities among 6 numbers";
    String y = "y holds 0 NaN and 1 infinities among 2 numbers";
    assertEquals("assay: " + y + "\nassay: " + roots + "\n", answer.err());
    options = new String[] {options[0], options[1], options[2], options[3], "--json"};
    JsonNode warnings =
        Envelope.JSON.readTree(answer(model, in, options).out()).at("/result/warnings");
    assertEquals(Envelope.JSON.createArrayNode().add(y).add(roots), warnings);
  }

  @Test
  void valuesAreListed() throws Exception {
    JsonNode values = json("models", "info", scaled("scaled").toString(), "--values", "--json");
    String text = values.at("/result/values").toString();
    for (String value :
        new String[] {
          "{\"name\":\"ids\",\"kind\":\"input\",\"type\":\"I64[rows]\"}",
          "{\"name\":\"A\",\"kind\":\"weight\",\"type\":\"F32[2,3]\"}",
          "{\"name\":\"steps\",\"kind\":\"constant\",\"type\":\"I64[3]\"}",
          // The file states none: as for three rows.
          "{\"name\":\"scaled\",\"kind\":\"value\",\"type\":\"F32[3,3]\",\"operator\":\"Mul\"}",
          "{\"name\":\"y\",\"kind\":\"output\",\"type\":\"F32[3,1]\",\"operator\":\"MatMul\"}"
        }) {
      assertTrue(text.contains(value), text);
    }
    String lines = Answer.to("models", "info", scaled("scaled").toString(), "--values").out();
    assertTrue(lines.contains("\nweight   A    "), lines);
    assertTrue(lines.contains("F32[3,3]                     Mul\n"), lines);
  }

  /** The same search on the folder and on an export of it, cached or not, ends with the same. */
  @ParameterizedTest
  @ValueSource(strings = {"onnx/model.ts.onnx", "onnx/model-past.ts.onnx"})
  void auditsAreThoseOfTheFolder(String export) throws Exception {
    JsonNode folder = audits("");
    JsonNode exported = audits(export);
    assertEquals(4, folder.size());
    int found = 0;
    for (int i = 0; i < folder.size(); i++) {
      for (String field : new String[] {"success", "promptIds", "outputIds", "stopReason"}) {
        assertEquals(folder.get(i).get(field), exported.get(i).get(field), field);
      }
      assertEquals(
          folder.get(i).get("J").doubleValue(), exported.get(i).get("J").doubleValue(), 1e-4);
      found += folder.get(i).get("success").booleanValue() ? 1 : 0;
    }
    assertTrue(found > 0, "a target that the model says after two tokens is found");
  }

  private static JsonNode audits(String model) throws Exception {
    String path = MODEL.resolve(model).toString();
    JsonNode said =
        json("arca", "verify", path, "--prompt-ids", "17,203", "--target-ids", "0", "--json");
    String target = said.get("result").get("prompts").get(0).get("saidIds").get(0).asText();
    return json(
            "arca",
            "reverse",
            path,
            "--target-ids",
            target,
            "--prompt-length",
            "2",
            "--restarts",
            "4",
            "--sweeps",
            "4",
            "--k",
            "8",
            "--q",
            "8",
            "--json")
        .get("result")
        .get("audits");
  }

  private static JsonNode json(String... args) throws Exception {
    return Envelope.JSON.readTree(Answer.to(args).out());
  }
}
