package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Searches prompts that make a model say something. */
@Command(
    name = "arca",
    description = {
      "Searches prompts that make a language model say something.",
      "By coordinate ascent over tokens (Jones, Dragan, Raghunathan, Steinhardt 2023)."
    },
    subcommands = {ArcaReverse.class, ArcaJoint.class, ArcaVerify.class})
final class ArcaCommand implements Runnable {
  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }
}
