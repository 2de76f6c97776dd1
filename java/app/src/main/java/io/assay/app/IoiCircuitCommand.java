package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.ioi.Ablation;
import io.assay.audit.ioi.CircuitAudit;
import io.assay.audit.ioi.CircuitResult;
import io.assay.audit.ioi.CircuitSpec;
import io.assay.audit.ioi.Circuits;
import io.assay.audit.ioi.Circuits.Evaluated;
import io.assay.audit.ioi.Gpt2SmallCircuit;
import io.assay.audit.ioi.IoiGenerator;
import io.assay.audit.ioi.IoiSpec;
import io.assay.audit.ioi.Node;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Finds the heads that do the task, and tests whether they do. */
@Command(
    name = "circuit",
    sortOptions = false,
    description = {
      "Finds the attention heads that do the task, and tests whether they do.",
      "Heads are knocked out by the mean of their output over corrupted prompts of the same"
          + " template; MLPs, layer norms and embeddings stay. The circuit is searched on some"
          + " prompts and tested on others. It is claimed if the model prefers IO on 90 %% of the"
          + " prompts and the circuit keeps 80 %% of the logit difference."
    },
    footer = {
      "",
      "  assay ioi circuit ioi-lm --prompts 300",
      "  assay ioi circuit gpt2 --heads gpt2-small"
    })
final class IoiCircuitCommand implements Callable<Integer> {
  private static final String METHOD = "ioi.circuit";

  @Mixin private Help help;
  @Mixin private IoiOptions options;

  @Option(
      names = "--heads",
      paramLabel = "L.H,...",
      split = ",",
      description =
          "Test this circuit instead of searching one: layer.head, with @IO, @S1, @S1+1, @S2 or"
              + " @END for one position.")
  private List<String> given = List.of();

  @Option(
      names = "--ablation",
      paramLabel = "mean|resample|zero",
      defaultValue = "mean",
      description =
          "What replaces a head: its mean over corrupted prompts of the template, its value in the"
              + " prompt's own corrupted partner, or zero (default: mean).")
  private Ablation ablation;

  @Option(
      names = "--references",
      paramLabel = "N",
      defaultValue = "100",
      description = "Corrupted prompts of each template for the means (default: 100).")
  private int references;

  @Option(
      names = "--target",
      paramLabel = "SHARE",
      defaultValue = "0.8",
      description = "Share of the logit difference that the search keeps (default: 0.8).")
  private double target;

  @Option(
      names = "--random",
      paramLabel = "N",
      defaultValue = "20",
      description = "Random subsets of a large circuit to remove (default: 20).")
  private int random;

  @Option(
      names = "--greedy",
      paramLabel = "N",
      defaultValue = "10",
      description = "Greedy subsets of a large circuit to remove (default: 10).")
  private int greedy;

  @Mixin private Common common;

  @Override
  public Integer call() {
    if (!given.isEmpty()) {
      common.refuseIdle("--heads", "leave out --heads, so that a circuit is searched", "--target");
    }
    if (ablation != Ablation.MEAN) {
      String named = "--ablation " + ablation.name().toLowerCase(Locale.ROOT);
      common.refuseIdle(named, "choose --ablation mean", "--references");
    }
    IoiSpec prompts = options.prompts().spec(options.bos());
    CircuitSpec spec =
        new CircuitSpec(prompts, ablation, references, target, nodes(), random, greedy);
    return Recording.of(common, options.folder(common), METHOD, run -> audit(spec, run));
  }

  private List<Node> nodes() {
    return given.equals(List.of("gpt2-small"))
        ? Gpt2SmallCircuit.nodes()
        : given.stream().map(Node::parse).toList();
  }

  private int audit(CircuitSpec spec, Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(options.model());
      IoiGenerator generator =
          new IoiGenerator(spec.prompts(), IoiBaselineCommand.tokenizer(model));
      envelope.device(engine);
      envelope.model(model.model());
      describe(envelope.spec(), spec, generator);
      envelope.describe(CircuitAudit.most(model, spec));
      Optional<CircuitResult> end;
      try (Progress progress = new Progress(common, CircuitAudit.most(model, spec), run)) {
        end = CircuitAudit.run(engine, model, spec, progress);
      }
      if (end.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      CircuitResult result = end.get();
      result.warnings().forEach(common::warn);
      fill(envelope, result);
      Path report =
          IoiReport.circuit(
              options.folder(common), envelope, spec, result, new Tokens(model)::token);
      return Recording.complete(common, run, envelope, report, () -> print(result));
    }
  }

  /** Keeps what was evaluated, and shows how far it is. */
  private static final class Progress implements Circuits.Listener, AutoCloseable {
    private final Bar bar;
    private final UnitListener<Evaluated> units;
    private final long most;
    private long done;

    Progress(Common common, long most, Run run) {
      this.bar = new Bar(common, "circuit", "sets of heads");
      this.units = run.units(Evaluated.class, Evaluated::name);
      this.most = most;
      this.done = units.done().size();
    }

    @Override
    public List<Evaluated> done() {
      return units.done();
    }

    @Override
    public void finished(Evaluated unit) {
      units.finished(unit);
      done++;
      String state = String.format(Locale.ROOT, "F %.2f", Circuits.mean(unit.logitDifferences()));
      bar.show(
          done,
          most,
          Optional.empty(),
          state,
          () -> "%d of at most %d sets of heads, %s".formatted(done, most, state));
    }

    @Override
    public boolean cancelled() {
      return units.cancelled();
    }

    @Override
    public void close() {
      bar.close();
    }
  }

  /** The choices that a result depends on, in words. */
  static Map<String, String> choices(CircuitSpec spec) {
    boolean given = spec.given().stream().anyMatch(n -> !n.equals(Node.of(n.layer(), n.head())));
    return Map.of(
        "granularity",
        "attention heads, as nodes: all that a head writes",
        "component",
        "outputs of heads; MLPs, layer norms and embeddings are never replaced",
        "ablation",
        switch (spec.ablation()) {
          case MEAN ->
              "mean over "
                  + spec.references()
                  + " corrupted prompts of the same template, at the same position";
          case RESAMPLE -> "the value in the prompt's own corrupted partner";
          case ZERO -> "zero";
        },
        "positions",
        given ? "those named for each head" : "all",
        "direction",
        "noising: what is outside of the circuit is knocked out in the clean prompt",
        "set",
        spec.prompts().prompts()
            + " prompts that the search has not seen, of "
            + spec.prompts().templates().size()
            + " templates, "
            + spec.prompts().forms()
            + (spec.prompts().bos() ? ", behind a BOS" : ", without a BOS"));
  }

  private void describe(ObjectNode node, CircuitSpec spec, IoiGenerator generator) {
    node.put("model", options.model());
    IoiPrompts.describe(node, spec.prompts(), generator.words());
    node.put("ablation", spec.ablation().name()).put("references", spec.references());
    node.put("target", spec.target());
    node.set("given", names(spec.given()));
    node.put("randomSets", spec.randomSets()).put("greedySets", spec.greedySets());
    node.set("choices", Envelope.JSON.valueToTree(choices(spec)));
  }

  private static ArrayNode names(List<Node> nodes) {
    ArrayNode list = Envelope.JSON.createArrayNode();
    nodes.forEach(n -> list.add(n.toString()));
    return list;
  }

  private static void fill(Envelope envelope, CircuitResult r) {
    ObjectNode metrics = envelope.metrics();
    metrics.put("claimed", r.isClaimed()).put("logitDifference", r.model());
    metrics.put("positive", r.positive());
    IoiBaselineCommand.number(metrics, "circuitLogitDifference", r.inCircuit());
    IoiBaselineCommand.number(metrics, "faithfulness", r.faithfulness());
    IoiBaselineCommand.number(metrics, "mostIncomplete", r.mostIncomplete());
    metrics.put("heads", r.headsOfCircuit().size());
    metrics.put("headsOfModel", r.layers() * r.heads());
    ObjectNode result = envelope.result();
    result.put("reason", r.reason());
    result.set("circuit", names(r.circuit()));
    ArrayNode search = result.putArray("search");
    r.search()
        .forEach(
            s ->
                search
                    .addObject()
                    .put("removed", s.removed().toString())
                    .put("added", s.added() == null ? null : s.added().toString())
                    .put("left", s.left())
                    .put("logitDifference", s.logitDifference()));
    ArrayNode completeness = result.putArray("completeness");
    r.completeness()
        .forEach(
            c ->
                completeness
                    .addObject()
                    .put("kind", c.kind())
                    .put("circuit", c.circuit())
                    .put("model", c.model())
                    .put("incompleteness", c.incompleteness())
                    .set("removed", names(c.removed())));
    ArrayNode minimality = result.putArray("minimality");
    r.minimality()
        .forEach(
            m ->
                minimality
                    .addObject()
                    .put("head", m.node().toString())
                    .put("with", m.with())
                    .put("without", m.without())
                    .put("value", m.value())
                    .set("removed", names(m.removed())));
    ArrayNode attention = result.putArray("attention");
    r.attention()
        .forEach(
            a ->
                attention
                    .addObject()
                    .put("name", a.name())
                    .set("values", Envelope.JSON.valueToTree(a.shares())));
    result.set("copies", Envelope.JSON.valueToTree(r.copies()));
    ArrayNode edges = result.putArray("edges");
    r.edges()
        .forEach(
            e ->
                edges
                    .addObject()
                    .put("from", e.from().toString())
                    .put("to", e.to() == null ? "logits" : e.to().toString())
                    .put("effect", e.effect()));
    ArrayNode prompts = result.putArray("prompts");
    for (int i = 0; i < r.whole().length; i++) {
      ObjectNode node = prompts.addObject().put("text", r.prompts().get(i).text());
      node.put("model", r.whole()[i]);
      node.put("circuit", r.kept().length == 0 ? null : r.kept()[i]);
    }
    result.set("warnings", Envelope.JSON.valueToTree(r.warnings()));
  }

  private void print(CircuitResult r) {
    common
        .out()
        .printf(
            Locale.ROOT,
            "logit difference %.3f nats, IO over S on %.1f %% of %d prompts%n",
            r.model(),
            100 * r.positive(),
            r.whole().length);
    if (!r.circuit().isEmpty()) {
      common
          .out()
          .printf(
              Locale.ROOT,
              "circuit of %d of %d heads: %s%nkeeps %.3f nats, %.1f %%; largest incompleteness %.3f"
                  + " nats%n%nhead      with it  without  by itself removed behind%n",
              r.circuit().size(),
              r.layers() * r.heads(),
              r.circuit().stream().map(Node::toString).collect(Collectors.joining(" ")),
              r.inCircuit(),
              100 * r.faithfulness(),
              r.mostIncomplete());
      for (CircuitResult.Minimality m : r.minimality()) {
        common
            .out()
            .printf(
                Locale.ROOT,
                "%-8s  %7.3f  %7.3f  %s%n",
                m.node(),
                m.with(),
                m.without(),
                m.removed());
      }
    }
    common.out().println(r.isClaimed() ? "claimed" : "no circuit is claimed: " + r.reason());
  }
}
