package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.util.Arrays;

/**
 * The exact evaluation of candidates in all audits of a group, and the move to the best of them
 * (specs/arca.md 3.1 c to e).
 *
 * <p>At the last position no sequence needs to run, since what predicts it is settled.
 */
final class Rescoring implements AutoCloseable {
  private final Problem problem;
  private final int from;
  private final int groups;
  private final int rows;

  /** Null where swaps change the last position only. */
  private final Batch batch;

  /**
   * @param from first position that candidates change
   * @param rows candidates of each audit that run at once
   */
  Rescoring(Engine engine, LanguageModel model, Problem problem, int from, int groups, int rows) {
    this.problem = problem;
    this.from = from;
    this.groups = groups;
    this.rows = rows;
    batch =
        from < problem.length - 1
            ? Batch.forward(engine, model, problem, from, groups, rows)
            : null;
  }

  /** Multiplications and additions of what ran so far. */
  long operations() {
    return batch == null ? 0 : batch.operations();
  }

  /** The move of one audit as far as it is known: its best candidate, and whether it succeeds. */
  private static final class Winner {
    Swap swap;
    double objective = Double.NEGATIVE_INFINITY;
    boolean success;
  }

  /**
   * Evaluates the candidates, moves each audit to its winner, and says which succeeded.
   *
   * @param candidates of each audit, best scored first; null for absent audits
   */
  boolean[] move(Slot[] slots, Swap[][] candidates) {
    Winner[] winners = new Winner[groups];
    Arrays.setAll(winners, _ -> new Winner());
    int most = 0;
    for (Swap[] swaps : candidates) {
      most = Math.max(most, swaps == null ? 0 : swaps.length);
    }
    for (int first = 0; first < most; first += rows) {
      if (batch != null) {
        batch.run(slots, candidates, first);
      }
      for (int a = 0; a < groups; a++) {
        for (int j = 0;
            candidates[a] != null && j < rows && first + j < candidates[a].length;
            j++) {
          evaluate(slots[a], candidates[a][first + j], a * rows + j, winners[a]);
        }
      }
    }
    boolean[] success = new boolean[groups];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        slots[a].move(winners[a].swap);
        success[a] =
            winners[a].success && !slots[a].notANumber && isAllowed(slots[a], slots[a].ids);
      }
    }
    return success;
  }

  private void evaluate(Slot slot, Swap swap, int row, Winner winner) {
    slot.forwardSequences += batch == null ? 0 : 1;
    double objective = objective(slot, swap, row);
    if (Double.isNaN(objective)) {
      slot.notANumber = true;
      return;
    }
    SuccessCheck check = problem.spec.successCheck();
    boolean good = check == SuccessCheck.ANY && isGreedy(slot, swap, row);
    slot.evaluated(swap, problem.prefixLength, problem.afterFree(), objective);
    if (winner.swap == null
        || good && !winner.success
        || good == winner.success && objective > winner.objective) {
      winner.swap = swap;
      winner.objective = objective;
      winner.success = good || check == SuccessCheck.FIRST && isGreedy(slot, swap, row);
      settle(slot, swap, row);
    }
  }

  /** J of the sequence that a swap makes; NaN where a logit was not a number. */
  private double objective(Slot slot, Swap swap, int row) {
    double sum = problem.unigrams(swap.in(slot.ids));
    for (int t = 0; t < problem.length - 1; t++) {
      double weight = problem.termWeight(t);
      if (weight == 0) {
        continue;
      }
      double logProb;
      if (t >= from) {
        logProb = batch.logProb(row, t);
      } else if (t == swap.position() - 1) {
        logProb = slot.logProb(swap.position(), swap.token());
      } else {
        logProb = slot.logProb[t];
      }
      sum += weight * logProb;
    }
    return sum;
  }

  /** J of each of at most {@code rows} swaps of the first audit; nothing moves. */
  double[] objectives(Slot[] slots, Swap[] swaps) {
    if (batch != null) {
      Swap[][] all = new Swap[groups][];
      all[0] = swaps;
      batch.run(slots, all, 0);
    }
    double[] values = new double[swaps.length];
    for (int j = 0; j < swaps.length; j++) {
      values[j] = objective(slots[0], swaps[j], j);
    }
    return values;
  }

  /** Whether every output token is the arg max of the position before it, and constraints hold. */
  private boolean isGreedy(Slot slot, Swap swap, int row) {
    for (int t = problem.outputStart - 1; t < problem.length - 1; t++) {
      int top = t >= from ? batch.argMax(row, t) : slot.argMax[t];
      if (top != swap.at(t + 1, slot.ids)) {
        return false;
      }
    }
    return isAllowed(slot, swap.in(slot.ids));
  }

  private boolean isAllowed(Slot slot, int[] ids) {
    return problem.passesRule(ids) && problem.permits(ids, slot.forbidden);
  }

  /** Takes over what the model said about a candidate. */
  private void settle(Slot slot, Swap swap, int row) {
    if (swap.position() == from && problem.isPredicted(from)) {
      slot.logProb[from - 1] = slot.logProb(from, swap.token());
    }
    if (batch != null) {
      batch.commit(slot, row);
    }
  }

  @Override
  public void close() {
    if (batch != null) {
      batch.close();
    }
  }
}
