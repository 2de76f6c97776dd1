package io.assay.app;

import io.assay.audit.grok.GrokLabels;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokSpec;
import io.assay.audit.grok.GrokTask;
import io.assay.engine.InputException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Network, task and training of grokking; the defaults are the published run. */
final class GrokOptions {
  @Option(
      names = "--p",
      paramLabel = "P",
      defaultValue = "113",
      description = "Modulus, odd (113).")
  private int p;

  @Option(
      names = {"--fraction", "--frac-train"},
      paramLabel = "F",
      defaultValue = "0.3",
      description = "Share of the pairs that is trained on (0.3).")
  private double fraction;

  @Option(
      names = "--labels",
      paramLabel = "WHAT",
      defaultValue = "addition",
      description =
          "Answers: addition, subtraction, random:SEED, or a file of p lines of p numbers"
              + " (addition).")
  private String labels;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of the split, as Python shuffles, and of the first weights (0).")
  private long seed;

  @Option(
      names = "--init-seed",
      paramLabel = "N",
      description = "Another seed of the first weights.")
  private Long initSeed;

  @Option(
      names = "--epochs",
      paramLabel = "N",
      defaultValue = "40000",
      description = "Steps, each over all training pairs (40000).")
  private long epochs;

  @Option(
      names = "--every",
      paramLabel = "N",
      defaultValue = "100",
      description = "Steps between evaluations on all pairs, with a checkpoint at each (100).")
  private long every;

  @Option(
      names = "--learning-rate",
      paramLabel = "X",
      defaultValue = "0.001",
      description = "Reached after ten steps (0.001).")
  private double learningRate;

  @Option(
      names = "--weight-decay",
      paramLabel = "X",
      defaultValue = "1",
      description = "Decay of all weights, times the learning rate in each step (1).")
  private double weightDecay;

  @Option(
      names = "--stop-loss",
      paramLabel = "X",
      defaultValue = "0",
      description = "End when the loss on the test pairs is below this (0: never).")
  private double stopLoss;

  @Option(
      names = "--stop-settled",
      paramLabel = "N",
      defaultValue = "0",
      description =
          "End when the test loss has fallen and the weights have kept their size for N steps (0:"
              + " never).")
  private long stopSettled;

  @Option(
      names = "--allow-no-test",
      description = "Let all pairs be trained on, so that there are no test pairs.")
  private boolean allowNoTest;

  @Option(
      names = "--width",
      paramLabel = "D",
      defaultValue = "128",
      description = "Width of the residual stream (128).")
  private int width;

  @Option(names = "--heads", paramLabel = "H", defaultValue = "4", description = "Heads (4).")
  private int heads;

  @Option(
      names = "--neurons",
      paramLabel = "M",
      defaultValue = "512",
      description = "Neurons (512).")
  private int neurons;

  @Option(names = "--no-biases", description = "Neurons without biases.")
  private boolean withoutBiases;

  @Option(names = "--no-equals", description = "'=' is no output.")
  private boolean withoutEquals;

  /**
   * @throws InputException if a value is out of range
   */
  GrokSpec spec() {
    if (heads < 1 || width % heads != 0) {
      throw new InputException(
          "--heads is " + heads + "; it must divide the width, which is " + width);
    }
    GrokShape shape =
        new GrokShape(
            p, width, heads, width / heads, neurons, withoutEquals ? p : p + 1, !withoutBiases);
    return new GrokSpec(
        shape,
        new GrokTask(p, fraction, seed, labels()),
        initSeed == null ? seed : initSeed,
        epochs,
        learningRate,
        weightDecay,
        every,
        stopLoss,
        stopSettled,
        allowNoTest);
  }

  private GrokLabels labels() {
    if (labels.equals("addition")) {
      return GrokLabels.addition(p);
    }
    if (labels.equals("subtraction")) {
      return GrokLabels.subtraction(p);
    }
    if (!labels.startsWith("random:")) {
      return GrokLabels.read(Path.of(labels), p);
    }
    try {
      return GrokLabels.random(p, Long.parseUnsignedLong(labels.substring("random:".length())));
    } catch (NumberFormatException e) {
      throw new InputException("--labels is " + labels + "; a seed is a whole number", e);
    }
  }
}
