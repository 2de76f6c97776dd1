package io.assay.engine.model;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.assay.engine.InputException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A tokenizer read from {@code tokenizer.json}, or from {@code vocab.json} and {@code merges.txt}
 * (the byte-level byte-pair encoding of GPT-2), and run by the Hugging Face tokenizers library.
 *
 * <p>The library's native part comes from its jar; it is told to take the plain processor build and
 * to stay off the network.
 */
final class TokenizerFiles implements Tokenizer, AutoCloseable {
  /** What a tokenizer may consist of. */
  static final List<String> NAMES =
      List.of(
          "tokenizer.json",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "vocab.json",
          "merges.txt");

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
      return Optional.of(open(whole, JsonFiles.bytes(whole)));
    }
    Path vocabulary = folder.resolve("vocab.json");
    Path merges = folder.resolve("merges.txt");
    if (Files.exists(vocabulary) && Files.exists(merges)) {
      return Optional.of(open(vocabulary, bytePairs(vocabulary, merges)));
    }
    return Optional.empty();
  }

  private static TokenizerFiles open(Path file, byte[] bytes) {
    BitSet special = new BitSet();
    String[] tokens = tokens(file, bytes, special);
    pinNativeLibrary();
    try {
      HuggingFaceTokenizer library =
          HuggingFaceTokenizer.newInstance(
              new ByteArrayInputStream(bytes),
              Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
      return new TokenizerFiles(file, library, tokens, special);
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

  /** The tokens by id, from the model's vocabulary and the added tokens; marks the special ones. */
  private static String[] tokens(Path file, byte[] bytes, BitSet special) {
    Map<Integer, String> byId = new HashMap<>();
    Set<Integer> marked = new HashSet<>();
    JsonFiles.stream(
        file,
        bytes,
        json -> {
          while (json.nextToken() != JsonToken.END_OBJECT) {
            String field = json.currentName();
            JsonToken value = json.nextToken();
            if (field.equals("model") && value == JsonToken.START_OBJECT) {
              model(file, json, byId);
            } else if (field.equals("added_tokens") && value == JsonToken.START_ARRAY) {
              added(file, json, byId, marked);
            } else if (field.equals("normalizer") && value == JsonToken.START_OBJECT) {
              normalizer(file, json);
            } else {
              json.skipChildren();
            }
          }
        });
    if (byId.isEmpty()) {
      throw new InputException("the tokenizer " + file + " has no model.vocab");
    }
    int last = byId.keySet().stream().mapToInt(id -> id).max().orElseThrow();
    if (last > 16L * byId.size() + 1024) {
      throw new InputException(
          "the tokenizer " + file + " has " + byId.size() + " tokens with ids up to " + last);
    }
    String[] tokens = new String[last + 1];
    byId.forEach((id, token) -> tokens[id] = token);
    marked.forEach(special::set);
    return tokens;
  }

  /** {@code "vocab"}: an object from token to id, or a list of tokens with scores. */
  private static void model(Path file, JsonParser json, Map<Integer, String> byId)
      throws IOException {
    while (json.nextToken() != JsonToken.END_OBJECT) {
      String field = json.currentName();
      JsonToken value = json.nextToken();
      if (field.equals("vocab") && value == JsonToken.START_OBJECT) {
        while (json.nextToken() != JsonToken.END_OBJECT) {
          String token = json.currentName();
          json.nextToken();
          byId.put(id(file, token, json), token);
        }
      } else if (field.equals("vocab") && value == JsonToken.START_ARRAY) {
        int next = 0;
        while (json.nextToken() != JsonToken.END_ARRAY) {
          if (json.currentToken() != JsonToken.START_ARRAY
              || json.nextToken() != JsonToken.VALUE_STRING) {
            throw new InputException(
                "the tokenizer " + file + " lists something that is no token with a score");
          }
          byId.put(next++, json.getText());
          while (json.nextToken() != JsonToken.END_ARRAY) {
            json.skipChildren();
          }
        }
      } else {
        json.skipChildren();
      }
    }
  }

  /** The library ends the process where the table of a Precompiled normalizer is damaged. */
  private static void normalizer(Path file, JsonParser json) throws IOException {
    for (int depth = 1; depth > 0; ) {
      JsonToken token = json.nextToken();
      depth += token.isStructStart() ? 1 : token.isStructEnd() ? -1 : 0;
      if (token == JsonToken.VALUE_STRING
          && "type".equals(json.currentName())
          && json.getText().equals("Precompiled")) {
        throw new InputException(
            "the tokenizer "
                + file
                + " has a normalizer of type Precompiled, which Assay does not run; give a"
                + " tokenizer of the GPT-2 family");
      }
    }
  }

  private static void added(
      Path file, JsonParser json, Map<Integer, String> byId, Set<Integer> marked)
      throws IOException {
    while (json.nextToken() != JsonToken.END_ARRAY) {
      if (json.currentToken() != JsonToken.START_OBJECT) {
        throw new InputException("the tokenizer " + file + " adds something that is no token");
      }
      Integer id = null;
      String content = null;
      boolean isSpecial = false;
      while (json.nextToken() != JsonToken.END_OBJECT) {
        String field = json.currentName();
        json.nextToken();
        if (field.equals("id")) {
          id = id(file, "added", json);
        } else if (field.equals("content")) {
          content = json.getText();
        } else if (field.equals("special")) {
          isSpecial = json.currentToken() == JsonToken.VALUE_TRUE;
        }
        json.skipChildren();
      }
      if (id == null || content == null) {
        throw new InputException("the tokenizer " + file + " adds a token without id or content");
      }
      byId.put(id, content);
      if (isSpecial) {
        marked.add(id);
      }
    }
  }

  private static int id(Path file, String token, JsonParser json) throws IOException {
    boolean integer = json.currentToken() == JsonToken.VALUE_NUMBER_INT;
    if (!integer
        || json.getNumberType() != JsonParser.NumberType.INT
        || json.getIntValue() < 0
        || json.getIntValue() == Integer.MAX_VALUE) {
      throw new InputException(
          "the tokenizer " + file + " gives the token '" + token + "' the id " + json.getText());
    }
    return json.getIntValue();
  }

  /** The two older files as one {@code tokenizer.json}. */
  private static byte[] bytePairs(Path vocabulary, Path merges) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (JsonGenerator json = new JsonFactory().createGenerator(out)) {
      json.writeStartObject();
      json.writeStringField("version", "1.0");
      json.writeObjectFieldStart("model");
      json.writeStringField("type", "BPE");
      json.writeObjectFieldStart("vocab");
      int end = vocabulary(vocabulary, json);
      json.writeEndObject();
      json.writeArrayFieldStart("merges");
      merges(merges, json);
      json.writeEndArray();
      json.writeEndObject();
      // The one special token of GPT-2; where the vocabulary lacks it, it follows the last token.
      json.writeFieldName("added_tokens");
      json.writeRawValue(
          """
          [{"id": %d, "content": "%s", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}]\
          """
              .formatted(end, END_OF_TEXT));
      json.writeFieldName("pre_tokenizer");
      json.writeRawValue(
          """
          {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
           "use_regex": true}\
          """);
      json.writeFieldName("decoder");
      json.writeRawValue(
          """
          {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
           "use_regex": true}\
          """);
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("memory is never closed", e);
    }
    return out.toByteArray();
  }

  /** Copies the entries of {@code vocab.json}; returns the id of the end of text. */
  private static int vocabulary(Path file, JsonGenerator out) {
    int[] count = {0};
    int[] end = {-1};
    JsonFiles.stream(
        file,
        JsonFiles.bytes(file),
        json -> {
          while (json.nextToken() != JsonToken.END_OBJECT) {
            String token = json.currentName();
            json.nextToken();
            int id = id(file, token, json);
            out.writeNumberField(token, id);
            count[0]++;
            if (token.equals(END_OF_TEXT)) {
              end[0] = id;
            }
          }
        });
    return end[0] < 0 ? count[0] : end[0];
  }

  private static void merges(Path file, JsonGenerator out) throws IOException {
    String text = new String(JsonFiles.bytes(file), StandardCharsets.UTF_8);
    for (String line : (Iterable<String>) text.lines()::iterator) {
      if (line.isBlank() || line.startsWith("#version")) {
        continue;
      }
      String[] pair = line.strip().split(" ");
      if (pair.length != 2) {
        throw new InputException(
            "the file " + file + " has the line '" + line + "', not two tokens");
      }
      out.writeArray(pair, 0, 2);
    }
  }

  @Override
  public long[] encode(String text) {
    try {
      return library.encode(text, false, false).getIds();
    } catch (RuntimeException e) {
      throw new InputException(
          "the tokenizer " + file + " cannot encode a text: " + e.getMessage(), e);
    }
  }

  @Override
  public String decode(long... ids) {
    Arrays.stream(ids).forEach(this::token);
    try {
      return ids.length == 0 ? "" : library.decode(ids, false);
    } catch (RuntimeException e) {
      throw new InputException(
          "the tokenizer " + file + " cannot decode " + ids.length + " ids: " + e.getMessage(), e);
    }
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
