package io.assay.app;

import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What the commands of the task take that run a model. */
final class IoiOptions {
  @Mixin private ModelArgument model;
  @Mixin private IoiPrompts prompts;

  @Option(
      names = "--bos",
      description =
          "Put the token that begins a text before each prompt; without it the model sees"
              + " none.")
  private boolean bos;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Folder for the run's ledger and its report, an HTML file (default: $ASSAY_HOME, else"
              + " $XDG_DATA_HOME/assay, else ~/.local/share/assay).")
  private Path out;

  String model() {
    return model.toString();
  }

  IoiPrompts prompts() {
    return prompts;
  }

  boolean bos() {
    return bos;
  }

  /** The folder of ledger and report. */
  Path folder(Common common) {
    return common.recordFolder(out);
  }
}
