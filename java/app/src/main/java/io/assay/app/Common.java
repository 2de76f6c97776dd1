package io.assay.app;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import io.assay.engine.UserData;
import io.assay.engine.session.Device;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The options of every command that runs something, and what follows from them. */
final class Common {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec command;

  @Option(
      names = "--device",
      paramLabel = "cpu|cuda[:n]",
      defaultValue = "cpu",
      description = "Where graphs run (default: cpu); assay doctor says whether cuda can.")
  private String device;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads to use (default: the processor's cores).")
  private Integer threads;

  @Option(names = "--json", description = "Print one JSON object and nothing else.")
  private boolean json;

  @Option(names = "--quiet", description = "Print results only.")
  private boolean quiet;

  @Option(
      names = "--resume",
      paramLabel = "RUN",
      description = "Go on with this run, which was begun with the same settings.")
  private String resume;

  /** The engine that the options ask for. */
  Engine engine() {
    return Engine.open(engineOptions());
  }

  EngineOptions engineOptions() {
    EngineOptions options = EngineOptions.defaults().withDevice(Device.parse(device));
    return threads == null ? options : options.withThreads(threads);
  }

  boolean json() {
    return json || resuming() != null && resuming().json();
  }

  boolean quiet() {
    return quiet || resuming() != null && resuming().quiet();
  }

  /** How this command was called by {@code runs resume}, or null. */
  private Main.Resuming resuming() {
    return ((Main) command.root().userObject()).resuming();
  }

  /** Name of the run to go on with, or null to begin one. */
  String resume() {
    return resuming() == null ? resume : resuming().run();
  }

  /** What the command line was given, but for how it talks and what it goes on with. */
  List<String> arguments() {
    CommandLine root = command.root().commandLine();
    return Recording.withoutTalk(root.getParseResult().originalArgs());
  }

  /** The folder of ledger and reports: the one that the call names, else the user's. */
  Path recordFolder(Path named) {
    if (resuming() != null) {
      return resuming().folder();
    }
    return named == null ? userFolder() : named;
  }

  static Path userFolder() {
    return UserData.folder();
  }

  /** Where results go. */
  PrintWriter out() {
    return command.commandLine().getOut();
  }

  /** Where diagnostics go. */
  PrintWriter err() {
    return command.commandLine().getErr();
  }

  /** Says something on the way; not with {@code --quiet} or {@code --json}. */
  void say(String line) {
    if (!quiet() && !json()) {
      out().println(line);
    }
  }

  /** Says something that may matter, on standard error. */
  void warn(String line) {
    if (!quiet()) {
      err().println("assay: " + line);
    }
  }

  /**
   * Whether a progress bar would be seen: standard error is a terminal, which the launcher knows,
   * and nobody asked for silence.
   */
  boolean showsProgress() {
    return !quiet() && Boolean.getBoolean("assay.terminal");
  }

  /**
   * Refuses options that were given although another choice makes them idle.
   *
   * @param chosen that choice, such as {@code --method ap}
   * @param remedy what to do in place of leaving the option out
   * @throws InputException naming the first of them
   */
  void refuseIdle(String chosen, String remedy, String... options) {
    for (String option : options) {
      if (command.commandLine().getParseResult().hasMatchedOption(option)) {
        throw new InputException(
            "%s has no effect with %s; leave it out, or %s".formatted(option, chosen, remedy));
      }
    }
  }

  /** The folder of this name, made if it is not there. */
  static Path folder(Path path) {
    try {
      return Files.createDirectories(path);
    } catch (IOException e) {
      throw new InputException("the folder " + path + " cannot be made; choose another --out", e);
    }
  }

  /** A command that is only a group says so when it is called without a verb. */
  static int needsVerb(CommandSpec spec) {
    throw new CommandLine.ParameterException(
        spec.commandLine(), "a verb is missing: " + String.join(", ", spec.subcommands().keySet()));
  }
}
