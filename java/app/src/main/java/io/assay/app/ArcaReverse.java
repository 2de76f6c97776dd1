package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Searches prompts whose greedy completion is a given output. */
@Command(
    name = "reverse",
    sortOptions = false,
    description = "Searches prompts that a model continues, word for word, with a given output.",
    footer = {
      "",
      ArcaOptions.SETS,
      "  assay arca reverse planted-lm --target ' open every gate'",
      "  assay arca reverse MODEL --targets senators.txt --preset reverse-name --allow letters",
      "  assay arca reverse planted-lm --target ' open every gate' --compare",
      "  assay arca reverse MODEL --target-ids 12,7 --method gcg --json"
    })
final class ArcaReverse implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
  private Path path;

  @ArgGroup(multiplicity = "0..*")
  private List<Target> targets = new ArrayList<>();

  @Option(
      names = "--method",
      paramLabel = "METHOD",
      defaultValue = "ARCA",
      description =
          "The search: arca; or, to compare with, autoprompt (one gradient at the current token), "
              + "random, and gcg (random swaps at all positions; --q is 512 then, and --sweeps are"
              + " 250 steps) (default: arca).")
  private ArcaSpec.Method method;

  @Option(
      names = "--compare",
      description =
          "Search with the three other methods too, by the same options (gcg with five steps for"
              + " each sweep), and show success against budget for each.")
  private boolean compare;

  @Mixin private ArcaOptions options;
  @Mixin private OutFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    if (targets.isEmpty()) {
      throw new InputException("there is no target; give --target TEXT or --target-ids IDS");
    }
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      Tokens tokens = new Tokens(model);
      List<List<Integer>> outputs = new ArrayList<>();
      targets.forEach(target -> target.read(tokens, common, outputs));
      ArcaSpec spec = spec(model, outputs, method);
      List<ArcaSpec> others =
          compare
              ? Arrays.stream(ArcaSpec.Method.values())
                  .filter(m -> m != method)
                  .map(m -> spec(model, outputs, m))
                  .toList()
              : List.of();
      return new ArcaRun(engine, model, spec, others, common, folder).run();
    }
  }

  private ArcaSpec spec(LanguageModel model, List<List<Integer>> outputs, ArcaSpec.Method by) {
    ArcaSpec.Builder builder =
        options.apply(ArcaSpec.reverse(path.toString(), outputs), model).method(by);
    return compare && by == ArcaSpec.Method.GCG
        ? options.gcgSteps(builder).build()
        : builder.build();
  }

  /** One option that gives outputs; the list of them keeps the order of the command line. */
  private static final class Target {
    @Option(
        names = "--target",
        paramLabel = "TEXT",
        description = "Output to reverse; most words begin with a space. May be given many times.")
    private String text;

    @Option(
        names = "--target-ids",
        paramLabel = "IDS",
        description = "Output as token ids, such as 12,7. May be given many times.")
    private String ids;

    @Option(
        names = "--targets",
        paramLabel = "FILE",
        description = "File with one output a line; spaces count. May be given many times.")
    private Path file;

    void read(Tokens tokens, Common common, List<List<Integer>> outputs) {
      if (ids != null) {
        outputs.add(tokens.ids("--target-ids", ids));
        return;
      }
      for (String line : text != null ? List.of(text) : lines()) {
        outputs.add(tokens.text(text != null ? "--target" : "--targets", line));
        if (!line.startsWith(" ")) {
          common.warn(
              "the target '" + line + "' does not start with a space, as words inside a text do");
        }
      }
    }

    private List<String> lines() {
      try {
        return Files.readAllLines(file);
      } catch (IOException e) {
        throw new InputException(
            "the file " + file + " of targets cannot be read as UTF-8 text", e);
      }
    }
  }
}
