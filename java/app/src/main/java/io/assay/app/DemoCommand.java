package io.assay.app;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.PlantSearch.Finding;
import io.assay.app.PlantSearch.Searched;
import io.assay.app.PlantSearch.Way;
import io.assay.app.organism.IoiLm;
import io.assay.app.organism.Organism;
import io.assay.app.organism.Plant;
import io.assay.app.organism.PlantedLm;
import io.assay.app.report.View;
import io.assay.audit.grok.GrokAnalysis;
import io.assay.audit.grok.GrokSource;
import io.assay.audit.ioi.CircuitAudit;
import io.assay.audit.ioi.CircuitResult;
import io.assay.audit.ioi.CircuitSpec;
import io.assay.audit.ioi.Circuits;
import io.assay.audit.ioi.IoiSpec;
import io.assay.audit.ioi.Node;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Audits from end to end, on models about which something is known. */
@Command(
    name = "demo",
    description = {
      "Audits planted-lm, a small model with five planted behaviours, and ioi-lm, which completes"
          + " sentences with the right one of two names.",
      "Shows what was planted beside what the search found, lets the model speak to check each"
          + " find, and shows that the same search finds nothing in a control without them. Finds"
          + " the attention heads by which ioi-lm does its task, and that its control has none."
          + " Writes one HTML page of it, with a chapter on grok-113, a network that has learned to"
          + " add."
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

  /** Prompts on which the circuit is searched, and as many on which it is tested. */
  private static final int PROMPTS = 96;

  @Override
  public Integer call() {
    return Recording.of(common, common.recordFolder(folder), METHOD, this::demo);
  }

  private int demo(Run run) {
    Envelope envelope = Envelope.of(METHOD, run);
    UnitListener<Searched> units = run.units(Searched.class, Searched::name);
    List<Plant> plants = new PlantedLm().plants();
    try (Engine engine = common.engine()) {
      Path organism = built(engine, new PlantedLm(), false);
      Path bare = built(engine, new PlantedLm(), true);
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
      Optional<CircuitResult> circuit = circuit(engine, false, units);
      Optional<CircuitResult> bareCircuit = circuit(engine, true, units);
      if (circuit.isEmpty() || bareCircuit.isEmpty()) {
        return Recording.INTERRUPTED;
      }
      boolean localised = circuit.get().isClaimed() && !bareCircuit.get().isClaimed();
      fill(envelope, circuit.get(), bareCircuit.get());
      common.say(line(circuit.get(), bareCircuit.get()));
      LanguageModel ioi = engine.languageModel(built(engine, new IoiLm(), false).toString());
      List<View> views = new ArrayList<>();
      views.addAll(IoiReport.chapter(circuit.get(), new Tokens(ioi)::token));
      views.addAll(addition(engine, envelope));
      Path page = DemoPage.write(common.recordFolder(folder), envelope, tokens::token, views);
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
      return verified == plants.size() && inControl == 0 && localised ? 0 : 1;
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
  private Path built(Engine engine, Organism organism, boolean control) {
    String name = organism.name(control);
    Path path = Organisms.folder(name);
    if (!Organisms.isBuilt(path)) {
      common.say("Training " + name + ", which takes minutes ...");
      Organisms.build(engine, organism, control, path);
    }
    return path;
  }

  /**
   * The heads by which ioi-lm finds the name, or its control.
   *
   * @return empty if the run was cancelled
   */
  private Optional<CircuitResult> circuit(
      Engine engine, boolean control, UnitListener<Searched> units) {
    Path path = built(engine, new IoiLm(), control);
    common.say("\nWhich heads of " + path.getFileName() + " find the right one of two names ...");
    LanguageModel model = engine.languageModel(path.toString());
    Circuits.Listener listener =
        new Circuits.Listener() {
          @Override
          public boolean cancelled() {
            return units.cancelled();
          }
        };
    CircuitSpec spec = CircuitSpec.of(IoiSpec.of(PROMPTS, seed));
    return CircuitAudit.run(engine, model, spec, listener);
  }

  private static void fill(Envelope envelope, CircuitResult circuit, CircuitResult control) {
    ObjectNode node = envelope.result().putObject("circuit");
    node.set("heads", Envelope.JSON.valueToTree(names(circuit)));
    node.put("headsOfModel", circuit.layers() * circuit.heads());
    node.put("logitDifference", circuit.model()).put("reason", circuit.reason());
    node.put("control_reason", control.reason());
    envelope
        .metrics()
        .put("circuit_claimed", circuit.isClaimed())
        .put("control_circuit_claimed", control.isClaimed());
    IoiBaselineCommand.number(envelope.metrics(), "faithfulness", circuit.faithfulness());
  }

  private static List<String> names(CircuitResult circuit) {
    return circuit.circuit().stream().map(Node::toString).toList();
  }

  private static String line(CircuitResult circuit, CircuitResult control) {
    return String.format(
        Locale.ROOT,
        "%s%nin the control: %s",
        circuit.isClaimed()
            ? "%d of %d heads, %s, keep %.0f %% of the logit difference"
                .formatted(
                    circuit.circuit().size(),
                    circuit.layers() * circuit.heads(),
                    String.join(" ", names(circuit)),
                    100 * circuit.faithfulness())
            : "no circuit is claimed: " + circuit.reason(),
        control.isClaimed() ? "a circuit, too" : "none, since " + control.reason());
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
