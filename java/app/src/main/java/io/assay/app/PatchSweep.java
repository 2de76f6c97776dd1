package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Disagreement;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.Sweep;
import io.assay.engine.patch.SweepSpec;
import io.assay.engine.patch.SweepUnit;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Patches one component after the other. */
@Command(
    name = "sweep",
    sortOptions = false,
    description = {
      "Patches each head (or other component) at each position by itself, and reads the metric at"
          + " the last",
      "position."
    },
    footer = {
      "",
      "  assay patch sweep gpt2 --pairs pairs.jsonl --direction denoise",
      "  assay patch sweep gpt2 --pairs pairs.jsonl --direction noise --at 'blocks.*.hook_mlp_out'"
    })
final class PatchSweep implements Callable<Integer> {
  private static final String METHOD = "patch.sweep";

  @Mixin private Help help;
  @Mixin private PatchOptions options;

  @Option(
      names = "--at",
      paramLabel = "HOOKS",
      defaultValue = "blocks.*.attn.hook_z",
      description =
          "What is patched; a star stands for every block (default: ${DEFAULT-VALUE}: each head's"
              + " output).")
  private String at;

  @Option(
      names = "--per",
      paramLabel = "position|all",
      defaultValue = "position",
      description = "One position at once, or all of them (default: ${DEFAULT-VALUE}).")
  private SweepSpec.Per per;

  @Option(
      names = "--by",
      paramLabel = "resample|mean|zero",
      defaultValue = "resample",
      description =
          "What a value is replaced by: that of the other prompt, the mean over the other prompts"
              + " of all pairs, or zero (default: ${DEFAULT-VALUE}).")
  private SweepSpec.By by;

  @Mixin private Common common;

  @Override
  public Integer call() {
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(options.model());
      SweepSpec spec =
          new SweepSpec(at, per, options.direction(), by, options.metric(), options.pairs(model));
      int units = Sweep.units(engine, model, spec);
      return Recording.of(
          common, options.folder(common), METHOD, run -> run(run, engine, model, spec, units));
    }
  }

  private int run(Run run, Engine engine, LanguageModel model, SweepSpec spec, int units) {
    Envelope envelope = Envelope.of(METHOD, run);
    envelope.device(engine);
    envelope.model(model.model());
    describe(envelope.spec(), spec);
    envelope.describe(units);
    PatchMap map;
    try (PatchProgress<SweepUnit> progress =
        new PatchProgress<>(common, "sweep", units, run.units(SweepUnit.class, SweepUnit::name))) {
      map = Sweep.run(engine, model, spec, progress);
    }
    if (map.cancelled()) {
      return Recording.INTERRUPTED;
    }
    PatchJson.fill(envelope, map, options.perPair());
    List<Disagreement> disagreements = PatchCompare.of(engine, model, spec, map, common);
    PatchCompare.fill(envelope, map, disagreements);
    Path report =
        new PatchReport(options.folder(common), envelope, choices(spec), spec.metric())
            .write(map, PatchReport.base(map, spec.direction()), disagreements);
    return Recording.complete(
        common,
        run,
        envelope,
        report,
        () -> PatchTable.print(common, map, spec.metric(), spec.direction()));
  }

  private PatchChoices choices(SweepSpec spec) {
    String value =
        switch (by) {
          case RESAMPLE -> "that of the pair's other prompt";
          case MEAN -> "the mean over the other prompts of all pairs";
          case ZERO -> "zero";
        };
    return new PatchChoices(
        "node patches",
        at,
        value,
        per == SweepSpec.Per.ALL ? "all positions at once" : "one position at a time",
        options.directionWords(),
        options.setWords(spec.pairs().size()));
  }

  private void describe(ObjectNode node, SweepSpec spec) {
    choices(spec).put(node);
    options.describe(node, spec.pairs().size());
    node.put("at", at).put("per", per.name()).put("by", by.name());
  }
}
