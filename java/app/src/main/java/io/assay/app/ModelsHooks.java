package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.HookProposal;
import io.assay.engine.model.HookProposals;
import io.assay.engine.model.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Lists the hook points of a model. */
@Command(
    name = "hooks",
    description = {
      "Lists the hook points of a model: names for `models run --expose` and --wrt.",
      "For the ONNX file of a transformer that is not known, --propose finds hook points by the",
      "structure of its graph and checks them by running it on drawn inputs; --write keeps them in",
      "a hook map for you to correct, which is read where it lies beside the model.",
      "In the map a hook is a value of the graph, NAME, or {\"value\": NAME, \"heads\": 4,",
      "\"transpose\": [0, 2, 1, 3], \"rows\": OTHER}: heads splits the last axis, transpose orders"
          + " the",
      "axes, rows splits the first axis as the first two of another value are, * is any block.",
      "`models info MODEL --values` lists the values."
    },
    footer = {
      "",
      "  assay models hooks llama.onnx --propose --write llama.hooks.json",
      "  assay models hooks llama.onnx"
    })
final class ModelsHooks implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Mixin private ModelArgument argument;

  @Option(
      names = "--propose",
      description = "Propose hook points by the structure of the graph, and say how sure they are.")
  private boolean propose;

  @Option(
      names = "--write",
      paramLabel = "FILE",
      description = "Write the proposals as a hook map, NAME.hooks.json beside NAME.onnx.")
  private Path write;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.hooks");
    if (propose) {
      propose(envelope);
      return 0;
    }
    if (write != null) {
      throw new InputException("--write keeps what is proposed; give --propose too");
    }
    try (Model model = argument.load()) {
      Map<String, String> hooks = model.hooks().values();
      if (common.json()) {
        envelope.model(model);
        ArrayNode list = envelope.result().putArray("hooks");
        hooks.forEach(
            (name, value) ->
                list.addObject()
                    .put("name", name)
                    .put("value", value)
                    .put("type", text(model.graph().type(value))));
        common.out().println(envelope.text(null));
      } else {
        hooks.keySet().forEach(common.out()::println);
        if (hooks.isEmpty()) {
          common.warn("no hook names are known for " + argument + "; --propose looks for some");
        }
      }
    }
    return 0;
  }

  private void propose(Envelope envelope) {
    Path file = argument.path();
    if (!file.toString().endsWith(".onnx")) {
      throw new InputException(
          "hooks are proposed for ONNX files; those of " + argument + " are known");
    }
    if (write != null && Files.exists(write)) {
      throw new InputException(
          "the file " + write + " is there already; remove it, or give --write another name");
    }
    HookProposals proposals;
    try (Engine engine = common.engine()) {
      proposals = HookProposals.of(file, engine.evaluator());
      envelope.device(engine.options());
    }
    boolean written =
        write != null && !(proposals.hooks().isEmpty() && proposals.names().isEmpty());
    if (written) {
      try {
        Files.writeString(write, proposals.toHookMap());
      } catch (IOException e) {
        throw new InputException("the file " + write + " cannot be written: " + e.getMessage(), e);
      }
    }
    if (common.json()) {
      ArrayNode list = envelope.result().putArray("hooks");
      for (HookProposal p : proposals.hooks()) {
        ObjectNode hook =
            list.addObject()
                .put("name", p.hook())
                .put("value", p.value())
                .put("rows", p.rows())
                .put("heads", p.heads())
                .put("sure", p.checked() ? "checked" : "likely")
                .put("why", p.why());
        p.transpose().forEach(hook.putArray("transpose")::add);
      }
      ObjectNode names = envelope.result().putObject("names");
      proposals.names().forEach(names::put);
      proposals.notes().forEach(envelope.result().putArray("notes")::add);
      envelope.result().put("written", written ? write.toString() : null);
      common.out().println(envelope.text(null));
      return;
    }
    for (HookProposal p : proposals.hooks()) {
      common.out().printf("%-34s %-8s %s%n", p.hook(), p.checked() ? "checked" : "likely", p.why());
    }
    proposals.names().forEach((ours, theirs) -> common.say(theirs + " is taken for " + ours));
    proposals.notes().forEach(note -> common.say("note: " + note));
    if (write != null && !written) {
      common.warn("nothing is written to " + write + ", since nothing was found");
    }
    if (written) {
      common.say(
          "written to " + write + "; correct it, then `assay models hooks " + argument + "`");
    }
  }

  private static String text(TensorType type) {
    return type == null ? null : type.toString();
  }
}
