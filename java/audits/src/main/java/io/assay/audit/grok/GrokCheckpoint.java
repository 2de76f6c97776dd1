package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Safetensors;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalLong;

/**
 * A model at one moment of its training, as a safetensors file: the weights by their official
 * names; metadata p, outputClasses, fracTrain, splitSeed, labels, initSeed, epoch.
 *
 * @param model the weights
 * @param task what it learns; null if the file does not say
 * @param initSeed of its first weights; empty if the file does not say
 * @param epoch updates done; empty if the file does not say
 */
public record GrokCheckpoint(
    GrokModel model, GrokTask task, OptionalLong initSeed, OptionalLong epoch) {

  /**
   * Reads a checkpoint, or a file with the weights alone.
   *
   * @throws InputException if the file is not one, or its metadata contradict its weights
   */
  public static GrokCheckpoint read(Path file) {
    Safetensors stored = Safetensors.read(file);
    GrokShape shape = GrokShape.of("the file " + file, stored.tensors());
    Map<String, String> metadata = stored.metadata();
    requireSame(file, metadata, "p", shape.p());
    requireSame(file, metadata, "outputClasses", shape.outputClasses());
    return new GrokCheckpoint(
        new GrokModel(shape, stored.tensors()),
        task(file, metadata, shape.p()),
        whole(file, metadata, "initSeed"),
        whole(file, metadata, "epoch"));
  }

  /**
   * Writes the file; the same checkpoint gives the same bytes.
   *
   * @throws InputException if it cannot be written
   */
  public void write(Path file) {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("p", Integer.toString(model.shape().p()));
    metadata.put("outputClasses", Integer.toString(model.shape().outputClasses()));
    if (task != null) {
      metadata.put("fracTrain", Double.toString(task.fracTrain()));
      metadata.put("splitSeed", Long.toString(task.splitSeed()));
      metadata.put("labels", task.labels().name());
    }
    initSeed.ifPresent(seed -> metadata.put("initSeed", Long.toString(seed)));
    epoch.ifPresent(at -> metadata.put("epoch", Long.toString(at)));
    Safetensors.write(file, model.weights(), metadata);
  }

  private static GrokTask task(Path file, Map<String, String> metadata, int p) {
    OptionalLong seed = whole(file, metadata, "splitSeed");
    String share = metadata.get("fracTrain");
    String labels = metadata.getOrDefault("labels", GrokLabels.addition(p).name());
    if (seed.isEmpty() || share == null) {
      return null;
    }
    try {
      double fracTrain = Double.parseDouble(share);
      return GrokLabels.named(labels, p)
          .map(known -> new GrokTask(p, fracTrain, seed.getAsLong(), known))
          .orElse(null);
    } catch (NumberFormatException e) {
      throw new InputException(
          "the metadata of " + file + " have fracTrain " + share + ", which is no number", e);
    }
  }

  private static OptionalLong whole(Path file, Map<String, String> metadata, String key) {
    String text = metadata.get(key);
    if (text == null) {
      return OptionalLong.empty();
    }
    try {
      return OptionalLong.of(Long.parseLong(text));
    } catch (NumberFormatException e) {
      throw new InputException(
          "the metadata of " + file + " have " + key + " " + text + ", which is no whole number",
          e);
    }
  }

  private static void requireSame(Path file, Map<String, String> metadata, String key, long value) {
    OptionalLong said = whole(file, metadata, key);
    if (said.isPresent() && said.getAsLong() != value) {
      throw new InputException(
          "the metadata of "
              + file
              + " have "
              + key
              + " "
              + said.getAsLong()
              + ", but its weights have "
              + value);
    }
  }
}
