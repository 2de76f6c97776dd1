package io.assay.app;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.AttributeSpec;
import io.assay.engine.patch.AttributeSpec.Method;
import io.assay.engine.patch.AttributeUnit;
import io.assay.engine.patch.Attribution;
import io.assay.engine.patch.DirectAttribution;
import io.assay.engine.patch.EdgeAttribution;
import io.assay.engine.patch.EdgeMap;
import io.assay.engine.patch.PatchMap;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** First-order estimates of patches. */
@Command(
    name = "attribute",
    sortOptions = false,
    description = {
      "Estimates all patches at once by gradients: of components (ap), or of edges between them"
          + " (eap,",
      "eap-ig). The values are changes of the metric. Where attention is saturated they are 0"
          + " though the",
      "effect is large: compare with `patch sweep`. Shares out the metric of the prompt that runs"
          + " among what",
      "writes towards it (dla)."
    },
    footer = {
      "",
      "  assay patch attribute gpt2 --pairs pairs.jsonl --direction denoise",
      "  assay patch attribute gpt2 --pairs pairs.jsonl --direction noise --method eap-ig"
    })
final class PatchAttribute implements Callable<Integer> {
  private static final String METHOD = "patch.attribute";

  @Mixin private Help help;
  @Mixin private PatchOptions options;

  @Option(
      names = "--method",
      paramLabel = "ap|eap|eap-ig|dla",
      defaultValue = "ap",
      description = "What is estimated (default: ${DEFAULT-VALUE}).")
  private String method;

  @Option(
      names = "--at",
      paramLabel = "HOOKS",
      defaultValue = "blocks.*.attn.hook_z",
      description = "Components, for ap and dla (default: ${DEFAULT-VALUE}).")
  private String at;

  @Option(
      names = "--steps",
      paramLabel = "M",
      defaultValue = "5",
      description = "Gradients that eap-ig takes the mean of (default: ${DEFAULT-VALUE}).")
  private int steps;

  @Option(
      names = "--rule",
      paramLabel = "gauss-legendre|midpoint|legacy",
      defaultValue = "gauss-legendre",
      description =
          "Where eap-ig takes them; legacy is the sum of the released code (default:"
              + " ${DEFAULT-VALUE}).")
  private String rule;

  @Option(
      names = "--edges",
      paramLabel = "N",
      defaultValue = "30",
      description = "Edges that are chosen for a circuit, for eap and eap-ig (default: 30).")
  private int count;

  /** How edges are chosen. */
  private enum Selection {
    GREEDY,
    TOP
  }

  @Option(
      names = "--select",
      paramLabel = "greedy|top",
      defaultValue = "greedy",
      description =
          "greedy: from the logits on, always the largest that leads to what is chosen. top: the"
              + " largest of all (default: ${DEFAULT-VALUE}).")
  private Selection select;

  @Mixin private Common common;

  @Override
  public Integer call() {
    Method chosen = PatchOptions.choice(Method.class, "--method", method);
    refuseIdle(chosen);
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(options.model());
      AttributeSpec spec =
          new AttributeSpec(
              chosen,
              at,
              steps,
              PatchOptions.choice(AttributeSpec.Rule.class, "--rule", rule),
              options.direction(),
              options.metric(),
              options.pairs(model));
      return Recording.of(
          common, options.folder(common), METHOD, run -> run(run, engine, model, spec));
    }
  }

  private void refuseIdle(Method chosen) {
    String named = "--method " + method;
    if (chosen != Method.EAP_IG) {
      common.refuseIdle(named, "choose --method eap-ig", "--steps", "--rule");
    }
    if (isOfEdges(chosen)) {
      common.refuseIdle(named, "choose --method ap or dla", "--at", "--per-pair");
    } else {
      common.refuseIdle(named, "choose --method eap or eap-ig", "--edges", "--select");
    }
  }

  private int run(Run run, Engine engine, LanguageModel model, AttributeSpec spec) {
    Envelope envelope = Envelope.of(METHOD, run);
    envelope.device(engine);
    envelope.model(model.model());
    describe(envelope.spec(), spec);
    int pairs = spec.pairs().size();
    int units = isOfEdges(spec.method()) ? EdgeAttribution.units(pairs) : pairs;
    envelope.describe(units);
    try (PatchProgress<AttributeUnit> progress =
        new PatchProgress<>(
            common, method, units, run.units(AttributeUnit.class, AttributeUnit::name))) {
      return switch (spec.method()) {
        case AP -> components(run, envelope, spec, Attribution.run(engine, model, spec, progress));
        case DLA ->
            components(run, envelope, spec, DirectAttribution.run(engine, model, spec, progress));
        case EAP, EAP_IG ->
            edges(run, envelope, spec, EdgeAttribution.run(engine, model, spec, progress));
      };
    }
  }

  private int components(Run run, Envelope envelope, AttributeSpec spec, PatchMap map) {
    if (map.cancelled()) {
      return Recording.INTERRUPTED;
    }
    PatchJson.estimates(envelope, map, options.perPair(), spec.method());
    Path report =
        new PatchReport(options.folder(common), envelope, choices(spec), spec.metric())
            .write(map, null, List.of());
    return Recording.complete(
        common,
        run,
        envelope,
        report,
        () -> PatchTable.estimates(common, map, spec.metric(), spec.direction()));
  }

  private int edges(Run run, Envelope envelope, AttributeSpec spec, EdgeMap map) {
    if (map.cancelled()) {
      return Recording.INTERRUPTED;
    }
    List<EdgeMap.Edge> circuit = select == Selection.TOP ? map.top(count) : map.greedy(count);
    PatchJson.fill(envelope, map, circuit);
    Path report =
        new PatchReport(options.folder(common), envelope, choices(spec), spec.metric())
            .write(map, circuit);
    return Recording.complete(
        common,
        run,
        envelope,
        report,
        () -> PatchTable.print(common, map, circuit, spec.metric(), spec.direction()));
  }

  private static boolean isOfEdges(Method method) {
    return method == Method.EAP || method == Method.EAP_IG;
  }

  private PatchChoices choices(AttributeSpec spec) {
    boolean edges = isOfEdges(spec.method());
    boolean direct = spec.method() == Method.DLA;
    return new PatchChoices(
        direct
            ? "nodes, by what they write themselves (dla)"
            : (edges ? "edges" : "nodes") + ", to first order (" + method + ")",
        edges ? "all heads, MLPs, the input and the logits" : at,
        direct ? "nothing: shares of the metric" : "that of the pair's other prompt",
        direct
            ? "the last position"
            : edges ? "summed over all positions" : "one position at a time",
        options.directionWords(),
        options.setWords(spec.pairs().size()));
  }

  private void describe(ObjectNode node, AttributeSpec spec) {
    choices(spec).put(node);
    options.describe(node, spec.pairs().size());
    node.put("method", spec.method().name()).put("at", at);
    node.put("steps", steps).put("rule", spec.rule().name());
    node.put("edges", count).put("select", select.name());
  }
}
