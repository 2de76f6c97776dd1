package io.assay.app;

import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.OfficialResults;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Where a search leaves its files. */
final class OutFolder {
  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Folder for a report of the run, an HTML file (default: no report).")
  private Path folder;

  @Option(
      names = "--official-out",
      paramLabel = "FILE.jsonl",
      description = "Also write the result as the official code does.")
  private Path official;

  Optional<Path> folder() {
    return Optional.ofNullable(folder);
  }

  /**
   * Makes the folder and begins the file, before a search whose result they shall take.
   *
   * @throws InputException if they cannot be written
   */
  void open() {
    if (folder != null) {
      Common.folder(folder);
    }
    if (official != null) {
      write("");
    }
  }

  /** Writes the official form of a result, if it was asked for. */
  void writeOfficial(LanguageModel model, ArcaSpec spec, ArcaResult result) {
    if (official != null) {
      write(OfficialResults.text(spec, result, model.tokenizer().orElse(null)));
    }
  }

  private void write(String text) {
    try {
      Files.writeString(official, text);
    } catch (IOException e) {
      throw new InputException(
          "the file " + official + " cannot be written; choose another --official-out", e);
    }
  }
}
