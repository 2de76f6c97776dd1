package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Networks that learn to add mod p. */
@Command(
    name = "grok",
    description = {
      "Studies how a small network learns to add mod p, long after it has learned its examples.",
      "After Nanda, Chan, Lieberum, Smith, Steinhardt 2023 (arXiv 2301.05217)."
    },
    subcommands = {GrokTrainCommand.class, GrokAnalyzeCommand.class})
final class GrokCommand implements Runnable {
  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }
}
