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

  @Mixin private RunFolder folder;

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
    return folder.of(common);
  }
}
