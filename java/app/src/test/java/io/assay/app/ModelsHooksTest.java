package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.MainTest.Answer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Proposed hooks on the command line: shown, written, corrected, read back, and used. */
class ModelsHooksTest {
  private static final Path RESOURCES = Path.of("../engine/src/test/resources");

  @TempDir private Path folder;
  private String model;
  private Path map;

  @BeforeEach
  void copy() throws IOException {
    Path file = folder.resolve("llama.onnx");
    Files.copy(RESOURCES.resolve("onnx/llama.dynamo.onnx"), file);
    model = file.toString();
    map = folder.resolve("llama.hooks.json");
  }

  private static JsonNode json(String... args) throws IOException {
    Answer answer = Answer.to(args);
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void proposalsAreShownWithTheirGrounds() throws IOException {
    Answer none = Answer.to("models", "hooks", model);
    assertTrue(none.err().contains("--propose looks for some"), none.err());
    String shown = Answer.to("models", "hooks", model, "--propose").out();
    assertTrue(
        shown.contains("blocks.1.attn.hook_pattern         checked  rows sum to one; causal\n"),
        shown);
    assertTrue(
        shown.contains("blocks.0.attn.hook_q               likely   read by the scores, into"),
        shown);
    assertFalse(Files.exists(map));
    JsonNode hook = json("models", "hooks", model, "--propose", "--json").at("/result/hooks/0");
    assertEquals("hook_embed", hook.get("name").textValue());
    assertEquals("embedding", hook.get("value").textValue());
    assertEquals("likely", hook.get("sure").textValue());
  }

  @Test
  void aWrittenMapIsCorrectedAndReadBack() throws IOException {
    JsonNode result =
        json("models", "hooks", model, "--propose", "--write", map.toString(), "--json")
            .get("result");
    assertEquals(map.toString(), result.get("written").textValue());
    JsonNode hooks = json("models", "hooks", model, "--json").at("/result/hooks");
    assertEquals(result.get("hooks").size(), hooks.size());
    // Audits take the model now: before, it could not be taken apart.
    Answer found =
        Answer.to("arca", "verify", model, "--prompt-ids", "5,9", "--target-ids", "0,0", "--json");
    assertTrue(found.out().contains("saidIds"), found.err());

    ObjectNode corrected = (ObjectNode) Envelope.JSON.readTree(map.toFile());
    ((ObjectNode) corrected.get("hooks")).put("blocks.0.attn.hook_q", "linear");
    Files.writeString(map, corrected.toString());
    for (JsonNode hook : json("models", "hooks", model, "--json").at("/result/hooks")) {
      if (hook.get("name").textValue().equals("blocks.0.attn.hook_q")) {
        assertEquals("linear", hook.get("value").textValue());
      }
    }
    Answer.to("models", "hooks", model, "--propose", "--write", map.toString())
        .assertRefused("is there already; remove it");
    ((ObjectNode) corrected.get("hooks")).put("blocks.0.attn.hook_q", "nowhere");
    Files.writeString(map, corrected.toString());
    Answer.to("models", "hooks", model).assertRefused("binds blocks.0.attn.hook_q to nowhere");
  }

  @Test
  void whatCannotBeProposedIsSaid() {
    Answer.to("models", "hooks", model, "--write", map.toString()).assertRefused("give --propose");
    Answer.to("models", "hooks", RESOURCES.resolve("gpt2-tiny").toString(), "--propose")
        .assertRefused("hooks are proposed for ONNX files");
    Path nowhere = folder.resolve("no/such/map.json");
    Answer.to("models", "hooks", model, "--propose", "--write", nowhere.toString())
        .assertRefused("cannot be written");
    String mlp = RESOURCES.resolve("onnx/mlp.ts.onnx").toString();
    Answer none = Answer.to("models", "hooks", mlp, "--propose", "--write", map.toString());
    assertTrue(none.out().contains("note: no attention was found"), none.out());
    assertTrue(none.err().contains("nothing is written"), none.err());
    assertFalse(Files.exists(map));
  }
}
