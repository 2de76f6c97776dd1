package io.assay.engine.patch;

import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What a sweep that does not resample replaces a hook's value by. */
final class Ablation {
  /** Prompts that are read together. */
  private static final int BATCH = 16;

  private final Patcher patcher;
  private final SweepSpec spec;
  private final Map<String, Tensor> banks = new HashMap<>();

  Ablation(Patcher patcher, SweepSpec spec) {
    this.patcher = patcher;
    this.spec = spec;
  }

  /**
   * One row for a hook, [1, ...]: zeros, or the mean over the source prompts of all pairs.
   *
   * @param length of the prompts
   */
  Tensor bank(HookPoint hook, int length) {
    return banks.computeIfAbsent(
        hook.name() + " " + length,
        _ -> spec.by() == SweepSpec.By.ZERO ? zero(hook, length) : mean(hook));
  }

  private Tensor zero(HookPoint hook, int length) {
    int[] ids = new int[length];
    return Banks.zero(read(hook, List.of(ids, ids)));
  }

  private Tensor mean(HookPoint hook) {
    Tensor sum = null;
    List<Pair> pairs = spec.pairs();
    double[] sums = null;
    for (int from = 0; from < pairs.size(); from += BATCH) {
      List<int[]> rows = new ArrayList<>();
      for (Pair pair : pairs.subList(from, Math.min(pairs.size(), from + BATCH))) {
        rows.add(Baselines.ints(pair.source(spec.direction())));
      }
      Tensor values = read(hook, rows);
      sum = sum == null ? Banks.zero(values) : sum;
      sums = sums == null ? new double[Math.toIntExact(sum.elements())] : sums;
      for (int i = 0; i < values.elements(); i++) {
        sums[i % sums.length] += values.get(i);
      }
    }
    for (int i = 0; i < sums.length; i++) {
      sum.set(i, sums[i] / pairs.size());
    }
    return sum;
  }

  private Tensor read(HookPoint hook, List<int[]> rows) {
    return patcher.read(rows, List.of(hook.name())).get(hook.name());
  }
}
