package io.assay.audit.ioi;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.RowPatch;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.Metric;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A model at one fixed shape, [rows, length], with a gather at every head: each (row, position,
 * head) of {@code hook_z} is taken from the row itself or from a bank, as a map says, so that one
 * compiled graph serves every set of heads that is knocked out. Shorter prompts are filled up on
 * the right, which causal attention makes harmless before their end.
 */
final class KnockOut implements AutoCloseable {
  private final LanguageModel model;
  private final Arena arena = Arena.ofShared();
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  private final int rows;
  private final int length;
  private final int heads;
  private final int bankGroups;
  private final Tensor ids;
  private final Tensor hidden;
  private final List<String> names = new ArrayList<>();
  private final List<Tensor> maps = new ArrayList<>();
  private final List<Tensor> banks = new ArrayList<>();
  private final List<Tensor> values = new ArrayList<>();
  private final Binding plain;
  private final Binding patched;

  /** Which heads of a prompt are left as they are. */
  interface Live {
    /** Everything. */
    Live ALL = (prompt, layer, head, position) -> true;

    boolean at(Example prompt, int layer, int head, int position);
  }

  /**
   * @param rows prompts of one run
   * @param length tokens of the longest prompt
   * @param bankGroups groups of which the bank holds values; 0 if no head is to be knocked out
   * @throws InputException if the model has no {@code hook_z}, or the prompts are too long for it
   */
  KnockOut(Engine engine, LanguageModel model, int rows, int length, int bankGroups) {
    this.model = model;
    this.rows = rows;
    this.length = length;
    this.bankGroups = bankGroups;
    owned.push(arena);
    try {
      Graph suffix = model.suffix(rows, 1, 0, length);
      Graph whole =
          suffix.slice(suffix.inputs(), List.of("hidden")).specialise(Map.of(), engine.evaluator());
      List<String> hooks = new ArrayList<>();
      for (String hook : model.model().hooks().names()) {
        if (bankGroups > 0 && hook.matches("blocks\\.\\d+\\.attn\\.hook_z")) {
          names.add(hook);
          hooks.add(model.model().hooks().resolve(whole, hook));
        }
      }
      if (hooks.isEmpty() && bankGroups > 0) {
        throw new InputException(
            "the model "
                + model.model().name()
                + " has no hook blocks.0.attn.hook_z, so that no head can be knocked out; bind it"
                + " by a hook map");
      }
      heads = hooks.isEmpty() ? 0 : Math.toIntExact(whole.type(hooks.getFirst()).shape()[2]);
      ids = Tensor.allocate(arena, DType.I64, rows, length);
      hidden = Tensor.allocate(arena, model.dtype(), rows, length, model.width());
      Map<String, Tensor> in = new LinkedHashMap<>(Map.of("input_ids", ids));
      Map<String, Tensor> out = new LinkedHashMap<>(Map.of("hidden", hidden));
      Graph patching = whole;
      long bank = (long) bankGroups * length * heads;
      for (String hook : hooks) {
        long[] shape = whole.type(hook).shape();
        Tensor value = Tensor.allocate(arena, model.dtype(), shape);
        Tensor map = Tensor.allocate(arena, DType.I64, rows, length, heads);
        Tensor held = Tensor.allocate(arena, model.dtype(), bank, shape[3]);
        out.put(hook, value);
        values.add(value);
        maps.add(map);
        banks.add(held);
        patching = patching.patch(hook, new RowPatch(3, bank));
        in.put(hook + ".patch.rows", map);
        in.put(hook + ".patch.bank", held);
      }
      plain =
          bind(engine, whole.expose(hooks.toArray(String[]::new)), Map.of("input_ids", ids), out);
      patched = hooks.isEmpty() ? null : bind(engine, patching, in, Map.of("hidden", hidden));
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  private Binding bind(
      Engine engine, Graph graph, Map<String, Tensor> in, Map<String, Tensor> out) {
    Session session = engine.compile(graph);
    owned.push(session);
    Binding binding = session.bind(in, out);
    owned.push(binding);
    return binding;
  }

  int layers() {
    return names.size();
  }

  int heads() {
    return heads;
  }

  /**
   * Runs up to {@link #rows} prompts as they are; {@link #value} and {@link #end} then read them.
   */
  void run(List<long[]> prompts) {
    load(prompts);
    plain.run();
    for (int layer = 0; layer < layers(); layer++) {
      requireFinite(names.get(layer), values.get(layer), prompts);
    }
    requireFinite("unembed.hook_in", hidden, prompts);
  }

  int rows() {
    return rows;
  }

  private void load(List<long[]> prompts) {
    for (int r = 0; r < rows; r++) {
      long[] prompt = prompts.get(Math.min(r, prompts.size() - 1));
      for (int p = 0; p < length; p++) {
        ids.set((long) r * length + p, p < prompt.length ? prompt[p] : 0);
      }
    }
  }

  /**
   * Runs up to {@link #rows} prompts with some heads replaced by the bank's values.
   *
   * @param groupOf group of the bank that each prompt takes them from
   */
  void run(List<Example> prompts, int[] groupOf, Live live) {
    load(prompts.stream().map(Example::ids).toList());
    for (int layer = 0; layer < layers(); layer++) {
      Tensor map = maps.get(layer);
      for (int r = 0; r < rows; r++) {
        for (int p = 0; p < length; p++) {
          for (int h = 0; h < heads; h++) {
            long own = ((long) r * length + p) * heads + h;
            boolean stays =
                r >= prompts.size()
                    || p >= prompts.get(r).ids().length
                    || live.at(prompts.get(r), layer, h, p);
            long other =
                stays ? 0 : ((long) rows * length + (long) groupOf[r] * length + p) * heads + h;
            map.set(own, stays ? own : other);
          }
        }
      }
    }
    patched.run();
    requireFinite("unembed.hook_in", hidden, prompts.stream().map(Example::ids).toList());
  }

  /** Writes a value of the bank. */
  void bank(int layer, int group, int position, int head, int column, double value) {
    if (group >= bankGroups) {
      throw new IllegalArgumentException("group " + group + " of " + bankGroups);
    }
    Tensor bank = banks.get(layer);
    long at = ((long) group * length + position) * heads + head;
    bank.set(at * bank.dim(1) + column, value);
  }

  int headWidth(int layer) {
    return Math.toIntExact(banks.get(layer).dim(1));
  }

  /** An element of {@code hook_z} after {@link #run(List)}. */
  double value(int layer, int row, int position, int head, int column) {
    Tensor value = values.get(layer);
    long at = ((long) row * length + position) * heads + head;
    return value.get(at * value.dim(3) + column);
  }

  /** The hidden row of a prompt's position after a run. */
  double[] hidden(int row, int position) {
    double[] found = new double[model.width()];
    long first = ((long) row * length + position) * found.length;
    for (int i = 0; i < found.length; i++) {
      found[i] = hidden.get(first + i);
    }
    return found;
  }

  /** logit(answer) - logit(wrong) of a prompt's last token after a run, in nats. */
  double logitDifference(Example prompt, int row) {
    long end = (long) row * length + prompt.positions().end();
    return Metric.LOGIT_DIFF.of(model, prompt.answer(), prompt.wrong()).of(hidden, end);
  }

  private void requireFinite(String hook, Tensor value, List<long[]> prompts) {
    long each = value.elements() / ((long) rows * length);
    for (int r = 0; r < Math.min(rows, prompts.size()); r++) {
      for (int p = 0; p < prompts.get(r).length; p++) {
        for (long i = 0; i < each; i++) {
          double x = value.get(((long) r * length + p) * each + i);
          if (!Double.isFinite(x)) {
            throw new InputException(
                "the model "
                    + model.model().name()
                    + " computes "
                    + x
                    + " at "
                    + hook
                    + ", row "
                    + r
                    + ", position "
                    + p
                    + "; the model is broken");
          }
        }
      }
    }
  }

  @Override
  public void close() {
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new IllegalStateException("a compiled graph could not be closed", e);
      }
    }
  }
}
