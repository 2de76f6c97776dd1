package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Tokenising reaches for no network: in a fresh Java with empty caches, in which whatever looks up
 * a name or asks for a proxy is told, and, where the system lets us, without any network device.
 */
class OfflineTokenizerTest {
  private static final List<String> NO_NETWORK = List.of("unshare", "--user", "--net");

  @TempDir Path folder;

  /** What a new Java prints that tokenises; {@code flavor} is what the library is asked for. */
  private String run(List<String> prefix, String program, String flavor) throws Exception {
    // A service named by such a file must not lie in a module: all of it runs on the class path.
    Path services = Files.createDirectories(folder.resolve("trap/META-INF/services"));
    Files.writeString(
        services.resolve("java.net.spi.InetAddressResolverProvider"),
        OfflineTokenizer.Trap.class.getName());
    Path cache = Files.createTempDirectory(folder, "cache");
    String classPath =
        String.join(
            File.pathSeparator,
            folder.resolve("trap").toString(),
            Path.of("target", "test-classes").toAbsolutePath().toString(),
            System.getProperty("jdk.module.path"),
            System.getProperty("java.class.path"));
    List<String> command = new ArrayList<>(prefix);
    command.addAll(
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-Duser.home=" + cache,
            "-DDJL_CACHE_DIR=" + cache,
            "-DENGINE_CACHE_DIR=" + cache,
            "-cp",
            classPath,
            OfflineTokenizer.class.getName(),
            program,
            TinyGpt2.folder().toString()));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    Map<String, String> environment = builder.environment();
    environment.remove("RUST_FLAVOR");
    environment.put("HOME", cache.toString());
    if (flavor != null) {
      environment.put("RUST_FLAVOR", flavor);
    }
    Path output = folder.resolve("output");
    Process process = builder.redirectOutput(output.toFile()).start();
    assertTrue(process.waitFor(5, TimeUnit.MINUTES), "no end after five minutes");
    return Files.readString(output);
  }

  private String wanted() throws IOException {
    try (TokenizerFiles tokenizer = TokenizerFiles.find(TinyGpt2.folder()).orElseThrow()) {
      return Arrays.toString(tokenizer.encode("the cat"));
    }
  }

  @Test
  void looksNothingUp() throws Exception {
    String output = run(List.of(), "tokenise", null);
    assertTrue(output.contains(wanted()), output);
    assertFalse(output.contains(OfflineTokenizer.REACHED), output);
  }

  @Test
  void worksWithoutNetwork() throws Exception {
    assumeTrue(canUnshare(), "unshare is missing or not allowed here: only lookups were watched");
    String output = run(NO_NETWORK, "tokenise", null);
    assertTrue(output.contains(wanted()), output);
  }

  private static boolean canUnshare() {
    List<String> command = new ArrayList<>(NO_NETWORK);
    command.add("true");
    try {
      return new ProcessBuilder(command).start().waitFor() == 0;
    } catch (IOException | InterruptedException e) {
      return false;
    }
  }

  @Test
  void trapsCatchADownload() throws Exception {
    String output = run(List.of(), "download", null);
    assertTrue(output.contains(OfflineTokenizer.REACHED + "https://models.invalid"), output);
    assertTrue(output.contains(OfflineTokenizer.REACHED + "models.invalid"), output);
  }

  @Test
  void refusesAFlavourThatWouldBeDownloaded() throws Exception {
    String output = run(List.of(), "tokenise", "cu122");
    assertTrue(output.contains("RUST_FLAVOR is cu122"), output);
    assertFalse(output.contains(OfflineTokenizer.REACHED), output);
  }
}
