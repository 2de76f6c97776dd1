package io.assay.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * The shape of a GPT-2 model.
 *
 * @param layers number of blocks
 * @param heads attention heads of a block; divides {@code width}
 * @param width size of the residual stream
 * @param inner size of the hidden layer of an MLP
 * @param context largest number of positions
 * @param vocabulary number of token ids
 * @param epsilon what layer normalisation adds to the variance
 * @param activation activation function of the MLPs, by its Hugging Face name
 * @param scaleScores whether attention scores are divided by the root of the head width
 * @param scaleByLayer whether those of layer L are divided by L + 1 as well
 * @param tied whether the output head is the token embedding
 */
public record Gpt2Config(
    int layers,
    int heads,
    int width,
    int inner,
    int context,
    int vocabulary,
    double epsilon,
    String activation,
    boolean scaleScores,
    boolean scaleByLayer,
    boolean tied) {
  /** The activation functions that can be built. */
  public static final Set<String> ACTIVATIONS =
      Set.of(
          "gelu_new",
          "gelu_pytorch_tanh",
          "gelu_fast",
          "gelu",
          "quick_gelu",
          "relu",
          "silu",
          "swish",
          "tanh");

  /** Fields that matter to training, to sampling or to other tasks, not to the logits. */
  private static final Set<String> NEUTRAL =
      Set.of(
          "_name_or_path",
          "architectures",
          "attn_pdrop",
          "bos_token_id",
          "eos_token_id",
          "pad_token_id",
          "sep_token_id",
          "unk_token_id",
          "decoder_start_token_id",
          "dtype",
          "torch_dtype",
          "embd_pdrop",
          "resid_pdrop",
          "initializer_range",
          "gradient_checkpointing",
          "reorder_and_upcast_attn",
          "summary_activation",
          "summary_first_dropout",
          "summary_proj_to_labels",
          "summary_type",
          "summary_use_proj",
          "task_specific_params",
          "transformers_version",
          "use_cache",
          "output_attentions",
          "output_hidden_states",
          "output_past",
          "return_dict",
          "return_dict_in_generate",
          "output_scores",
          "torchscript",
          "use_bfloat16",
          "tokenizer_class",
          "prefix",
          "problem_type",
          "id2label",
          "label2id",
          "num_labels",
          "finetuning_task",
          "_attn_implementation_autoset",
          "attn_implementation",
          "_attn_implementation",
          "max_length",
          "min_length",
          "do_sample",
          "early_stopping",
          "num_beams",
          "num_beam_groups",
          "diversity_penalty",
          "temperature",
          "top_k",
          "top_p",
          "typical_p",
          "repetition_penalty",
          "length_penalty",
          "no_repeat_ngram_size",
          "encoder_no_repeat_ngram_size",
          "bad_words_ids",
          "num_return_sequences",
          "chunk_size_feed_forward",
          "forced_bos_token_id",
          "forced_eos_token_id",
          "remove_invalid_values",
          "exponential_decay_length_penalty",
          "suppress_tokens",
          "begin_suppress_tokens",
          "tf_legacy_loss",
          "is_decoder");

  /** Fields of which only one value has a meaning here: that of a plain GPT-2. */
  private static final Map<String, String> FIXED =
      Map.of(
          "model_type", "gpt2",
          "add_cross_attention", "false",
          "is_encoder_decoder", "false",
          "cross_attention_hidden_size", "null",
          "tie_encoder_decoder", "false",
          "pruned_heads", "{}");

  /**
   * Shape of every weight, by its name in the transformers library without the {@code transformer.}
   * prefix; matrices of linear layers are [in, out].
   */
  public Map<String, long[]> weightShapes() {
    return Gpt2Weights.shapes(this);
  }

  /** Attention heads' width. */
  public int headWidth() {
    return width / heads;
  }

  /** The same with a head of its own. */
  Gpt2Config untied() {
    return new Gpt2Config(
        layers,
        heads,
        width,
        inner,
        context,
        vocabulary,
        epsilon,
        activation,
        scaleScores,
        scaleByLayer,
        false);
  }

  /** What the attention scores of a block are multiplied by. */
  double scoreScale(int layer) {
    double scale = scaleScores ? 1 / Math.sqrt(headWidth()) : 1;
    return scaleByLayer ? scale / (layer + 1) : scale;
  }

  /**
   * Reads {@code config.json}. Absent fields have the values that the transformers library gives
   * them; a field that is neither honoured nor known to have no influence on the logits is refused.
   *
   * @throws InputException if a field is refused, malformed or out of range
   */
  static Gpt2Config read(Path file) {
    JsonNode json = JsonFiles.object(file);
    Fields f = new Fields(file, json);
    FIXED.forEach(f::require);
    if (!json.has("model_type")) {
      throw f.bad("has no model_type; Assay builds models of type gpt2");
    }
    int width = f.size("n_embd", 768);
    int context = f.size("n_positions", 1024);
    Gpt2Config config =
        new Gpt2Config(
            f.size("n_layer", 12),
            f.size("n_head", 12),
            width,
            f.size("n_inner", Math.multiplyExact(4, width)),
            context,
            f.size("vocab_size", 50257),
            f.epsilon("layer_norm_epsilon", 1e-5),
            f.text("activation_function", "gelu_new"),
            f.flag("scale_attn_weights", true),
            f.flag("scale_attn_by_inverse_layer_idx", false),
            f.flag("tie_word_embeddings", true));
    if (f.size("n_ctx", context) != context) {
      throw f.bad(
          "has n_ctx "
              + json.get("n_ctx")
              + " and n_positions "
              + context
              + ", which must be equal");
    }
    f.requireRead();
    if (config.width % config.heads != 0) {
      throw f.bad("has n_head " + config.heads + ", which does not divide n_embd " + config.width);
    }
    if (!ACTIVATIONS.contains(config.activation)) {
      throw f.bad(
          "has activation_function "
              + config.activation
              + "; those known are "
              + ACTIVATIONS.stream().sorted().toList());
    }
    return config;
  }

  /** The fields of one file; remembers which were read. */
  private static final class Fields {
    private static final int MAX_SIZE = 1 << 24;
    private final Path file;
    private final JsonNode json;
    private final Set<String> read = new HashSet<>();

    Fields(Path file, JsonNode json) {
      this.file = file;
      this.json = json;
    }

    InputException bad(String what) {
      return new InputException(file + " " + what);
    }

    private JsonNode get(String field) {
      read.add(field);
      JsonNode value = json.get(field);
      return value == null || value.isNull() ? null : value;
    }

    void require(String field, String only) {
      JsonNode value = json.get(field);
      read.add(field);
      if (value != null
          && !value.isNull()
          && !value.asText(value.toString()).equals(only)
          && !value.toString().equals(only)) {
        throw bad("has " + field + " " + value + "; only " + only + " is supported");
      }
    }

    int size(String field, int otherwise) {
      JsonNode value = get(field);
      if (value == null) {
        return otherwise;
      }
      if (!value.isInt() || value.intValue() < 1 || value.intValue() > MAX_SIZE) {
        throw bad("has " + field + " " + value + "; give an integer from 1 to " + MAX_SIZE);
      }
      return value.intValue();
    }

    double epsilon(String field, double otherwise) {
      JsonNode value = get(field);
      if (value == null) {
        return otherwise;
      }
      if (!value.isNumber() || !(value.doubleValue() >= 0 && value.doubleValue() < 1)) {
        throw bad("has " + field + " " + value + "; give a number from 0 to 1");
      }
      return value.doubleValue();
    }

    String text(String field, String otherwise) {
      JsonNode value = get(field);
      if (value != null && !value.isTextual()) {
        throw bad("has " + field + " " + value + "; give a text");
      }
      return value == null ? otherwise : value.textValue();
    }

    boolean flag(String field, boolean otherwise) {
      JsonNode value = get(field);
      if (value != null && !value.isBoolean()) {
        throw bad("has " + field + " " + value + "; give true or false");
      }
      return value == null ? otherwise : value.booleanValue();
    }

    void requireRead() {
      json.fieldNames()
          .forEachRemaining(
              field -> {
                if (!read.contains(field) && !NEUTRAL.contains(field)) {
                  throw bad(
                      "has the field "
                          + field
                          + ", which Assay does not know; remove it if it does not change the"
                          + " logits");
                }
              });
    }
  }
}
