package io.assay.fuzz;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** A GPT-2 folder of a few kilobytes: 8 tokens, width 4, two heads, one layer, 6 positions. */
public final class TinyFolder {
  private static final String CONFIG =
      """
      {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 4, "n_positions": 6,
       "vocab_size": 8, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}
      """;

  private static final String TOKENIZER =
      """
      {"version": "1.0", "truncation": null, "padding": null, "normalizer": {"type": "NFC"},
       "added_tokens": [{"id": 7, "content": "<e>", "single_word": false, "lstrip": false,
         "rstrip": false, "normalized": false, "special": true}],
       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
         "use_regex": true},
       "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false,
         "use_regex": true},
       "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
         "use_regex": true},
       "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
         "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġa": 4, "c": 5, "abc": 6},
         "merges": ["a b", "Ġ a", "ab c"]}}
      """;

  private static final String VOCABULARY =
      """
      {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġa": 4, "c": 5, "abc": 6, "<|endoftext|>": 7}
      """;

  private static final String MERGES = "#version: 0.2\na b\nĠ a\nab c\n";

  private static final String INDEX =
      """
      {"metadata": {"total_size": 1}, "weight_map": {"wte.weight": "model.safetensors",
       "wpe.weight": "model.safetensors"}}
      """;

  private final Path path = Parsers.folder();

  /** A folder with configuration, weights and {@code tokenizer.json}. */
  public TinyFolder() {
    write("config.json", CONFIG);
    write("tokenizer.json", TOKENIZER);
    Safetensors.write(path.resolve("model.safetensors"), weights(), Map.of());
  }

  /** The same with weights in one shard and the older tokenizer files. */
  TinyFolder asShards() {
    write("model.safetensors.index.json", INDEX);
    write("vocab.json", VOCABULARY);
    write("merges.txt", MERGES);
    try {
      Files.delete(path.resolve("tokenizer.json"));
      Files.move(path.resolve("model.safetensors"), path.resolve("one.safetensors"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    write("model.safetensors.index.json", INDEX.replace("model.safe", "one.safe"));
    return this;
  }

  private void write(String name, String text) {
    try {
      Files.writeString(path.resolve(name), text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public Path path() {
    return path;
  }

  public Path file(String name) {
    return path.resolve(name);
  }

  /** The bytes of a file of the folder. */
  public byte[] bytes(String name) {
    try {
      return Files.readAllBytes(path.resolve(name));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Map<String, Tensor> weights() {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    weights.put("wte.weight", tensor(8, 4));
    weights.put("wpe.weight", tensor(6, 4));
    for (String norm : new String[] {"h.0.ln_1", "h.0.ln_2", "ln_f"}) {
      weights.put(norm + ".weight", tensor(4));
      weights.put(norm + ".bias", tensor(4));
    }
    linear(weights, "h.0.attn.c_attn", 4, 12);
    linear(weights, "h.0.attn.c_proj", 4, 4);
    linear(weights, "h.0.mlp.c_fc", 4, 16);
    linear(weights, "h.0.mlp.c_proj", 16, 4);
    return weights;
  }

  private static void linear(Map<String, Tensor> weights, String name, int in, int out) {
    weights.put(name + ".weight", tensor(in, out));
    weights.put(name + ".bias", tensor(out));
  }

  private static Tensor tensor(long... shape) {
    Tensor t = Tensor.allocate(Arena.ofAuto(), DType.F32, shape);
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, (i * 7 % 11 - 5) * 0.1);
    }
    return t;
  }
}
