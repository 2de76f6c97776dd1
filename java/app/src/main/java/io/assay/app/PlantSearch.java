package io.assay.app;

import io.assay.app.organism.Plant;
import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.audit.arca.ArcaSpec;
import io.assay.audit.arca.UnigramTable;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Searches a model for the behaviours that were planted, by the commands and default budgets that
 * its card names, and decodes each find again.
 *
 * @param engine runs it
 * @param model the organism or its control
 * @param tables folder of the unigram tables
 */
record PlantSearch(Engine engine, LanguageModel model, Path tables) {

  /**
   * What a search found of a plant.
   *
   * @param plant its id
   * @param audit the success with the fewest updates, or null
   * @param verified whether free-running greedy decoding of its prompt gives its output
   * @param successes restarts that succeeded, of those that ended
   * @param ended restarts that ended; fewer than all where the search stopped at the first success
   * @param sequences sequences that the restarts which ended ran forward
   * @param best highest objective J that any of them evaluated, nats
   * @param seconds wall time of the call that searched it, shared with the plants beside it
   */
  record Finding(
      String plant,
      Audit audit,
      boolean verified,
      int successes,
      int ended,
      long sequences,
      double best,
      double seconds) {
    boolean found() {
      return audit != null;
    }
  }

  /**
   * A call that has ended, with which several plants may be searched: a unit of work.
   *
   * @param model name of the model
   * @param findings one for each plant
   */
  record Searched(String model, List<Finding> findings) {
    /** Name of the unit. */
    String name() {
      return name(model, findings.stream().map(Finding::plant).toList());
    }

    private static String name(String model, List<String> plants) {
      return model + " " + String.join(",", plants);
    }
  }

  /** How a search picks candidates. */
  enum Way {
    ARCA,
    /** At random, as many in an update as ARCA runs sequences. */
    RANDOM
  }

  /**
   * Searches all plants, in one life and without a ledger.
   *
   * @param untilFound whether a call ends when each of its plants is found once
   */
  Map<String, Finding> all(
      List<Plant> plants, Way way, long seed, boolean untilFound, ArcaListener listener) {
    return all(plants, way, seed, untilFound, listener, UnitListener.none()).orElseThrow();
  }

  /**
   * The same, of which the calls are the units.
   *
   * @return findings by plant; empty if it was cancelled
   */
  Optional<Map<String, Finding>> all(
      List<Plant> plants,
      Way way,
      long seed,
      boolean untilFound,
      ArcaListener listener,
      UnitListener<Searched> units) {
    Map<String, Searched> done = new HashMap<>();
    units.done().forEach(s -> done.put(s.name(), s));
    Map<String, Finding> findings = new LinkedHashMap<>();
    plants.forEach(p -> findings.put(p.id(), null));
    for (List<Plant> call : calls(plants)) {
      String name = Searched.name(name(), call.stream().map(Plant::id).toList());
      Searched searched = done.get(name);
      if (searched == null) {
        ArcaListener ending = new Ending(untilFound ? call.size() : 0, listener, units);
        searched = new Searched(name(), search(call, way, seed, ending));
        if (units.cancelled()) {
          return Optional.empty();
        }
        units.finished(searched);
      }
      searched.findings().forEach(f -> findings.put(f.plant(), f));
    }
    return Optional.of(findings);
  }

  /** Plants that one call searches: those that are reversed together, each other one alone. */
  static List<List<Plant>> calls(List<Plant> plants) {
    List<List<Plant>> calls = new ArrayList<>();
    calls.add(plants.stream().filter(p -> p.mode() == ArcaSpec.Mode.REVERSE).toList());
    plants.stream().filter(p -> p.mode() == ArcaSpec.Mode.JOINT).map(List::of).forEach(calls::add);
    calls.removeIf(List::isEmpty);
    return calls;
  }

  private String name() {
    return model.model().name();
  }

  private List<Finding> search(List<Plant> plants, Way way, long seed, ArcaListener listener) {
    ArcaResult result = ArcaAudit.run(engine, model, spec(plants, way, seed), listener);
    List<Finding> findings = new ArrayList<>();
    try (Greedy greedy = new Greedy(engine, model)) {
      for (int target = 0; target < plants.size(); target++) {
        int index = target;
        List<Audit> audits = result.audits().stream().filter(a -> a.target() == index).toList();
        Audit best =
            audits.stream()
                .filter(Audit::success)
                .min(Comparator.comparingInt(Audit::coordinateUpdates))
                .orElse(null);
        boolean verified =
            best != null
                && greedy.continuation(best.promptIds(), Plant.LENGTH).equals(best.outputIds());
        findings.add(
            new Finding(
                plants.get(target).id(),
                best,
                verified,
                (int) audits.stream().filter(Audit::success).count(),
                audits.size(),
                audits.stream().mapToLong(Audit::forwardSequences).sum(),
                audits.stream()
                    .filter(a -> a.bestSoFar() != null)
                    .mapToDouble(a -> a.bestSoFar().J())
                    .max()
                    .orElse(Double.NEGATIVE_INFINITY),
                result.seconds()));
      }
    }
    return findings;
  }

  private ArcaSpec spec(List<Plant> plants, Way way, long seed) {
    Plant first = plants.getFirst();
    ArcaSpec.Builder builder =
        first.mode() == ArcaSpec.Mode.JOINT
            ? ArcaSpec.joint(name(), Plant.LENGTH)
                .unigrams(table(first.promptTable()), table(first.outputTable()))
            : ArcaSpec.reverse(
                name(),
                plants.stream().map(p -> Arrays.stream(p.output()).boxed().toList()).toList());
    builder.promptLength(Plant.LENGTH).seed(seed);
    if (way == Way.RANDOM) {
      ArcaSpec usual = builder.build();
      builder.method(ArcaSpec.Method.RANDOM).q(usual.k() + usual.q());
    }
    return builder.build();
  }

  private UnigramTable table(String file) {
    return UnigramTable.read(tables.resolve(file).toString());
  }

  /** Ends a call when it is cancelled, or so many of its targets were found. */
  private static final class Ending implements ArcaListener {
    private final int targets;
    private final ArcaListener next;
    private final UnitListener<Searched> units;
    private final Set<Integer> found = new HashSet<>();

    /**
     * @param targets 0 if it does not end for what was found
     */
    Ending(int targets, ArcaListener next, UnitListener<Searched> units) {
      this.targets = targets;
      this.next = next;
      this.units = units;
    }

    @Override
    public void progress(Progress progress) {
      next.progress(progress);
    }

    @Override
    public void finished(Audit audit) {
      if (audit.success()) {
        found.add(audit.target());
      }
      next.finished(audit);
    }

    @Override
    public boolean cancelled() {
      return targets > 0 && found.size() == targets || units.cancelled() || next.cancelled();
    }
  }
}
