package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.train.Schedule;
import io.assay.engine.train.TrainSpec;

/**
 * How a network is trained: all training pairs in every step, AdamW with betas 0.9 and 0.98 and
 * decay of every weight, a learning rate that rises over the first ten steps from 0 (Nanda et al.
 * 2023, section 3; the official code).
 *
 * @param shape of the network
 * @param task what it learns
 * @param initSeed of its first weights
 * @param epochs steps, at least 1
 * @param learningRate after the first ten steps
 * @param weightDecay each step takes {@code learningRate * weightDecay * weight} away
 * @param every steps from one evaluation, with its checkpoint, to the next
 * @param stopLoss loss on the test pairs below which an evaluation ends the training; 0: never
 * @param stopSettled steps for which the phases must have ended (specs/grokking.md 3.5: the test
 *     loss has fallen, the weights have shrunk and stay) before an evaluation ends the training; 0:
 *     never
 * @param allowNoTest whether all pairs may be trained on
 */
public record GrokSpec(
    GrokShape shape,
    GrokTask task,
    long initSeed,
    long epochs,
    double learningRate,
    double weightDecay,
    long every,
    double stopLoss,
    long stopSettled,
    boolean allowNoTest) {
  private static final long WARM_UP = 10;

  /**
   * @throws InputException if a value is out of range; the message names it
   */
  public GrokSpec {
    if (shape.p() != task.p()) {
      throw new InputException(
          "p is " + shape.p() + " of the network, " + task.p() + " of the task");
    }
    if (epochs < 1) {
      throw new InputException("epochs is " + epochs + "; it must be at least 1");
    }
    if (every < 1) {
      throw new InputException("every is " + every + "; it must be at least 1");
    }
    if (!(stopLoss >= 0)) {
      throw new InputException("stopLoss is " + stopLoss + "; it must be 0 or more");
    }
    if (stopSettled < 0) {
      throw new InputException("stopSettled is " + stopSettled + "; it must be 0 or more");
    }
    task.requireTest(allowNoTest);
    training(epochs, learningRate, weightDecay);
  }

  /** The published run: p 113, 30 % of the pairs, decay 1, 40,000 steps. */
  public static GrokSpec published() {
    return new GrokSpec(
        GrokShape.of(113), GrokTask.addition(113, 0.3, 0), 0, 40_000, 1e-3, 1, 100, 0, 0, false);
  }

  /** A small network that generalises within some thousand steps (specs/grokking.md 5.5). */
  public static GrokSpec small(long seed) {
    return new GrokSpec(
        new GrokShape(59, 64, 4, 16, 256, 60, true),
        GrokTask.addition(59, 0.5, seed),
        seed,
        4_000,
        1e-3,
        2,
        50,
        0,
        0,
        false);
  }

  public GrokSpec withTask(GrokTask value) {
    return new GrokSpec(
        shape,
        value,
        initSeed,
        epochs,
        learningRate,
        weightDecay,
        every,
        stopLoss,
        stopSettled,
        allowNoTest);
  }

  public GrokSpec withWeightDecay(double value) {
    return new GrokSpec(
        shape,
        task,
        initSeed,
        epochs,
        learningRate,
        value,
        every,
        stopLoss,
        stopSettled,
        allowNoTest);
  }

  /** Another number of steps, and of steps between evaluations. */
  public GrokSpec withEpochs(long value, long between) {
    return new GrokSpec(
        shape,
        task,
        initSeed,
        value,
        learningRate,
        weightDecay,
        between,
        stopLoss,
        stopSettled,
        allowNoTest);
  }

  /** Other rules for an earlier end; see {@code stopLoss} and {@code stopSettled}. */
  public GrokSpec withStop(double loss, long settled) {
    return new GrokSpec(
        shape,
        task,
        initSeed,
        epochs,
        learningRate,
        weightDecay,
        every,
        loss,
        settled,
        allowNoTest);
  }

  /** The same as the engine's trainer takes it. */
  public TrainSpec training() {
    return training(epochs, learningRate, weightDecay);
  }

  private static TrainSpec training(long epochs, double learningRate, double weightDecay) {
    return TrainSpec.of(epochs, learningRate)
        .withSchedule(Schedule.CONSTANT, Math.min(WARM_UP, epochs - 1))
        .withBetas(0.9, 0.98)
        .withWeightDecay(weightDecay, "");
  }
}
