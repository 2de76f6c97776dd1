package io.assay.app;

import io.assay.engine.model.Model;
import io.assay.engine.model.ModelCheck;
import io.assay.engine.model.ModelStore;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Copies a model into the user's data folder, where it has a name. */
@Command(
    name = "import",
    sortOptions = false,
    description = {
      "Copies a model into your data folder and gives it a name.",
      "Every command takes the name for MODEL. The model is run on drawn inputs: whether the same",
      "inputs give the same bytes, whether a row of a batch is the row alone, and whether outputs",
      "are finite. Audits refuse a model that fails one of the first two."
    },
    footer = {
      "",
      "  assay models import downloads/gpt2 --name gpt2",
      "  assay arca reverse gpt2 --target ' idiot'"
    })
final class ModelsImport implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(
      paramLabel = "PATH",
      description = "Folder of a GPT-2 model, or an .onnx file with its NAME.hooks.json beside it.")
  private Path path;

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description = "Name to give it (default: that of the folder or file).")
  private String name;

  @Mixin private DataFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.import");
    envelope.spec().put("path", path.toString()).put("name", name);
    ModelStore.Entry entry = folder.store().add(path, name);
    try (Model model = Model.load(entry.path())) {
      envelope.model(entry.name(), entry.sha256());
      envelope
          .result()
          .put("name", entry.name())
          .put("path", entry.path().toString())
          .put("bytes", entry.bytes())
          .put("hooks", model.hooks().names().size())
          .put("widened", model.widened())
          .put("tokens", model.tokenizer().map(t -> t.size()).orElse(null));
      ModelsInfo.checks(entry.check(), envelope.result());
      entry.check().findings().forEach((check, finding) -> warn(entry, check, finding));
      if (model.hooks().names().isEmpty()) {
        common.warn(
            "no hook points are known in "
                + entry.name()
                + "; `models hooks --propose` looks for those of a transformer");
      }
      if (model.widened() > 0) {
        common.warn(model.widened() + " weights of 16 bits are widened whenever it is loaded");
      }
      if (common.json()) {
        common.out().println(envelope.text(null));
      } else {
        common
            .out()
            .printf(
                "%s is imported: %.1f MB, %d hook points, %s, sha256 %s%n",
                entry.name(),
                entry.bytes() / 1e6,
                model.hooks().names().size(),
                model.tokenizer().map(t -> t.size() + " tokens").orElse("no tokenizer"),
                entry.sha256());
      }
    }
    return 0;
  }

  private void warn(ModelStore.Entry entry, String check, ModelCheck.Finding finding) {
    if (finding.status() != ModelCheck.Status.PASSED) {
      common.warn(entry.name() + ", " + check + ": " + finding.text());
    }
  }
}
