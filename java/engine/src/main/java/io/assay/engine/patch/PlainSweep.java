package io.assay.engine.patch;

import io.assay.engine.patch.Intervention.Source;
import io.assay.engine.tensor.Tensor;

/** Every patch as a whole forward pass, many of one pair in one batch. */
final class PlainSweep implements SweepWork {
  /** Tokens that one batch should hold. */
  private static final int BATCH_TOKENS = 2048;

  private final Patcher patcher;
  private final SweepSpec spec;
  private final Places places;
  private final Chunk chunk;
  private final int heads;

  private final Ablation ablation;

  PlainSweep(
      Patcher patcher, SweepSpec spec, Places places, Chunk chunk, int heads, Ablation ablation) {
    this.patcher = patcher;
    this.spec = spec;
    this.places = places;
    this.chunk = chunk;
    this.heads = heads;
    this.ablation = ablation;
  }

  @Override
  public double[] values(HookPoint hook) {
    int cells = (chunk.to() - chunk.from()) * heads;
    double[] values = new double[chunk.pairs().size() * cells];
    for (int i = 0; i < chunk.pairs().size(); i++) {
      pair(hook, chunk.pairs().get(i), values, i * cells, cells);
    }
    return values;
  }

  private void pair(HookPoint hook, int index, double[] values, int first, int cells) {
    Pair pair = spec.pairs().get(index);
    Metric.Readout metric = spec.metric().of(patcher.model(), pair);
    int most = Math.max(1, BATCH_TOKENS / pair.length());
    int batches = (cells + most - 1) / most;
    int copies = (cells + batches - 1) / batches;
    for (int from = 0; from < cells; from += copies) {
      Tensor hidden = patcher.run(plan(hook, index, from, copies, cells));
      for (int i = from; i < Math.min(cells, from + copies); i++) {
        values[first + i] = metric.of(hidden, 1 + i - from);
      }
    }
  }

  /** Row 0 gives the values; each further row is the base prompt with one cell patched. */
  private Plan plan(HookPoint hook, int index, int from, int copies, int cells) {
    Pair pair = spec.pairs().get(index);
    Plan.Builder plan = Plan.builder();
    int source = plan.row(Baselines.ints(pair.source(spec.direction())));
    Source value = new Source.Row(source);
    if (spec.by() != SweepSpec.By.RESAMPLE) {
      plan.bank(hook.name(), ablation.bank(hook, pair.length()));
      value = new Source.Bank(0);
    }
    for (int i = from; i < from + copies; i++) {
      int row = plan.row(Baselines.ints(pair.base(spec.direction())));
      if (i < cells) {
        int position = places.at().get(index)[chunk.from() + i / heads];
        plan.patch(
            row, hook.name(), position, hook.hasHeads() ? i % heads : Intervention.ALL, value);
      }
    }
    return plan.build();
  }

  @Override
  public void close() {}
}
