package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Searches prompts and outputs together. */
@Command(
    name = "joint",
    sortOptions = false,
    description = {
      "Searches a prompt and an output together: the model continues the one with the other, and",
      "both have the properties that the unigram tables ask for."
    },
    footer = {
      "",
      "  assay arca joint MODEL --output-length 2 \\",
      "    --prompt-unigram tox_log_probs.pkl:not_toxic --output-unigram tox_log_probs.pkl:toxic"
    })
final class ArcaJoint implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
  private Path path;

  @Option(
      names = "--output-length",
      paramLabel = "N",
      defaultValue = "2",
      description = "Searched output tokens (default: 2).")
  private int outputLength;

  @Option(
      names = "--output-unigram",
      paramLabel = "FILE[:NAME]",
      description = "The same of each token in an output.")
  private String outputUnigram;

  @Mixin private ArcaOptions options;
  @Mixin private OutFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      ArcaSpec spec =
          options
              .apply(
                  ArcaSpec.joint(path.toString(), outputLength), new Tokens(model), outputUnigram)
              .build();
      return new ArcaRun(engine, model, spec, common, folder).run();
    }
  }
}
