package io.assay.app;

import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Where a run leaves its report. */
final class OutFolder {
  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Folder for a report of the run, an HTML file (default: no report).")
  private Path folder;

  Optional<Path> folder() {
    return Optional.ofNullable(folder);
  }
}
