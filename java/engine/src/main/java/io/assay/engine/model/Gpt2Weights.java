package io.assay.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * The tensors of a GPT-2 model, all of one float type.
 *
 * @param dtype element type, {@code F32} or {@code F64}
 * @param tensors by bare name: {@code wte.weight}, {@code h.0.attn.c_attn.weight}, ...
 * @param names what the file calls each of them, by bare name
 * @param files the files that they were read from; empty for a model in memory
 * @param widened number of tensors that were stored in 16 bits
 */
record Gpt2Weights(
    DType dtype,
    Map<String, Tensor> tensors,
    Map<String, String> names,
    List<Path> files,
    int widened) {
  /** What the transformers library puts before the names of a model with a head. */
  static final String PREFIX = "transformer.";

  static final String HEAD = "lm_head.weight";
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";
  private static final Pattern MASK = Pattern.compile("h\\.\\d+\\.attn\\.(bias|masked_bias)");

  Gpt2Weights {
    tensors = Collections.unmodifiableMap(new LinkedHashMap<>(tensors));
    names = Map.copyOf(names);
    files = List.copyOf(files);
  }

  /** A name without the {@code transformer.} prefix. */
  static String bare(String name) {
    return name.startsWith(PREFIX) ? name.substring(PREFIX.length()) : name;
  }

  boolean has(String bare) {
    return tensors.containsKey(bare);
  }

  Tensor get(String bare) {
    return tensors.get(bare);
  }

  /** Name of a tensor as its file has it. */
  String name(String bare) {
    return names.getOrDefault(bare, bare);
  }

  /**
   * Reads the weights of a folder: {@code model.safetensors}, or the shards that {@code
   * model.safetensors.index.json} names.
   *
   * @param dtype type to hold them in; tensors of another float type are converted
   * @throws InputException if a tensor is missing, superfluous or of the wrong shape or type
   */
  static Gpt2Weights read(Path folder, Gpt2Config config, DType dtype) {
    List<Path> files = files(folder);
    Map<String, Tensor> raw = new LinkedHashMap<>();
    Map<String, String> names = new LinkedHashMap<>();
    for (Path file : files) {
      Safetensors.read(file)
          .tensors()
          .forEach(
              (name, tensor) -> {
                String bare = bare(name);
                if (MASK.matcher(bare).matches()) {
                  return;
                }
                if (raw.put(bare, tensor) != null) {
                  throw new InputException(
                      "the folder " + folder + " holds the tensor " + bare + " twice");
                }
                names.put(bare, name);
              });
    }
    // A configuration may claim millions of layers; a list of their tensors is made if they exist.
    for (int layer = 0; layer < config.layers(); layer++) {
      String first = "h." + layer + ".ln_1.weight";
      if (!raw.containsKey(first)) {
        throw new InputException(
            "the weights of "
                + folder
                + " lack the tensor "
                + first
                + "; the configuration has n_layer "
                + config.layers());
      }
    }
    Map<String, long[]> shapes = shapes(config);
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    int widened = 0;
    for (Map.Entry<String, long[]> e : shapes.entrySet()) {
      Tensor t = raw.remove(e.getKey());
      requireShape(folder.toString(), e.getKey(), t, e.getValue());
      widened += t.dtype().bytes() == 2 ? 1 : 0;
      tensors.put(e.getKey(), convert(e.getKey(), t, dtype));
    }
    if (config.tied()) {
      raw.remove(HEAD);
    }
    if (!raw.isEmpty()) {
      throw new InputException(
          "the weights of "
              + folder
              + " hold the tensor "
              + raw.keySet().iterator().next()
              + ", which a GPT-2 of "
              + config.layers()
              + " layers does not have");
    }
    return new Gpt2Weights(dtype, tensors, names, files, widened);
  }

  /**
   * Weights in memory.
   *
   * @throws InputException if they are not all of type F32 or all of type F64
   */
  static Gpt2Weights of(String model, Map<String, Tensor> tensors) {
    Tensor table = tensors.get("wte.weight");
    requireMatrix(model, "wte.weight", table);
    for (Map.Entry<String, Tensor> e : tensors.entrySet()) {
      DType dtype = e.getValue().dtype();
      if (dtype != table.dtype() || (dtype != DType.F32 && dtype != DType.F64)) {
        throw new InputException(
            "the tensor "
                + e.getKey()
                + " of "
                + model
                + " is of type "
                + dtype
                + "; all must be F32 or all F64");
      }
    }
    return new Gpt2Weights(table.dtype(), tensors, Map.of(), List.of(), 0);
  }

  /**
   * The shape that weights in memory have.
   *
   * @throws InputException if a tensor is missing, superfluous or of the wrong shape
   */
  Gpt2Config config(String model, int heads) {
    requireMatrix(model, "wpe.weight", get("wpe.weight"));
    int layers = 0;
    while (has("h." + layers + ".mlp.c_fc.weight")) {
      requireMatrix(
          model, "h." + layers + ".mlp.c_fc.weight", get("h." + layers + ".mlp.c_fc.weight"));
      layers++;
    }
    if (layers == 0) {
      throw new InputException("the weights of " + model + " lack the tensor h.0.mlp.c_fc.weight");
    }
    int width = Math.toIntExact(get("wte.weight").dim(1));
    if (heads < 1 || width % heads != 0) {
      throw new InputException(
          "the " + heads + " heads of " + model + " do not divide its width " + width);
    }
    Gpt2Config config =
        new Gpt2Config(
            layers,
            heads,
            width,
            Math.toIntExact(get("h.0.mlp.c_fc.weight").dim(1)),
            Math.toIntExact(get("wpe.weight").dim(0)),
            Math.toIntExact(get("wte.weight").dim(0)),
            1e-5,
            "gelu_new",
            true,
            false,
            !has(HEAD));
    Map<String, long[]> shapes = shapes(config);
    for (String name : tensors.keySet()) {
      if (!shapes.containsKey(name)) {
        throw new InputException("the weights of " + model + " hold the unknown tensor " + name);
      }
    }
    shapes.forEach(
        (name, shape) -> {
          if (has(name) || shape.length == 2) {
            requireShape(model, name, get(name), shape);
          }
        });
    return config;
  }

  private static void requireMatrix(String model, String name, Tensor t) {
    if (t == null || t.rank() != 2) {
      throw new InputException(
          "the weights of "
              + model
              + (t == null ? " lack" : " need as a matrix")
              + " the tensor "
              + name);
    }
  }

  private static List<Path> files(Path folder) {
    Path single = folder.resolve(SINGLE);
    Path index = folder.resolve(INDEX);
    if (Files.exists(single)) {
      return List.of(single);
    }
    if (!Files.exists(index)) {
      throw new InputException("the folder " + folder + " has neither " + SINGLE + " nor " + INDEX);
    }
    JsonNode map = JsonFiles.object(index).get("weight_map");
    if (map == null || !map.isObject() || map.isEmpty()) {
      throw new InputException("the file " + index + " has no object weight_map");
    }
    TreeSet<String> shards = new TreeSet<>();
    for (Map.Entry<String, JsonNode> e : map.properties()) {
      String shard = e.getValue().asText();
      if (!e.getValue().isTextual() || !shard.matches("[^/\\\\]+\\.safetensors")) {
        throw new InputException(
            "the file "
                + index
                + " puts the tensor "
                + e.getKey()
                + " into "
                + e.getValue()
                + "; a shard is a .safetensors file of the same folder");
      }
      shards.add(shard);
    }
    List<Path> files = new ArrayList<>();
    shards.forEach(shard -> files.add(folder.resolve(shard)));
    return files;
  }

  /** Shape of every tensor of a model, by bare name. */
  static Map<String, long[]> shapes(Gpt2Config c) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("wte.weight", new long[] {c.vocabulary(), c.width()});
    shapes.put("wpe.weight", new long[] {c.context(), c.width()});
    for (int layer = 0; layer < c.layers(); layer++) {
      String h = "h." + layer + ".";
      norm(shapes, h + "ln_1", c.width());
      linear(shapes, h + "attn.c_attn", c.width(), 3 * c.width());
      linear(shapes, h + "attn.c_proj", c.width(), c.width());
      norm(shapes, h + "ln_2", c.width());
      linear(shapes, h + "mlp.c_fc", c.width(), c.inner());
      linear(shapes, h + "mlp.c_proj", c.inner(), c.width());
    }
    norm(shapes, "ln_f", c.width());
    if (!c.tied()) {
      shapes.put(HEAD, new long[] {c.vocabulary(), c.width()});
    }
    return shapes;
  }

  private static void norm(Map<String, long[]> shapes, String at, long width) {
    shapes.put(at + ".weight", new long[] {width});
    shapes.put(at + ".bias", new long[] {width});
  }

  private static void linear(Map<String, long[]> shapes, String at, long in, long out) {
    shapes.put(at + ".weight", new long[] {in, out});
    shapes.put(at + ".bias", new long[] {out});
  }

  static void requireShape(String model, String name, Tensor t, long[] shape) {
    if (t == null) {
      throw new InputException("the weights of " + model + " lack the tensor " + name);
    }
    if (!Arrays.equals(t.shape(), shape)) {
      throw new InputException(
          "the tensor "
              + name
              + " of "
              + model
              + " has the shape "
              + Arrays.toString(t.shape())
              + "; the configuration asks for "
              + Arrays.toString(shape));
    }
  }

  /** The tensor itself if it has the type already, else a copy. */
  private static Tensor convert(String name, Tensor t, DType dtype) {
    if (!t.dtype().isFloat()) {
      throw new InputException("the weight " + name + " is of type " + t.dtype() + ", not a float");
    }
    if (t.dtype() == dtype) {
      return t;
    }
    Tensor copy = Tensor.allocate(Arena.ofAuto(), dtype, t.shape());
    for (long i = 0; i < t.elements(); i++) {
      copy.set(i, t.get(i));
    }
    return copy;
  }
}
