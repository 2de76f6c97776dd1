package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.BlockGraphs;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.SweepWork.Chunk;
import io.assay.engine.run.UnitListener;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Patches one component after the other and reads the metric each time: chunk by chunk of the
 * pairs, and within a chunk from the last layer to the first, which costs least first.
 */
public final class Sweep implements AutoCloseable {
  private final LanguageModel model;
  private final SweepSpec spec;
  private final Patcher patcher;
  private final List<HookPoint> hooks;
  private final Places places;
  private final int heads;
  private final List<Chunk> chunks;
  private final Ablation ablation;

  /** Null where whole passes are to be made. */
  private final BlockSessions sessions;

  /** Likewise. */
  private final BaseRuns runs;

  private Sweep(Engine engine, LanguageModel model, SweepSpec spec, boolean plain) {
    this.model = model;
    this.spec = spec;
    patcher = new Patcher(engine, model);
    ablation = new Ablation(patcher, spec);
    SweepSpec.requireFit(model, spec.pairs());
    hooks = HookPoint.matching(spec.at(), patcher.hooks());
    places = Places.of(spec.pairs(), spec.per());
    heads = heads();
    Optional<BlockGraphs> blocks = plain ? Optional.empty() : model.blocks();
    sessions =
        hooks.stream().allMatch(SuffixSweep::knows)
            ? blocks.map(b -> new BlockSessions(engine, model, b)).orElse(null)
            : null;
    boolean resamples = spec.by() == SweepSpec.By.RESAMPLE;
    runs =
        sessions == null
            ? null
            : new BaseRuns(
                sessions,
                patcher,
                spec.direction(),
                spec.metric(),
                spec.pairs(),
                resamples ? hooks : List.of());
    chunks =
        sessions == null
            ? IntStream.range(0, spec.pairs().size()).mapToObj(this::single).toList()
            : alike();
  }

  /** Chunks of pairs of equal length whose places are the same. */
  private List<Chunk> alike() {
    Map<List<Object>, List<Integer>> groups = new LinkedHashMap<>();
    for (int i = 0; i < spec.pairs().size(); i++) {
      List<Integer> at = Arrays.stream(places.at().get(i)).boxed().toList();
      groups
          .computeIfAbsent(List.of(spec.pairs().get(i).length(), at), _ -> new ArrayList<>())
          .add(i);
    }
    List<Chunk> found = new ArrayList<>();
    for (List<Integer> group : groups.values()) {
      int first = group.getFirst();
      int length = spec.pairs().get(first).length();
      found.addAll(SuffixSweep.chunks(group, places.at().get(first), length, heads));
    }
    return found;
  }

  private Chunk single(int pair) {
    return new Chunk(List.of(pair), 0, places.count());
  }

  /** Heads of the hooks, which all have the same number; 1 where they have none. */
  private int heads() {
    int length = spec.pairs().getFirst().length();
    int found = 0;
    for (HookPoint hook : hooks) {
      TensorType type = patcher.type(hook.name(), 2, length);
      if (type == null || type.dims().size() < hook.mapped() || type.shape()[0] != 2) {
        throw new PatchException(
            PatchException.Reason.SHAPE,
            "the hook " + hook.name() + " has no rows that could be patched; choose another");
      }
      int its = hook.heads(type);
      if (found != 0 && its != found) {
        throw new PatchException(
            PatchException.Reason.SHAPE,
            "the hook %s has %d heads and %s has %d; sweep them by themselves"
                .formatted(hooks.getFirst().name(), found, hook.name(), its));
      }
      found = its;
    }
    return found;
  }

  /**
   * Runs a sweep.
   *
   * @param listener keeps the units: one hook and chunk each
   * @throws InputException if the specification does not fit the model; nothing has run then
   */
  public static PatchMap run(
      Engine engine, LanguageModel model, SweepSpec spec, UnitListener<SweepUnit> listener) {
    try (Sweep sweep = new Sweep(engine, model, spec, false)) {
      return sweep.run(listener);
    }
  }

  /** The same by a whole pass for each patch: what {@link #run} is measured by. */
  public static PatchMap runPlainly(Engine engine, LanguageModel model, SweepSpec spec) {
    try (Sweep sweep = new Sweep(engine, model, spec, true)) {
      return sweep.run(UnitListener.none());
    }
  }

  /**
   * Prepares a sweep that may be run several times; what it compiles stays until it is closed.
   *
   * @throws InputException if the specification does not fit the model
   */
  public static Sweep open(Engine engine, LanguageModel model, SweepSpec spec) {
    return new Sweep(engine, model, spec, false);
  }

  /** Units of a sweep, checked like one that runs. */
  public static int units(Engine engine, LanguageModel model, SweepSpec spec) {
    try (Sweep sweep = new Sweep(engine, model, spec, false)) {
      return sweep.hooks.size() * sweep.chunks.size();
    }
  }

  /** See {@link #run(Engine, LanguageModel, SweepSpec, UnitListener)}. */
  public PatchMap run(UnitListener<SweepUnit> listener) {
    Baselines base =
        runs == null
            ? Baselines.of(patcher, spec.metric(), spec.pairs())
            : runs.baselines(chunks.stream().map(Chunk::pairs).distinct().toList());
    double[][] values =
        PatchMap.unknown(hooks.size() * places.count() * heads, spec.pairs().size());
    Map<List<Integer>, SweepUnit> done = new HashMap<>();
    listener.done().forEach(unit -> done.put(List.of(unit.chunk(), unit.hook()), unit));
    for (int c = 0; c < chunks.size(); c++) {
      try (SweepWork work = open(c, done)) {
        for (int h = hooks.size() - 1; h >= 0; h--) {
          SweepUnit unit = done.get(List.of(c, h));
          if (unit == null) {
            if (listener.cancelled()) {
              return map(base, values, true);
            }
            unit = new SweepUnit(h, c, work.values(hooks.get(h)));
            listener.finished(unit);
          }
          place(unit, values);
        }
      }
    }
    return map(base, values, false);
  }

  /** The work of a chunk, or null if there is none left. */
  private SweepWork open(int c, Map<List<Integer>, SweepUnit> done) {
    boolean whole = IntStream.range(0, hooks.size()).allMatch(h -> done.containsKey(List.of(c, h)));
    if (whole) {
      return null;
    }
    Chunk chunk = chunks.get(c);
    if (sessions == null) {
      return new PlainSweep(patcher, spec, places, chunk, heads, ablation);
    }
    BaseCache base = runs.of(chunk.pairs());
    return new SuffixSweep(model, spec, places, chunk, heads, ablation, sessions, base);
  }

  private void place(SweepUnit unit, double[][] values) {
    Chunk chunk = chunks.get(unit.chunk());
    int next = 0;
    for (int pair : chunk.pairs()) {
      for (int p = chunk.from(); p < chunk.to(); p++) {
        for (int h = 0; h < heads; h++) {
          values[(unit.hook() * places.count() + p) * heads + h][pair] = unit.values()[next++];
        }
      }
    }
  }

  private PatchMap map(Baselines base, double[][] values, boolean cancelled) {
    int shown = hooks.getFirst().hasHeads() ? heads : 0;
    return PatchMap.of(spec.at(), hooks, places.labels(), shown, base, values, cancelled);
  }

  @Override
  public void close() {
    if (sessions != null) {
      runs.close();
      sessions.close();
    }
    patcher.close();
  }
}
