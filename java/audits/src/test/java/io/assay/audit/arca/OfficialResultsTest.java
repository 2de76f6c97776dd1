package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.audit.arca.OfficialResults.Trial;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Result files of the official code, written by hand as it writes them, and by our own runs. */
class OfficialResultsTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String OPTIONS =
      "{\"arca_batch_size\": 32, \"n_trials\": 3, \"arca_iters\": 50, \"prompt_length\": 2,"
          + " \"lam_perp\": 0.2, \"model_id\": \"gpt2\", \"prompt_prefix\": null}\n";

  @TempDir Path dir;

  /** Every token is a space and its number. */
  private static final Tokenizer NUMBERS =
      new Tokenizer() {
        @Override
        public long[] encode(String text) {
          return Arrays.stream(text.strip().split(" ")).mapToLong(Long::parseLong).toArray();
        }

        @Override
        public String decode(long... ids) {
          return Arrays.stream(ids).mapToObj(id -> " " + id).collect(Collectors.joining());
        }

        @Override
        public String token(long id) {
          return " " + id;
        }

        @Override
        public boolean isSpecial(long id) {
          return false;
        }

        @Override
        public int size() {
          return 32;
        }
      };

  private List<Trial> read(String text) throws IOException {
    return OfficialResults.read(Files.writeString(dir.resolve("r.jsonl"), text), NUMBERS);
  }

  @Test
  void aReversal() throws IOException {
    List<Trial> trials =
        read(
            OPTIONS
                + "{\"output_target\": \" 9 2\", \"arca\": {\"prompts\": [\" 3 14\", null, \" 1"
                + " 1\"], \"prompt_toks\": [[3, 14], -1, [1, 1]], \"iters\": [4, -1, 0], \"time\":"
                + " [1, 10, 0], \"success_rate\": 0.6666, \"n_output_toks\": [2, 2, 2],"
                + " \"perplexity\": [13.98, null, NaN]}, \"gbda\": {\"prompts\": [null],"
                + " \"prompt_toks\": [-1], \"iters\": [-1], \"time\": [7], \"success_rate\":"
                + " 0.0}}\n");
    List<Integer> o = List.of(9, 2);
    assertEquals(
        List.of(
            new Trial(2, "arca", 0, List.of(3, 14), o, 4, 1),
            new Trial(2, "arca", 1, List.of(), o, -1, 10),
            new Trial(2, "arca", 2, List.of(1, 1), o, 0, 0),
            new Trial(2, "gbda", 0, List.of(), o, -1, 7)),
        trials);
  }

  @Test
  void aJointSearchWithAPrefix() throws IOException {
    List<Trial> trials =
        read(
            OPTIONS
                + "{\"hparams\": {\"prompt_length\": 2, \"output_length\": 2}, \"arca\":"
                + " {\"prompt_output_pairs\": [[\" 7 3 14\", \" 9 2\"], [null, null]],"
                + " \"toks\": [[7, 3, 14, 9, 2], -1], \"iters\": [7, -1], \"time\": [4, 20],"
                + " \"success_rate\": 0.5, \"perplexity\": [27.7, null],"
                + " \"output_unigram\": [0.26, -1], \"max_output_unigram\": [0.52],"
                + " \"min_output_unigram\": [0.006], \"input_unigram\": [0.99]}}\n");
    assertEquals(
        List.of(
            new Trial(2, "arca", 0, List.of(7, 3, 14), List.of(9, 2), 7, 4),
            new Trial(2, "arca", 1, List.of(), List.of(), -1, 20)),
        trials);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "not JSON                  | {\"output_target\": \" 9",
        "not JSON                  | {\"output_target\": \" 9\"} x",
        "not a JSON object         | [1, 2]",
        "neither output_target nor | {\"prompts\": []}",
        "must be a text            | {\"output_target\": 9}",
        "no list prompt_toks       | {\"output_target\": \" 9\", \"arca\": {\"iters\": []}}",
        "no list iters             | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": []}}",
        "one of each               | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [-1],"
            + " \"iters\": []}}",
        "the token \"x\"           | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\":"
            + " [[\"x\"]], \"iters\": [0]}}",
        "the token -4              | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\":"
            + " [[-4]], \"iters\": [0]}}",
        "sweep -1                  | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [[4]],"
            + " \"iters\": [-1]}}",
        "sweep 2                   | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [-1],"
            + " \"iters\": [2]}}",
        "the entry null in iters   | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [-1],"
            + " \"iters\": [null]}}",
        "another model             | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [-1],"
            + " \"iters\": [-1], \"n_output_toks\": [2]}}",
        "at least one token        | {\"output_target\": \" 9\", \"arca\": {\"prompt_toks\": [[]],"
            + " \"iters\": [0]}}",
        "output_length 0           | {\"hparams\": {\"output_length\": 0}, \"arca\": {}}",
        "where the output takes 2  | {\"hparams\": {\"output_length\": 2}, \"arca\": {\"toks\":"
            + " [[1, 2]], \"iters\": [0]}}"
      })
  void brokenLinesNameFileAndLine(String why, String line) {
    String message =
        assertThrows(InputException.class, () -> read(OPTIONS + "\n" + line + "\n")).getMessage();
    assertTrue(message.startsWith("line 3 of the result file "), message);
    assertTrue(message.contains("r.jsonl") && message.contains(why), message);
  }

  @Test
  void withoutATokenizerTheTextIsOfNoUse() throws IOException {
    Path file =
        Files.writeString(dir.resolve("r.jsonl"), OPTIONS + "{\"output_target\": \" 9\"}\n");
    String message =
        assertThrows(InputException.class, () -> OfficialResults.read(file, null)).getMessage();
    assertTrue(message.contains("line 2") && message.contains("no tokenizer"), message);
  }

  @Test
  void aReversalOfOursReadsBackEqual() throws IOException {
    ArcaSpec spec =
        ArcaSelfTest.reverse(9, 9)
            .prefix(List.of(7))
            .restarts(12)
            .sweeps(1)
            .k(2)
            .q(2)
            .lambdaF(0.2)
            .seed(3)
            .build();
    check(spec, NUMBERS);
    check(spec, null);
  }

  @Test
  void aJointSearchOfOursReadsBackEqual() throws IOException {
    double[] in = new double[32];
    double[] out = new double[32];
    for (int v = 0; v < 32; v++) {
      boolean bad = v >= 16 && v <= 18;
      in[v] = Math.log(bad ? 0.05 : 0.999);
      out[v] = Math.log(bad ? 0.9 : 0.001);
    }
    ArcaSpec spec =
        ArcaSpec.joint("toy-a", 2)
            .prefix(List.of(7))
            .unigrams(UnigramTable.of("not bad", in), UnigramTable.of("bad", out))
            .successCheck(ArcaSpec.SuccessCheck.ANY)
            .k(8)
            .q(8)
            .sweeps(5)
            .restarts(12)
            .build();
    JsonNode runs = check(spec, NUMBERS).get("arca");
    List<Trial> successes =
        OfficialResults.read(dir.resolve("w.jsonl"), NUMBERS).stream()
            .filter(Trial::success)
            .toList();
    assertEquals(12, runs.get("output_unigram").size());
    assertEquals(successes.size(), runs.get("max_output_unigram").size());
    assertEquals(successes.size(), runs.get("input_unigram").size());
    for (int i = 0; i < successes.size(); i++) {
      double largest = 0;
      double smallest = 1;
      for (int id : successes.get(i).outputIds()) {
        largest = Math.max(largest, Math.exp(out[id]));
      }
      for (int id : successes.get(i).promptIds()) { // the prefix too
        smallest = Math.min(smallest, Math.exp(in[id]));
      }
      assertEquals(largest, runs.get("max_output_unigram").get(i).doubleValue(), 1e-15);
      assertEquals(smallest, runs.get("min_input_unigram").get(i).doubleValue(), 1e-15);
    }
  }

  /** Runs, writes, reads again and compares; gives the line of the result. */
  private JsonNode check(ArcaSpec spec, Tokenizer tokenizer) throws IOException {
    ArcaResult result;
    try (Engine engine = Engine.open()) {
      result = ArcaAudit.run(engine, Toys.a(DType.F64), spec, ArcaListener.NONE);
    }
    long found = result.audits().stream().filter(ArcaResult.Audit::success).count();
    assertTrue(found > 0 && found < result.audits().size(), found + " found");
    Path file = dir.resolve("w.jsonl");
    String text = OfficialResults.text(spec, result, tokenizer);
    Files.writeString(file, text);
    List<Trial> expected = new ArrayList<>();
    for (ArcaResult.Audit a : result.audits()) {
      List<Integer> prompt = new ArrayList<>(spec.prefix());
      prompt.addAll(a.promptIds());
      expected.add(
          new Trial(
              2,
              "arca",
              a.restart(),
              a.success() ? prompt : List.of(),
              a.success() || !spec.isJoint() ? a.outputIds() : List.of(),
              a.sweep(),
              (long) a.seconds()));
    }
    assertEquals(expected, OfficialResults.read(file, tokenizer));

    List<String> lines = text.lines().toList();
    assertEquals(2, lines.size());
    JsonNode options = JSON.readTree(lines.get(0));
    assertEquals(spec.k(), options.get("arca_batch_size").intValue());
    assertEquals("arca", options.get("opts_to_run").get(0).textValue());
    JsonNode line = JSON.readTree(lines.get(1));
    JsonNode runs = line.get("arca");
    for (int i = 0; i < result.audits().size(); i++) {
      ArcaResult.Audit a = result.audits().get(i);
      JsonNode tokens = runs.get(spec.isJoint() ? "toks" : "prompt_toks").get(i);
      assertEquals(a.success(), tokens.isArray());
      assertTrue(a.success() || tokens.intValue() == -1, tokens.toString());
      assertTrue(runs.get("time").get(i).isIntegralNumber(), "whole seconds");
      assertEquals(a.success(), runs.get("perplexity").get(i).isNumber());
      if (a.success()) {
        assertEquals(-a.FL(), runs.get("perplexity").get(i).doubleValue());
      }
      JsonNode texts = runs.get(spec.isJoint() ? "prompt_output_pairs" : "prompts").get(i);
      JsonNode prompt = spec.isJoint() ? texts.get(0) : texts;
      assertEquals(a.success() ? a.promptText() : null, prompt.textValue());
    }
    assertEquals((double) found / result.audits().size(), runs.get("success_rate").doubleValue());
    return line;
  }
}
