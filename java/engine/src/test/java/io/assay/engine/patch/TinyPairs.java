package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** The six stored pairs of the tiny GPT-2, and what TransformerLens makes of them. */
abstract class TinyPairs {
  static Engine engine;
  static Map<String, Tensor> reference;

  @BeforeAll
  static void open() {
    engine = Engine.open(EngineOptions.defaults().withThreads(1));
    reference = Safetensors.read(folder().resolve("reference.safetensors")).tensors();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  static Path folder() {
    try {
      return Path.of(TinyPairs.class.getResource("/gpt2-tiny/config.json").toURI()).getParent();
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  static LanguageModel tiny() {
    return engine.languageModel(folder(), DType.F32);
  }

  /** The stored pairs: {@code input_ids} are clean. */
  static List<Pair> pairs() {
    Tensor clean = reference.get("input_ids");
    Tensor corrupt = reference.get("input_ids_source");
    List<Pair> pairs = new ArrayList<>();
    for (int row = 0; row < clean.dim(0); row++) {
      pairs.add(
          new Pair(
              row(clean, row),
              row(corrupt, row),
              (int) reference.get("answer_a").getLong(row),
              (int) reference.get("answer_b").getLong(row),
              Map.of()));
    }
    return pairs;
  }

  private static List<Integer> row(Tensor ids, int row) {
    List<Integer> list = new ArrayList<>();
    for (int i = 0; i < ids.dim(1); i++) {
      list.add((int) ids.getLong(row * ids.dim(1) + i));
    }
    return list;
  }

  /** A GPT-2 in memory: normally distributed weights, norms and biases. */
  static LanguageModel random(long seed, int layers, int heads, int width, DType dtype) {
    Random random = new Random(seed);
    Map<String, Tensor> weights = new LinkedHashMap<>();
    add(weights, random, dtype, 0, 0.5, "wte.weight", 60, width);
    add(weights, random, dtype, 0, 0.5, "wpe.weight", 20, width);
    for (int layer = 0; layer < layers; layer++) {
      String h = "h." + layer + ".";
      norm(weights, random, dtype, h + "ln_1", width);
      linear(weights, random, dtype, h + "attn.c_attn", width, 3 * width);
      linear(weights, random, dtype, h + "attn.c_proj", width, width);
      norm(weights, random, dtype, h + "ln_2", width);
      linear(weights, random, dtype, h + "mlp.c_fc", width, 4 * width);
      linear(weights, random, dtype, h + "mlp.c_proj", 4 * width, width);
    }
    norm(weights, random, dtype, "ln_f", width);
    return LanguageModel.of("random", heads, weights);
  }

  private static void norm(
      Map<String, Tensor> weights, Random random, DType dtype, String name, int width) {
    add(weights, random, dtype, 1, 0.2, name + ".weight", width);
    add(weights, random, dtype, 0, 0.1, name + ".bias", width);
  }

  private static void linear(
      Map<String, Tensor> weights, Random random, DType dtype, String name, int in, int out) {
    add(weights, random, dtype, 0, 1.5 / Math.sqrt(in), name + ".weight", in, out);
    add(weights, random, dtype, 0, 0.1, name + ".bias", out);
  }

  private static void add(
      Map<String, Tensor> weights,
      Random random,
      DType dtype,
      double mean,
      double deviation,
      String name,
      long... shape) {
    double[] values = random.doubles(Tensor.elements(shape)).toArray();
    for (int i = 0; i < values.length; i++) {
      values[i] = mean + deviation * random.nextGaussian();
    }
    float[] floats = new float[values.length];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = (float) values[i];
    }
    weights.put(
        name,
        dtype == DType.F32 ? Tensor.ofFloats(floats, shape) : Tensor.ofDoubles(values, shape));
  }

  /** Pairs of random tokens that end with the same one. */
  static List<Pair> randomPairs(long seed, int count, int length) {
    Random random = new Random(seed);
    List<Pair> pairs = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      List<Integer> clean = new ArrayList<>();
      List<Integer> corrupt = new ArrayList<>();
      for (int t = 0; t < length; t++) {
        clean.add(random.nextInt(50));
        corrupt.add(t == length - 1 ? clean.get(t) : Integer.valueOf(random.nextInt(50)));
      }
      pairs.add(new Pair(clean, corrupt, 50 + random.nextInt(5), 55 + random.nextInt(5), Map.of()));
    }
    return pairs;
  }

  /** Each cell's mean within {@code bound} of a stored map. */
  static void assertMap(String name, Tensor want, PatchMap got, double bound) {
    assertEquals(want.elements(), got.cells(), name);
    for (int cell = 0; cell < got.cells(); cell++) {
      assertEquals(want.get(cell), got.mean(cell), bound, name + " at " + cell);
    }
  }
}
