package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a bad file may cost: at most 64 MB above a small valid model and four times the file's size,
 * measured as the peak resident memory of a process of its own. Status 2, one line.
 */
class BadInputMemoryTest {
  private static final long ALLOWED_BYTES = 64L << 20;
  private static final int FILE_TIMES = 4;

  @TempDir Path folder;
  private Path model;

  @BeforeEach
  void makeModel() throws IOException {
    assumeTrue(Files.isReadable(Path.of("/proc/self/status")), "peaks are read from /proc");
    model = Files.createDirectory(folder.resolve("model"));
    Files.writeString(
        model.resolve("config.json"),
        "{\"model_type\": \"gpt2\", \"n_layer\": 1, \"n_head\": 2, \"n_embd\": 4, \"n_positions\":"
            + " 6, \"vocab_size\": 8}");
    Map<String, Tensor> weights = new LinkedHashMap<>();
    put(weights, "wte.weight", 8, 4);
    put(weights, "wpe.weight", 6, 4);
    for (String norm : new String[] {"h.0.ln_1", "h.0.ln_2", "ln_f"}) {
      put(weights, norm + ".weight", 4);
      put(weights, norm + ".bias", 4);
    }
    String[] products = {"h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj"};
    int[][] shapes = {{4, 12}, {4, 4}, {4, 16}, {16, 4}};
    for (int i = 0; i < products.length; i++) {
      put(weights, products[i] + ".weight", shapes[i][0], shapes[i][1]);
      put(weights, products[i] + ".bias", shapes[i][1]);
    }
    Safetensors.write(model.resolve("model.safetensors"), weights, Map.of());
  }

  private static void put(Map<String, Tensor> weights, String name, long... shape) {
    weights.put(name, Tensor.allocate(Arena.ofAuto(), DType.F32, shape));
  }

  /** What a process printed, and its peak. */
  private record Outcome(int status, List<String> err, long peakBytes) {}

  private Outcome info(Path path) throws Exception {
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--sun-misc-unsafe-memory-access=allow",
                "--enable-native-access=" + System.getProperty("assay.native.modules"),
                "--illegal-native-access=deny",
                "--module-path",
                System.getProperty("jdk.module.path"),
                "--patch-module",
                "io.assay.app=" + Path.of("target", "test-classes").toAbsolutePath(),
                "-m",
                "io.assay.app/" + Measured.class.getName(),
                "models",
                "info",
                path.toString())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile())
            .start();
    assertTrue(process.waitFor(5, TimeUnit.MINUTES), "no end after five minutes");
    String peak =
        Files.readAllLines(out).stream()
            .filter(line -> line.startsWith(Measured.PEAK))
            .findFirst()
            .orElseThrow(() -> new AssertionError("no peak; the process ended otherwise"));
    long kilobytes = Long.parseLong(peak.replaceAll("\\D", ""));
    return new Outcome(process.exitValue(), Files.readAllLines(err), kilobytes * 1024);
  }

  private static byte[] repeated(String before, String part, int times, String after) {
    return (before + part.repeat(times) + after).getBytes(StandardCharsets.UTF_8);
  }

  /** Replaces one file of the model and puts it back; returns what became of it. */
  private void refused(long valid, String name, byte[] bytes) throws Exception {
    Path file = model.resolve(name);
    byte[] before = Files.exists(file) ? Files.readAllBytes(file) : null;
    Files.write(file, bytes);
    refused(valid, model, bytes.length, name);
    Files.delete(file);
    if (before != null) {
      Files.write(file, before);
    }
  }

  private void refused(long valid, Path path, long size, String name) throws Exception {
    Outcome outcome = info(path);
    assertEquals(2, outcome.status, name + ": " + outcome.err);
    assertEquals(1, outcome.err.size(), name + ": " + outcome.err);
    long most = valid + ALLOWED_BYTES + FILE_TIMES * size;
    assertTrue(
        outcome.peakBytes <= most,
        name + " takes " + outcome.peakBytes + " bytes; a valid model takes " + valid);
  }

  @Test
  void badFilesTakeLittle() throws Exception {
    Outcome outcome = info(model);
    assertEquals(0, outcome.status, outcome.err.toString());
    long valid = outcome.peakBytes;
    String config = Files.readString(model.resolve("config.json"));
    String layers = config.replaceFirst("\"n_layer\"\\s*:\\s*\\d+", "\"n_layer\": 16777216");
    assertTrue(!layers.equals(config), config);
    refused(valid, "config.json", layers.getBytes(StandardCharsets.UTF_8));
    refused(valid, "config.json", repeated("{\"a\":[", "{},", 330_000, "{}]}"));
    refused(valid, "config.json", repeated("{\"a\":[", "{},", 3_000_000, "{}]}"));
    refused(valid, "tokenizer.json", repeated("{\"a\":[", "{},", 3_000_000, "{}]}"));
    refused(valid, "tokenizer.json", repeated("", "[", 8_000_000, ""));
    byte[] claim =
        ByteBuffer.allocate(1024).order(ByteOrder.LITTLE_ENDIAN).putLong(3L << 30).array();
    refused(valid, "model.safetensors", claim);
    byte[] weights = Files.readAllBytes(model.resolve("model.safetensors"));
    refused(valid, "model.safetensors", Arrays.copyOf(weights, weights.length - 1));

    // An ONNX model of a few bytes whose one constant says that it has 750,000,000 floats:
    // field 7, graph; 5, initializer; 1, dims; 2, type; and one operator set.
    Path onnx = folder.resolve("claim.onnx");
    byte[] tensor = {0x08, (byte) 0x80, (byte) 0xaf, (byte) 0xd0, (byte) 0xe5, 0x02, 0x10, 0x01};
    ByteBuffer file = ByteBuffer.allocate(1024);
    file.put((byte) 0x3a).put((byte) (tensor.length + 2));
    file.put((byte) 0x2a).put((byte) tensor.length).put(tensor);
    file.put((byte) 0x42).put((byte) 2).put((byte) 0x10).put((byte) 17);
    Files.write(onnx, Arrays.copyOf(file.array(), file.position()));
    refused(valid, onnx, file.position(), "claim.onnx");
  }
}
