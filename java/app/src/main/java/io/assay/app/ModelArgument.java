package io.assay.app;

import io.assay.engine.model.Model;
import io.assay.engine.model.ModelStore;
import io.assay.engine.tensor.DType;
import java.nio.file.Path;
import picocli.CommandLine.Parameters;

/** The model that a command is about. */
final class ModelArgument {
  static final String DESCRIPTION =
      "Folder of a GPT-2 model, an .onnx file, or a name that `assay models list` shows.";

  @Parameters(paramLabel = "MODEL", description = DESCRIPTION)
  private String model;

  /** The model in its own float type, to be closed by the caller. */
  Model load() {
    return load(null);
  }

  /** The model in a float type; null for its own. */
  Model load(DType dtype) {
    Path path = path();
    return dtype == null ? Model.load(path) : Model.load(path, dtype);
  }

  /** Where it is. */
  Path path() {
    return ModelStore.ofUser().find(model);
  }

  /** As the user wrote it. */
  @Override
  public String toString() {
    return model;
  }
}
