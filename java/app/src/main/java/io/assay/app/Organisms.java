package io.assay.app;

import io.assay.app.organism.PlantedLm;
import io.assay.engine.Engine;
import io.assay.engine.model.ModelStore;
import io.assay.engine.train.TrainListener;
import java.nio.file.Files;
import java.nio.file.Path;

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

  /** Trains planted-lm or its control, writes its folder and card, and gives its held-out loss. */
  static double build(Engine engine, boolean control, Path folder, TrainListener listener) {
    PlantedLm recipe = new PlantedLm();
    double loss = recipe.build(engine, control, Common.folder(folder), listener);
    new OrganismCard(folder).write(engine, recipe, control, loss);
    return loss;
  }
}
