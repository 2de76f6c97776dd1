package io.assay.app;

import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** An audit from end to end, on a model that it makes itself. */
@Command(
    name = "demo",
    description = {
      "Makes a small random GPT-2, lets it continue random prompts, searches prompts that make it",
      "say the same again, and checks each find by letting the model speak."
    })
final class DemoCommand implements Callable<Integer> {
  private static final int TARGETS = 6;
  private static final int PROMPT = 3;
  private static final int OUTPUT = 2;

  @Mixin private Help help;
  @Mixin private Common common;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "Seed of the model, the targets and the search (default: 1).")
  private long seed;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      defaultValue = "assay-demo",
      description = "Folder for the model and the report (default: assay-demo).")
  private Path folder;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("demo");
    Path path = DemoModel.write(Common.folder(folder.resolve("model")), seed);
    common.say("1. Made a random GPT-2 (seed " + seed + ") in " + path);
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(path.toString());
      try (Greedy greedy = new Greedy(engine, model)) {
        List<List<Integer>> targets = targets(greedy, model.vocabulary());
        common.say("2. Asked it to continue random prompts; it said " + targets);
        ArcaSpec spec =
            ArcaSpec.reverse(path.toString(), targets)
                .promptLength(PROMPT)
                .restarts(3)
                .seed(seed)
                .build();
        common.say("3. Searching for prompts that make it say each of these again ...");
        ArcaResult result;
        try (ArcaProgress progress = new ArcaProgress(common.showsProgress())) {
          result = ArcaAudit.run(engine, model, spec, progress);
        }
        List<ArcaResult.Audit> found =
            result.audits().stream().filter(ArcaResult.Audit::success).toList();
        long held =
            found.stream()
                .filter(a -> greedy.continuation(a.promptIds(), OUTPUT).equals(a.outputIds()))
                .count();
        ArcaRun.fill(envelope, engine, model, spec, result);
        envelope.metrics().put("verified", held);
        Path report = ArcaReport.write(folder, envelope, model, spec, result);
        if (common.json()) {
          common.out().println(envelope.text(report));
        } else {
          ArcaRun.table(common, model, spec, result);
          common
              .out()
              .println(
                  "4. Decoded each find again, without cache: "
                      + held
                      + " of "
                      + found.size()
                      + " hold");
          common.out().println("report: " + report);
        }
        return held == found.size() ? 0 : 1;
      }
    }
  }

  /** What the model says after random prompts: each target is reachable by construction. */
  private List<List<Integer>> targets(Greedy greedy, int vocabulary) {
    SplittableRandom random = new SplittableRandom(seed);
    List<List<Integer>> targets = new ArrayList<>();
    for (int i = 0; i < TARGETS; i++) {
      List<Integer> prompt = random.ints(PROMPT, 0, vocabulary).boxed().toList();
      targets.add(greedy.continuation(prompt, OUTPUT));
    }
    return targets;
  }
}
