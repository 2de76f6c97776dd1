package io.assay.engine.train;

import io.assay.engine.InputException;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.Map;

/**
 * What a model learns from: batches by their number. The same number gives the same batch, so that
 * a run can be repeated and resumed.
 */
@FunctionalInterface
public interface Data {
  /**
   * Writes a batch.
   *
   * @param batch its number, from 0
   * @param inputs where to: the inputs of the objective's graph by name, which hold an earlier
   *     batch
   */
  void fill(long batch, Map<String, Tensor> inputs);

  /** Sequences of tokens, as {@link Objective#nextToken} learns them. */
  @FunctionalInterface
  interface Sequences {
    /**
     * Writes a batch.
     *
     * @param batch its number, from 0
     * @param tokens token ids [row][position], all 0
     * @param weights how much the prediction of each token counts [row][position], all 1; 0 for
     *     padding or a prompt. The first token of a row is not predicted, its weight is not read
     */
    void fill(long batch, int[][] tokens, float[][] weights);
  }

  /**
   * The data of {@link Objective#nextToken}: ids, their successors, and weights that sum to 1.
   *
   * @throws InputException when a batch is filled, if a token id or a weight is negative or no
   *     weight is above 0
   */
  static Data of(Sequences sequences) {
    return (batch, inputs) -> {
      Tensor ids = inputs.get(Objective.INPUT);
      Tensor targets = inputs.get(Objective.TARGETS);
      Tensor shares = inputs.get(Objective.WEIGHTS);
      int rows = Math.toIntExact(ids.dim(0));
      int predicted = Math.toIntExact(ids.dim(1));
      int[][] tokens = new int[rows][predicted + 1];
      float[][] weights = new float[rows][predicted + 1];
      for (float[] row : weights) {
        Arrays.fill(row, 1);
      }
      sequences.fill(batch, tokens, weights);
      double sum = 0;
      for (int r = 0; r < rows; r++) {
        for (int t = 0; t <= predicted; t++) {
          requireNotNegative(batch, r, t, "token", tokens[r][t]);
          requireNotNegative(batch, r, t, "weight", weights[r][t]);
          sum += t == 0 ? 0 : weights[r][t];
        }
      }
      if (!(sum > 0)) {
        throw new InputException(
            "batch " + batch + " has no token to predict; give one a weight above 0");
      }
      for (int r = 0; r < rows; r++) {
        for (int t = 0; t < predicted; t++) {
          int at = r * predicted + t;
          ids.set(at, tokens[r][t]);
          targets.set(at, tokens[r][t + 1]);
          shares.set(at, weights[r][t + 1] / sum);
        }
      }
    };
  }

  private static void requireNotNegative(long batch, int row, int at, String what, double value) {
    if (!(value >= 0 && value < Float.POSITIVE_INFINITY)) {
      throw new InputException(
          "the "
              + what
              + " at row "
              + row
              + ", position "
              + at
              + " of batch "
              + batch
              + " is "
              + value
              + "; it must be 0 or more");
    }
  }
}
