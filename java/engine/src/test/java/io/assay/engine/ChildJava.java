package io.assay.engine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A fresh Java process that runs a test's main method in the engine's module, as tests run. */
public final class ChildJava {
  private ChildJava() {}

  /**
   * The command, to which arguments of the main method may be added.
   *
   * @param options options of the virtual machine, in front
   */
  public static List<String> command(Class<?> main, String... options) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of(options));
    String module = main.getModule().getName();
    command.addAll(
        List.of(
            "--module-path",
            System.getProperty("jdk.module.path"),
            "--patch-module",
            module + "=" + Path.of("target", "test-classes").toAbsolutePath(),
            "--add-reads",
            module + "=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            "--enable-native-access=" + System.getProperty("assay.native.modules"),
            "--illegal-native-access=deny",
            "-m",
            module + "/" + main.getName()));
    return command;
  }
}
