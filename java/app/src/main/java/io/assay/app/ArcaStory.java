package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaResult;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What a search did on the way to its finds, and what the model says to them afterwards: matter for
 * the table and the report.
 */
final class ArcaStory implements ArcaListener {
  /** Finds whose way is kept. */
  private static final int MOST = 40;

  private record Key(int target, int restart) {}

  /**
   * An audit that ended, as the ledger keeps it.
   *
   * @param method that searched
   * @param moves its way, if it is a success whose way is kept, else empty
   */
  record Told(ArcaSpec.Method method, ArcaResult.Audit audit, List<Move> moves) {
    /** Name of the unit: method, target and restart. */
    String name() {
      return "%s %d.%d"
          .formatted(method.name().toLowerCase(Locale.ROOT), audit.target(), audit.restart());
    }
  }

  private final ArcaSpec.Method method;
  private final ArcaListener next;
  private final UnitListener<Told> units;
  private final Map<Key, List<Move>> underWay = new HashMap<>();
  private final Map<Key, List<Move>> kept = new HashMap<>();
  private final Map<Key, Greedy.Said> said = new HashMap<>();

  /**
   * @param method that searches; it takes over its own audits only
   * @param next who else listens
   * @param units who keeps the audits that ended
   */
  ArcaStory(ArcaSpec.Method method, ArcaListener next, UnitListener<Told> units) {
    this.method = method;
    this.next = next;
    this.units = units;
  }

  @Override
  public List<ArcaResult.Audit> done() {
    List<Told> told = units.done().stream().filter(t -> t.method() == method).toList();
    told.stream()
        .filter(t -> !t.moves().isEmpty())
        .forEach(t -> kept.put(key(t.audit()), t.moves()));
    return told.stream().map(Told::audit).toList();
  }

  @Override
  public void moved(Move move) {
    List<Move> moves =
        underWay.computeIfAbsent(new Key(move.target(), move.restart()), _ -> new ArrayList<>());
    if (moves.isEmpty() || !moves.getLast().ids().equals(move.ids())) {
      moves.add(move);
    }
    next.moved(move);
  }

  @Override
  public void progress(Progress progress) {
    next.progress(progress);
  }

  @Override
  public void finished(ArcaResult.Audit audit) {
    List<Move> moves = underWay.remove(key(audit));
    boolean keep = audit.success() && moves != null && kept.size() < MOST;
    if (keep) {
      kept.put(key(audit), moves);
    }
    units.finished(new Told(method, audit, keep ? moves : List.of()));
    next.finished(audit);
  }

  @Override
  public boolean cancelled() {
    return units.cancelled() || next.cancelled();
  }

  private static Key key(ArcaResult.Audit audit) {
    return new Key(audit.target(), audit.restart());
  }

  /** Lets the model continue each find, without any cache. */
  void verify(Engine engine, LanguageModel model, List<Integer> prefix, ArcaResult result) {
    try (Greedy greedy = new Greedy(engine, model)) {
      for (ArcaResult.Audit audit : result.audits()) {
        if (audit.success()) {
          List<Integer> prompt = new ArrayList<>(prefix);
          prompt.addAll(audit.promptIds());
          said.put(key(audit), greedy.said(prompt, audit.outputIds()));
        }
      }
    }
  }

  /** Whether a find was continued as it should be; false for what was not found. */
  boolean holds(ArcaResult.Audit audit) {
    Greedy.Said answer = said.get(key(audit));
    return answer != null && answer.ids().equals(audit.outputIds());
  }

  /** The states of a find on its way, each different from the one before; empty if not kept. */
  List<Move> moves(ArcaResult.Audit audit) {
    return kept.getOrDefault(key(audit), List.of());
  }
}
