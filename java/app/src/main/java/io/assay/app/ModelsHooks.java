package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.Model;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Lists the hook points of a model. */
@Command(
    name = "hooks",
    description = "Lists the hook points of a model: names for `models run --expose` and --wrt.")
final class ModelsHooks implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Mixin private ModelArgument argument;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.hooks");
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
          common.warn("no hook names are known for " + argument);
        }
      }
    }
    return 0;
  }

  private static String text(TensorType type) {
    return type == null ? null : type.toString();
  }
}
