package io.assay.engine;

import java.nio.file.Path;

/**
 * The user's data folder, where Assay keeps what must not be lost: {@code $ASSAY_HOME}, else {@code
 * $XDG_DATA_HOME/assay}, else {@code ~/.local/share/assay}.
 */
public final class UserData {
  private UserData() {}

  /** The folder, absolute; it need not exist. */
  public static Path folder() {
    String home = System.getenv("ASSAY_HOME");
    if (home != null && !home.isEmpty()) {
      return Path.of(home).toAbsolutePath();
    }
    // The standard wants a relative path ignored.
    String data = System.getenv("XDG_DATA_HOME");
    Path base =
        data != null && Path.of(data).isAbsolute()
            ? Path.of(data)
            : Path.of(System.getProperty("user.home"), ".local", "share");
    return base.resolve("assay");
  }
}
