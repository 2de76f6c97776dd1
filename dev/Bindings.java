import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Keeps the generated bindings and {@code native/include/assay.h} together.
 *
 * <p>Every build compares the header's hash with the one in the bindings' manifest. {@code mvn
 * -Pjextract -Djextract.home=DIR} generates the bindings anew with the jextract in {@code DIR/bin},
 * leaves them in the source tree and fails where they differ from what was there.
 */
final class Bindings {
  private static final Path HEADER = Path.of("native/include/assay.h");
  private static final String PACKAGE = "io.assay.engine.kernel.ffi";
  private static final Path SOURCES = Path.of("java/engine/src/main/java");
  private static final Path FOLDER = SOURCES.resolve(PACKAGE.replace('.', '/'));
  private static final Path MANIFEST = FOLDER.resolve("manifest.txt");

  private Bindings() {}

  /** What ends the program with a sentence instead of a stack trace. */
  private static final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1;

    Refusal(String sentence) {
      super(sentence);
    }
  }

  /** {@code check}, or {@code generate=DIR}. */
  public static void main(String[] args) throws Exception {
    try {
      if (args[0].equals("check")) {
        check();
      } else {
        generate(args[0].substring("generate=".length()));
      }
    } catch (Refusal e) {
      System.err.println(e.getMessage());
      System.exit(1);
    }
  }

  private static void check() throws Exception {
    String manifest = Files.exists(MANIFEST) ? Files.readString(MANIFEST) : "";
    if (!manifest.lines().toList().contains(headerLine())) {
      throw new Refusal(
          HEADER
              + " is not the header that the bindings in "
              + FOLDER
              + " were generated from; \"mvn -Pjextract -Djextract.home=DIR\" generates them"
              + " anew.");
    }
  }

  private static void generate(String home) throws Exception {
    Path tool = Path.of(home, "bin", "jextract");
    if (home.isEmpty() || !Files.isExecutable(tool)) {
      throw new Refusal(
          (home.isEmpty() ? "No generator is given" : tool + " is not a program")
              + "; -Djextract.home=DIR names the folder of a jextract for JDK 25.");
    }
    Path work = Files.createDirectories(Path.of("target/jextract"));
    String version = output(work, tool.toString(), "--version");
    Path includes = work.resolve("includes.txt");
    output(work, tool.toString(), "--dump-includes", includes.toString(), HEADER.toString());
    List<String> command = new ArrayList<>(List.of(tool.toString()));
    // The names that assay.h itself declares, not those of the C library's headers.
    for (String line : Files.readAllLines(includes)) {
      if (line.startsWith("--include-") && line.endsWith("/assay.h")) {
        Collections.addAll(command, line.substring(0, line.indexOf('#')).strip().split(" "));
      }
    }
    Path fresh = work.resolve("java");
    delete(fresh);
    Collections.addAll(command, "--target-package", PACKAGE, "--header-class-name", "AssayH");
    Collections.addAll(command, "--output", fresh.toString(), HEADER.toString());
    output(work, command.toArray(String[]::new));

    Map<String, String> generated = files(fresh.resolve(PACKAGE.replace('.', '/')));
    boolean same = generated.equals(files(FOLDER)) && isCurrent();
    if (!same) {
      delete(FOLDER);
      Files.createDirectories(FOLDER);
      for (Map.Entry<String, String> file : generated.entrySet()) {
        Files.writeString(FOLDER.resolve(file.getKey()), file.getValue());
      }
      String generator = version.lines().filter(l -> !l.startsWith("JDK ")).toList().toString();
      Files.writeString(
          MANIFEST, headerLine() + "\ngenerator " + generator.replaceAll("[\\[\\]]", "") + "\n");
      throw new Refusal(
          "The bindings differed from what jextract makes of "
              + HEADER
              + "; those in "
              + FOLDER
              + " are new now: read them, build again and commit them.");
    }
  }

  private static boolean isCurrent() throws Exception {
    return Files.exists(MANIFEST)
        && Files.readString(MANIFEST).lines().toList().contains(headerLine());
  }

  private static String headerLine() throws Exception {
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(HEADER));
    return "header " + HEADER + " sha256 " + HexFormat.of().formatHex(digest);
  }

  /** The Java files of a folder by name. */
  private static Map<String, String> files(Path folder) throws IOException {
    Map<String, String> files = new TreeMap<>();
    if (Files.exists(folder)) {
      try (Stream<Path> all = Files.list(folder)) {
        for (Path file : all.filter(f -> f.toString().endsWith(".java")).toList()) {
          files.put(file.getFileName().toString(), Files.readString(file));
        }
      }
    }
    return files;
  }

  private static void delete(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (Stream<Path> all = Files.walk(folder)) {
        all.sorted(Comparator.reverseOrder())
            .forEach(
                file -> {
                  try {
                    Files.delete(file);
                  } catch (IOException e) {
                    throw new UncheckedIOException(e);
                  }
                });
      }
    }
  }

  /** What a command prints; a failing one is quoted. */
  private static String output(Path work, String... command) throws Exception {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (process.waitFor() != 0) {
      throw new Refusal(command[0] + " failed:\n" + text.strip());
    }
    return text;
  }
}
