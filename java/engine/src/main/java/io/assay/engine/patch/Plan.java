package io.assay.engine.patch;

import io.assay.engine.graph.TensorType;
import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * A batch of sequences and what is replaced in them while they run: specs/ioi.md 7, in-batch row
 * gathers. Every intervention (resample, mean, zero, freeze, path patching) is a map from (row,
 * position, head) into the live rows followed by a bank, the identity where nothing is said.
 *
 * <p>A later intervention on the same place wins. A row that takes its value from another takes
 * what that row computes or, where that row is itself changed at that place, what it is changed to.
 */
public final class Plan {
  private final List<long[]> ids;
  private final List<Intervention> interventions;
  private final Map<String, Tensor> banks;

  private Plan(Builder b) {
    ids = List.copyOf(b.ids);
    interventions = List.copyOf(b.interventions);
    banks = Map.copyOf(b.banks);
  }

  public int rows() {
    return ids.size();
  }

  /** Tokens of each row. */
  public int length() {
    return ids.getFirst().length;
  }

  /** Token ids I64 [rows, length]. */
  Tensor ids() {
    long[] all = ids.stream().flatMapToLong(Arrays::stream).toArray();
    return Tensor.ofLongs(all, rows(), length());
  }

  public List<Intervention> interventions() {
    return interventions;
  }

  /** The hooks at which something is replaced. */
  public Set<String> hooks() {
    Set<String> hooks = new LinkedHashSet<>();
    interventions.forEach(i -> hooks.add(i.hook()));
    return hooks;
  }

  /** The bank of a hook, or null. */
  Tensor bank(String hook) {
    return banks.get(hook);
  }

  /**
   * The map of each hook, checked against the hooks' types.
   *
   * @param types type of a hook's value in a graph of these rows, or null for no such hook
   * @param names of all hooks, for messages
   * @return I64, of the leading axes of the hook
   * @throws PatchException if a hook is unknown, an index is out of range, a bank has another shape
   *     than its hook, a chain of rows has no end, or a hook's map changes nothing
   */
  Map<String, Tensor> maps(Function<String, TensorType> types, Set<String> names) {
    Map<String, Tensor> maps = new LinkedHashMap<>();
    for (String hook : hooks()) {
      TensorType type = types.apply(hook);
      if (type == null) {
        throw HookPoint.unknown(hook, names);
      }
      maps.put(hook, map(HookPoint.of(hook), type));
    }
    return maps;
  }

  private Tensor map(HookPoint hook, TensorType type) {
    int heads = hook.heads(type);
    long[] shape = type.shape();
    if (shape[0] != rows()) {
      throw new PatchException(
          Reason.SHAPE,
          "the hook " + hook.name() + " is " + type + ", which has no row for each sequence");
    }
    int each = length() * heads;
    int banked = bankRows(hook, shape);
    int[] from = new int[rows() * each];
    for (int i = 0; i < from.length; i++) {
      from[i] = i / each;
    }
    for (Intervention change : interventions) {
      if (change.hook().equals(hook.name())) {
        set(from, hook, change, heads, banked);
      }
    }
    long[] map = new long[from.length];
    boolean changed = false;
    for (int i = 0; i < map.length; i++) {
      map[i] = (long) resolve(from, i, each, hook) * each + i % each;
      changed |= map[i] != i;
    }
    if (!changed) {
      throw new PatchException(
          Reason.NO_CHANGE,
          "the plan replaces every element of " + hook.name() + " by itself; name another row");
    }
    return Tensor.ofLongs(map, Arrays.copyOf(shape, hook.mapped()));
  }

  /** Rows of the hook's bank, whose shape must be that of the hook but for their number. */
  private int bankRows(HookPoint hook, long[] shape) {
    Tensor bank = banks.get(hook.name());
    if (bank == null) {
      return 0;
    }
    long[] wanted = shape.clone();
    wanted[0] = bank.rank() == 0 ? -1 : bank.dim(0);
    if (!Arrays.equals(wanted, bank.shape())) {
      wanted[0] = -1;
      throw new PatchException(
          Reason.SHAPE,
          "the bank of "
              + hook.name()
              + " is "
              + bank
              + "; its rows must be like the hook's, "
              + Arrays.toString(wanted).replace("-1", "?"));
    }
    return Math.toIntExact(bank.dim(0));
  }

  private void set(int[] from, HookPoint hook, Intervention change, int heads, int banked) {
    requireBelow("row", change.row(), rows(), hook);
    requireBelow("position", change.position(), length(), hook);
    if (!hook.hasHeads() && change.head() != Intervention.ALL) {
      throw new PatchException(
          Reason.SHAPE, "the hook " + hook.name() + " has no heads; leave head " + change.head());
    }
    requireBelow("head", change.head(), heads, hook);
    int source =
        switch (change.from()) {
          case Source.Row r -> {
            requireBelow("source row", r.index(), rows(), hook);
            yield r.index();
          }
          case Source.Bank b -> {
            requireBelow("bank row", b.index(), banked, hook);
            yield rows() + b.index();
          }
        };
    if (source == change.row()) {
      throw new PatchException(
          Reason.NO_CHANGE,
          "the plan replaces "
              + hook.name()
              + " of row "
              + source
              + " by itself; name another row to take it from");
    }
    int each = length() * heads;
    for (int p = 0; p < length(); p++) {
      for (int h = 0; h < heads; h++) {
        boolean here = change.position() == Intervention.ALL || change.position() == p;
        if (here && (change.head() == Intervention.ALL || change.head() == h)) {
          from[change.row() * each + (int) hook.place(p, h, length(), heads)] = source;
        }
      }
    }
  }

  private static void requireBelow(String what, int index, int size, HookPoint hook) {
    if (index >= size) {
      throw new PatchException(
          Reason.SHAPE,
          "the plan names %s %d of %s; %s"
              .formatted(
                  what,
                  index,
                  hook.name(),
                  size == 0 ? "there is none" : "there are 0 to " + (size - 1)));
    }
  }

  /** Follows rows that are themselves changed at the same place, up to one that is not. */
  private int resolve(int[] from, int element, int each, HookPoint hook) {
    int row = from[element];
    for (int steps = 0; row < rows(); steps++) {
      int next = from[row * each + element % each];
      if (next == row) {
        break;
      }
      if (steps == rows()) {
        throw new PatchException(
            Reason.NO_CHANGE,
            "the rows of the plan take " + hook.name() + " from each other in a circle");
      }
      row = next;
    }
    return row;
  }

  public static Builder builder() {
    return new Builder();
  }

  /** Collects rows and interventions. */
  public static final class Builder {
    private final List<long[]> ids = new ArrayList<>();
    private final List<Intervention> interventions = new ArrayList<>();
    private final Map<String, Tensor> banks = new LinkedHashMap<>();

    private Builder() {}

    /**
     * Adds a sequence and returns its row.
     *
     * @throws PatchException if it is empty, or not as long as the others
     */
    public int row(int... tokens) {
      if (tokens.length == 0 || !ids.isEmpty() && ids.getFirst().length != tokens.length) {
        throw new PatchException(
            Reason.SHAPE,
            "row %d of the plan has %d tokens; %s"
                .formatted(
                    ids.size(),
                    tokens.length,
                    ids.isEmpty()
                        ? "give one or more"
                        : "the others have " + ids.getFirst().length));
      }
      ids.add(Arrays.stream(tokens).asLongStream().toArray());
      return ids.size() - 1;
    }

    /** Replaces at all heads of a position, or of {@link Intervention#ALL} positions. */
    public Builder patch(int row, String hook, int position, Source from) {
      return patch(row, hook, position, Intervention.ALL, from);
    }

    public Builder patch(int row, String hook, int position, int head, Source from) {
      interventions.add(new Intervention(row, hook, position, head, from));
      return this;
    }

    /**
     * Stored values of a hook, [bank row, the hook's axes without its rows], that interventions may
     * take elements from.
     */
    public Builder bank(String hook, Tensor values) {
      banks.put(hook, values);
      return this;
    }

    /**
     * The plan.
     *
     * @throws PatchException if it has no rows
     */
    public Plan build() {
      if (ids.isEmpty()) {
        throw new PatchException(Reason.SHAPE, "the plan has no rows; give at least one sequence");
      }
      return new Plan(this);
    }
  }
}
