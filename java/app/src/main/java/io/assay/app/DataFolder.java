package io.assay.app;

import io.assay.engine.model.ModelStore;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where imported models are. */
final class DataFolder {
  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Data folder of this call; models are in its folder models (default: $ASSAY_HOME, else"
              + " $XDG_DATA_HOME/assay, else ~/.local/share/assay).")
  private Path folder;

  ModelStore store() {
    return folder == null ? ModelStore.ofUser() : ModelStore.in(folder);
  }
}
