package io.assay.engine.model;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A tokenizer read from {@code tokenizer.json}, or from {@code vocab.json} and {@code merges.txt}
 * (the byte-level byte-pair encoding of GPT-2), and run by the Hugging Face tokenizers library.
 *
 * <p>The library's native part comes from its jar; it is told to take the plain processor build and
 * to stay off the network.
 */
final class TokenizerFiles implements Tokenizer, AutoCloseable {
  private static final String FLAVOR = "RUST_FLAVOR";
  private static final String END_OF_TEXT = "<|endoftext|>";

  private final Path file;
  private final HuggingFaceTokenizer library;
  private final String[] tokens;
  private final BitSet special;

  private TokenizerFiles(Path file, HuggingFaceTokenizer library, String[] tokens, BitSet special) {
    this.file = file;
    this.library = library;
    this.tokens = tokens;
    this.special = special;
  }

  /**
   * The tokenizer of a folder, if it has one.
   *
   * @throws InputException if its files are broken
   */
  static Optional<TokenizerFiles> find(Path folder) {
    Path whole = folder.resolve("tokenizer.json");
    if (Files.exists(whole)) {
      return Optional.of(open(whole, JsonFiles.object(whole), JsonFiles.bytes(whole)));
    }
    Path vocabulary = folder.resolve("vocab.json");
    Path merges = folder.resolve("merges.txt");
    if (Files.exists(vocabulary) && Files.exists(merges)) {
      ObjectNode json = bytePairs(vocabulary, merges);
      return Optional.of(open(vocabulary, json, json.toString().getBytes(StandardCharsets.UTF_8)));
    }
    return Optional.empty();
  }

  private static TokenizerFiles open(Path file, JsonNode json, byte[] bytes) {
    String[] tokens = tokens(file, json);
    pinNativeLibrary();
    try {
      HuggingFaceTokenizer library =
          HuggingFaceTokenizer.newInstance(
              new ByteArrayInputStream(bytes),
              Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
      return new TokenizerFiles(file, library, tokens, special(json));
    } catch (IOException | RuntimeException e) {
      throw new InputException(
          "the tokenizer "
              + file
              + " cannot be read: "
              + String.valueOf(e.getMessage()).strip().replaceAll("\\s+", " "),
          e);
    }
  }

  /** Without this the library would look for a graphics card, and download a build for it. */
  private static void pinNativeLibrary() {
    String asked = System.getenv(FLAVOR);
    if (asked != null && !asked.isEmpty() && !asked.equals("cpu")) {
      throw new InputException(
          "the environment variable "
              + FLAVOR
              + " is "
              + asked
              + ", which would make the tokenizer library download; unset it");
    }
    System.setProperty(FLAVOR, "cpu");
    System.setProperty("ai.djl.offline", "true");
    System.setProperty("OPT_OUT_TRACKING", "true");
  }

  /** The tokens by id, from the model's vocabulary and the added tokens. */
  private static String[] tokens(Path file, JsonNode json) {
    Map<Integer, String> byId = new HashMap<>();
    JsonNode vocabulary = json.path("model").path("vocab");
    if (vocabulary.isObject()) {
      vocabulary.properties().forEach(e -> put(file, byId, e.getValue(), e.getKey()));
    } else if (vocabulary.isArray()) {
      for (int i = 0; i < vocabulary.size(); i++) {
        byId.put(i, vocabulary.get(i).path(0).asText());
      }
    } else {
      throw new InputException("the tokenizer " + file + " has no model.vocab");
    }
    for (JsonNode added : json.path("added_tokens")) {
      put(file, byId, added.path("id"), added.path("content").asText());
    }
    int size = byId.keySet().stream().mapToInt(id -> id + 1).max().orElse(0);
    if (size == 0 || size > 16L * byId.size() + 1024) {
      throw new InputException(
          "the tokenizer " + file + " has " + byId.size() + " tokens with ids up to " + (size - 1));
    }
    String[] tokens = new String[size];
    byId.forEach((id, token) -> tokens[id] = token);
    return tokens;
  }

  /** Added tokens that are marked so. */
  private static BitSet special(JsonNode json) {
    BitSet ids = new BitSet();
    for (JsonNode added : json.path("added_tokens")) {
      if (added.path("special").asBoolean()) {
        ids.set(added.path("id").intValue());
      }
    }
    return ids;
  }

  private static void put(Path file, Map<Integer, String> byId, JsonNode id, String token) {
    if (!id.isInt() || id.intValue() < 0) {
      throw new InputException(
          "the tokenizer " + file + " gives the token '" + token + "' the id " + id);
    }
    byId.put(id.intValue(), token);
  }

  /** The two older files as one {@code tokenizer.json}. */
  private static ObjectNode bytePairs(Path vocabulary, Path merges) {
    ObjectMapper mapper = new ObjectMapper();
    JsonNode ids = JsonFiles.object(vocabulary);
    ArrayNode pairs = mapper.createArrayNode();
    new String(JsonFiles.bytes(merges), StandardCharsets.UTF_8)
        .lines()
        .filter(line -> !line.isBlank() && !line.startsWith("#version"))
        .forEach(
            line -> {
              String[] pair = line.strip().split(" ");
              if (pair.length != 2) {
                throw new InputException(
                    "the file " + merges + " has the line '" + line + "', not two tokens");
              }
              pairs.addArray().add(pair[0]).add(pair[1]);
            });
    ObjectNode json = mapper.createObjectNode().put("version", "1.0");
    ArrayNode added = json.putArray("added_tokens");
    // The one special token of GPT-2; where the vocabulary lacks it, it follows the last token.
    added
        .addObject()
        .put("id", ids.path(END_OF_TEXT).asInt(ids.size()))
        .put("content", END_OF_TEXT)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
    json.putObject("pre_tokenizer")
        .put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", true);
    json.putObject("decoder")
        .put("type", "ByteLevel")
        .put("add_prefix_space", true)
        .put("trim_offsets", true)
        .put("use_regex", true);
    ObjectNode model = json.putObject("model").put("type", "BPE");
    model.set("vocab", ids);
    model.set("merges", pairs);
    return json;
  }

  @Override
  public long[] encode(String text) {
    return library.encode(text, false, false).getIds();
  }

  @Override
  public String decode(long... ids) {
    Arrays.stream(ids).forEach(this::token);
    return ids.length == 0 ? "" : library.decode(ids, false);
  }

  @Override
  public String token(long id) {
    if (id < 0 || id >= tokens.length || tokens[(int) id] == null) {
      throw new InputException(
          "the tokenizer "
              + file
              + " has no token "
              + id
              + "; its ids end at "
              + (tokens.length - 1));
    }
    return tokens[(int) id];
  }

  @Override
  public boolean isSpecial(long id) {
    return id >= 0 && id < tokens.length && special.get((int) id);
  }

  @Override
  public int size() {
    return tokens.length;
  }

  @Override
  public void close() {
    library.close();
  }
}
