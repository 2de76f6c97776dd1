package io.assay.app;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.Model;
import io.assay.engine.model.ModelCheck;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Says what a model is. */
@Command(
    name = "info",
    description = {
      "Says what a model is: shape, inputs, outputs, tokenizer.",
      "`no_gradient` names the operators of its graph that gradients cannot pass; those that need",
      "not pass them are known all the same."
    },
    footer = {
      "",
      "In a type a name stands for a size that is free, ? for a shape that is not known. Where the",
      "file states none, --values shows that of a run on three rows, free axes 7 long (or longer,",
      "where that does not run)."
    })
final class ModelsInfo implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Mixin private ModelArgument argument;

  @Option(
      names = "--values",
      description = "List every input, weight and value too: NAME of `models run`, type, operator.")
  private boolean values;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.info");
    try (Model model = argument.load()) {
      envelope.model(model);
      describe(model, envelope.result());
      if (values) {
        values(model, envelope.result().putArray("values"));
      }
      if (common.json()) {
        common.out().println(envelope.text(null));
      } else {
        common.out().printf("%-13s %s%n", "name", model.name());
        common.out().printf("%-13s %s%n", "sha256", model.sha256());
        envelope
            .result()
            .properties()
            .forEach(
                e -> {
                  if (e.getKey().equals("checks")) {
                    e.getValue().properties().forEach(c -> line(c.getKey(), c.getValue()));
                  } else if (e.getKey().equals("values")) {
                    e.getValue().forEach(this::value);
                  } else {
                    line(e.getKey(), e.getValue());
                  }
                });
      }
    }
    return 0;
  }

  private void line(String name, JsonNode value) {
    Object text = value.has("status") ? value.get("text").textValue() : value;
    common.out().printf("%-13s %s%n", name, value.isTextual() ? value.textValue() : text);
  }

  private void value(JsonNode value) {
    String type = value.get("type").asText("?");
    common
        .out()
        .println(
            "%-8s %-48s %-28s %s"
                .formatted(
                    value.get("kind").textValue(),
                    value.get("name").textValue(),
                    type,
                    value.path("operator").asText(""))
                .stripTrailing());
  }

  private static void values(Model model, ArrayNode into) {
    Graph graph = model.graph();
    model
        .valueTypes()
        .forEach(
            (name, type) -> {
              Tensor constant = graph.constant(name);
              String kind = constant == null ? "value" : "constant";
              kind = isWeight(constant) ? "weight" : kind;
              kind = graph.inputs().contains(name) ? "input" : kind;
              kind = graph.outputs().contains(name) ? "output" : kind;
              ObjectNode value = into.addObject().put("name", name).put("kind", kind);
              value.put("type", type == null ? null : type.toString());
              if (graph.producer(name) != null) {
                value.put("operator", graph.producer(name).qualifiedOp());
              }
            });
  }

  private static boolean isWeight(Tensor constant) {
    return constant != null && constant.dtype().isFloat() && constant.rank() > 0;
  }

  private static void describe(Model model, ObjectNode result) {
    Graph graph = model.graph();
    types(graph, graph.inputs(), result.putObject("inputs"));
    types(graph, graph.outputs(), result.putObject("outputs"));
    long parameters =
        graph.constants().values().stream()
            .filter(ModelsInfo::isWeight)
            .mapToLong(Tensor::elements)
            .sum();
    result.put("parameters", parameters);
    result.put("widened", model.widened());
    result.put("nodes", graph.nodes().size());
    graph.withoutGradient().forEach(result.putArray("no_gradient")::add);
    result.put("hooks", model.hooks().names().size());
    model.gpt2().ifPresent(config -> shape(config, result.putObject("gpt2")));
    result.put(
        "tokenizer", model.tokenizer().map(t -> t.size() + " tokens").orElse("none: ids only"));
    model.check().ifPresent(check -> checks(check, result));
  }

  /** What running a model on import said. */
  static void checks(ModelCheck check, ObjectNode result) {
    ObjectNode checks = result.putObject("checks");
    check
        .findings()
        .forEach(
            (name, finding) ->
                checks
                    .putObject(name)
                    .put("status", finding.status().name().toLowerCase(Locale.ROOT))
                    .put("text", finding.text()));
  }

  private static void types(Graph graph, List<String> values, ObjectNode into) {
    for (String value : values) {
      TensorType type = graph.type(value);
      into.put(value, type == null ? null : type.toString());
    }
  }

  private static void shape(Gpt2Config c, ObjectNode into) {
    into.put("layers", c.layers())
        .put("heads", c.heads())
        .put("width", c.width())
        .put("inner", c.inner())
        .put("context", c.context())
        .put("vocabulary", c.vocabulary())
        .put("activation", c.activation())
        .put("tied", c.tied());
  }
}
