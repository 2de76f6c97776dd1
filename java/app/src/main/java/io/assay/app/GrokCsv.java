package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The single numbers of all checkpoints as a table, a line each. */
final class GrokCsv {
  private GrokCsv() {}

  /**
   * Writes the file.
   *
   * @param checkpoints as {@link GrokJson} has them
   * @throws InputException if it cannot be written
   */
  static void write(Path file, JsonNode checkpoints) {
    List<String> fields = new ArrayList<>();
    checkpoints
        .get(0)
        .properties()
        .forEach(
            e -> {
              if (e.getValue().isNumber() || e.getValue().isNull()) {
                fields.add(e.getKey());
              }
            });
    StringBuilder text = new StringBuilder(String.join(",", fields)).append(",fveLogits\n");
    for (JsonNode checkpoint : checkpoints) {
      for (String field : fields) {
        JsonNode value = checkpoint.get(field);
        text.append(value.isNull() ? "" : value.asText()).append(',');
      }
      JsonNode explained = checkpoint.at("/fveLogits/global");
      text.append(explained.isNull() ? "" : explained.asText()).append('\n');
    }
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new InputException("the table " + file + " cannot be written", e);
    }
  }
}
