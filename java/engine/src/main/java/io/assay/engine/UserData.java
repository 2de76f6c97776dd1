package io.assay.engine;

import io.assay.engine.internal.UserFolder;
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
    return UserFolder.of("XDG_DATA_HOME", ".local/share");
  }
}
