package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands of the task on a model whose tokenizer has some names and things. */
class IoiCommandTest {
  private static final Path MODEL = Path.of("../engine/src/test/resources/gpt2-tiny");
  @TempDir private Path folder;

  /** Words that are one token of that tokenizer each. */
  private List<String> words(String... command) throws Exception {
    Path names = folder.resolve("names.json");
    Files.writeString(
        names, "[\"Tomas\", \"Noor\", \"Ines\", \"Mira\", \"Ayla\", \"Oskar\", \"Petr\"]");
    Path places = folder.resolve("places.txt");
    Files.writeString(places, "garden\nschool\nmill\n");
    Path objects = folder.resolve("objects.txt");
    Files.writeString(objects, "ring\nbasket\n\nkettle");
    List<String> all = new ArrayList<>(Arrays.asList(command));
    all.addAll(List.of("--names", names.toString(), "--places", places.toString()));
    all.addAll(List.of("--objects", objects.toString()));
    return all;
  }

  private Answer ioi(String... command) throws Exception {
    List<String> all = words(command);
    all.addFirst("ioi");
    return Answer.to(all.toArray(String[]::new));
  }

  @Test
  void dataAreTheSameLinesAgain() throws Exception {
    Path out = folder.resolve("pairs.jsonl");
    Answer answer = ioi("data", MODEL.toString(), "--prompts", "40", "--out", out.toString());
    assertEquals(0, answer.status(), answer.err());
    List<String> lines = Files.readAllLines(out);
    assertEquals(40, lines.size());
    Tokenizer tokenizer = Tokenizer.read(MODEL);
    for (String line : lines) {
      JsonNode p = Envelope.JSON.readTree(line);
      long[] ids = tokenizer.encode(p.path("clean").asText());
      assertEquals(ids.length, tokenizer.encode(p.path("corrupt").asText()).length);
      assertEquals(
          tokenizer.encode(p.path("wrong").asText())[0], ids[p.at("/positions/S2").asInt()]);
      assertEquals(
          tokenizer.encode(p.path("answer").asText())[0], ids[p.at("/positions/IO").asInt()]);
      assertEquals(ids.length - 1, p.at("/positions/END").asInt());
    }
    Path other = folder.resolve("other.jsonl");
    ioi("data", MODEL.toString(), "--prompts", "40", "--out", other.toString());
    assertEquals(lines, Files.readAllLines(other));
    ioi("data", MODEL.toString(), "--prompts", "40", "--seed", "1", "--out", other.toString());
    assertNotEquals(lines, Files.readAllLines(other));
  }

  @Test
  void dataAreShownAsATableOrOneObject() throws Exception {
    Answer table = ioi("data", MODEL.toString(), "--prompts", "22", "--form", "abba");
    assertEquals(0, table.status(), table.err());
    assertTrue(table.out().contains("and 2 more; --out FILE.jsonl writes all"), table.out());
    assertTrue(table.out().contains("ABBA"), table.out());
    Answer json = ioi("data", MODEL.toString(), "--prompts", "3", "--templates", "4,12", "--json");
    JsonNode root = Envelope.JSON.readTree(json.out());
    assertEquals(3, root.at("/result/prompts").size());
    for (JsonNode p : root.at("/result/prompts")) {
      assertTrue(List.of(4, 12).contains(p.path("template").asInt()));
      assertTrue(p.path("object").isNull());
    }
    assertEquals(
        List.of(4, 12).toString(), root.at("/spec/templates").toString().replace(",", ", "));
  }

  @Test
  void promptsOfOthersBecomePairs() throws Exception {
    Path file = folder.resolve("auto.json");
    Files.writeString(
        file,
        """
        {"word_idxs": {"IO": 1, "end": 3}, "prompts": [
          {"clean": " Mira Noor Noor to", "corrupt": " Petr Ayla Ines to",
           "answers": [" Mira"], "wrong_answers": [" Noor"]}]}
        """);
    Path out = folder.resolve("out.jsonl");
    String model = MODEL.toString();
    Answer answer =
        Answer.to("ioi", "data", model, "--from", file.toString(), "--out", out.toString());
    assertEquals(0, answer.status(), answer.err());
    assertEquals(
        "{\"clean\":\" Mira Noor Noor to\",\"corrupt\":\" Petr Ayla Ines to\","
            + "\"answer\":\" Mira\",\"wrong\":\" Noor\",\"positions\":{\"END\":3,\"IO\":1}}",
        Files.readString(out).strip());
    Files.writeString(file, "{}");
    Answer.to("ioi", "data", model, "--from", file.toString()).assertRefused("record 0");
    Answer.to("ioi", "data", model, "--from", file.toString(), "--form", "abba")
        .assertRefused("--form has no effect with --from; leave it out, or leave out --from");
  }

  @Test
  void baselineOfARandomModelIsNearHalf() throws Exception {
    Answer answer =
        ioi(
            "baseline",
            MODEL.toString(),
            "--prompts",
            "130",
            "--out",
            folder.toString(),
            "--json",
            "--bos");
    assertEquals(0, answer.status(), answer.err());
    JsonNode root = Envelope.JSON.readTree(answer.out());
    assertEquals(130, root.at("/result/prompts").size());
    assertTrue(root.at("/spec/bos").asBoolean());
    double share = root.at("/metrics/answerOverWrong").asDouble();
    assertTrue(share > 0.1 && share < 0.9, answer.out());
    double sum = 0;
    for (JsonNode p : root.at("/result/prompts")) {
      sum += p.path("logitDifference").asDouble();
    }
    assertEquals(sum / 130, root.at("/metrics/logitDifference").asDouble(), 1e-12);
    assertTrue(Files.exists(Path.of(root.path("report").asText())));
  }

  /** What baseline says of a prompt is what the whole model says, by itself and unpadded. */
  @Test
  void baselineIsTheModelsOwnLogits() throws Exception {
    Answer answer =
        ioi("baseline", MODEL.toString(), "--prompts", "9", "--out", folder.toString(), "--json");
    JsonNode prompts = Envelope.JSON.readTree(answer.out()).at("/result/prompts");
    try (Engine engine = Engine.open()) {
      LanguageModel model = engine.languageModel(MODEL.toString());
      Tokenizer tokenizer = model.tokenizer().orElseThrow();
      try (Session session = engine.compile(model.whole())) {
        for (JsonNode p : prompts) {
          long[] ids = tokenizer.encode(p.path("text").asText());
          Tensor input = Tensor.ofLongs(ids, 1, ids.length);
          Tensor logits = session.run(Map.of("input_ids", input)).get("logits");
          long row = logits.elements() - logits.dim(2);
          double io = logits.get(row + tokenizer.encode(" " + p.path("io").asText())[0]);
          double s = logits.get(row + tokenizer.encode(" " + p.path("s").asText())[0]);
          assertEquals(io - s, p.path("logitDifference").asDouble(), 4e-5);
          double all = 0;
          for (long v = 0; v < logits.dim(2); v++) {
            all += Math.exp(logits.get(row + v) - io);
          }
          assertEquals(1 / all, p.path("answerProbability").asDouble(), 1e-5);
        }
      }
    }
  }

  @Test
  void noCircuitIsClaimedInARandomModel() throws Exception {
    Answer answer =
        ioi(
            "circuit",
            MODEL.toString(),
            "--prompts",
            "20",
            "--references",
            "1",
            "--out",
            folder.toString(),
            "--json");
    assertEquals(0, answer.status(), answer.err());
    JsonNode root = Envelope.JSON.readTree(answer.out());
    assertFalse(root.at("/metrics/claimed").asBoolean());
    assertTrue(root.at("/result/reason").asText().contains("prefers IO on"), answer.out());
    assertEquals(6, root.at("/spec/choices").size());
    assertTrue(answer.err().contains("is a mean of 1"), answer.err());
  }

  @Test
  void badInputIsOneSentence() throws Exception {
    ioi("data", MODEL.toString(), "--prompts", "0").assertRefused("prompts is 0");
    ioi("data", MODEL.toString(), "--templates", "15").assertRefused("numbered 0 to 14");
    ioi("data", MODEL.toString(), "--templates", "first").assertRefused("'first'");
    Path names = folder.resolve("mine.txt");
    Files.writeString(names, "Tomas\nBartholomew\n");
    Answer.to("ioi", "data", MODEL.toString(), "--names", names.toString())
        .assertRefused("the name 'Bartholomew' is");
    Answer.to("ioi", "data", MODEL.toString(), "--names", "no/such").assertRefused("no/such");
    Files.writeString(names, "[1, {}]");
    Answer.to("ioi", "data", MODEL.toString(), "--names", names.toString())
        .assertRefused("no JSON list of words");
    Answer.to("ioi", "data", MODEL.toString()).assertRefused("0 names are one token");
    Answer.to("ioi", "data", folder.toString()).assertRefused("tokenizer.json");
    ioi("circuit", MODEL.toString(), "--heads", "1.1@FIRST", "--out", folder.toString())
        .assertRefused("1.1@FIRST");
    ioi("circuit", MODEL.toString(), "--heads", "1.1", "--target", "0.5")
        .assertRefused("--target has no effect with --heads; leave it out, or leave out --heads");
    ioi("circuit", MODEL.toString(), "--ablation", "zero", "--references", "9")
        .assertRefused("--references has no effect with --ablation zero; leave it out, or choose");
    ioi("circuit", MODEL.toString(), "--heads", "3.0", "--out", folder.toString())
        .assertRefused("layers 0 to 2");
    ioi("circuit", MODEL.toString(), "--target", "0", "--out", folder.toString())
        .assertRefused("target is 0.0");
  }
}
