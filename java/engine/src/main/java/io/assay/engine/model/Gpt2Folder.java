package io.assay.engine.model;

import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import io.assay.engine.InputException;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes GPT-2 models as the transformers library does: a folder of {@code config.json} and {@code
 * model.safetensors}, which {@link Model#load} and that library read.
 */
public final class Gpt2Folder {
  private Gpt2Folder() {}

  /**
   * Writes a model, over what is there; the folder is made if need be. The same model gives the
   * same bytes.
   *
   * @param weights tensors by their names in the transformers library, with or without the {@code
   *     transformer.} prefix
   * @throws InputException if a tensor is missing, superfluous or of the wrong shape, or a file
   *     cannot be written
   */
  public static void write(Path folder, Gpt2Config config, Map<String, Tensor> weights) {
    Map<String, Tensor> bare = new LinkedHashMap<>();
    weights.forEach((name, t) -> bare.put(Gpt2Weights.bare(name), t));
    Map<String, Tensor> named = new LinkedHashMap<>();
    config
        .weightShapes()
        .forEach(
            (name, shape) -> {
              Gpt2Weights.requireShape("the weights for " + folder, name, bare.get(name), shape);
              String full = name.equals(Gpt2Weights.HEAD) ? name : Gpt2Weights.PREFIX + name;
              named.put(full, bare.remove(name));
            });
    if (!bare.isEmpty()) {
      throw new InputException(
          "the weights for "
              + folder
              + " hold the unknown tensor "
              + bare.keySet().iterator().next());
    }
    try {
      Files.createDirectories(folder);
      Files.writeString(folder.resolve("config.json"), json(config));
    } catch (IOException e) {
      throw cannotWrite(folder, e);
    }
    Safetensors.write(folder.resolve("model.safetensors"), named, Map.of("format", "pt"));
  }

  /**
   * Copies the tokenizer of one folder to another, as far as its files are there.
   *
   * @throws InputException if a file cannot be copied
   */
  public static void copyTokenizer(Path from, Path to) {
    for (String file : TokenizerFiles.NAMES) {
      if (Files.exists(from.resolve(file))) {
        try {
          Files.copy(from.resolve(file), to.resolve(file), StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
          throw cannotWrite(to, e);
        }
      }
    }
  }

  private static InputException cannotWrite(Path folder, IOException e) {
    return new InputException("the folder " + folder + " cannot be written: " + e.getMessage(), e);
  }

  private static String json(Gpt2Config c) throws IOException {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("architectures", List.of("GPT2LMHeadModel"));
    fields.put("model_type", "gpt2");
    fields.put("n_layer", c.layers());
    fields.put("n_head", c.heads());
    fields.put("n_embd", c.width());
    fields.put("n_inner", c.inner());
    fields.put("n_positions", c.context());
    fields.put("vocab_size", c.vocabulary());
    fields.put("activation_function", c.activation());
    fields.put("layer_norm_epsilon", c.epsilon());
    fields.put("scale_attn_weights", c.scaleScores());
    fields.put("scale_attn_by_inverse_layer_idx", c.scaleByLayer());
    fields.put("tie_word_embeddings", c.tied());
    DefaultPrettyPrinter printer =
        new DefaultPrettyPrinter().withObjectIndenter(new DefaultIndenter("  ", "\n"));
    ObjectWriter writer = new ObjectMapper().writer(printer);
    return writer.writeValueAsString(fields) + "\n";
  }
}
