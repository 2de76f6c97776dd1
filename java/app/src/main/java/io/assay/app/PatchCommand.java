package io.assay.app;

import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Spec;

/** Activation patching. */
@Command(
    name = "patch",
    description =
        "Patches activations: which heads, positions and paths carry what a model answers.",
    synopsisSubcommandLabel = "VERB",
    subcommands = {PatchSweep.class, PatchPath.class, PatchAttribute.class})
final class PatchCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Spec private CommandLine.Model.CommandSpec spec;

  @Override
  public Integer call() {
    return Common.needsVerb(spec);
  }
}
