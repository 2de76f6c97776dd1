package io.assay.app;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Where a run leaves its ledger and its report. */
final class RunFolder {
  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Folder for the run's ledger and its report, an HTML file (default: $ASSAY_HOME, else"
              + " $XDG_DATA_HOME/assay, else ~/.local/share/assay).")
  private Path folder;

  Path of(Common common) {
    return common.recordFolder(folder);
  }
}
