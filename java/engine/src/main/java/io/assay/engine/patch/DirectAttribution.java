package io.assay.engine.patch;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.PatchException.Reason;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Direct logit attribution: what each component writes into the last position of the base prompt,
 * through the last norm, whose scale stays that of the run, times the direction of the answer. The
 * shares of all that writes into the stream, and of biases, sum to the metric.
 */
public final class DirectAttribution {
  private static final String SCALE = "ln_final.hook_scale";

  private final Engine engine;
  private final Patcher patcher;
  private final AttributeSpec spec;
  private final List<HookPoint> hooks;
  private final int heads;

  /** By the length of the prompts. */
  private final Map<Integer, Gradients> graphs = new HashMap<>();

  private DirectAttribution(Engine engine, Patcher patcher, AttributeSpec spec) {
    this.engine = engine;
    this.patcher = patcher;
    this.spec = spec;
    String written = spec.at().replaceFirst("\\.attn\\.hook_z$", ".attn.hook_result");
    this.hooks = HookPoint.matching(written, patcher.hooks());
    int length = spec.pairs().getFirst().length();
    for (HookPoint hook : hooks) {
      long[] shape = patcher.type(hook.name(), 1, length).shape();
      if (shape[shape.length - 1] != patcher.model().width()) {
        throw new PatchException(
            Reason.SHAPE,
            "%s writes nothing into the stream; name hook_z, hook_attn_out, hook_mlp_out or an"
                    .formatted(hook.name())
                + " embedding");
      }
    }
    this.heads = hooks.getFirst().heads(patcher.type(hooks.getFirst().name(), 1, length));
  }

  /**
   * Attributes the metric of the base prompts.
   *
   * @param listener keeps the units: one pair each
   * @return axes layer and head, those that apply; the values are shares of the metric
   * @throws InputException if the specification does not fit the model, or its last norm cannot be
   *     taken apart
   */
  public static PatchMap run(
      Engine engine,
      LanguageModel model,
      AttributeSpec spec,
      UnitListener<AttributeUnit> listener) {
    SweepSpec.requireFit(model, spec.pairs());
    try (Patcher patcher = new Patcher(engine, model)) {
      return new DirectAttribution(engine, patcher, spec).run(listener);
    }
  }

  private PatchMap run(UnitListener<AttributeUnit> listener) {
    Baselines base = Baselines.of(patcher, spec.metric(), spec.pairs());
    double[][] values = PatchMap.unknown(hooks.size() * heads, spec.pairs().size());
    Map<Integer, AttributeUnit> done = new HashMap<>();
    listener.done().forEach(unit -> done.put(unit.chunk(), unit));
    try {
      for (int i = 0; i < spec.pairs().size(); i++) {
        AttributeUnit unit = done.get(i);
        if (unit == null) {
          if (listener.cancelled()) {
            return map(base, values, true);
          }
          unit = new AttributeUnit(i, shares(spec.pairs().get(i)));
          listener.finished(unit);
        }
        for (int cell = 0; cell < values.length; cell++) {
          values[cell][i] = unit.values()[cell];
        }
      }
    } finally {
      graphs.values().forEach(Gradients::close);
    }
    return map(base, values, false);
  }

  /** [hook, head] of one pair. */
  private double[] shares(Pair pair) {
    int length = pair.length();
    int width = patcher.model().width();
    int[] ids = Baselines.ints(pair.base(spec.direction()));
    Graph body = patcher.body(1, length, List.of());
    List<String> ends = ends(body);
    List<String> read = new ArrayList<>(ends);
    hooks.forEach(hook -> read.add(hook.name()));
    Map<String, Tensor> run = patcher.read(List.of(ids), read);
    double[] direction = direction(pair, body, run);
    double[] shares = new double[hooks.size() * heads];
    for (int h = 0; h < hooks.size(); h++) {
      Tensor written = run.get(hooks.get(h).name());
      for (int head = 0; head < heads; head++) {
        long first = ((length - 1L) * heads + head) * width;
        for (int c = 0; c < width; c++) {
          shares[h * heads + head] += written.get(first + c) * direction[c];
        }
      }
    }
    return shares;
  }

  /**
   * The hooks between which the last norm lies: the final stream, and the scale if there is one.
   */
  private List<String> ends(Graph body) {
    String stream = "blocks." + (patcher.blocks() - 1) + ".hook_resid_post";
    return body.has(patcher.value(body, SCALE)) ? List.of(stream, SCALE) : List.of(stream);
  }

  /** Derivative of the metric with respect to the last row of the stream, the scale held. */
  private double[] direction(Pair pair, Graph body, Map<String, Tensor> run) {
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    ends(body).forEach(hook -> inputs.put(patcher.value(body, hook), run.get(hook)));
    String stream = inputs.keySet().iterator().next();
    Gradients graph =
        graphs.computeIfAbsent(
            pair.length(),
            _ ->
                new Gradients(
                    engine,
                    body.slice(List.copyOf(inputs.keySet()), List.of(Patcher.END)),
                    List.of(Patcher.END),
                    List.of(stream),
                    List.of(Patcher.END)));
    Map<String, Tensor> seed =
        Map.of(Patcher.END, Attribution.seed(patcher.model(), spec.metric(), pair));
    Map<String, Tensor> here = graph.run(inputs, seed);
    int width = patcher.model().width();
    long first = (pair.length() - 1L) * width;
    double[] direction = new double[width];
    double share = 0;
    for (int c = 0; c < width; c++) {
      direction[c] = here.get("grad." + stream).get(first + c);
      share += direction[c] * run.get(ends(body).getFirst()).get(first + c);
    }
    requireLinear(pair, graph, inputs, seed, share);
    return direction;
  }

  /** With the scale held, twice the stream adds what the stream does; a norm would undo it. */
  private void requireLinear(
      Pair pair,
      Gradients graph,
      Map<String, Tensor> inputs,
      Map<String, Tensor> seed,
      double share) {
    Metric.Readout metric = spec.metric().of(patcher.model(), pair);
    double once = metric.of(graph.run(inputs, seed).get(Patcher.END), 0);
    Map.Entry<String, Tensor> stream = inputs.entrySet().iterator().next();
    Tensor doubled =
        Tensor.allocate(Arena.ofAuto(), stream.getValue().dtype(), stream.getValue().shape());
    for (long i = 0; i < doubled.elements(); i++) {
      doubled.set(i, 2 * stream.getValue().get(i));
    }
    Map<String, Tensor> twice = new LinkedHashMap<>(inputs);
    twice.put(stream.getKey(), doubled);
    double added = metric.of(graph.run(twice, seed).get(Patcher.END), 0) - once;
    if (Math.abs(added - share) > 1e-3 * (1 + Math.abs(share))) {
      throw new InputException(
          "the model "
              + patcher.model().model().name()
              + " has a last norm without the hook "
              + SCALE
              + ", so that the metric cannot be shared out; bind it by a hook map");
    }
  }

  private PatchMap map(Baselines base, double[][] values, boolean cancelled) {
    int shown = hooks.getFirst().hasHeads() ? heads : 0;
    return PatchMap.of(spec.at(), hooks, List.of(), shown, base, values, cancelled);
  }
}
