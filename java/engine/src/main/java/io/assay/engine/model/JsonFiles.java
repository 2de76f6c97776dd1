package io.assay.engine.model;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The JSON files of a model folder. */
final class JsonFiles {
  /** Longest file held as a tree, which takes up to thirty times its bytes. */
  static final long MAX_TREE_BYTES = 1L << 20;

  /** Longest file read at all; tokenizers of 250,000 entries have about 30 MB. */
  static final long MAX_BYTES = 256L << 20;

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private JsonFiles() {}

  /**
   * A small file's JSON object.
   *
   * @throws InputException if the file cannot be read, is longer than {@link #MAX_TREE_BYTES}, is
   *     not JSON, or is no object
   */
  static JsonNode object(Path file) {
    byte[] bytes = bytes(file, MAX_TREE_BYTES);
    try {
      JsonNode json = MAPPER.readTree(bytes);
      if (json == null || !json.isObject()) {
        throw new InputException("the file " + file + " does not hold a JSON object");
      }
      return json;
    } catch (JacksonException e) {
      throw new InputException("the file " + file + " is not JSON: " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** What reads a JSON text token by token. */
  interface Reading {
    void of(JsonParser json) throws IOException;
  }

  /**
   * Reads the JSON object of a file, without holding it; the parser stands at its first token.
   *
   * @param bytes of the file
   * @throws InputException if they are not JSON, or no object
   */
  static void stream(Path file, byte[] bytes, Reading reading) {
    try (JsonParser json = MAPPER.createParser(bytes)) {
      if (json.nextToken() != JsonToken.START_OBJECT) {
        throw new InputException("the file " + file + " does not hold a JSON object");
      }
      reading.of(json);
      if (json.nextToken() != null) {
        throw new InputException("the file " + file + " goes on behind its JSON object");
      }
    } catch (JacksonException e) {
      throw new InputException("the file " + file + " is not JSON: " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** All bytes of a file of at most {@link #MAX_BYTES}. */
  static byte[] bytes(Path file) {
    return bytes(file, MAX_BYTES);
  }

  private static byte[] bytes(Path file, long most) {
    try {
      if (Files.exists(file) && !Files.isRegularFile(file)) {
        throw new InputException("the path " + file + " is not a file");
      }
      long size = Files.size(file);
      if (size > most) {
        throw new InputException(
            "the file " + file + " has " + size + " bytes; the limit is " + most);
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
    }
  }
}
