package io.assay.app;

import io.assay.app.organism.Organism;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.ModelStore;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import io.assay.engine.train.TrainListener;
import io.assay.engine.train.Trainer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Where the organisms that come with Assay lie. */
final class Organisms {
  private Organisms() {}

  /**
   * Folder of an organism: in the folder that the property {@link ModelStore#ORGANISMS} names,
   * which the launcher sets, or in {@code onnx-models/organisms} below the working folder. It may
   * not be there.
   */
  static Path folder(String name) {
    return Path.of(System.getProperty(ModelStore.ORGANISMS, "onnx-models/organisms")).resolve(name);
  }

  static boolean isBuilt(Path folder) {
    return Files.exists(folder.resolve("model.safetensors"));
  }

  /**
   * The recipe of an organism.
   *
   * @throws InputException if there is none of this name
   */
  static Organism recipe(String name) {
    List<String> names = Organism.all().stream().map(Organism::name).toList();
    return Organism.all().stream()
        .filter(o -> o.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new InputException(
                    "there is no organism "
                        + name
                        + "; those that can be grown are "
                        + String.join(" and ", names)));
  }

  /**
   * Trains an organism or its control, and writes its folder and card.
   *
   * @param units who keeps the stretches that are done
   * @param checkpoints folder of the checkpoints
   * @return empty if it was cancelled
   */
  static Optional<Organism.Built> build(
      Engine engine,
      Organism organism,
      boolean control,
      long steps,
      Path folder,
      TrainListener listener,
      UnitListener<Trainer.Stretch> units,
      Path checkpoints) {
    Optional<Organism.Built> built =
        organism.build(engine, control, steps, Common.folder(folder), listener, units, checkpoints);
    built.ifPresent(
        b -> new OrganismCard(folder).write(engine, organism, control, steps, b.loss()));
    return built;
  }

  /** The same in one life, without a ledger. */
  static void build(Engine engine, Organism organism, boolean control, Path folder) {
    Path checkpoints = folder.resolve("checkpoints");
    build(
        engine,
        organism,
        control,
        organism.steps(),
        folder,
        TrainListener.NONE,
        UnitListener.none(),
        checkpoints);
    Run.clean(checkpoints);
  }
}
