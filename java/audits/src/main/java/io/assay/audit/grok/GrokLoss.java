package io.assay.audit.grok;

import io.assay.engine.kernel.GrokPairs;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Loss;
import java.lang.foreign.Arena;
import java.util.Map;

/** The mean loss of a network over pairs, and its gradients, by the engine's kernel. */
final class GrokLoss implements Loss {
  private final Kernels kernels;
  private final int count;
  private final Tensor first;
  private final Tensor second;
  private final Tensor labels;
  private final Tensor losses;
  private final Tensor best;
  private final GrokPairs pairs;

  /**
   * @param indices of the pairs, ascending
   * @param weights by official name
   * @param gradients by the same names, or null if they are not wanted
   */
  GrokLoss(
      Kernels kernels,
      GrokTask task,
      int[] indices,
      Map<String, Tensor> weights,
      Map<String, Tensor> gradients) {
    this.kernels = kernels;
    this.count = indices.length;
    Arena arena = Arena.ofAuto();
    first = Tensor.allocate(arena, DType.I32, count);
    second = Tensor.allocate(arena, DType.I32, count);
    labels = Tensor.allocate(arena, DType.I32, count);
    losses = Tensor.allocate(arena, DType.F64, count);
    best = Tensor.allocate(arena, DType.I32, count);
    for (int i = 0; i < count; i++) {
      first.set(i, indices[i] / task.p());
      second.set(i, indices[i] % task.p());
      labels.set(i, task.labels().of(indices[i]));
    }
    pairs =
        new GrokPairs(
            GrokModel.forKernel(weights),
            gradients == null ? null : GrokModel.forKernel(gradients),
            first.data(),
            second.data(),
            labels.data(),
            losses.data(),
            best.data());
  }

  @Override
  public long items() {
    return count;
  }

  @Override
  public double gradients(long step) {
    kernels.grok(pairs);
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += losses.get(i);
    }
    return sum / count;
  }

  /** Computes and gives the loss of each pair, nats. */
  double[] losses() {
    kernels.grok(pairs);
    return losses.toDoubles();
  }

  /** Whether the largest output of each pair was its label, when losses were last computed. */
  boolean[] right() {
    boolean[] right = new boolean[count];
    for (int i = 0; i < count; i++) {
      right[i] = best.getLong(i) == labels.getLong(i);
    }
    return right;
  }

  @Override
  public void close() {
    // Its memory goes when nothing reaches it; the kernels belong to the engine.
  }
}
