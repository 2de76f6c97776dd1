package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.tensor.Tensor;
import java.util.Map;
import java.util.TreeMap;

/**
 * How well a network does its task, over all of its outputs.
 *
 * @param losses loss of each pair by index, nats, [p^2]
 * @param right whether the largest output is the label, [p^2]
 * @param train whether it was trained on, [p^2]
 */
record GrokScores(double[] losses, boolean[] right, boolean[] train) {

  /** Runs the network on all pairs. */
  static GrokScores of(Engine engine, Map<String, Tensor> weights, GrokTask task) {
    int n = task.pairs();
    int[] all = new int[n];
    for (int i = 0; i < n; i++) {
      all[i] = i;
    }
    try (GrokLoss loss = new GrokLoss(engine.kernels(), task, all, weights, null)) {
      return new GrokScores(loss.losses(), loss.right(), task.trainMask());
    }
  }

  /**
   * trainLoss, testLoss, allLoss, trainAcc, testAcc, allAcc; nothing of tests that there are not.
   */
  Map<String, Double> means() {
    Map<String, Double> means = new TreeMap<>();
    put(means, "all", true, true);
    put(means, "train", true, false);
    put(means, "test", false, true);
    return means;
  }

  private void put(Map<String, Double> means, String name, boolean trained, boolean tested) {
    double sum = 0;
    double hits = 0;
    long count = 0;
    for (int i = 0; i < losses.length; i++) {
      if (train[i] ? trained : tested) {
        sum += losses[i];
        hits += right[i] ? 1 : 0;
        count++;
      }
    }
    if (count > 0) {
      means.put(name + "Loss", sum / count);
      means.put(name + "Acc", hits / count);
    }
  }
}
