package io.assay.app;

import java.io.PrintWriter;
import java.io.Writer;
import java.util.List;

/**
 * What the launcher runs once after a build, with Java's option that writes down which classes were
 * loaded and linked: later runs find them ready. It prints nothing.
 */
final class FirstRun {
  private static final List<String> COMMANDS =
      List.of(
          "--version",
          "--help",
          "models list",
          "models info planted-lm",
          "models hooks planted-lm --json",
          "arca reverse --help",
          "doctor");

  private FirstRun() {}

  public static void main(String[] args) {
    PrintWriter nowhere = new PrintWriter(Writer.nullWriter());
    for (String command : COMMANDS) {
      Main.run(command.split(" "), nowhere, nowhere);
    }
  }
}
