package io.assay.app;

import io.assay.app.organism.Organism;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import io.assay.engine.train.Trainer;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Trains an organism and writes its folder. */
@Command(
    name = "build",
    sortOptions = false,
    description = {
      "Trains an organism, or its control, and writes it as a folder.",
      "The control reads the same text without what is planted. The same build gives the same bits"
          + " on one instruction set, whatever the number of threads. The run and its checkpoints"
          + " are in the user's data folder, where `assay runs resume` finds them."
    },
    footer = {
      "",
      "  assay organism build planted-lm --out planted-lm",
      "  assay organism build planted-lm --control --out planted-lm-control",
      "  assay organism build ioi-lm --out ioi-lm"
    })
final class OrganismBuild implements Callable<Integer> {
  private static final String METHOD = "organism.build";

  @Mixin private Help help;

  @Parameters(paramLabel = "NAME", description = "The organism: planted-lm or ioi-lm.")
  private String name;

  @Option(names = "--control", description = "Build the control instead.")
  private boolean control;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      required = true,
      description = "Folder to write, over what is there.")
  private Path folder;

  @Option(
      names = "--steps",
      paramLabel = "N",
      description =
          "Updates (default: those of the recipe); with fewer it learns less of what it is for.")
  private Long steps;

  @Mixin private Common common;

  @Override
  public Integer call() {
    Organism organism = Organisms.recipe(name);
    if (steps != null && steps < 1) {
      throw new InputException("--steps is " + steps + "; it must be at least 1");
    }
    long updates = steps == null ? organism.steps() : steps;
    return Recording.of(
        common, common.recordFolder(null), METHOD, run -> build(organism, updates, run));
  }

  private int build(Organism organism, long updates, Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    try (Engine engine = common.engine()) {
      envelope.device(engine);
      envelope
          .spec()
          .put("organism", name)
          .put("control", control)
          .put("seed", organism.seed())
          .put("steps", updates);
      envelope.describe(Math.ceilDiv(updates, organism.stretch(updates)));
      UnitListener<Trainer.Stretch> units = run.units(Trainer.Stretch.class, Trainer.Stretch::name);
      Optional<Organism.Built> end;
      try (TrainProgress progress = new TrainProgress(common)) {
        end =
            Organisms.build(
                engine, organism, control, updates, folder, progress, units, run.folder());
      }
      if (end.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      Organism.Built built = end.get();
      envelope.model(engine.model(folder.toString()));
      envelope.metrics().put("heldOutLoss", built.loss());
      envelope.metrics().put("lastLoss", built.stretches().getLast().loss());
      built
          .stretches()
          .forEach(
              s ->
                  envelope
                      .result()
                      .withArray("stretches")
                      .addObject()
                      .put("step", s.step())
                      .put("loss", s.loss())
                      .put("sha256", s.sha256()));
      Path report =
          TrainReport.write(
              common.recordFolder(null),
              envelope,
              organism.name(control),
              organism.training(updates),
              built.stretches(),
              built.loss());
      String text = envelope.text(report);
      run.complete(text);
      if (common.json()) {
        common.out().println(text);
      } else {
        common
            .out()
            .printf(
                Locale.ROOT,
                "%s: held-out loss %.4f nats, %.0f s%nreport: %s%n",
                folder,
                built.loss(),
                envelope.seconds(),
                report);
      }
      return 0;
    }
  }
}
