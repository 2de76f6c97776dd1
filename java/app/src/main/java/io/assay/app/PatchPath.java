package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.patch.PathPatch;
import io.assay.engine.patch.PathSpec;
import io.assay.engine.patch.PathUnit;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Patches paths. */
@Command(
    name = "path",
    sortOptions = false,
    description = {
      "Effect of each sender on receivers alone: through the residual stream and MLPs, all other"
          + " heads",
      "staying as they are on the base prompt. Layer norms are recomputed."
    },
    footer = {
      "",
      "  assay patch path gpt2 --pairs pairs.jsonl --direction noise --at-position end",
      "  assay patch path gpt2 --pairs pairs.jsonl --direction noise \\",
      "    --receiver 'blocks.9.attn.hook_q[9],blocks.10.attn.hook_q[0]' --at-position end"
    })
final class PatchPath implements Callable<Integer> {
  private static final String METHOD = "patch.path";

  @Mixin private Help help;
  @Mixin private PatchOptions options;

  @Option(
      names = "--receiver",
      paramLabel = "HOOKS",
      defaultValue = "logits",
      description =
          "logits, or queries, keys and values of heads, such as 'blocks.2.attn.hook_q[1]';"
              + " several are separated by commas (default: ${DEFAULT-VALUE}).")
  private String receivers;

  @Option(
      names = "--from",
      paramLabel = "HOOKS",
      defaultValue = "blocks.*.attn.hook_z",
      description =
          "Senders: heads or MLPs, a star for every block (default: ${DEFAULT-VALUE}: all heads).")
  private String from;

  @Option(
      names = "--mlps",
      paramLabel = "live|frozen",
      defaultValue = "live",
      description =
          "Whether MLPs between the two are recomputed, and so part of the path (default:"
              + " ${DEFAULT-VALUE}).")
  private PathSpec.Mlps mlps;

  @Option(
      names = "--at-position",
      paramLabel = "all|end|N|NAME",
      defaultValue = "all",
      description =
          "Position of senders and receivers: a number, or a name that the pairs give (default:"
              + " ${DEFAULT-VALUE}).")
  private String at;

  @Mixin private Common common;

  @Override
  public Integer call() {
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(options.model());
      PathSpec spec =
          new PathSpec(
              from,
              receivers,
              mlps,
              at,
              options.direction(),
              options.metric(),
              options.pairs(model));
      int units = PathPatch.units(engine, model, spec);
      return Recording.of(
          common, options.folder(common), METHOD, run -> run(run, engine, model, spec, units));
    }
  }

  private int run(Run run, Engine engine, LanguageModel model, PathSpec spec, int units) {
    Envelope envelope = Envelope.of(METHOD, run);
    envelope.device(engine);
    envelope.model(model.model());
    describe(envelope.spec(), spec);
    envelope.describe(units);
    PatchMap map;
    try (PatchProgress<PathUnit> progress =
        new PatchProgress<>(common, "paths", units, run.units(PathUnit.class, PathUnit::name))) {
      map = PathPatch.run(engine, model, spec, progress);
    }
    if (map.cancelled()) {
      return Recording.INTERRUPTED;
    }
    PatchJson.fill(envelope, map, options.perPair());
    envelope.result().put("receiver", receivers);
    Path report =
        new PatchReport(options.folder(common), envelope, choices(spec), spec.metric())
            .write(map, PatchReport.base(map, spec.direction()), List.of());
    return Recording.complete(
        common,
        run,
        envelope,
        report,
        () -> PatchTable.print(common, map, spec.metric(), spec.direction()));
  }

  private PatchChoices choices(PathSpec spec) {
    return new PatchChoices(
        mlps == PathSpec.Mlps.LIVE ? "paths through MLPs" : "edges, MLPs frozen",
        from + " into " + receivers,
        "that of the pair's other prompt",
        at.equals("all") ? "all positions at once" : "position " + at,
        options.directionWords(),
        options.setWords(spec.pairs().size()));
  }

  private void describe(ObjectNode node, PathSpec spec) {
    choices(spec).put(node);
    options.describe(node, spec.pairs().size());
    node.put("from", from).put("receiver", receivers).put("mlps", mlps.name()).put("at", at);
  }
}
