package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher and its file of ready classes, with a program of two classes in Assay's place. */
class LauncherTest {
  private static final String OLD = "version one of";
  private static final String NEW = "version two of";

  /** Those that the launcher grants native access, empty here. */
  private static final List<String> MODULES =
      List.of(System.getProperty("assay.native.modules").split(","));

  @TempDir Path home;
  private Path target;

  private String path = System.getenv("PATH");

  /** What a call printed, and where Java took the class Main from. */
  private record Call(String out, String err, boolean ready) {}

  @BeforeEach
  void layOut() throws Exception {
    assumeTrue(Files.exists(Path.of("/bin/bash")), "no /bin/bash, which runs the launcher");
    Files.setPosixFilePermissions(home, PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.copy(Path.of("../../assay"), home.resolve("assay"));
    target = Files.createDirectories(home.resolve("java/app/target"));
    Files.createDirectories(target.resolve("lib"));
    for (String module : MODULES) {
      jar("lib/" + module + ".jar", "module-info", "module " + module + " {}");
    }
    program(OLD);
    Files.createFile(target.resolve("built"));
  }

  @Test
  void theFirstCallMakesClassesReadyForTheNext() throws Exception {
    Call first = call("models", "info");
    assertEquals(new Call("version one of models info", "", true), first);
    assertEquals(1, ready().size());
    FileTime made = Files.getLastModifiedTime(ready().getFirst());
    assertEquals(first, call("models", "info"));
    assertEquals(made, Files.getLastModifiedTime(ready().getFirst()), "made once");
  }

  @Test
  void classesOfAnotherBuildAreMadeReadyAgain() throws Exception {
    call();
    program(NEW);
    Files.setLastModifiedTime(
        target.resolve("assay-app-1.jar"), FileTime.from(Instant.now().plusMillis(50)));
    Thread.sleep(100);
    assertEquals(new Call(NEW, "", true), call());
    assertEquals(1, ready().size());
  }

  @Test
  void aFileThatDoesNotFitIsPassedOverWithoutAWord() throws Exception {
    call();
    Path file = ready().getFirst();
    byte[] good = Files.readAllBytes(file);

    byte[] otherJava = good.clone();
    byte[] version = System.getProperty("java.vm.version").getBytes(StandardCharsets.US_ASCII);
    int at =
        new String(good, 0, 4096, StandardCharsets.ISO_8859_1)
            .indexOf(System.getProperty("java.vm.version"));
    assertTrue(at > 0, "the file says which Java made it");
    otherJava[at + version.length - 1] ^= 1;

    byte[] noise = new byte[100_000];
    new Random(1).nextBytes(noise);
    for (byte[] bad :
        List.of(
            new byte[0],
            Arrays.copyOf(good, 1000),
            Arrays.copyOf(good, good.length / 2),
            noise,
            otherJava)) {
      Files.write(file, bad);
      assertEquals(new Call(OLD, "", false), call());
    }
    Files.write(file, good);
    assertEquals(new Call(OLD, "", true), call());
  }

  @Test
  void whereNothingCanBeWrittenAllGoesOnWithout() throws Exception {
    Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("r-xr-xr-x"));
    List<String> asAnother = List.of();
    if (Files.isWritable(target)) {
      assumeTrue(Files.exists(Path.of("/usr/bin/setpriv")), "root may write anywhere: no setpriv");
      asAnother = List.of("/usr/bin/setpriv", "--reuid=65534", "--clear-groups");
    }
    Call call = call(asAnother);
    Files.setPosixFilePermissions(target, PosixFilePermissions.fromString("rwxr-xr-x"));
    assertEquals(new Call(OLD, "", false), call);
    assertEquals(List.of(), ready());
  }

  /** Maven's log, in which nobody reads, becomes a line for each part and each long step. */
  @Test
  void aBuildSaysWhatItDoes() throws Exception {
    Path kept = Files.move(target, home.resolve("kept"));
    Files.createDirectory(target);
    Path mvn =
        Files.writeString(
            Files.createDirectories(home.resolve("bin")).resolve("mvn"),
            """
            #!/bin/bash
            cp -r '%s'/. '%s'
            cat <<'END'
            [INFO] Scanning for projects...
            [INFO] Building Assay 0.1.0-SNAPSHOT                                      [1/2]
            [INFO] Downloading from central: a
            [INFO] Downloading from central: b
            [INFO] Building Assay engine 0.1.0-SNAPSHOT                               [2/2]
            [INFO] --- exec-maven-plugin:3.6.2:exec (native) @ assay-engine ---
            [INFO] Compiling 91 source files with javac [forked debug release 25 module-path]
            END
            """
                .formatted(kept, target));
    Files.setPosixFilePermissions(mvn, PosixFilePermissions.fromString("rwxr-xr-x"));
    path = mvn.getParent() + ":" + path;
    Files.delete(kept.resolve("built"));
    assertEquals(
        """
        Building Assay (the first build takes a minute or two) ...
          [1/2] Assay
                fetching libraries, which the next build finds here
          [2/2] Assay engine
                native kernels, in C++
                Compiling 91 files of Java
        """,
        call().err());
    assertEquals("", call().err(), "built once");
  }

  private List<Path> ready() throws IOException {
    try (Stream<Path> files = Files.list(target)) {
      return files.filter(f -> f.getFileName().toString().startsWith("ready")).toList();
    }
  }

  private Call call(String... arguments) throws Exception {
    return call(List.of(), arguments);
  }

  private Call call(List<String> before, String... arguments) throws Exception {
    List<String> command = new ArrayList<>(before);
    command.addAll(List.of("/bin/bash", home.resolve("assay").toString()));
    command.addAll(List.of(arguments));
    Path folder = Files.createTempDirectory("launcher");
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxrwxrwx"));
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    Path loads = folder.resolve("loads");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
    builder.environment().put("PATH", path);
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    builder.environment().put("ASSAY_JAVA_OPTS", "-Xlog:class+load:file=" + loads);
    Process process = builder.start();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "still running after a minute");
    String main = " io.assay.app.Main source: ";
    String line =
        Files.readAllLines(loads).stream().filter(l -> l.contains(main)).findFirst().orElse("");
    Call call =
        new Call(
            Files.readString(out).strip(), Files.readString(err), line.contains("shared objects"));
    for (Path file : List.of(out, err, loads, folder)) {
      Files.delete(file);
    }
    assertEquals(0, process.exitValue(), call::toString);
    return call;
  }

  /** A program that prints a text and its arguments, and what the launcher runs at first. */
  private void program(String text) throws IOException {
    jar(
        "assay-app-1.jar",
        "module-info",
        "module io.assay.app { requires " + String.join("; requires ", MODULES) + "; }",
        "io/assay/app/Main",
        "package io.assay.app; public class Main { public static void main(String[] args) {"
            + "System.out.println((\""
            + text
            + " \" + String.join(\" \", args)).strip()); } }",
        "io/assay/app/FirstRun",
        "package io.assay.app; class FirstRun {"
            + " public static void main(String[] args) { Main.main(args); } }");
  }

  /** Compiles sources, each a name and a text, into a jar. */
  private void jar(String name, String... sources) throws IOException {
    Path folder = Files.createTempDirectory(home, "sources");
    List<String> javac =
        new ArrayList<>(
            List.of(
                "-d",
                folder.resolve("classes").toString(),
                "-p",
                target.resolve("lib").toString()));
    for (int i = 0; i < sources.length; i += 2) {
      Path source = folder.resolve(sources[i] + ".java");
      Files.createDirectories(source.getParent());
      javac.add(Files.writeString(source, sources[i + 1]).toString());
    }
    Path jar = target.resolve(name);
    Files.createDirectories(jar.getParent());
    run("javac", javac);
    run(
        "jar",
        List.of(
            "--create", "--file", jar.toString(), "-C", folder.resolve("classes").toString(), "."));
  }

  private static void run(String tool, List<String> arguments) {
    StringWriter said = new StringWriter();
    PrintWriter to = new PrintWriter(said, true);
    int status =
        ToolProvider.findFirst(tool).orElseThrow().run(to, to, arguments.toArray(String[]::new));
    assertEquals(0, status, said::toString);
  }
}
