package io.assay.app;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Looks at models and runs them. */
@Command(
    name = "models",
    description = "Names models, looks into them and runs them on your own tensors.",
    subcommands = {
      ModelsList.class,
      ModelsImport.class,
      ModelsRemove.class,
      ModelsInfo.class,
      ModelsHooks.class,
      ModelsRun.class
    })
final class ModelsCommand implements Runnable {
  @Mixin private Help help;
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    Common.needsVerb(spec);
  }
}
