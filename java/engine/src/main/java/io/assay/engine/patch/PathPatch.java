package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.patch.PathSpec.Mlps;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Path patching in one pass: the base prompt, the source prompt, and for each sender a row C, in
 * which all heads are frozen but the sender, and a row D, whose receivers are taken from C.
 * Freezing is at {@code hook_z}, so that the receivers of C are live.
 */
public final class PathPatch implements AutoCloseable {
  private static final int BATCH_TOKENS = 2048;

  /** What a sender may be. */
  private static final Set<String> SENDERS =
      Set.of("hook_z", "hook_attn_out", "hook_mlp_out", "hook_embed", "hook_pos_embed");

  private static final Set<String> RECEIVERS = Set.of("hook_q", "hook_k", "hook_v", "hook_pre");

  private final LanguageModel model;
  private final PathSpec spec;
  private final Patcher patcher;
  private final List<HookPoint> hooks;

  /** Each sender of the map, hook by hook. */
  private final List<Endpoint> senders = new ArrayList<>();

  private final List<Endpoint> receivers;
  private final List<List<Integer>> chunks;
  private final int blocks;

  /** Null where whole passes are to be made. */
  private final PathToLogits shortcut;

  private PathPatch(Engine engine, LanguageModel model, PathSpec spec, boolean plain) {
    this.model = model;
    this.spec = spec;
    this.patcher = new Patcher(engine, model);
    SweepSpec.requireFit(model, spec.pairs());
    IntStream.range(0, spec.pairs().size()).forEach(spec::position);
    receivers = receivers();
    List<Endpoint> from = Endpoint.read(spec.from(), patcher.hooks());
    hooks = from.stream().map(Endpoint::hook).toList();
    from.forEach(this::addSenders);
    requirePath(from);
    blocks = patcher.blocks();
    shortcut = plain || !isDirect() ? null : shortcut(engine);
    chunks =
        shortcut == null
            ? IntStream.range(0, spec.pairs().size()).mapToObj(List::of).toList()
            : PathToLogits.chunks(spec.pairs());
  }

  /** Whether heads, in the order of layers, send to the logits. */
  private boolean isDirect() {
    return receivers.equals(List.of(Endpoint.LOGITS))
        && hooks.stream().allMatch(h -> h.part().equals("hook_z"))
        && hooks.equals(hooks.stream().sorted(Comparator.comparingInt(HookPoint::layer)).toList());
  }

  private PathToLogits shortcut(Engine engine) {
    return model
        .blocks()
        .map(blocks -> new PathToLogits(engine, model, blocks, patcher, spec, senders))
        .orElse(null);
  }

  private List<Endpoint> receivers() {
    List<Endpoint> found = Endpoint.read(spec.receivers(), patcher.hooks());
    if (found.isEmpty()) {
      throw new PatchException(
          Reason.NO_PATH, "there is no receiver; name logits or heads' queries, keys or values");
    }
    for (Endpoint receiver : found) {
      if (receiver.hook() == null && found.size() > 1) {
        throw new PatchException(
            Reason.NO_PATH,
            "logits beside other receivers: the final stream holds what all others add; name it"
                + " alone");
      }
      if (receiver.hook() != null && !RECEIVERS.contains(receiver.hook().part())) {
        throw new PatchException(
            Reason.NO_PATH,
            "the receiver %s is frozen or made of what is; receivers are logits, hook_q, hook_k,"
                    .formatted(receiver)
                + " hook_v and mlp.hook_pre");
      }
      if (receiver.hook() != null) {
        requireHead(receiver);
      }
    }
    return found;
  }

  private int requireHead(Endpoint endpoint) {
    TensorType type = patcher.type(endpoint.hook().name(), 2, spec.pairs().getFirst().length());
    int heads = endpoint.hook().heads(type);
    if (endpoint.head() >= heads) {
      throw new PatchException(
          Reason.SHAPE,
          "there is no head %d of %s; there are 0 to %d"
              .formatted(endpoint.head(), endpoint.hook().name(), heads - 1));
    }
    return heads;
  }

  private void addSenders(Endpoint from) {
    if (from.hook() == null || !SENDERS.contains(from.hook().part())) {
      throw new PatchException(
          Reason.NO_PATH,
          "%s cannot send; senders are hook_z, hook_attn_out, hook_mlp_out and embeddings"
              .formatted(from));
    }
    int heads = requireHead(from);
    if (from.head() != Intervention.ALL || !from.hook().hasHeads()) {
      senders.add(from);
    } else {
      IntStream.range(0, heads).forEach(head -> senders.add(new Endpoint(from.hook(), head)));
    }
  }

  /**
   * @throws PatchException if no sender comes before a receiver
   */
  private void requirePath(List<Endpoint> from) {
    if (senders.stream().noneMatch(this::reaches)) {
      throw new PatchException(
          Reason.NO_PATH,
          "%s is not before %s, so that no path leads there; name an earlier sender"
              .formatted(from.getFirst(), receivers.getLast()));
    }
  }

  private boolean reaches(Endpoint sender) {
    return receivers.stream().anyMatch(receiver -> sender.order() < receiver.order());
  }

  /**
   * Runs path patching.
   *
   * @param listener keeps the units: a chunk of pairs each
   * @return axes layer and head of the senders; a sender that is not before its receiver has the
   *     base metric
   * @throws InputException if the specification does not fit the model; nothing has run then
   */
  public static PatchMap run(
      Engine engine, LanguageModel model, PathSpec spec, UnitListener<PathUnit> listener) {
    try (PathPatch paths = new PathPatch(engine, model, spec, false)) {
      return paths.run(listener);
    }
  }

  /** The same by whole passes, also where the receiver is the logits. */
  public static PatchMap runPlainly(Engine engine, LanguageModel model, PathSpec spec) {
    try (PathPatch paths = new PathPatch(engine, model, spec, true)) {
      return paths.run(UnitListener.none());
    }
  }

  /**
   * Prepares path patching that may be run several times; what it compiles stays until it is
   * closed.
   *
   * @throws InputException if the specification does not fit the model
   */
  public static PathPatch open(Engine engine, LanguageModel model, PathSpec spec) {
    return new PathPatch(engine, model, spec, false);
  }

  /** Units of such a run, checked like one that runs. */
  public static int units(Engine engine, LanguageModel model, PathSpec spec) {
    try (PathPatch paths = new PathPatch(engine, model, spec, false)) {
      return paths.chunks.size();
    }
  }

  /** See {@link #run(Engine, LanguageModel, PathSpec, UnitListener)}. */
  public PatchMap run(UnitListener<PathUnit> listener) {
    Baselines base =
        shortcut == null
            ? Baselines.of(patcher, spec.metric(), spec.pairs())
            : shortcut.baselines(chunks);
    double[][] values = PatchMap.unknown(senders.size(), spec.pairs().size());
    Map<Integer, PathUnit> done = new HashMap<>();
    listener.done().forEach(unit -> done.put(unit.chunk(), unit));
    for (int c = 0; c < chunks.size(); c++) {
      PathUnit unit = done.get(c);
      if (unit == null) {
        if (listener.cancelled()) {
          return map(base, values, true);
        }
        List<Integer> pairs = chunks.get(c);
        unit =
            new PathUnit(
                c, shortcut == null ? pair(pairs.getFirst(), base) : shortcut.values(pairs));
        listener.finished(unit);
      }
      int next = 0;
      for (int pair : chunks.get(c)) {
        for (double[] sender : values) {
          sender[pair] = unit.values()[next++];
        }
      }
    }
    return map(base, values, false);
  }

  /** The metric of one pair by whole passes, [sender]. */
  private double[] pair(int index, Baselines unpatched) {
    double[] values = new double[senders.size()];
    double[] metrics =
        spec.direction() == Direction.NOISE ? unpatched.clean() : unpatched.corrupt();
    Arrays.fill(values, metrics[index]);
    Pair pair = spec.pairs().get(index);
    Metric.Readout metric = spec.metric().of(model, pair);
    int[] able = IntStream.range(0, senders.size()).filter(s -> reaches(senders.get(s))).toArray();
    boolean direct = receivers.getFirst().hook() == null;
    int rows = direct ? 1 : 2;
    int most = Math.max(1, BATCH_TOKENS / pair.length() / rows);
    int batches = (able.length + most - 1) / most;
    int each = (able.length + batches - 1) / batches;
    for (int from = 0; from < able.length; from += each) {
      Plan.Builder plan = Plan.builder();
      int base = plan.row(Baselines.ints(pair.base(spec.direction())));
      plan.row(Baselines.ints(pair.source(spec.direction())));
      for (int s = from; s < from + each; s++) {
        // Where there are fewer, the last one fills the batch.
        addSender(plan, index, base, senders.get(able[Math.min(s, able.length - 1)]));
      }
      Tensor hidden = patcher.run(plan.build());
      for (int s = from; s < Math.min(able.length, from + each); s++) {
        values[able[s]] = metric.of(hidden, 2 + rows * (s - from) + rows - 1);
      }
    }
    return values;
  }

  /** Adds row C of a sender, and row D where the receivers are not the final stream. */
  private void addSender(Plan.Builder plan, int index, int base, Endpoint sender) {
    int[] ids = Baselines.ints(spec.pairs().get(index).base(spec.direction()));
    int position = spec.position(index);
    int c = plan.row(ids);
    for (int layer = 0; layer < blocks; layer++) {
      String at = "blocks." + layer + ".";
      plan.patch(c, at + "attn.hook_z", Intervention.ALL, new Source.Row(base));
      if (spec.mlps() == Mlps.FROZEN) {
        plan.patch(c, at + "hook_mlp_out", Intervention.ALL, new Source.Row(base));
      }
    }
    plan.patch(c, sender.hook().name(), position, sender.head(), new Source.Row(base + 1));
    if (receivers.getFirst().hook() != null) {
      int d = plan.row(ids);
      for (Endpoint receiver : receivers) {
        plan.patch(d, receiver.hook().name(), position, receiver.head(), new Source.Row(c));
      }
    }
  }

  private PatchMap map(Baselines base, double[][] values, boolean cancelled) {
    int heads = senders.size() / hooks.size();
    int shown = heads > 1 ? heads : 0;
    return PatchMap.of(spec.from(), hooks, List.of(), shown, base, values, cancelled);
  }

  @Override
  public void close() {
    if (shortcut != null) {
      shortcut.close();
    }
    patcher.close();
  }
}
