package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Attribution patching: the change of the metric that a patch would make, to first order, as
 * (source - base) . d metric / d value on the base prompt.
 */
public final class Attribution {
  private Attribution() {}

  /**
   * Estimates the effect of each component at each position.
   *
   * @return the axes of the sweep of the same hooks; the values are changes of the metric
   * @throws InputException if the specification does not fit the model; nothing has run then
   */
  public static PatchMap run(
      Engine engine,
      LanguageModel model,
      AttributeSpec spec,
      UnitListener<AttributeUnit> listener) {
    try (Patcher patcher = new Patcher(engine, model)) {
      SweepSpec.requireFit(model, spec.pairs());
      List<HookPoint> hooks = HookPoint.matching(spec.at(), patcher.hooks());
      Places places = Places.of(spec.pairs(), SweepSpec.Per.POSITION);
      Baselines base = Baselines.of(patcher, spec.metric(), spec.pairs());
      int heads =
          hooks
              .getFirst()
              .heads(patcher.type(hooks.getFirst().name(), 2, spec.pairs().getFirst().length()));
      int cells = hooks.size() * places.count() * heads;
      double[][] values = PatchMap.unknown(cells, spec.pairs().size());
      Map<Integer, AttributeUnit> done = new HashMap<>();
      listener.done().forEach(unit -> done.put(unit.chunk(), unit));
      Map<Integer, Gradients> graphs = new HashMap<>();
      boolean cancelled = false;
      try {
        for (int i = 0; i < spec.pairs().size() && !cancelled; i++) {
          AttributeUnit unit = done.get(i);
          if (unit == null) {
            cancelled = listener.cancelled();
            if (cancelled) {
              break;
            }
            Pair pair = spec.pairs().get(i);
            Gradients graph =
                graphs.computeIfAbsent(
                    pair.length(), length -> gradients(engine, patcher, hooks, length));
            unit = new AttributeUnit(i, pair(patcher, graph, spec, hooks, places, i, heads));
            listener.finished(unit);
          }
          for (int cell = 0; cell < cells; cell++) {
            values[cell][i] = unit.values()[cell];
          }
        }
      } finally {
        graphs.values().forEach(Gradients::close);
      }
      int shown = hooks.getFirst().hasHeads() ? heads : 0;
      return PatchMap.of(spec.at(), hooks, places.labels(), shown, base, values, cancelled);
    }
  }

  private static Gradients gradients(
      Engine engine, Patcher patcher, List<HookPoint> hooks, int length) {
    Graph body = patcher.body(1, length, hooks.stream().map(HookPoint::name).toList());
    List<String> values = hooks.stream().map(h -> patcher.value(body, h.name())).toList();
    return new Gradients(engine, body, List.of(Patcher.END), values, values);
  }

  /** The estimates of one pair, [hook, position, head]. */
  private static double[] pair(
      Patcher patcher,
      Gradients graph,
      AttributeSpec spec,
      List<HookPoint> hooks,
      Places places,
      int index,
      int heads) {
    Pair pair = spec.pairs().get(index);
    int[] base = Baselines.ints(pair.base(spec.direction()));
    int[] source = Baselines.ints(pair.source(spec.direction()));
    Map<String, Tensor> there =
        patcher.read(List.of(source, source), hooks.stream().map(HookPoint::name).toList());
    Map<String, Tensor> here =
        graph.run(
            Map.of("input_ids", ids(base)),
            Map.of(Patcher.END, seed(patcher.model(), spec.metric(), pair)));
    int[] positions = places.at().get(index);
    double[] values = new double[hooks.size() * positions.length * heads];
    Graph body = patcher.body(1, pair.length(), hooks.stream().map(HookPoint::name).toList());
    for (int h = 0; h < hooks.size(); h++) {
      HookPoint hook = hooks.get(h);
      String value = patcher.value(body, hook.name());
      Tensor a = there.get(hook.name());
      Tensor b = here.get(value);
      Tensor gradient = here.get("grad." + value);
      long each = b.elements() / ((long) pair.length() * heads);
      for (int p = 0; p < positions.length; p++) {
        for (int head = 0; head < heads; head++) {
          long first = hook.place(positions[p], head, pair.length(), heads) * each;
          double sum = 0;
          for (long i = first; i < first + each; i++) {
            // Scores behind the mask are minus infinity in both runs, and of no effect.
            double g = gradient.get(i);
            sum += g == 0 ? 0 : (a.get(i) - b.get(i)) * g;
          }
          values[(h * positions.length + p) * heads + head] = sum;
        }
      }
    }
    return values;
  }

  static Tensor ids(int[] tokens) {
    return Tensor.ofLongs(Arrays.stream(tokens).asLongStream().toArray(), 1, tokens.length);
  }

  /** The gradient of the metric with respect to the last hidden row, [1, width]. */
  static Tensor seed(LanguageModel model, Metric metric, Pair pair) {
    double[] direction = metric.of(model, pair).direction();
    Tensor seed = Tensor.allocate(Arena.ofAuto(), model.dtype(), 1, direction.length);
    for (int i = 0; i < direction.length; i++) {
      seed.set(i, direction[i]);
    }
    return seed;
  }
}
