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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
   * @param audit the success with the fewest updates, or null
   * @param verified whether free-running greedy decoding of its prompt gives its output
   * @param successes restarts that succeeded, of those that ended
   * @param ended restarts that ended; fewer than all where the search stopped at the first success
   * @param sequences sequences that the restarts which ended ran forward
   * @param best highest objective J that any of them evaluated, nats
   * @param seconds wall time of the call that searched it, shared with the plants beside it
   */
  record Finding(
      Plant plant,
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

  /** How a search picks candidates. */
  enum Way {
    ARCA,
    /** At random, as many in an update as ARCA runs sequences. */
    RANDOM
  }

  /**
   * Searches all plants: those that are reversed together, the others one by one.
   *
   * @param untilFound whether a call ends when each of its plants is found once
   */
  Map<String, Finding> all(
      List<Plant> plants, Way way, long seed, boolean untilFound, ArcaListener listener) {
    Map<String, Finding> findings = new LinkedHashMap<>();
    plants.forEach(p -> findings.put(p.id(), null));
    List<Plant> reversed = plants.stream().filter(p -> p.mode() == ArcaSpec.Mode.REVERSE).toList();
    search(reversed, way, seed, untilFound, listener).forEach(f -> findings.put(f.plant().id(), f));
    for (Plant plant : plants) {
      if (plant.mode() == ArcaSpec.Mode.JOINT) {
        search(List.of(plant), way, seed, untilFound, listener)
            .forEach(f -> findings.put(plant.id(), f));
      }
    }
    return findings;
  }

  private List<Finding> search(
      List<Plant> plants, Way way, long seed, boolean untilFound, ArcaListener listener) {
    ArcaSpec spec = spec(plants, way, seed);
    ArcaResult result =
        ArcaAudit.run(
            engine, model, spec, untilFound ? new First(plants.size(), listener) : listener);
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
                plants.get(target),
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
    String name = model.model().name();
    ArcaSpec.Builder builder =
        first.mode() == ArcaSpec.Mode.JOINT
            ? ArcaSpec.joint(name, Plant.LENGTH)
                .unigrams(table(first.promptTable()), table(first.outputTable()))
            : ArcaSpec.reverse(
                name,
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

  /** Ends a run when each of its targets was found. */
  private static final class First implements ArcaListener {
    private final int targets;
    private final ArcaListener next;
    private final Set<Integer> found = new HashSet<>();

    First(int targets, ArcaListener next) {
      this.targets = targets;
      this.next = next;
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
      return found.size() == targets || next.cancelled();
    }
  }
}
