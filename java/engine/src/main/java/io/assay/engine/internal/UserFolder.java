package io.assay.engine.internal;

import java.nio.file.Path;

/** The user's folders by the XDG base directory standard. */
public final class UserFolder {
  private UserFolder() {}

  /**
   * Assay's folder of one kind; it need not exist.
   *
   * @param variable environment variable that names the folder for all programs
   * @param usual where that is below the home folder if the variable is not set
   */
  public static Path of(String variable, String usual) {
    String named = System.getenv(variable);
    // The standard wants a relative path ignored.
    Path base =
        named != null && Path.of(named).isAbsolute()
            ? Path.of(named)
            : Path.of(System.getProperty("user.home")).resolve(usual);
    return base.resolve("assay");
  }
}
