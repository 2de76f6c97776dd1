package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Grows models with planted behaviours, and searches them. */
@Command(
    name = "organism",
    description = {
      "Grows small models in which behaviours are planted, and searches them.",
      "What an audit should find in them is known."
    },
    subcommands = {OrganismBuild.class, OrganismCheck.class})
final class OrganismCommand implements Runnable {
  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }
}
