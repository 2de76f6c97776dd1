package io.assay.app;

import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
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
      "  assay arca reverse MODEL --target ' bad' --prompt-length 3 --restarts 10",
      "  assay arca reverse MODEL --targets senators.txt --preset reverse-name --allow letters",
      "  assay arca reverse MODEL --target-ids 12,7 --method gcg --json"
    })
final class ArcaReverse implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
  private Path path;

  @Option(
      names = "--target",
      paramLabel = "TEXT",
      description = "Output to reverse; most words begin with a space. May be given many times.")
  private List<String> targets = new ArrayList<>();

  @Option(
      names = "--target-ids",
      paramLabel = "IDS",
      description = "Output as token ids, such as 12,7. May be given many times.")
  private List<String> targetIds = new ArrayList<>();

  @Option(
      names = "--targets",
      paramLabel = "FILE",
      description = "File with one output a line; spaces count.")
  private Path file;

  @Mixin private ArcaOptions options;
  @Mixin private OutFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    if (targets.isEmpty() && targetIds.isEmpty() && file == null) {
      throw new InputException("there is no target; give --target TEXT or --target-ids IDS");
    }
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      Tokens tokens = new Tokens(model);
      List<List<Integer>> outputs = new ArrayList<>();
      targets.forEach(text -> outputs.add(tokens.text("--target", text)));
      lines().forEach(text -> outputs.add(tokens.text("--targets", text)));
      targetIds.forEach(list -> outputs.add(tokens.ids("--target-ids", list)));
      ArcaSpec spec = options.apply(ArcaSpec.reverse(path.toString(), outputs), model).build();
      return new ArcaRun(engine, model, spec, common, folder).run();
    }
  }

  private List<String> lines() {
    if (file == null) {
      return List.of();
    }
    try {
      return Files.readAllLines(file);
    } catch (IOException e) {
      throw new InputException("the file " + file + " of targets cannot be read as UTF-8 text", e);
    }
  }
}
