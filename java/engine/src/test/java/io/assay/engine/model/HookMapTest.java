package io.assay.engine.model;

import static io.assay.engine.model.TinyGpt2.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** An export whose names say nothing, so that nothing is recognised without a hook map. */
class HookMapTest extends TinyGpt2Case {
  @TempDir Path folder;
  private Path file;

  /** Scrambled name of each value of the export. */
  private final Map<String, String> scrambled = new HashMap<>();

  private Hooks known;

  @BeforeEach
  void scramble() {
    Path export = TinyGpt2.folder().resolve("onnx/model.ts.onnx");
    known = Model.load(export).hooks();
    Graph graph = Graph.read(export);
    for (String input : graph.inputs()) {
      scrambled.put(input, "x" + scrambled.size());
    }
    for (Node node : graph.nodes()) {
      node.outputs().forEach(v -> scrambled.put(v, "x" + scrambled.size()));
    }
    // Values with the number of their block in their names, as an exporter may write them.
    for (int block = 0; block < 3; block++) {
      String at = "blocks." + block + ".";
      scrambled.put(known.values().get(at + "hook_resid_post"), "l" + block + "/out");
      String z = known.values().get(at + "attn.hook_z");
      scrambled.put(graph.producer(z).input(0), "l" + block + "/headsfirst");
      String q = known.values().get(at + "attn.hook_q");
      scrambled.put(graph.producer(q).input(0), "l" + block + "/wide");
      Node keys = graph.users(known.values().get(at + "attn.hook_k")).getFirst();
      assertEquals("Transpose", keys.op());
      scrambled.put(keys.output(0), "l" + block + "/keys");
    }
    file = folder.resolve("scrambled.onnx");
    graph.rename(scrambled).write(file);
  }

  private Model withMap(String json) throws IOException {
    Files.writeString(folder.resolve("scrambled.hooks.json"), json);
    return Model.load(file);
  }

  private Map<String, Tensor> inputs() {
    long[] ones = new long[TinyGpt2.ROWS * TinyGpt2.LENGTH];
    Arrays.fill(ones, 1);
    Tensor mask = Tensor.ofLongs(ones, TinyGpt2.ROWS, TinyGpt2.LENGTH);
    return Map.of(scrambled.get("input_ids"), ids(), scrambled.get("attention_mask"), mask);
  }

  @Test
  void withoutAMapNothingIsRecognised() {
    assertEquals(List.of(), Model.load(file).hooks().names());
  }

  @Test
  void valuesAreBroughtToTheDocumentedShape() throws IOException {
    Model model =
        withMap(
            """
            {"hooks": {
               "blocks.*.hook_resid_post": "l*/out",
               "blocks.*.attn.hook_z": {"value": "l*/headsfirst", "transpose": [0, 2, 1, 3]},
               "blocks.*.attn.hook_k": {"value": "l*/keys", "transpose": [0, 3, 1, 2]},
               "blocks.*.attn.hook_q": {"value": "l*/wide", "heads": 4},
               "hook_embed": "%s"}}
            """
                .formatted(scrambled.get(known.values().get("hook_embed"))));
    assertEquals(13, model.hooks().names().size());
    List<String> hooks = model.hooks().names();
    Map<String, Tensor> got = run(model.hooks().expose(model.graph(), hooks), inputs());
    for (String hook : hooks) {
      assertClose(hook, reference.get("act." + hook), got.get(hook), 1e-4);
    }
    // The hooks lie on the way to the logits: their gradients are those of the model.
    List<String> on =
        List.of("blocks.2.attn.hook_z", "blocks.0.attn.hook_q", "blocks.2.attn.hook_k");
    Map<String, long[]> shapes = new HashMap<>();
    inputs().forEach((name, t) -> shapes.put(name, t.shape()));
    String logits = scrambled.get("logits");
    var gradient =
        model
            .graph()
            .specialise(shapes, engine.evaluator())
            .differentiate(Map.of(logits, "seed"), on);
    Tensor seed = Tensor.allocate(Arena.ofAuto(), got.get(logits).dtype(), got.get(logits).shape());
    for (int row = 0; row < TinyGpt2.ROWS; row++) {
      long last = ((long) row * TinyGpt2.LENGTH + TinyGpt2.LENGTH - 1) * 512;
      seed.set(last + reference.get("answer_a").getLong(row), 1.0 / TinyGpt2.ROWS);
      seed.set(last + reference.get("answer_b").getLong(row), -1.0 / TinyGpt2.ROWS);
    }
    Map<String, Tensor> all = new HashMap<>(inputs());
    all.put("seed", seed);
    all.keySet().retainAll(gradient.graph().inputs());
    Map<String, Tensor> gradients = run(gradient.graph(), all);
    for (String hook : on) {
      Tensor g = gradients.get(gradient.gradients().get(hook));
      assertClose(hook, reference.get("grad_act." + hook), g, 5e-6);
    }
  }

  /** With inputs and output named, the rest is recognised, and the model can be taken apart. */
  @Test
  void namesOfInputsAndOutputsAreEnoughForAKnownStructure() throws IOException {
    Model model =
        withMap(
            "{\"names\": {\"input_ids\": \"%s\", \"attention_mask\": \"%s\", \"logits\": \"%s\"}}"
                .formatted(
                    scrambled.get("input_ids"),
                    scrambled.get("attention_mask"),
                    scrambled.get("logits")));
    assertEquals(known.names(), model.hooks().names());
    Graph whole = LanguageModel.of(model).whole();
    assertClose(
        "logits",
        reference.get("logits.input_ids"),
        run(whole, Map.of("input_ids", ids())).get("logits"),
        4e-5);
  }

  @Test
  void theMapBelongsToTheHash() throws IOException {
    String without = Model.load(file).sha256();
    assertTrue(!without.equals(withMap("{\"hooks\": {\"my.hook_a\": \"l0/out\"}}").sha256()));
    assertArrayEquals(
        new String[] {"my.hook_a"}, Model.load(file).hooks().names().toArray(new String[0]));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "[]|does not hold a JSON object",
        "{}|binds nothing",
        "{\"hoocks\": {}}|the field hoocks in the file",
        "{\"hooks\": []}|has hooks []; give an object",
        "{\"hooks\": {\"embed\": \"l0/out\"}}|has the hook embed",
        "{\"hooks\": {\"hook_a\": 3}}|hooks.hook_a 3; give the name",
        "{\"hooks\": {\"hook_a\": \"nowhere\"}}|binds hook_a to nowhere, which is no value",
        "{\"hooks\": {\"blocks.*.hook_a\": \"n*\"}}|binds blocks.0.hook_a to n0, which is no value",
        "{\"hooks\": {\"blocks.*.hook_a\": \"l0/out\"}}|write one star in the hook",
        "{\"hooks\": {\"hook_a\": \"l0/oud\"}}|no value of the graph; near it are l0/out, l",
        "{\"hooks\": {\"blocks.7.hook_a\": \"l0/out\"}}|3 blocks, blocks.0 to blocks.2",
        "{\"hooks\": {\"blocks.0.attn.hook_q\": {\"value\": \"l0/wide\", \"heads\": 3}}}|in 3"
            + " heads, but its attention has heads of 8 entries; give 4",
        "{\"hooks\": {\"blocks.0.attn.hook_q\": {\"value\": \"l0/wide\", \"heads\": 8}}}|give 4",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/wide\", \"heads\": 3}}}|of l0/wide has 32"
            + " entries",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"transpose\": [1, 0]}}}|it has 3 axes",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l1/out\", \"rows\": \"l0/out\"}}}|does not hold the"
            + " first two",
        "{\"hooks\": {\"hook_a\": \"l*/out\"}}|write one star in the hook",
        "{\"hooks\": {\"hook_a\": {\"heads\": 4}}}|has no hooks.hook_a.value",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"heads\": 0}}}|in 0 heads",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"head\": 4}}}|the field head in the"
            + " hook",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"transpose\": [0, 0]}}}|by [0,0]; give"
            + " each",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"transpose\": 2}}}|by 2; give each",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"rows\": \"\"}}}|has hooks.hook_a.rows",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"rows\": \"x\"}}}|binds hook_a.rows to"
            + " x",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"rows\": \"l*/out\"}}}|write one star",
        "{\"hooks\": {\"hook_a\": {\"value\": \"l0/out\", \"rows\": \"l1/out\"}}}|computed from it",
        "{\"names\": {\"logits\": \"nowhere\"}}|binds logits to nowhere",
        "{\"names\": {\"logits\": \"l0/out\", \"input_ids\": \"l0/out\"}}|two names"
      })
  void aWrongMapIsOneSentence(String json, String why) {
    InputException e = assertThrows(InputException.class, () -> withMap(json));
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count());
  }
}
