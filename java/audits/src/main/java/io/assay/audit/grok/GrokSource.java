package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A network to analyse, at one or many moments of its training.
 *
 * @param files of the checkpoints, by epoch; a file that says none stands at 0
 * @param split which pairs it was trained on, as the files say; null if they do not
 * @param epochs of the files
 */
public record GrokSource(List<Path> files, GrokTask split, List<Long> epochs) {
  /** A tensor of logits for all pairs, in place of weights. */
  private static final String LOGITS = "logits";

  private static final String TENSORS = ".safetensors";

  private static final String GRAPH = ".onnx";

  /**
   * What a network is at one moment.
   *
   * @param network null where there are only logits
   * @param logits null where there is a network
   */
  record Snapshot(Network network, Logits logits) {
    int p() {
      return network == null ? logits.p() : network.p();
    }
  }

  /**
   * Opens a folder of checkpoints, a single one, a PyTorch file of the published runs, a
   * safetensors file that holds {@code logits} [p p, p or p + 1] of all pairs, or an ONNX graph
   * that computes them ({@link GraphLogits}).
   *
   * @throws InputException if there is none, or files disagree on what was trained
   */
  public static GrokSource open(Path path) {
    List<Path> files = new ArrayList<>();
    if (!Files.exists(path)) {
      throw new InputException("there is neither a file nor a folder " + path);
    }
    if (Files.isDirectory(path)) {
      try (Stream<Path> all = Files.list(path)) {
        all.filter(f -> f.toString().endsWith(TENSORS)).forEach(files::add);
      } catch (IOException e) {
        throw new InputException("the folder " + path + " cannot be read", e);
      }
      if (files.isEmpty()) {
        throw new InputException(
            "the folder " + path + " holds no " + TENSORS + " file; name one of checkpoints");
      }
    } else {
      files.add(path);
    }
    Map<Path, Head> heads = new LinkedHashMap<>();
    for (Path file : files) {
      heads.put(file, head(file));
    }
    files.sort(
        Comparator.comparingLong((Path f) -> heads.get(f).epoch()).thenComparing(Path::toString));
    GrokTask split = heads.get(files.getLast()).split();
    for (Path file : files) {
      Head head = heads.get(file);
      boolean same = split == null ? head.split() == null : isSame(split, head.split());
      if (!same) {
        throw new InputException(
            file + " was trained on other pairs than " + files.getLast() + "; analyse one run");
      }
    }
    return new GrokSource(
        List.copyOf(files), split, files.stream().map(f -> heads.get(f).epoch()).toList());
  }

  private static boolean isSame(GrokTask a, GrokTask b) {
    return b != null
        && a.p() == b.p()
        && a.fracTrain() == b.fracTrain()
        && a.splitSeed() == b.splitSeed();
  }

  private record Head(long epoch, GrokTask split) {}

  private static Head head(Path file) {
    if (isGraph(file)) {
      return new Head(0, null);
    }
    if (file.toString().endsWith(TENSORS)) {
      Safetensors stored = Safetensors.read(file);
      if (stored.tensors().containsKey(LOGITS)) {
        return new Head(0, null);
      }
      if (stored.metadata().containsKey("splitSeed")) {
        GrokCheckpoint checkpoint = GrokCheckpoint.read(file);
        return new Head(checkpoint.epoch().orElse(0), checkpoint.task());
      }
      String epoch = stored.metadata().getOrDefault("epoch", "0");
      try {
        return new Head(Long.parseLong(epoch), null);
      } catch (NumberFormatException e) {
        throw new InputException("the metadata of " + file + " have the epoch " + epoch, e);
      }
    }
    Map<?, ?> run = run(file);
    Head head = new Head(run.get("epoch") instanceof Long epoch ? epoch : 0, null);
    if (run.get("config") instanceof Map<?, ?> config
        && config.get("p") instanceof Long p
        && config.get("seed") instanceof Long seed
        && config.get("frac_train") instanceof Double share) {
      return new Head(head.epoch(), GrokTask.addition(Math.toIntExact(p), share, seed));
    }
    return head;
  }

  private static Map<?, ?> run(Path file) {
    if (PthFile.read(file) instanceof Map<?, ?> run) {
      return run;
    }
    throw new InputException("the file " + file + " holds no dictionary; name one with weights");
  }

  /**
   * The modulus of the last checkpoint.
   *
   * @throws InputException if it cannot be read
   */
  public int modulus() {
    Path last = files.getLast();
    return isGraph(last) ? GraphLogits.modulus(last) : stored(last).p();
  }

  /** Number of checkpoints. */
  public int size() {
    return files.size();
  }

  /**
   * Reads checkpoint i.
   *
   * @throws InputException if it holds neither the weights nor the logits of such a network
   */
  Snapshot read(Engine engine, int i) {
    Path file = files.get(i);
    return isGraph(file) ? new Snapshot(null, GraphLogits.of(engine, file)) : stored(file);
  }

  private static boolean isGraph(Path file) {
    return file.toString().endsWith(GRAPH);
  }

  private static Snapshot stored(Path file) {
    try {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      if (file.toString().endsWith(TENSORS)) {
        tensors.putAll(Safetensors.read(file).tensors());
      } else {
        Map<?, ?> run = run(file);
        Map<?, ?> weights = run.get("model") instanceof Map<?, ?> model ? model : run;
        weights.forEach(
            (name, value) -> {
              if (name instanceof String text && value instanceof Tensor t) {
                tensors.put(text, t);
              }
            });
      }
      if (tensors.containsKey(LOGITS)) {
        return new Snapshot(null, logits(tensors.get(LOGITS)));
      }
      Network network = Network.of(tensors);
      GrokShape.requireModulus(network.p());
      return new Snapshot(network, null);
    } catch (InputException e) {
      throw new InputException(file + ": " + e.getMessage(), e);
    }
  }

  /** The modulus follows from the number of elements: p^3 or p^2 (p + 1). */
  private static Logits logits(Tensor t) {
    int p = (int) Math.cbrt(t.elements() + 0.5);
    return Logits.of(p, t);
  }
}
