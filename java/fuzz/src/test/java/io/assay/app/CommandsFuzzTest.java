package io.assay.app;

import com.code_intelligence.jazzer.junit.DictionaryEntries;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import io.assay.fuzz.Parsers;
import io.assay.fuzz.TinyFolder;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/** Files that commands read, through the command line: the status is 0, 1 or 2, never 3. */
class CommandsFuzzTest {
  private static final TinyFolder MODEL = new TinyFolder();

  private static void check(String name, byte[] bytes, String... command) {
    Parsers.check(
        MODEL.file(name),
        bytes,
        () -> {
          StringWriter err = new StringWriter();
          int status = Main.run(command, new PrintWriter(new StringWriter()), new PrintWriter(err));
          if (status == 2 ? err.toString().strip().lines().count() != 1 : status > 2) {
            throw new AssertionError("status " + status + ": " + err);
          }
        });
  }

  static Stream<byte[]> inputs() throws IOException {
    Safetensors.write(
        MODEL.file("seed.safetensors"),
        Map.of("input_ids", Tensor.ofLongs(new long[] {1, 2, 3, 4}, 2, 2)),
        Map.of());
    return Stream.of(Files.readAllBytes(MODEL.file("seed.safetensors")));
  }

  @MethodSource("inputs")
  @DictionaryEntries({"past.0.key", "past.0.value", "\"I64\"", "\"shape\":[1,0]"})
  @FuzzTest
  void inputs(byte[] bytes) {
    String model = MODEL.path().toString();
    String in = MODEL.file("in.safetensors").toString();
    String out = MODEL.file("out.safetensors").toString();
    check("in.safetensors", bytes, "models", "run", model, "--inputs", in, "--out", out, "--quiet");
  }

  static Stream<byte[]> found() {
    return Stream.of(
        """
        {"spec": {"prefix": [1]}, "result": {"audits": [
          {"success": true, "promptIds": [2, 3], "outputIds": [4]}]}}
        """
            .getBytes(StandardCharsets.UTF_8));
  }

  @MethodSource("found")
  @DictionaryEntries({"success", "promptIds", "outputIds", "prefix", "audits", "true"})
  @FuzzTest
  void found(byte[] bytes) {
    String file = MODEL.file("found.json").toString();
    check("found.json", bytes, "arca", "verify", MODEL.path().toString(), "--found", file);
  }
}
