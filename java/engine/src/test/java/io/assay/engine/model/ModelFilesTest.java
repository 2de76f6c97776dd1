package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a model folder may look like, and what is refused. */
class ModelFilesTest {
  private static final String CONFIG = "config.json";
  private static final String WEIGHTS = "model.safetensors";

  @TempDir Path folder;

  private static Map<String, Tensor> tensors() {
    return new LinkedHashMap<>(Safetensors.read(TinyGpt2.folder().resolve(WEIGHTS)).tensors());
  }

  private ObjectNode config() throws IOException {
    return (ObjectNode) new ObjectMapper().readTree(TinyGpt2.folder().resolve(CONFIG).toFile());
  }

  private void write(ObjectNode config, Map<String, Tensor> tensors) throws IOException {
    Files.writeString(folder.resolve(CONFIG), config.toString());
    Safetensors.write(folder.resolve(WEIGHTS), tensors, Map.of());
  }

  @Test
  void namesMayLackThePrefixAndMaskBuffersAreIgnored() throws IOException {
    Map<String, Tensor> bare = new LinkedHashMap<>();
    tensors().forEach((name, t) -> bare.put(Gpt2Weights.bare(name), t));
    bare.put("h.0.attn.bias", Tensor.ofFloats(new float[4], 1, 1, 2, 2));
    bare.put("h.0.attn.masked_bias", Tensor.scalar(DType.F32, -1e4));
    write(config(), bare);
    Model model = Model.load(folder);
    assertTrue(model.graph().has("wte.weight"));
    assertFalse(model.graph().has("h.0.attn.bias"));
    // Either spelling of a weight finds it.
    assertEquals("wte.weight", model.hooks().resolve(model.graph(), "transformer.wte.weight"));
    Model prefixed = Model.load(TinyGpt2.folder());
    assertEquals(
        "transformer.wte.weight", prefixed.hooks().resolve(prefixed.graph(), "wte.weight"));
    assertTrue(model.tokenizer().isEmpty());
  }

  @Test
  void shardsAreOneModel() throws IOException {
    Map<String, Tensor> all = tensors();
    Map<String, Tensor> first = new LinkedHashMap<>();
    Map<String, Tensor> second = new LinkedHashMap<>();
    ObjectNode index = new ObjectMapper().createObjectNode();
    ObjectNode map = index.putObject("weight_map");
    all.forEach(
        (name, t) -> {
          boolean isFirst = first.size() <= second.size();
          (isFirst ? first : second).put(name, t);
          map.put(name, isFirst ? "one.safetensors" : "two.safetensors");
        });
    Safetensors.write(folder.resolve("one.safetensors"), first, Map.of());
    Safetensors.write(folder.resolve("two.safetensors"), second, Map.of());
    Files.writeString(folder.resolve("model.safetensors.index.json"), index.toString());
    Files.writeString(folder.resolve(CONFIG), config().toString());
    Model model = Model.load(folder);
    all.forEach(
        (name, t) ->
            assertEquals(-1, t.data().mismatch(model.graph().constant(name).data()), name));
    map.put("transformer.wte.weight", "../one.safetensors");
    Files.writeString(folder.resolve("model.safetensors.index.json"), index.toString());
    assertRefused("of the same folder");
  }

  @Test
  void sixteenBitsAreWidened() throws IOException {
    Map<String, Tensor> half = tensors();
    Tensor wide = half.get("transformer.wte.weight");
    Tensor narrow = Tensor.allocate(Arena.ofAuto(), DType.BF16, wide.shape());
    for (long i = 0; i < wide.elements(); i++) {
      // The upper half of a float32 is the bfloat16 below it in magnitude.
      narrow.data().set(Tensor.SHORT, 2 * i, wide.data().get(Tensor.SHORT, 4 * i + 2));
    }
    half.put("transformer.wte.weight", narrow);
    write(config(), half);
    Model model = Model.load(folder);
    assertEquals(1, model.widened());
    Tensor got = model.graph().constant("transformer.wte.weight");
    assertEquals(DType.F32, got.dtype());
    assertArrayEquals(narrow.toDoubles(), got.toDoubles());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "model_type|\"mamba\"|only gpt2",
        "n_head|5|does not divide",
        "n_head|0|integer from 1",
        "n_layer|4|lack the tensor h.3.ln_1.weight",
        "n_layer|2|hold the tensor h.2.",
        "n_embd|1099511627776|integer from 1",
        "n_inner|64|the configuration asks for",
        "vocab_size|\"512\"|integer from 1",
        "vocab_size|511|the configuration asks for",
        "layer_norm_epsilon|-1|number from 0 to 1",
        "activation_function|\"mish\"|those known are",
        "add_cross_attention|true|only false",
        "tie_word_embeddings|false|lack the tensor lm_head.weight",
        "tie_word_embeddings|1|true or false",
        "n_ctx|32|must be equal",
        "sliding_window|8|the field sliding_window"
      })
  void refusesAConfiguration(String field, String value, String why) throws IOException {
    ObjectNode config = config();
    config.set(field, new ObjectMapper().readTree(value));
    write(config, tensors());
    assertRefused(why);
  }

  @Test
  void refusesWrongTensors() throws IOException {
    Map<String, Tensor> missing = tensors();
    missing.remove("transformer.h.1.ln_1.bias");
    write(config(), missing);
    assertRefused("lack the tensor h.1.ln_1.bias");
    Map<String, Tensor> integers = tensors();
    integers.put("transformer.ln_f.bias", Tensor.ofLongs(new long[32], 32));
    write(config(), integers);
    assertRefused("not a float");
    Map<String, Tensor> unknown = tensors();
    unknown.put("score.weight", Tensor.ofFloats(new float[64], 2, 32));
    write(config(), unknown);
    assertRefused("hold the tensor score.weight");
    Files.writeString(folder.resolve(CONFIG), "{");
    assertRefused("is not JSON");
    Files.delete(folder.resolve(CONFIG));
    assertRefused("has no config.json");
  }

  private void assertRefused(String why) {
    InputException e = assertThrows(InputException.class, () -> Model.load(folder));
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
  }

  /** A list of the tensors of so many layers would not fit into memory. */
  @Test
  void millionsOfLayersCostNothing() throws IOException {
    write(config().put("n_layer", 1 << 24), tensors());
    InputException e = assertThrows(InputException.class, () -> Model.load(folder));
    assertTrue(e.getMessage().contains("n_layer 16777216"), e.getMessage());
  }

  @Test
  void namedPipesAreNotWaitedFor() throws Exception {
    write(config(), tensors());
    for (String name : new String[] {"model.safetensors", CONFIG}) {
      Files.delete(folder.resolve(name));
      Process made = new ProcessBuilder("mkfifo", folder.resolve(name).toString()).start();
      assertEquals(0, made.waitFor());
      InputException e =
          assertTimeoutPreemptively(
              Duration.ofSeconds(60),
              () -> assertThrows(InputException.class, () -> Model.load(folder)));
      assertTrue(e.getMessage().contains(name + " is not a file"), e.getMessage());
      Files.delete(folder.resolve(name));
      write(config(), tensors());
    }
  }
}
