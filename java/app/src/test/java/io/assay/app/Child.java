package io.assay.app;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The command line in a process of its own, which may be killed. */
final class Child {
  /** A call that has ended or was killed. */
  record Life(int status, String out, String err) {
    /** The line that it said last on standard error. */
    String lastWord() {
      return err.strip().lines().reduce("", (_, line) -> line);
    }
  }

  /**
   * What a command begins with: a build in the background has a shell that ignores Ctrl-C, and so
   * do its children, unless it is said otherwise.
   */
  private static final List<String> HEEDS_CTRL_C = heedsCtrlC();

  private final Process process;
  private final Path out;
  private final Path err;

  private Child(Process process, Path out, Path err) {
    this.process = process;
    this.out = out;
    this.err = err;
  }

  private static List<String> heedsCtrlC() {
    List<String> command = List.of("env", "--default-signal=INT");
    List<String> trial = new ArrayList<>(command);
    trial.add("true");
    try {
      return new ProcessBuilder(trial).start().waitFor() == 0 ? command : List.of();
    } catch (IOException | InterruptedException e) {
      return List.of();
    }
  }

  /**
   * Begins a call.
   *
   * @param folder for its output; the user's data folder is {@code home} in it
   * @param shell what a shell does first, or null
   */
  static Child begin(Path folder, String shell, List<String> arguments) throws IOException {
    List<String> command = new ArrayList<>(HEEDS_CTRL_C);
    if (shell != null) {
      command.addAll(List.of("sh", "-c", shell + "; exec \"$@\"", "sh"));
    }
    command.addAll(
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=" + System.getProperty("assay.native.modules"),
            "--illegal-native-access=deny",
            "--module-path",
            System.getProperty("jdk.module.path"),
            // What the tokenizers need and no module names.
            "--class-path",
            System.getProperty("java.class.path"),
            "-m",
            "io.assay.app/io.assay.app.Main"));
    command.addAll(arguments);
    Path out = folder.resolve("stdout");
    Path err = folder.resolve("stderr");
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
    builder.environment().put("ASSAY_HOME", folder.resolve("home").toString());
    return new Child(builder.start(), out, err);
  }

  boolean isAlive() {
    return process.isAlive();
  }

  /** Sends a signal, such as INT. */
  void signal(String name) throws Exception {
    new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor();
  }

  /** Waits for its end. */
  Life end() throws Exception {
    return end(Long.MAX_VALUE);
  }

  /** The same; it is killed after so many milliseconds. */
  Life end(long limit) throws Exception {
    if (!process.waitFor(limit, TimeUnit.MILLISECONDS)) {
      process.destroyForcibly();
    }
    return new Life(process.waitFor(), Files.readString(out), Files.readString(err));
  }
}
