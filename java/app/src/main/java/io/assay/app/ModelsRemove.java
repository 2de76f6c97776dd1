package io.assay.app;

import io.assay.engine.model.ModelStore;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** Removes a model from the user's data folder. */
@Command(
    name = "remove",
    description = "Removes a model that was imported; the files it came from stay.")
final class ModelsRemove implements Callable<Integer> {
  @Mixin private Help help;

  @Parameters(paramLabel = "NAME", description = "A name that `assay models list` shows.")
  private String name;

  @Mixin private DataFolder folder;
  @Mixin private Common common;

  @Override
  public Integer call() {
    Envelope envelope = new Envelope("models.remove");
    envelope.spec().put("name", name);
    ModelStore.Entry entry = folder.store().remove(name);
    envelope.model(entry.name(), entry.sha256());
    envelope.result().put("name", entry.name()).put("bytes", entry.bytes());
    if (common.json()) {
      common.out().println(envelope.text(null));
    } else {
      common.out().printf("%s is removed: %.1f MB%n", entry.name(), entry.bytes() / 1e6);
    }
    return 0;
  }
}
