package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import io.assay.engine.model.ModelStore;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Lists the models that have a name. */
@Command(
    name = "list",
    description = "Lists the models that have a name: those imported, and those that come along.")
final class ModelsList implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private DataFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.list");
    List<ModelStore.Entry> models = folder.store().list();
    if (common.json()) {
      ArrayNode list = envelope.result().putArray("models");
      for (ModelStore.Entry m : models) {
        list.addObject()
            .put("name", m.name())
            .put("kind", kind(m))
            .put("path", m.path().toString())
            .put("bytes", m.bytes())
            .put("sha256", m.sha256());
      }
      common.out().println(envelope.text(null));
    } else {
      models.forEach(
          m -> common.out().printf("%-24s %-9s %9.1f MB%n", m.name(), kind(m), m.bytes() / 1e6));
      if (models.isEmpty()) {
        common.say("no model yet; `assay models import PATH` adds one");
      }
    }
    return 0;
  }

  private static String kind(ModelStore.Entry model) {
    return model.bundled() ? "organism" : "imported";
  }
}
