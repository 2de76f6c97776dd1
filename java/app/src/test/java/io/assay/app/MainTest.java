package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MainTest {
  /** What a call of the command line printed, and its exit status. */
  record Answer(int status, String out, String err) {
    static Answer to(String... args) {
      StringWriter out = new StringWriter();
      StringWriter err = new StringWriter();
      int status = Main.run(args, new PrintWriter(out, true), new PrintWriter(err, true));
      return new Answer(status, out.toString(), err.toString());
    }

    /** Checks that the input was refused as people want it: status 2, one line, no trace. */
    void assertRefused(String naming) {
      assertEquals(2, status, err);
      assertEquals(1, err.lines().count(), err);
      assertTrue(err.contains(naming), err);
      assertFalse(err.contains("\tat ") || err.contains("Exception"), err);
      assertEquals("", out);
    }
  }

  @Test
  void theVersionIsThatOfTheBuild() {
    Answer answer = Answer.to("--version");
    assertEquals(0, answer.status());
    assertTrue(answer.out().matches("(?s)assay \\d+\\.\\d+.*"), answer.out());
  }

  @ParameterizedTest
  @ValueSource(strings = {"--help", "doctor --help", "models --help", "models info --help"})
  void helpTeaches(String line) {
    Answer answer = Answer.to(line.split(" "));
    assertEquals(0, answer.status());
    assertTrue(answer.out().startsWith("Usage: assay"), answer.out());
    assertEquals("", answer.err());
  }

  /** The list of commands shows the first sentence of each. */
  @ParameterizedTest
  @ValueSource(strings = {"--help", "arca --help", "models --help", "organism --help"})
  void summariesAreWholeSentences(String line) {
    String help = Answer.to(line.split(" ")).out();
    String list = help.substring(help.indexOf("Commands:\n") + "Commands:\n".length());
    String[] entries = list.split("\n\n")[0].split("\n(?=  \\S)");
    assertTrue(entries.length >= 2, list);
    for (String entry : entries) {
      assertTrue(entry.strip().endsWith("."), entry);
    }
  }

  @Test
  void wrongArgumentsAreOneLine() {
    Answer.to("doctor", "--swoosh").assertRefused("there is no option --swoosh");
    Answer.to("doctor", "now").assertRefused("the argument 'now' is one too many");
    Answer.to("models", "lst").assertRefused("there is no command 'lst'; there are list, ");
    Answer.to("doctor", "--threads", "x").assertRefused("'x' is not an int");
    Answer.to("doctor", "--threads", "0").assertRefused("at least 1");
    Answer.to("doctor", "--device", "abacus").assertRefused("abacus");
    Answer.to("models").assertRefused("verb");
    Answer.to("models", "info").assertRefused("MODEL");
    Answer.to("models", "info", "no/such/folder").assertRefused("no/such/folder");
    Answer.to("dance").assertRefused("there is no command 'dance'");
    Answer.to().assertRefused("command");
  }

  @Test
  void doctorAnswersOneJsonObject() throws Exception {
    Answer answer = Answer.to("doctor", "--json", "--threads", "1");
    assertEquals(0, answer.status(), answer.err());
    assertEquals("", answer.err());
    JsonNode root = Envelope.JSON.readTree(answer.out());
    for (String field :
        new String[] {"assay", "run", "method", "spec", "device", "model", "seconds", "metrics"}) {
      assertTrue(root.has(field), field);
    }
    assertEquals("doctor", root.get("method").textValue());
    assertEquals(1, root.get("device").get("threads").intValue());
    JsonNode result = root.get("result");
    assertFalse(result.get("onnxruntime").textValue().isEmpty());
    JsonNode usable = result.get("usable");
    assertTrue(usable.get("kernels portable java").booleanValue());
    assertTrue(usable.get("will use").booleanValue());
    boolean cuda = usable.get("cuda").booleanValue();
    assertEquals(cuda, result.get("cuda").textValue().startsWith("usable"));
    for (String part : new String[] {"driver", "devices", "provider", "libraries", "kernels"}) {
      assertTrue(usable.get("cuda " + part).isBoolean(), part);
    }
  }

  @Test
  void doctorDoesNotPromiseADeviceThatIsNotThere() throws Exception {
    Answer answer = Answer.to("doctor", "--json", "--device", "cuda:99");
    assertEquals(0, answer.status(), answer.err());
    JsonNode result = Envelope.JSON.readTree(answer.out()).get("result");
    assumeFalse(result.get("usable").get("cuda").booleanValue(), "the runtime has CUDA here");
    assertFalse(result.get("usable").get("will use").booleanValue());
    assertTrue(result.get("will use").textValue().startsWith("nothing with --device cuda:99"));
    assertTrue(result.get("cuda").textValue().contains("cuda:99"));
  }

  @Test
  void aTokenBeyondTheVocabularyIsWrongInput(@TempDir Path folder) {
    RandomModel.write(folder, 1);
    Path in = folder.resolve("in.safetensors");
    Safetensors.write(in, Map.of("input_ids", Tensor.ofLongs(new long[] {1, 512}, 1, 2)), Map.of());
    String out = folder.resolve("out.safetensors").toString();
    Answer.to("models", "run", folder.toString(), "--inputs", in.toString(), "--out", out)
        .assertRefused("512");
  }
}
