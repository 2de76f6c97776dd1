package io.assay.app;

import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.OfficialResults;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Where a search leaves its files. */
final class OutFolder {
  @Mixin private RunFolder folder;

  @Option(
      names = "--official-out",
      paramLabel = "FILE.jsonl",
      description = "Also write the result as the official code does.")
  private Path official;

  /** The folder of ledger and report. */
  Path folder(Common common) {
    return folder.of(common);
  }

  /**
   * Begins the file, before a search whose result it shall take.
   *
   * @throws InputException if it cannot be written
   */
  void open() {
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
