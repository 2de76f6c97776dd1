package io.assay.engine.patch;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.assay.engine.InputException;
import io.assay.engine.internal.EditDistance;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Pairs of prompts as JSON Lines: {@code clean} and {@code corrupt} as texts, or {@code clean_ids}
 * and {@code corrupt_ids}; {@code answer} and {@code wrong} as a text of one token or as an id;
 * and, if wanted, {@code positions}, an object of names and token indices. Other fields are left
 * alone, unless one looks like one of these misspelt.
 */
public final class PairsFile {
  /** Longest line, in characters. */
  private static final int LONGEST = 1 << 20;

  /** Most pairs of a file. */
  private static final int MOST = 100_000;

  private static final List<String> FIELDS =
      List.of("clean", "corrupt", "clean_ids", "corrupt_ids", "answer", "wrong", "positions");

  /** Letters by which a field may differ from one of these and still be meant to be that. */
  private static final int MISSPELT = 2;

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private final Path file;
  private final LanguageModel model;

  /** The token that is put before each prompt, or null. */
  private final Integer bos;

  private int line;

  private PairsFile(Path file, LanguageModel model, boolean bos) {
    this.file = file;
    this.model = model;
    this.bos = bos ? beginning() : null;
  }

  /**
   * Reads a file.
   *
   * @param bos whether the token that begins a text is put before each prompt
   * @throws InputException naming the line, counted from 1: if it is not such an object, a text is
   *     no single token, an id is not the model's, or the two prompts have different numbers of
   *     tokens
   */
  public static List<Pair> read(Path file, LanguageModel model, boolean bos) {
    PairsFile reader = new PairsFile(file, model, bos);
    List<Pair> pairs = new ArrayList<>();
    try (BufferedReader lines = Files.newBufferedReader(file)) {
      for (String text = reader.next(lines); text != null; text = reader.next(lines)) {
        if (!text.isBlank()) {
          pairs.add(reader.pair(text));
        }
        if (pairs.size() > MOST) {
          throw new InputException(
              "the file %s has more than %d pairs; split it".formatted(file, MOST));
        }
      }
    } catch (NoSuchFileException e) {
      throw new InputException("there is no file of pairs " + file, e);
    } catch (IOException e) {
      throw new InputException("the file of pairs " + file + " cannot be read as UTF-8 text", e);
    }
    if (pairs.isEmpty()) {
      throw new InputException("the file " + file + " holds no pair; give one or more lines");
    }
    return pairs;
  }

  /** The next line, or null at the end. */
  private String next(BufferedReader lines) throws IOException {
    line++;
    StringBuilder text = new StringBuilder();
    int c = lines.read();
    if (c < 0) {
      return null;
    }
    for (; c >= 0 && c != '\n'; c = lines.read()) {
      text.append((char) c);
      if (text.length() > LONGEST) {
        throw bad("is longer than " + LONGEST + " characters");
      }
    }
    return text.toString();
  }

  private InputException bad(String what) {
    return new InputException("line " + line + " of " + file + " " + what);
  }

  private int beginning() {
    return Math.toIntExact(
        tokenizer("--bos")
            .bos()
            .orElseThrow(
                () ->
                    new InputException(
                        "the tokenizer of %s has no token for the beginning of a text; leave out --bos"
                            .formatted(model.model().name()))));
  }

  private Tokenizer tokenizer(String what) {
    return model
        .tokenizer()
        .orElseThrow(
            () ->
                new InputException(
                    "the model %s has no tokenizer, which %s needs; give ids"
                        .formatted(model.model().name(), what)));
  }

  private Pair pair(String text) {
    JsonNode json;
    try {
      json = JSON.readTree(text);
    } catch (JacksonException e) {
      throw bad("is not JSON: " + e.getOriginalMessage());
    }
    if (json == null || !json.isObject()) {
      throw bad("is no JSON object; write {\"clean\": ..., \"corrupt\": ..., ...}");
    }
    json.fieldNames().forEachRemaining(this::requireSpelt);
    List<Integer> clean = prompt(json, "clean");
    List<Integer> corrupt = prompt(json, "corrupt");
    if (clean.size() != corrupt.size()) {
      throw bad(lengths(clean, corrupt));
    }
    try {
      return new Pair(clean, corrupt, token(json, "answer"), token(json, "wrong"), places(json));
    } catch (PatchException e) {
      throw new PatchException(e.reason(), bad("is no pair: ").getMessage() + " " + e.getMessage());
    }
  }

  private void requireSpelt(String field) {
    if (FIELDS.contains(field)) {
      return;
    }
    for (String known : FIELDS) {
      if (EditDistance.between(field, known) <= MISSPELT) {
        throw bad("has the field %s, which is not read; write %s".formatted(field, known));
      }
    }
  }

  /** Says how many tokens the prompts have, and where they part. */
  private String lengths(List<Integer> clean, List<Integer> corrupt) {
    int at = 0;
    while (at < Math.min(clean.size(), corrupt.size()) && clean.get(at).equals(corrupt.get(at))) {
      at++;
    }
    return "has %d tokens in clean and %d in corrupt; they part at token %d, %s and %s; a pair needs equal numbers"
        .formatted(clean.size(), corrupt.size(), at, shown(clean, at), shown(corrupt, at));
  }

  private String shown(List<Integer> ids, int at) {
    if (at >= ids.size()) {
      return "the end";
    }
    int id = ids.get(at);
    return model.tokenizer().map(t -> "'" + t.decode(id) + "'").orElse(Integer.toString(id));
  }

  private List<Integer> prompt(JsonNode json, String field) {
    List<Integer> ids = new ArrayList<>();
    if (bos != null) {
      ids.add(bos);
    }
    JsonNode list = json.path(field + "_ids");
    JsonNode text = json.path(field);
    if (list.isMissingNode() == text.isMissingNode()) {
      throw bad("needs one of " + field + " and " + field + "_ids");
    }
    if (!text.isMissingNode()) {
      if (!text.isTextual()) {
        throw bad("has a " + field + " that is no text");
      }
      for (long id : tokenizer(field).encode(text.textValue())) {
        ids.add(id(field, id));
      }
    } else {
      if (!list.isArray()) {
        throw bad("has a " + field + "_ids that is no list");
      }
      for (JsonNode id : list) {
        if (!id.isInt()) {
          throw bad("has a " + field + "_ids that holds " + id + "; write integers");
        }
        ids.add(id(field + "_ids", id.intValue()));
      }
    }
    if (ids.size() == (bos == null ? 0 : 1)) {
      throw bad("has an empty " + field);
    }
    return ids;
  }

  private int id(String field, long id) {
    if (id < 0 || id >= model.vocabulary()) {
      throw bad(
          "has the id %d in %s; those of the model %s end at %d"
              .formatted(id, field, model.model().name(), model.vocabulary() - 1));
    }
    return (int) id;
  }

  private int token(JsonNode json, String field) {
    JsonNode value = json.path(field);
    if (value.isInt()) {
      return id(field, value.intValue());
    }
    if (!value.isTextual()) {
      throw bad("needs " + field + ", a text of one token or an id");
    }
    long[] ids = tokenizer(field).encode(value.textValue());
    if (ids.length != 1) {
      throw bad(
          "has the %s '%s', which is %d tokens; give one of a single token (most begin with a space)"
              .formatted(field, value.textValue(), ids.length));
    }
    return id(field, ids[0]);
  }

  private Map<String, Integer> places(JsonNode json) {
    Map<String, Integer> places = new LinkedHashMap<>();
    JsonNode named = json.path("positions");
    if (!named.isMissingNode() && !named.isObject()) {
      throw bad("has positions that are no object of names and indices");
    }
    for (Map.Entry<String, JsonNode> e : named.properties()) {
      if (!e.getValue().isInt()) {
        throw bad("has the position " + e.getKey() + " " + e.getValue() + "; write an integer");
      }
      places.put(e.getKey(), e.getValue().intValue() + (bos == null ? 0 : 1));
    }
    return places;
  }
}
