package io.assay.engine.patch;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.List;
import java.util.Map;

/**
 * The metric of both prompts of each pair without any patch.
 *
 * @param clean in the order of the pairs, nats
 * @param corrupt likewise
 */
public record Baselines(double[] clean, double[] corrupt) {
  /** The metric of the clean prompts, mean over the pairs. */
  public double cleanMean() {
    return PatchMap.mean(clean);
  }

  /** The metric of the corrupt prompts, mean over the pairs. */
  public double corruptMean() {
    return PatchMap.mean(corrupt);
  }

  /**
   * Runs each pair once.
   *
   * @throws InputException if the model computes something that is not a number: the message names
   *     hook, prompt and position
   */
  static Baselines of(Patcher patcher, Metric metric, List<Pair> pairs) {
    double[] clean = new double[pairs.size()];
    double[] corrupt = new double[pairs.size()];
    for (int i = 0; i < pairs.size(); i++) {
      Pair pair = pairs.get(i);
      Plan.Builder plan = Plan.builder();
      plan.row(ints(pair.clean()));
      plan.row(ints(pair.corrupt()));
      Tensor hidden = patcher.run(plan.build());
      Metric.Readout read = metric.of(patcher.model(), pair);
      clean[i] = read.of(hidden, 0);
      corrupt[i] = read.of(hidden, 1);
      requireFinite(patcher, pair, i, clean[i], corrupt[i]);
    }
    return new Baselines(clean, corrupt);
  }

  /**
   * @throws InputException if one of the metrics of a pair is no number
   */
  static void requireFinite(Patcher patcher, Pair pair, int index, double clean, double corrupt) {
    if (!Double.isFinite(clean) || !Double.isFinite(corrupt)) {
      throw notFinite(patcher, pair, index);
    }
  }

  private static InputException notFinite(Patcher patcher, Pair pair, int index) {
    List<String> hooks =
        patcher.hooks().stream()
            .filter(h -> !h.endsWith("attn_scores") && !h.startsWith("unembed"))
            .toList();
    Map<String, Tensor> values =
        patcher.read(List.of(ints(pair.clean()), ints(pair.corrupt())), hooks);
    for (String hook : hooks) {
      Tensor t = values.get(hook);
      for (long i = 0; t != null && t.rank() > 1 && i < t.elements(); i++) {
        if (!Double.isFinite(t.get(i))) {
          long each = t.elements() / t.dim(0);
          long position = i % each / (each / t.dim(1));
          return new InputException(
              "the model %s computes %s at %s, %s prompt of pairs[%d], %s %d; the model is broken"
                  .formatted(
                      patcher.model().model().name(),
                      t.get(i),
                      hook,
                      i < each ? "clean" : "corrupt",
                      index,
                      HookPoint.of(hook).axes() == HookPoint.Axes.PATTERN ? "head" : "position",
                      position));
        }
      }
    }
    return new InputException(
        "the model %s computes logits of pairs[%d] that are no numbers"
            .formatted(patcher.model().model().name(), index));
  }

  static int[] ints(List<Integer> ids) {
    return ids.stream().mapToInt(Integer::intValue).toArray();
  }

  /**
   * Score of a metric between the two runs without a patch: 0 like the corrupt one, 1 like the
   * clean one. NaN where they are within 1e-6 of each other.
   */
  public static double normalised(double metric, double clean, double corrupt) {
    return Math.abs(clean - corrupt) < 1e-6 ? Double.NaN : (metric - corrupt) / (clean - corrupt);
  }
}
