package io.assay.engine.model;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The small JSON files of a model folder. */
final class JsonFiles {
  /** Longest file read, in bytes; tokenizers of 250,000 entries have about 30 MB. */
  static final long MAX_BYTES = 256L << 20;

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private JsonFiles() {}

  /**
   * A file's JSON object.
   *
   * @throws InputException if the file cannot be read, is not JSON, or is no object
   */
  static JsonNode object(Path file) {
    byte[] bytes = bytes(file);
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

  /** All bytes of a file of at most {@link #MAX_BYTES}. */
  static byte[] bytes(Path file) {
    try {
      long size = Files.size(file);
      if (size > MAX_BYTES) {
        throw new InputException(
            "the file " + file + " has " + size + " bytes; the limit is " + MAX_BYTES);
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read: " + e.getMessage(), e);
    }
  }
}
