package io.assay.engine.train;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The state of a run as a safetensors file: tensors {@code weights.NAME}, {@code first.NAME} and
 * {@code second.NAME} (AdamW's moments); metadata {@code step} and {@code spec}.
 */
final class Checkpoint {
  private static final String FORMAT = "assay-train-1";

  private Checkpoint() {}

  private static Map<String, Tensor> tensors(Parameters p) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    p.weights().forEach((name, t) -> tensors.put("weights." + name, t));
    p.firstMoments().forEach((name, t) -> tensors.put("first." + name, t));
    p.secondMoments().forEach((name, t) -> tensors.put("second." + name, t));
    return tensors;
  }

  static void write(Path file, Parameters parameters, TrainSpec spec, long step) {
    Path target = file.toAbsolutePath();
    // In one order: the same state is the same bytes.
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", FORMAT);
    metadata.put("step", Long.toString(step));
    metadata.put("spec", spec.toString());
    Path fresh = target.resolveSibling(target.getFileName() + ".tmp");
    Safetensors.write(fresh, tensors(parameters), metadata);
    try {
      try (FileChannel channel = FileChannel.open(fresh, StandardOpenOption.WRITE)) {
        channel.force(true);
      }
      Files.move(
          fresh, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw new InputException(
          "the checkpoint " + file + " cannot be written: " + e.getMessage(), e);
    }
  }

  /** Fills the parameters and returns the step. */
  static long read(Path file, Parameters parameters, TrainSpec spec) {
    Safetensors stored = Safetensors.read(file);
    Map<String, String> metadata = stored.metadata();
    if (!FORMAT.equals(metadata.get("format"))) {
      throw new InputException(file + " is not a checkpoint of training; give one that it wrote");
    }
    if (!spec.toString().equals(metadata.get("spec"))) {
      throw new InputException(
          "the checkpoint "
              + file
              + " is of another run, "
              + metadata.get("spec")
              + ", not "
              + spec
              + "; resume with the same settings");
    }
    Map<String, Tensor> tensors = tensors(parameters);
    if (!stored.tensors().keySet().equals(tensors.keySet())) {
      throw new InputException(
          "the checkpoint "
              + file
              + " holds other weights than the model; resume the run that"
              + " wrote it");
    }
    tensors.forEach(
        (name, to) -> {
          Tensor from = stored.tensors().get(name);
          if (from.dtype() != to.dtype() || !Arrays.equals(from.shape(), to.shape())) {
            throw new InputException(
                "the checkpoint "
                    + file
                    + " holds "
                    + name
                    + " as "
                    + from
                    + ", the model as "
                    + to
                    + "; resume the run that wrote it");
          }
        });
    long step = step(file, metadata.get("step"), spec);
    tensors.forEach((name, to) -> to.data().copyFrom(stored.tensors().get(name).data()));
    return step;
  }

  private static long step(Path file, String text, TrainSpec spec) {
    try {
      long step = Long.parseLong(text);
      if (step >= 0 && step <= spec.steps()) {
        return step;
      }
    } catch (NumberFormatException e) {
      // The sentence below says it.
    }
    throw new InputException(
        "the checkpoint " + file + " has the step " + text + ", not one from 0 to " + spec.steps());
  }
}
