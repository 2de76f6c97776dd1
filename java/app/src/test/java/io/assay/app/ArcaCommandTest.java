package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that run a model, on a small random one. */
class ArcaCommandTest {
  @TempDir static Path folder;
  private static String model;

  @BeforeAll
  static void makeModel() throws Exception {
    model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7).toString();
  }

  private static JsonNode json(Answer answer) throws Exception {
    assertEquals(0, answer.status(), answer.err());
    return Envelope.JSON.readTree(answer.out());
  }

  @Test
  void whatIsFoundVerifiesAndWhatIsMadeUpDoesNot() throws Exception {
    String[] search = {
      "arca",
      "reverse",
      model,
      "--target-ids",
      "5",
      "--prompt-length",
      "2",
      "--sweeps",
      "3",
      "--json"
    };
    Answer found = Answer.to(search);
    JsonNode audits = json(found).get("result").get("audits");
    assertEquals(5, audits.size());
    Path file = Files.writeString(folder.resolve("found.json"), found.out());
    assertEquals(0, Answer.to("arca", "verify", model, "--found", file.toString()).status());

    JsonNode same = json(Answer.to(search)).get("result").get("audits");
    for (int i = 0; i < audits.size(); i++) {
      assertEquals(audits.get(i).get("promptIds"), same.get(i).get("promptIds"));
      assertEquals(audits.get(i).get("J"), same.get(i).get("J"));
    }

    JsonNode said =
        Envelope.JSON.readTree(
            Answer.to("arca", "verify", model, "--prompt-ids", "1,2", "--target-ids", "0", "--json")
                .out());
    int next = said.get("result").get("prompts").get(0).get("saidIds").get(0).intValue();
    String other = Integer.toString((next + 1) % 512);
    String right = Integer.toString(next);
    assertEquals(
        1,
        Answer.to("arca", "verify", model, "--prompt-ids", "1,2", "--target-ids", other).status());
    assertEquals(
        0,
        Answer.to("arca", "verify", model, "--prompt-ids", "1,2", "--target-ids", right).status());
  }

  /** specs/arca.md 2.5, and the settings that a result is to be read with. */
  @Test
  void everyFieldOfAnAuditHasItsName() throws Exception {
    JsonNode root =
        json(
            Answer.to(
                "arca",
                "reverse",
                model,
                "--target-ids",
                "5",
                "--prompt-length",
                "2",
                "--sweeps",
                "1",
                "--restarts",
                "1",
                "--method",
                "gcg",
                "--q",
                "8",
                "--preset",
                "reverse-toxic",
                "--allow",
                "ids:1,2,3,4",
                "--forbid",
                "ids:4,5",
                "--json"));
    JsonNode audit = root.get("result").get("audits").get(0);
    List<String> fields = new ArrayList<>();
    audit.fieldNames().forEachRemaining(fields::add);
    for (String field :
        List.of(
            "success",
            "sweep",
            "coordinateUpdates",
            "promptIds",
            "outputIds",
            "promptText",
            "outputText",
            "J",
            "LP",
            "FL",
            "promptUnigram",
            "outputUnigram",
            "greedyMargin",
            "textStable",
            "bestSoFar",
            "forwardSequences",
            "backwardSequences",
            "seconds",
            "seed",
            "stopReason")) {
      assertTrue(fields.contains(field), field);
    }
    assertTrue(audit.get("bestSoFar").get("promptIds").isArray(), audit.toString());
    assertTrue(audit.get("bestSoFar").get("J").isNumber(), audit.toString());
    assertEquals(1, audit.get("backwardSequences").intValue());
    JsonNode spec = root.get("spec");
    assertEquals("reverse-toxic", spec.get("preset").textValue());
    assertEquals("GCG", spec.get("method").textValue());
    assertEquals("ids:1,2,3,4 and not_ids:4,5", spec.get("promptAllowed").textValue());
    assertTrue(spec.get("rule").isNull(), "thresholds are for joint searches");
  }

  @Test
  void thresholdsArePartOfEveryJointResult() throws Exception {
    Path table =
        Files.writeString(
            folder.resolve("u.txt"),
            IntStream.range(0, 512)
                .mapToObj(v -> v % 2 == 0 ? "-0.001" : "-7")
                .collect(Collectors.joining("\n")));
    String[] search = {
      "arca",
      "joint",
      model,
      "--output-length",
      "1",
      "--prompt-length",
      "2",
      "--sweeps",
      "1",
      "--restarts",
      "2",
      "--k",
      "2",
      "--q",
      "2",
      "--preset",
      "language-switch",
      "--output-mean",
      "0.25",
      "--prompt-unigram",
      table.toString(),
      "--output-unigram",
      table + ":not",
      "--allow-output",
      "not_ids:7"
    };
    Path reports = folder.resolve("reports");
    String[] withReport = Arrays.copyOf(search, search.length + 2);
    withReport[search.length] = "--out";
    withReport[search.length + 1] = reports.toString();
    Answer said = Answer.to(withReport);
    assertEquals(0, said.status(), said.err());
    try (var pages = Files.list(reports)) {
      String page =
          Files.readString(
              pages.filter(f -> f.toString().endsWith(".html")).findFirst().orElseThrow());
      assertTrue(page.contains("mean prompt probability"), "thresholds in words");
      assertFalse(page.contains("UnigramRule"), "not as a record");
    }
    assertFalse(said.out().contains("target"), "a joint search has none");
    assertTrue(
        said.out()
            .contains(
                "a success needs: mean prompt probability > 0.5, mean output probability > 0.25"),
        said.out());
    search = Arrays.copyOf(search, search.length + 1);
    search[search.length - 1] = "--json";
    JsonNode root = json(Answer.to(search));
    JsonNode rule = root.get("spec").get("rule");
    assertEquals(0.5, rule.get("promptMean").doubleValue());
    assertEquals(0.25, rule.get("outputMean").doubleValue());
    assertEquals(-1, rule.get("promptMin").doubleValue());
    JsonNode unigram = root.get("result").get("audits").get(0).get("promptUnigram");
    for (String part : List.of("min", "mean", "max")) {
      assertTrue(unigram.get(part).isNumber(), unigram.toString());
    }
  }

  @Test
  void officialFilesOfOurRunsAndOfOthersAreVerified() throws Exception {
    Path official = folder.resolve("o.jsonl");
    Answer search =
        Answer.to(
            "arca",
            "reverse",
            model,
            "--target-ids",
            "5",
            "--target-ids",
            "6,7",
            "--prompt-length",
            "2",
            "--sweeps",
            "2",
            "--json",
            "--official-out",
            official.toString());
    long found = 0;
    for (JsonNode audit : json(search).get("result").get("audits")) {
      found += audit.get("success").booleanValue() ? 1 : 0;
    }
    assertEquals(3, Files.readAllLines(official).size(), "options and two targets");
    String[] verify = {"arca", "verify", model, "--official", official.toString(), "--json"};
    JsonNode verified = json(Answer.to(verify));
    assertEquals(10, verified.get("metrics").get("trials").intValue());
    assertEquals(found, verified.get("metrics").get("holding").longValue());
    for (JsonNode pair : verified.get("result").get("prompts")) {
      assertTrue(pair.get("margin").doubleValue() > 0, pair.toString());
      assertEquals("arca", pair.get("method").textValue());
      assertTrue(pair.get("textStable").isNull(), "no tokenizer, no text");
    }

    // A pair that does not hold: the model says something else, by a negative margin.
    JsonNode said =
        Envelope.JSON.readTree(
            Answer.to("arca", "verify", model, "--prompt-ids", "1,2", "--target-ids", "0", "--json")
                .out());
    int next = said.get("result").get("prompts").get(0).get("saidIds").get(0).intValue();
    Files.writeString(
        official,
        "{\"model_id\": \"other\"}\n{\"output_target\": \" x\", \"output_toks\": [%d], \"arca\":"
                .formatted((next + 1) % 512)
            + " {\"prompt_toks\": [[1, 2], -1], \"iters\": [0, -1], \"time\": [0, 9]}}\n"
            + "{\"hparams\": {\"prompt_length\": 2, \"output_length\": 1}, \"autoprompt\":"
            + " {\"toks\": [[1, 2, %d]], \"iters\": [3], \"time\": [0]}}\n".formatted(next));
    Answer mixed = Answer.to(verify);
    assertEquals(1, mixed.status());
    JsonNode root = Envelope.JSON.readTree(mixed.out());
    assertEquals(0.5, root.get("metrics").get("share").doubleValue());
    JsonNode first = root.get("result").get("prompts").get(0);
    assertFalse(first.get("holds").booleanValue());
    assertTrue(first.get("margin").doubleValue() < 0, first.toString());
    JsonNode second = root.get("result").get("prompts").get(1);
    assertTrue(second.get("holds").booleanValue());
    assertEquals(3, second.get("line").intValue());

    Files.writeString(official, "{}\n{\"output_target\": \" x\"}\n");
    Answer.to(verify).assertRefused("line 2");
    Files.writeString(
        official,
        "{}\n{\"hparams\": {\"output_length\": 1}, \"arca\": {\"toks\": [[1, 512]],"
            + " \"iters\": [0]}}\n");
    Answer.to(verify).assertRefused("line 2");
    Answer.to("arca", "verify", model, "--official", "no/such.jsonl")
        .assertRefused("no/such.jsonl");
    Answer.to("arca", "reverse", model, "--target-ids", "5", "--official-out", "no/such/dir/o")
        .assertRefused("--official-out");
  }

  @Test
  void badArgumentsOfASearchAreOneLine() {
    String[][] cases = {
      {"target", "reverse"},
      {"empty", "reverse", "--target", ""},
      {"k must be", "reverse", "--target-ids", "1", "--k", "0"},
      {"prompt length", "reverse", "--target-ids", "1", "--prompt-length", "0"},
      {"99999", "reverse", "--target-ids", "99999"},
      {"32", "reverse", "--target-ids", "1", "--prompt-length", "999"},
      {"'x'", "reverse", "--target-ids", "x"},
      {"--swoosh", "reverse", "--target-ids", "1", "--swoosh"},
      {"output length", "joint", "--output-length", "0"},
      {"--found", "verify"},
      {"rude", "reverse", "--target-ids", "1", "--preset", "rude"},
      {"--prompt-unigram", "joint", "--preset", "surprise-toxicity"},
      {"no tokenizer", "reverse", "--target-ids", "1", "--allow", "letters"},
      {"shouting", "reverse", "--target-ids", "1", "--forbid", "shouting"},
      {"AUTOPROMPT", "joint", "--method", "gcg"},
      {"below 1", "joint", "--output-max", "2"},
      {"keep-current", "reverse", "--target-ids", "1", "--restart-on-stall"},
    };
    for (String[] c : cases) {
      String[] args = new String[c.length + 1];
      args[0] = "arca";
      args[1] = c[1];
      args[2] = model;
      System.arraycopy(c, 2, args, 3, c.length - 2);
      Answer answer = Answer.to(args);
      if (c[0].equals("empty")) {
        answer.assertRefused("--target"); // this model has no tokenizer
      } else {
        answer.assertRefused(c[0]);
      }
    }
  }

  @Test
  void runWritesOutputsHooksAndGradients() {
    Path in = folder.resolve("in.safetensors");
    Path out = folder.resolve("out.safetensors");
    float[] ones = new float[3 * 32];
    Arrays.fill(ones, 1);
    String hook = "blocks.0.hook_resid_post";
    Safetensors.write(
        in,
        Map.of(
            "input_ids", Tensor.ofLongs(new long[] {4, 5, 6}, 1, 3),
            "seed", Tensor.ofFloats(ones, 1, 3, 32)),
        Map.of());
    Answer answer =
        run(
            in,
            out,
            "--expose",
            hook,
            "--gradient-of",
            hook + "=seed",
            "--wrt",
            hook,
            "--wrt",
            "hook_embed");
    assertEquals(0, answer.status(), answer.err());
    Map<String, Tensor> results = Safetensors.read(out).tensors();
    assertEquals("F32[1, 3, 512]", results.get("logits").toString());
    assertEquals("F32[1, 3, 32]", results.get(hook).toString());
    assertEquals("F32[1, 3, 32]", results.get("grad.hook_embed").toString());
    for (double g : results.get("grad." + hook).toDoubles()) {
      assertEquals(1, g, "the gradient of sum(x) to x is 1");
    }
    run(in, out, "--wrt", hook).assertRefused("--gradient-of");
    run(in, out, "--expose", "nose").assertRefused("nose");
  }

  private static Answer run(Path in, Path out, String... more) {
    List<String> arguments =
        new ArrayList<>(
            List.of("models", "run", model, "--inputs", in.toString(), "--out", out.toString()));
    arguments.addAll(List.of(more));
    return Answer.to(arguments.toArray(String[]::new));
  }
}
