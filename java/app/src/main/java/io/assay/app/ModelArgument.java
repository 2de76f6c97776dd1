package io.assay.app;

import io.assay.engine.model.Model;
import io.assay.engine.model.ModelStore;
import io.assay.engine.tensor.DType;
import picocli.CommandLine.Parameters;

/** The model that a command is about. */
final class ModelArgument {
  static final String DESCRIPTION =
      "Folder of a GPT-2 model, an .onnx file, or a name that `assay models list` shows.";

  @Parameters(paramLabel = "MODEL", description = DESCRIPTION)
  private String model;

  /** The model, to be closed by the caller. */
  Model load() {
    return load(DType.F32);
  }

  Model load(DType dtype) {
    return Model.load(ModelStore.ofUser().find(model), dtype);
  }

  /** As the user wrote it. */
  @Override
  public String toString() {
    return model;
  }
}
