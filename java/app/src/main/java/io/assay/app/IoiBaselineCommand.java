package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.ioi.Form;
import io.assay.audit.ioi.IoiBaseline;
import io.assay.audit.ioi.IoiBaseline.Scored;
import io.assay.audit.ioi.IoiBaseline.Summary;
import io.assay.audit.ioi.IoiGenerator;
import io.assay.audit.ioi.IoiPrompt;
import io.assay.audit.ioi.IoiSpec;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.run.Run;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Predicate;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Measures how well a model does the task. */
@Command(
    name = "baseline",
    sortOptions = false,
    description = {
      "Measures how well a model does the task.",
      "IO is the name that was mentioned once, S the one who acts. The logit difference is"
          + " logit(IO) - logit(S) behind the prompt, in nats; IO over S counts where it is"
          + " positive."
    },
    footer = {"", "  assay ioi baseline ioi-lm", "  assay ioi baseline gpt2 --prompts 1000 --json"})
final class IoiBaselineCommand implements Callable<Integer> {
  private static final String METHOD = "ioi.baseline";

  @Mixin private Help help;
  @Mixin private IoiOptions options;
  @Mixin private Common common;

  @Override
  public Integer call() {
    IoiSpec spec = options.prompts().spec(options.bos());
    return Recording.of(common, options.folder(common), METHOD, run -> measure(spec, run));
  }

  /**
   * The tokenizer of a model.
   *
   * @throws InputException if it has none
   */
  static Tokenizer tokenizer(LanguageModel model) {
    return model
        .tokenizer()
        .orElseThrow(
            () ->
                new InputException(
                    "the model "
                        + model.model().name()
                        + " has no tokenizer, without which no prompt can be drawn; put a"
                        + " tokenizer.json beside it"));
  }

  private int measure(IoiSpec spec, Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    try (Engine engine = common.engine()) {
      LanguageModel model = engine.languageModel(options.model());
      IoiGenerator generator = new IoiGenerator(spec, tokenizer(model));
      generator.warnings().forEach(common::warn);
      envelope.device(engine);
      envelope.model(model.model());
      envelope.spec().put("model", options.model());
      IoiPrompts.describe(envelope.spec(), spec, generator.words());
      envelope.describe(1);
      IoiBaseline baseline = IoiBaseline.run(engine, model, generator.prompts());
      if (run.done().isEmpty()) {
        run.finish("prompts", "{}");
      }
      summary(envelope.metrics(), baseline.summary());
      ArrayNode templates = envelope.result().putArray("templates");
      for (int template : spec.templates().stream().distinct().sorted().toList()) {
        group(templates, "template", template, baseline, p -> p.template() == template);
      }
      ArrayNode forms = envelope.result().putArray("forms");
      for (Form form : Form.values()) {
        group(forms, "form", form, baseline, p -> p.form() == form);
      }
      ArrayNode prompts = envelope.result().putArray("prompts");
      baseline.prompts().forEach(s -> prompts.add(scored(s, new Tokens(model))));
      Path report = IoiReport.baseline(options.folder(common), envelope, baseline);
      return Recording.complete(common, run, envelope, report, () -> table(envelope));
    }
  }

  private static void group(
      ArrayNode list, String field, Object value, IoiBaseline all, Predicate<IoiPrompt> which) {
    if (all.prompts().stream().anyMatch(s -> which.test(s.prompt()))) {
      ObjectNode node = list.addObject();
      node.set(field, Envelope.JSON.valueToTree(value));
      summary(node, all.summary(which));
    }
  }

  private static void summary(ObjectNode node, Summary s) {
    node.put("prompts", s.prompts()).put("logitDifference", s.logitDifference());
    number(node, "deviation", s.deviation());
    number(node, "interval", s.interval());
    node.put("answerOverWrong", s.answerOverWrong())
        .put("answered", s.answered())
        .put("answerProbability", s.answerProbability());
  }

  /** A number that is none is null in JSON. */
  static void number(ObjectNode node, String field, double value) {
    node.put(field, Double.isNaN(value) ? null : value);
  }

  private static ObjectNode scored(Scored s, Tokens tokens) {
    return Envelope.JSON
        .createObjectNode()
        .put("text", s.prompt().text())
        .put("io", s.prompt().io())
        .put("s", s.prompt().s())
        .put("template", s.prompt().template())
        .put("form", s.prompt().form().name())
        .put("logitDifference", s.logitDifference())
        .put("answerProbability", s.answerProbability())
        .put("said", tokens.token(s.said()));
  }

  private void table(Envelope envelope) {
    common
        .out()
        .println("           prompts  logit difference  IO over S  says IO  probability of IO");
    envelope
        .result()
        .path("templates")
        .forEach(n -> line("template " + n.path("template").asInt(), (ObjectNode) n));
    envelope.result().path("forms").forEach(n -> line(n.path("form").asText(), (ObjectNode) n));
    line("all", envelope.metrics());
  }

  private void line(String of, ObjectNode n) {
    String interval =
        n.path("interval").isNull()
            ? ""
            : String.format(Locale.ROOT, "± %.2f", n.path("interval").asDouble());
    common
        .out()
        .printf(
            Locale.ROOT,
            "%-11s  %6d  %7.2f  %-7s  %7.1f %%  %5.1f %%  %15.1f %%%n",
            of,
            n.path("prompts").asInt(),
            n.path("logitDifference").asDouble(),
            interval,
            100 * n.path("answerOverWrong").asDouble(),
            100 * n.path("answered").asDouble(),
            100 * n.path("answerProbability").asDouble());
  }
}
