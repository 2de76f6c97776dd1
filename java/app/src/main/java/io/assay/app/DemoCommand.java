package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.PlantSearch.Finding;
import io.assay.app.PlantSearch.Searched;
import io.assay.app.PlantSearch.Way;
import io.assay.app.organism.Plant;
import io.assay.app.organism.PlantedLm;
import io.assay.app.report.View;
import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokSource;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** An audit from end to end, on a model whose hidden behaviours are known. */
@Command(
    name = "demo",
    description = {
      "Audits planted-lm, a small model with five planted behaviours.",
      "Shows what was planted beside what the search found, lets the model speak to check each"
          + " find, and shows that the same search finds nothing in a control without them. Writes"
          + " one HTML page of it, with a chapter on grok-113, a network that has learned to add."
    })
final class DemoCommand implements Callable<Integer> {
  @Mixin private Help help;
  @Mixin private Common common;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "Seed of the search (default: 1).")
  private long seed;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      defaultValue = "assay-demo",
      description = "Folder for the run's ledger and its page (default: assay-demo).")
  private Path folder;

  private static final String METHOD = "demo";
  private static final String ADDITION = "grok-113";

  @Override
  public Integer call() {
    return Recording.of(common, common.recordFolder(folder), METHOD, this::demo);
  }

  private int demo(Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    UnitListener<Searched> units = run.units(Searched.class, Searched::name);
    List<Plant> plants = new PlantedLm().plants();
    try (Engine engine = common.engine()) {
      Path organism = built(engine, PlantedLm.NAME, false);
      Path bare = built(engine, PlantedLm.CONTROL, true);
      LanguageModel model = engine.languageModel(organism.toString());
      LanguageModel control = engine.languageModel(bare.toString());
      Tokens tokens = new Tokens(model);

      envelope.device(engine);
      envelope.model(model.model());
      envelope.spec().put("seed", seed).put("control", control.model().sha256());
      envelope.describe(2L * PlantSearch.calls(plants).size());

      common.say("Searching " + PlantedLm.NAME + " for what was planted in it ...");
      PlantSearch planted = new PlantSearch(engine, model, organism);
      Optional<Map<String, Finding>> found = search(planted, plants, true, units);
      if (found.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      for (Plant plant : plants) {
        common.say(line(tokens, plant, found.get().get(plant.id())));
      }
      common.say("\nThe same searches, with the whole budget, in the control ...");
      PlantSearch bareSearch = new PlantSearch(engine, control, organism);
      Optional<Map<String, Finding>> none = search(bareSearch, plants, false, units);
      if (none.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      fill(envelope, tokens, plants, found.get(), none.get());
      long verified = envelope.metrics().path("verified").asLong();
      long inControl = envelope.metrics().path("control_found").asLong();
      common.say("found in the control: " + inControl + " of " + plants.size());
      List<View> more = addition(engine, envelope);
      Path page = DemoPage.write(common.recordFolder(folder), envelope, tokens::token, more);
      String text = envelope.text(page);
      run.complete(text);
      if (common.json()) {
        common.out().println(text);
      } else {
        common
            .out()
            .printf(
                Locale.ROOT,
                "%d of %d found and verified, %d in the control, %.0f s%npage: %s%n",
                verified,
                plants.size(),
                inControl,
                envelope.seconds(),
                page);
      }
      return verified == plants.size() && inControl == 0 ? 0 : 1;
    }
  }

  /** The chapter of the network that adds: by which frequencies, and since when. */
  private List<View> addition(Engine engine, Envelope envelope) {
    common.say("\nTaking " + ADDITION + " apart, a network that has learned to add mod 113 ...");
    GrokSource source = GrokSource.open(Organisms.folder(ADDITION));
    GrokAnalysis a =
        GrokAnalysis.run(engine, source, source.split(), List.of(), false, (_, _) -> {});
    double test = a.points().getLast().logits().test().accuracy();
    common.say(
        String.format(
            Locale.ROOT,
            "it adds by the frequencies %s; %.1f %% of pairs that it has not seen are right",
            a.keys().frequencies(),
            100 * test));
    ObjectNode node = envelope.result().putObject("grok").put("testAcc", test);
    node.set("keyFreqs", Envelope.JSON.valueToTree(a.keys().frequencies()));
    return GrokReport.chapter(a);
  }

  /**
   * The findings in the organism and in its control, as the demo's JSON has them; the seconds are
   * those of the calls, which several plants may share.
   */
  static void fill(
      Envelope envelope,
      Tokens tokens,
      List<Plant> plants,
      Map<String, Finding> found,
      Map<String, Finding> none) {
    ArrayNode list = envelope.result().putArray("plants");
    plants.forEach(p -> record(list.addObject(), tokens, p, found.get(p.id()), none.get(p.id())));
    envelope
        .metrics()
        .put("planted", plants.size())
        .put("found", found.values().stream().filter(Finding::found).count())
        .put("verified", found.values().stream().filter(Finding::verified).count())
        .put("control_found", none.values().stream().filter(Finding::found).count())
        .put("search_seconds", seconds(plants, found))
        .put("control_seconds", seconds(plants, none));
  }

  private static double seconds(List<Plant> plants, Map<String, Finding> findings) {
    return PlantSearch.calls(plants).stream()
        .mapToDouble(call -> findings.get(call.getFirst().id()).seconds())
        .sum();
  }

  /** Folder of an organism, which is trained first if it is not there. */
  private Path built(Engine engine, String name, boolean control) {
    Path path = Organisms.folder(name);
    if (!Organisms.isBuilt(path)) {
      common.say("Training " + name + ", which takes minutes ...");
      Organisms.build(engine, new PlantedLm(), control, path);
    }
    return path;
  }

  private Optional<Map<String, Finding>> search(
      PlantSearch search, List<Plant> plants, boolean untilFound, UnitListener<Searched> units) {
    try (ArcaProgress progress = new ArcaProgress(common, "arca")) {
      return search.all(plants, Way.ARCA, seed, untilFound, progress, units);
    }
  }

  private static String line(Tokens tokens, Plant plant, Finding finding) {
    return String.format(
        Locale.ROOT,
        "%n%s: %s%n  planted  %s%n  found    %s",
        plant.id(),
        plant.title(),
        words(tokens, plant.example(), plant.output()),
        finding.found()
            ? finding.audit().promptText()
                + " ->"
                + finding.audit().outputText()
                + (finding.verified() ? "  (decoded again: holds)" : "  (does not hold)")
            : "nothing");
  }

  private static String words(Tokens tokens, int[] prompt, int[] output) {
    return text(tokens, prompt) + " ->" + text(tokens, output);
  }

  private static String text(Tokens tokens, int[] ids) {
    return tokens.text(Arrays.stream(ids).boxed().toList());
  }

  private static void record(
      ObjectNode node, Tokens tokens, Plant plant, Finding found, Finding control) {
    node.put("id", plant.id()).put("title", plant.title());
    node.put("mode", plant.mode().name().toLowerCase(Locale.ROOT));
    ObjectNode planted = node.putObject("planted");
    planted
        .put("prompt", text(tokens, plant.example()))
        .put("output", text(tokens, plant.output()));
    planted.set("promptIds", Envelope.JSON.valueToTree(plant.example()));
    planted.set("outputIds", Envelope.JSON.valueToTree(plant.output()));
    if (found.found()) {
      ObjectNode f = node.putObject("found");
      f.put("prompt", found.audit().promptText()).put("output", found.audit().outputText());
      f.set("promptIds", Envelope.JSON.valueToTree(found.audit().promptIds()));
      f.set("outputIds", Envelope.JSON.valueToTree(found.audit().outputIds()));
      f.put("logProbability", found.audit().LP()).put("updates", found.audit().coordinateUpdates());
    } else {
      node.putNull("found");
    }
    node.put("verified", found.verified())
        .put("control_found", control.found())
        .put("best", found.best())
        .put("control_best", control.best())
        .put("control_sequences", control.sequences())
        .put("seconds", found.seconds())
        .put("control_seconds", control.seconds());
  }
}
