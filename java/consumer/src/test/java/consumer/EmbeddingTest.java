package consumer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import java.io.StringWriter;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.ZipFile;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Assay as a library: what a program sees that has nothing but the installed artifacts. */
class EmbeddingTest {
  private static final String MODEL = System.getProperty("model");

  private static ArcaSpec spec() {
    return ArcaSpec.reverse(MODEL, 12, 7).promptLength(2).restarts(2).sweeps(1).seed(1).build();
  }

  /** What two runs of one specification have in common: everything but the seconds. */
  private record Found(List<Integer> prompt, List<Integer> output, double J, boolean success) {}

  private static List<Found> audit(Engine engine) {
    return ArcaAudit.run(engine, spec(), ArcaListener.NONE).audits().stream()
        .map(a -> new Found(a.promptIds(), a.outputIds(), a.J(), a.success()))
        .toList();
  }

  /** The block of Java in the README, with a model that is here, compiled and run as it stands. */
  @Test
  void theSnippetOfTheReadmeRuns(@TempDir Path classes) throws Exception {
    String readme = Files.readString(Path.of(System.getProperty("readme")));
    int start = readme.indexOf("```java\n") + "```java\n".length();
    String snippet = readme.substring(start, readme.indexOf("```", start));
    assertTrue(snippet.contains("\"model/folder\""), "the README names model/folder");
    String body = snippet.replace("model/folder", MODEL);
    int code = body.indexOf("try (");
    String source =
        body.substring(0, code)
            + "public class Snippet { public static Object run() {\n"
            + body.substring(code).replaceFirst("(?s)\\}\\s*$", "  return result;\n}\n")
            + "}}";
    compile("Snippet", source, classes);
    try (URLClassLoader loader = new URLClassLoader(new URL[] {classes.toUri().toURL()})) {
      Object result = loader.loadClass("Snippet").getMethod("run").invoke(null);
      assertEquals("ArcaResult", result.getClass().getSimpleName());
    }
  }

  private static void compile(String name, String source, Path classes) {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    StringWriter says = new StringWriter();
    JavaFileObject file =
        new SimpleJavaFileObject(
            URI.create("string:///" + name + ".java"), JavaFileObject.Kind.SOURCE) {
          @Override
          public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return source;
          }
        };
    List<String> options =
        List.of("-d", classes.toString(), "-cp", System.getProperty("java.class.path"));
    assertTrue(
        compiler.getTask(says, null, null, options, null, List.of(file)).call(),
        () -> says + "\n" + source);
  }

  /** The engine's jar carries the native library wherever the build could compile it. */
  @Test
  void theKernelsAreThoseOfTheJar() throws Exception {
    boolean carried;
    URL jar = Engine.class.getProtectionDomain().getCodeSource().getLocation();
    try (var files = new ZipFile(Path.of(jar.toURI()).toFile())) {
      carried = files.stream().anyMatch(e -> e.getName().startsWith("native/"));
    }
    try (Engine engine = Engine.open()) {
      assertEquals(carried ? "cpu" : "portable", engine.kernels().implementation());
    }
  }

  @Test
  void twoEnginesServeConcurrentCallers() throws Exception {
    try (Engine one = Engine.open();
        Engine two = Engine.open();
        ExecutorService callers = Executors.newFixedThreadPool(4)) {
      List<Found> alone = audit(one);
      assertEquals(2, alone.size());
      List<Callable<List<Found>>> calls = new ArrayList<>();
      for (Engine engine : List.of(one, two, one, two)) {
        calls.add(() -> audit(engine));
      }
      for (Future<List<Found>> done : callers.invokeAll(calls)) {
        assertEquals(alone, done.get());
      }
      two.close();
      two.close();
      assertEquals(alone, audit(one), "an engine outlives the other");
    }
  }

  /** Neither mappings of the model, nor threads, nor memory stay behind closed engines. */
  @Test
  void nothingIsLeaked() throws Exception {
    assumeTrue(Files.exists(Path.of("/proc/self/maps")), "needs /proc to see what is mapped");
    long threads = 0;
    long memory = 0;
    for (int i = 0; i < 40; i++) {
      try (Engine engine = Engine.open()) {
        audit(engine);
      }
      if (i == 19) {
        threads = threads();
        memory = anonymousBytes();
      }
    }
    for (int i = 0; i < 100 && modelIsMapped(); i++) {
      System.gc(); // mapped files go with the objects that refer to them
      Thread.sleep(50);
    }
    assertFalse(modelIsMapped(), "no mapping of the model stays");
    assertTrue(threads() - threads < 10, "threads: " + threads + " became " + threads());
    // The heap is resident from the start (see the pom). Twenty engines that each kept one session
    // of the model would keep far more.
    long grown = anonymousBytes() - memory;
    System.out.println("outside the heap, twenty engines later: " + grown + " bytes more");
    assertTrue(grown < 8 << 20, grown + " bytes outside the heap stay behind 20 engines");
  }

  private static boolean modelIsMapped() throws Exception {
    return Files.readString(Path.of("/proc/self/maps")).contains("model.safetensors");
  }

  private static long threads() throws Exception {
    try (var all = Files.list(Path.of("/proc/self/task"))) {
      return all.count();
    }
  }

  /** Resident memory that is no file's. */
  private static long anonymousBytes() throws Exception {
    System.gc();
    return Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("RssAnon:"))
        .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
        .sum();
  }
}
