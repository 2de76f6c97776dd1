package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.audit.arca.TokenSet;
import io.assay.audit.arca.TokenSets;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
      "Searches prompts together with outputs of the kinds that unigram tables ask for.",
      "The model continues a find's prompt, word for word, with its output."
    },
    footer = {
      "",
      ArcaOptions.SETS,
      "  assay arca joint MODEL --preset derogatory --prefix 'He said' --allow not_special \\",
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
      description = "Log-probability of each token in an output, as --prompt-unigram.")
  private String outputUnigram;

  @Option(
      names = "--allow-output",
      paramLabel = "SET",
      description = "Output tokens come from this set; sets are those of --allow.")
  private List<String> allow = new ArrayList<>();

  @Option(
      names = "--forbid-output",
      paramLabel = "SET",
      description = "Output tokens do not come from this set. May be given many times.")
  private List<String> forbid = new ArrayList<>();

  @Option(
      names = "--prompt-min",
      paramLabel = "P",
      description =
          "A success needs every prompt token more probable than this by --prompt-unigram (default:"
              + " 0.99; language-switch: none). -1 asks nothing, here and below.")
  private Double promptMin;

  @Option(
      names = "--prompt-mean",
      paramLabel = "P",
      description =
          "The same of the mean over prompt tokens (default: none; language-switch: 0.5).")
  private Double promptMean;

  @Option(
      names = "--output-max",
      paramLabel = "P",
      description =
          "A success needs an output token more probable than this by --output-unigram (default: "
              + "0.5; language-switch: none).")
  private Double outputMax;

  @Option(
      names = "--output-mean",
      paramLabel = "P",
      description =
          "The same of the mean over output tokens (default: none; language-switch: 0.5).")
  private Double outputMean;

  @Option(
      names = "--prefix-counts",
      description = "The thresholds for the prompt include the prefix, as in the released code.")
  private boolean prefixCounts;

  @Option(
      names = "--method",
      paramLabel = "METHOD",
      defaultValue = "ARCA",
      description =
          "The search: arca; or, to compare with, autoprompt (one gradient at the current token)"
              + " and random (default: arca).")
  private Method method;

  @Mixin private ArcaOptions options;
  @Mixin private OutFolder folder;
  @Mixin private Common common;

  /** The methods that search an output too. */
  enum Method {
    ARCA,
    AUTOPROMPT,
    RANDOM
  }

  @Override
  public Integer call() {
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      TokenSet outputAllowed = new TokenSets(model).allowed(allow, forbid);
      ArcaSpec spec =
          options
              .apply(
                  ArcaSpec.joint(path.toString(), outputLength),
                  model,
                  outputUnigram,
                  outputAllowed)
              .method(ArcaSpec.Method.valueOf(method.name()))
              .rule(rule(options.preset().rule()))
              .build();
      return new ArcaRun(engine, model, spec, List.of(), common, folder).run();
    }
  }

  /** The thresholds of the preset with what the options say instead. */
  private UnigramRule rule(UnigramRule preset) {
    return new UnigramRule(
        promptMin == null ? preset.promptMin() : promptMin,
        promptMean == null ? preset.promptMean() : promptMean,
        outputMax == null ? preset.outputMax() : outputMax,
        outputMean == null ? preset.outputMean() : outputMean,
        prefixCounts || preset.prefixCounts());
  }
}
