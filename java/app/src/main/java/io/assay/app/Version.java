package io.assay.app;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine.IVersionProvider;

/** The version of this build. */
final class Version implements IVersionProvider {
  /** The project's version, as the build wrote it. */
  static String text() {
    return line(0);
  }

  /** The commit that was built, with {@code -dirty} where files had changed since, or null. */
  static String commit() {
    String commit = line(1);
    return commit.startsWith("$") ? null : commit;
  }

  private static String line(int index) {
    try (InputStream in = Version.class.getResourceAsStream("version.txt")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8).split("\n")[index].strip();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What {@code --version} prints. */
  static String line() {
    return "assay " + text();
  }

  @Override
  public String[] getVersion() {
    return new String[] {line()};
  }
}
