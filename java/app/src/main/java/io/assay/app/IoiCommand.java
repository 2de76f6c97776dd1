package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Indirect object identification. */
@Command(
    name = "ioi",
    description = {
      "Studies how a model finds the name that was mentioned once (indirect object"
          + " identification).",
      "As in 'When Mary and John went to the store, John gave a drink to', after Wang, Variengien,"
          + " Conmy, Shlegeris, Steinhardt 2022 (arXiv 2211.00593)."
    },
    subcommands = {IoiDataCommand.class, IoiBaselineCommand.class, IoiCircuitCommand.class})
final class IoiCommand implements Runnable {
  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }
}
