package io.assay.app;

import java.nio.file.Files;
import java.nio.file.Path;

/** Where the organisms that come with Assay lie. */
final class Organisms {
  private Organisms() {}

  /**
   * Folder of an organism: in the folder that the property {@code assay.organisms} names, which the
   * launcher sets, or in {@code onnx-models/organisms} below the working folder. It may not be
   * there.
   */
  static Path folder(String name) {
    return Path.of(System.getProperty("assay.organisms", "onnx-models/organisms")).resolve(name);
  }

  static boolean isBuilt(Path folder) {
    return Files.exists(folder.resolve("model.safetensors"));
  }
}
