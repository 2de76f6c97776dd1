package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What `models import` finds by running, on graphs made to fail one check each. */
class ModelsCheckTest {
  private static final Path TINY = Path.of("../engine/src/test/resources/gpt2-tiny");

  @TempDir private Path folder;

  /** A graph of x [batch, 4] and one node, or more, from it to y. */
  private Graph.Builder graph(Dim rows) {
    Graph.Builder b = Graph.builder("g").opset("", 18);
    b.input("x", new TensorType(DType.F32, List.of(rows, Dim.of(4))));
    return b;
  }

  private Answer imported(Graph.Builder b, String name) {
    b.output("y").build().write(folder.resolve(name + ".onnx"));
    return Answer.to(
        "models", "import", folder.resolve(name + ".onnx").toString(), "--out", home(), "--json");
  }

  private String home() {
    return folder.resolve("home").toString();
  }

  private JsonNode checks(Answer answer) throws Exception {
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out()).at("/result/checks");
  }

  private static void assertStatus(JsonNode checks, String check, String status, String text) {
    assertEquals(status, checks.at("/" + check + "/status").textValue(), checks.toString());
    String got = checks.at("/" + check + "/text").textValue();
    assertTrue(got.contains(text), got);
  }

  @Test
  void aSoundModelPassesAndInfoShowsIt() throws Exception {
    Answer answer =
        Answer.to("models", "import", TINY.toString(), "--name", "t", "--out", home(), "--json");
    assertEquals("", answer.err());
    JsonNode checks = checks(answer);
    assertStatus(checks, "deterministic", "passed", "the same bytes");
    assertStatus(checks, "rows", "passed", "3 rows of a batch are the rows alone");
    assertStatus(checks, "finite", "passed", "finite");
    String path = folder.resolve("home/models/t").toString();
    Answer info = Answer.to("models", "info", path, "--json");
    assertEquals(checks, Envelope.JSON.readTree(info.out()).at("/result/checks"));
    String text = Answer.to("models", "info", path).out();
    assertTrue(text.contains("\ndeterministic two runs on the same inputs"), text);
  }

  @Test
  void exportedModelsOfEveryKindPass() throws Exception {
    for (String name :
        List.of(
            "gpt2-past.ts",
            "bert.dynamo",
            "t5.ts",
            "resnet.ts-bn",
            "lstm.ts",
            "vit-sdpa.dynamo23")) {
      Path file = TINY.resolveSibling("onnx").resolve(name + ".onnx");
      JsonNode checks =
          checks(Answer.to("models", "import", file.toString(), "--out", home(), "--json"));
      for (JsonNode check : checks) {
        assertEquals("passed", check.get("status").textValue(), name + " " + checks);
      }
    }
  }

  /** PyTorch's mask of what is left out: with all of it the softmax has no numbers. */
  @Test
  void aMaskOfWhatIsLeftOutIsDrawnFalse() throws Exception {
    Graph.Builder b = graph(Dim.symbol("batch"));
    b.input("left.out", new TensorType(DType.BOOL, List.of(Dim.symbol("batch"), Dim.of(4))));
    b.constant("none", Tensor.scalar(DType.F32, Double.NEGATIVE_INFINITY));
    b.op("masked", "Where", Map.of(), "left.out", "none", "x");
    b.op("y", "Softmax", Map.of(), "masked");
    for (JsonNode check : checks(imported(b, "masked"))) {
      assertEquals("passed", check.get("status").textValue(), check.toString());
    }
  }

  @Test
  void noiseIsFound() throws Exception {
    Graph.Builder b = graph(Dim.symbol("batch"));
    b.op("noise", "RandomNormalLike", Map.of(), "x");
    b.op("y", "Add", Map.of(), "x", "noise");
    Answer answer = imported(b, "noisy");
    JsonNode checks = checks(answer);
    assertStatus(checks, "deterministic", "failed", "the output y differs between two runs");
    assertStatus(checks, "deterministic", "failed", "first at [0, 0] (");
    assertTrue(answer.err().contains("noisy, deterministic: the output y differs"), answer.err());
  }

  @Test
  void rowsThatDependOnEachOtherAreFound() throws Exception {
    Graph.Builder b = graph(Dim.symbol("batch"));
    Tensor first = Tensor.ofLongs(new long[] {0}, 1);
    b.constant("axes", first);
    b.op("mean", "ReduceMean", Map.of("keepdims", 1L), "x", "axes");
    b.op("y", "Sub", Map.of(), "x", "mean");
    JsonNode checks = checks(imported(b, "normalised"));
    assertStatus(checks, "deterministic", "passed", "");
    assertStatus(checks, "rows", "failed", "row 0 of the output y differs by ");
    assertStatus(checks, "rows", "failed", "export the model in evaluation mode");
  }

  @Test
  void whatIsNotFiniteIsFound() throws Exception {
    Graph.Builder b = graph(Dim.symbol("batch"));
    b.op("y", "Sqrt", Map.of(), "x");
    JsonNode checks = checks(imported(b, "root"));
    assertStatus(checks, "finite", "failed", "the output y is NaN at [");
    // A number that is none is the same alone.
    assertStatus(checks, "rows", "passed", "");
  }

  @Test
  void whatCannotBeCheckedSaysSo() throws Exception {
    Graph.Builder fixed = graph(Dim.of(2));
    fixed.op("y", "Neg", Map.of(), "x");
    assertStatus(checks(imported(fixed, "fixed")), "rows", "unchecked", "every input is fixed");
    Graph.Builder turned = graph(Dim.symbol("sequence"));
    turned.op("y", "Neg", Map.of(), "x");
    assertStatus(checks(imported(turned, "turned")), "rows", "unchecked", "the positions");
    Graph.Builder sum = graph(Dim.symbol("batch"));
    sum.op("y", "ReduceSum", Map.of("keepdims", 0L), "x");
    assertStatus(checks(imported(sum, "sum")), "rows", "unchecked", "no output has an axis");
    Graph.Builder odd = graph(Dim.symbol("batch"));
    odd.constant("shape", Tensor.ofLongs(new long[] {7, 5}, 2));
    odd.op("y", "Reshape", Map.of(), "x", "shape");
    assertStatus(checks(imported(odd, "odd")), "finite", "unchecked", "no drawn inputs run");
    Graph.Builder unknown = graph(Dim.symbol("batch"));
    unknown.node(new Node("n", "nobody", "Nothing", List.of("x"), List.of("y"), Map.of()));
    imported(unknown.opset("nobody", 1), "unknown").assertRefused("cannot be compiled");
  }

  @Test
  void inputsOfOtherKindsAreDrawn() throws Exception {
    Graph.Builder b = Graph.builder("g").opset("", 18);
    Dim rows = Dim.symbol("batch");
    b.input("pixels", new TensorType(DType.U8, List.of(rows, Dim.of(4))));
    b.input("flags", new TensorType(DType.BOOL, List.of(rows, Dim.of(4))));
    b.op("bright", "Cast", Map.of("to", 1L), "pixels");
    b.constant("zero", Tensor.scalar(DType.F32, 0));
    b.op("y", "Where", Map.of(), "flags", "bright", "zero");
    JsonNode checks = checks(imported(b, "pixels"));
    assertStatus(checks, "rows", "passed", "");
    // The state of a recurrent network has its rows at axis 1.
    Graph.Builder state = graph(rows);
    state.input("h", new TensorType(DType.F32, List.of(Dim.of(2), rows, Dim.of(4))));
    state.op("y", "Add", Map.of(), "x", "h");
    assertStatus(checks(imported(state, "state")), "rows", "unchecked", "the input h has the rows");
  }

  /** A decoder whose rows depend on each other is imported, listed, and refused by an audit. */
  @Test
  void anAuditRefusesWhatItCannotBatch() throws Exception {
    Graph sound = Graph.read(TINY.resolve("onnx/model.ts.onnx"));
    Graph.Builder b = sound.rename(Map.of("logits", "alone")).edit().clearOutputs();
    b.constant("first axis", Tensor.ofLongs(new long[] {0}, 1));
    String axes = sound.opsets().get("") >= 18 ? "first axis" : "";
    Map<String, Object> mean =
        axes.isEmpty() ? Map.of("axes", List.of(0L), "keepdims", 1L) : Map.of("keepdims", 1L);
    b.node(
        new Node(
            "mean",
            "",
            "ReduceMean",
            axes.isEmpty() ? List.of("alone") : List.of("alone", axes),
            List.of("mean of rows"),
            mean));
    b.op("logits", "Sub", Map.of(), "alone", "mean of rows");
    b.output("logits").build().write(folder.resolve("mixing.onnx"));
    String file = folder.resolve("mixing.onnx").toString();
    Answer answer = Answer.to("models", "import", file, "--out", home(), "--json");
    assertStatus(checks(answer), "rows", "failed", "the output logits");
    String model = folder.resolve("home/models/mixing/mixing.onnx").toString();
    Answer.to("arca", "reverse", model, "--target-ids", "1")
        .assertRefused("the model mixing was found unfit on import: row 0 of the output logits");
    assertEquals(0, Answer.to("models", "hooks", model).status());
  }
}
