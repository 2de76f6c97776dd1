package io.assay.engine.train;

import io.assay.engine.InputException;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * How to train: AdamW (Loshchilov and Hutter 2019) with a schedule and clipped gradients.
 *
 * @param steps updates of the run, at least 1
 * @param learningRate highest learning rate
 * @param schedule how it falls
 * @param warmup updates over which it first rises from 0, fewer than {@code steps}
 * @param beta1 decay of the mean of the gradients, in [0, 1)
 * @param beta2 decay of the mean of their squares, in [0, 1)
 * @param epsilon what is added to the root of the latter
 * @param weightDecay decoupled decay: each update takes {@code rate * weightDecay * weight} away
 * @param undecayed regular expression of the names of weights that do not decay
 * @param clip norm that the gradient of all weights together is scaled down to where it is longer;
 *     infinity never clips
 */
public record TrainSpec(
    long steps,
    double learningRate,
    Schedule schedule,
    long warmup,
    double beta1,
    double beta2,
    double epsilon,
    double weightDecay,
    String undecayed,
    double clip) {
  /** Biases and layer norms, which by convention do not decay. */
  public static final String BIASES_AND_NORMS = "(.*\\.)?(bias|ln_[^.]*\\.weight)";

  /** The same and the embeddings of tokens and positions. */
  public static final String ALL_BUT_MATRICES = BIASES_AND_NORMS + "|(.*\\.)?w[tp]e\\.weight";

  /**
   * @throws InputException if a value is out of range; the message names it
   */
  public TrainSpec {
    require(steps >= 1, "steps", steps, "at least 1");
    require(
        learningRate >= 0 && Double.isFinite(learningRate),
        "learningRate",
        learningRate,
        "0 or more");
    require(
        warmup >= 0 && warmup < steps, "warmup", warmup, "from 0 to less than the steps, " + steps);
    require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "from 0 to less than 1");
    require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "from 0 to less than 1");
    require(epsilon >= 0 && Double.isFinite(epsilon), "epsilon", epsilon, "0 or more");
    require(
        weightDecay >= 0 && Double.isFinite(weightDecay), "weightDecay", weightDecay, "0 or more");
    require(clip > 0, "clip", clip, "more than 0");
    try {
      Pattern.compile(undecayed);
    } catch (PatternSyntaxException e) {
      throw new InputException(
          "undecayed is " + undecayed + ", not a regular expression: " + e.getDescription(), e);
    }
  }

  private static void require(boolean holds, String field, Number value, String allowed) {
    if (!holds) {
      throw new InputException(field + " is " + value + "; it must be " + allowed);
    }
  }

  /**
   * A constant rate without clipping, and for the rest what PyTorch's AdamW has unasked: betas 0.9
   * and 0.999, epsilon 1e-8, a decay of 0.01; biases and layer norms do not decay.
   */
  public static TrainSpec of(long steps, double learningRate) {
    return new TrainSpec(
        steps,
        learningRate,
        Schedule.CONSTANT,
        0,
        0.9,
        0.999,
        1e-8,
        0.01,
        BIASES_AND_NORMS,
        Double.POSITIVE_INFINITY);
  }

  public TrainSpec withSchedule(Schedule value, long warmupSteps) {
    return new TrainSpec(
        steps,
        learningRate,
        value,
        warmupSteps,
        beta1,
        beta2,
        epsilon,
        weightDecay,
        undecayed,
        clip);
  }

  public TrainSpec withBetas(double first, double second) {
    return new TrainSpec(
        steps,
        learningRate,
        schedule,
        warmup,
        first,
        second,
        epsilon,
        weightDecay,
        undecayed,
        clip);
  }

  public TrainSpec withEpsilon(double value) {
    return new TrainSpec(
        steps, learningRate, schedule, warmup, beta1, beta2, value, weightDecay, undecayed, clip);
  }

  /**
   * @param names regular expression of the names of weights that do not decay; an empty one matches
   *     none
   */
  public TrainSpec withWeightDecay(double value, String names) {
    return new TrainSpec(
        steps, learningRate, schedule, warmup, beta1, beta2, epsilon, value, names, clip);
  }

  public TrainSpec withClip(double norm) {
    return new TrainSpec(
        steps, learningRate, schedule, warmup, beta1, beta2, epsilon, weightDecay, undecayed, norm);
  }

  /** Learning rate of the update that follows {@code done} others. */
  public double rate(long done) {
    return learningRate * schedule.factor(done, warmup, steps);
  }
}
