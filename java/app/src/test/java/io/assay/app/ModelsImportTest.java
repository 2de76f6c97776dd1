package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.UserData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models by name on the command line; the build gives the tests a data folder of their own. */
class ModelsImportTest {
  private static final String TINY = "../engine/src/test/resources/gpt2-tiny";

  @TempDir private Path folder;

  @BeforeEach
  @AfterEach
  void forget() throws IOException {
    Path data = UserData.folder();
    assertTrue(data.endsWith("target/assay-home"), data.toString());
    if (Files.exists(data)) {
      List<Path> paths;
      try (Stream<Path> all = Files.walk(data)) {
        paths = all.sorted(Comparator.reverseOrder()).toList();
      }
      for (Path path : paths) {
        Files.delete(path);
      }
    }
  }

  private static JsonNode json(String... args) throws IOException {
    Answer answer = Answer.to(args);
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void anImportedModelIsTakenByItsName() throws IOException {
    Answer.to("models", "info", "tiny").assertRefused("`models list` shows no model yet");
    JsonNode imported = json("models", "import", TINY, "--name", "tiny", "--json");
    assertEquals("tiny", imported.get("result").get("name").textValue());
    assertEquals(512, imported.get("result").get("tokens").intValue());
    JsonNode onnx = json("models", "import", TINY + "/onnx/model-past.ts.onnx", "--json");
    assertEquals("model-past.ts", onnx.get("result").get("name").textValue());

    JsonNode list = json("models", "list", "--json").get("result").get("models");
    assertEquals(2, list.size());
    assertEquals("model-past.ts", list.get(0).get("name").textValue());
    assertEquals("imported", list.get(1).get("kind").textValue());
    assertEquals(imported.get("model").get("sha256"), list.get(1).get("sha256"));
    assertTrue(Answer.to("models", "list").out().lines().toList().get(1).startsWith("tiny "));

    JsonNode info = json("models", "info", "tiny", "--json");
    ObjectNode known = (ObjectNode) info.get("result").deepCopy();
    assertTrue(known.remove("checks") != null, "an import is checked");
    assertEquals(json("models", "info", TINY, "--json").get("result"), known);
    assertTrue(info.at("/result/outputs/logits").isNull(), "a shape that is unknown is no text");
    assertTrue(Answer.to("models", "hooks", "tiny").out().contains("blocks.2.attn.hook_z\n"));
    assertEquals(said("tiny"), said("model-past.ts"));

    Answer.to("models", "info", "tinny").assertRefused("near it is tiny;");
    Answer.to("arca", "reverse", "tinny", "--target-ids", "1").assertRefused("near it is tiny;");
    Answer.to("models", "import", TINY, "--name", "tiny").assertRefused("already");
    Answer.to("models", "import", TINY, "--name", "a b").assertRefused("the name a b");
  }

  @Test
  void anImportedModelIsRemovedByItsName() throws IOException {
    json("models", "import", TINY, "--name", "tiny", "--json");
    Answer.to("models", "remove", "tinny").assertRefused("those that were are tiny");
    assertEquals("tiny", json("models", "remove", "tiny", "--json").at("/model/name").textValue());
    assertEquals(0, json("models", "list", "--json").get("result").get("models").size());
    assertTrue(Files.exists(Path.of(TINY, "config.json")), "the source stays");
  }

  /** What a model says after two tokens. */
  private static JsonNode said(String model) throws IOException {
    String out =
        Answer.to("arca", "verify", model, "--prompt-ids", "5,9", "--target-ids", "0,0", "--json")
            .out();
    return Envelope.JSON.readTree(out).get("result").get("prompts").get(0).get("saidIds");
  }

  @Test
  void outIsAnotherDataFolder() throws IOException {
    String out = folder.toString();
    assertEquals(0, Answer.to("models", "import", TINY, "--out", out).status());
    assertTrue(Files.exists(folder.resolve("models/gpt2-tiny/config.json")));
    assertEquals(0, json("models", "list", "--json").get("result").get("models").size());
    JsonNode list = json("models", "list", "--out", out, "--json").get("result").get("models");
    assertEquals("gpt2-tiny", list.get(0).get("name").textValue());
  }
}
