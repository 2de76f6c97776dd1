package io.assay.audit.arca;

import io.assay.engine.Engine;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.model.LanguageModel;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * One step of greedy coordinate gradient, for comparison (Zou, Wang, Carlini, Nasr, Kolter and
 * Fredrikson 2023, with the defaults of nanoGCG; specs/arca.md 3.6): one gradient of J to the
 * one-hot rows of all prompt positions, the 256 best tokens of each position by it, q random picks
 * of a position and one of its tokens, and the move to the pick of the highest J.
 *
 * <p>The derivative of J to the one-hot row of position i is the score of specs/arca.md 2.4 with
 * the current token in place of the random ones: the prompt's fluency predicts the token itself,
 * and is linear in it.
 *
 * <p>Draws: for each pick the position, then the place among its tokens.
 */
final class GcgStep implements Step {
  /** Tokens kept of each position. */
  static final int TOP = Kernels.MAX_KEPT;

  /** Candidates of an audit that run at once. */
  private static final int ROWS = 512;

  private final Problem problem;
  private final ArcaSpec spec;
  private final int groups;
  private final Batch gradient;
  private final Scores[] scores;
  private final Rescoring rescoring;

  GcgStep(Engine engine, LanguageModel model, Problem problem, int groups, BitSet allowed) {
    this.problem = problem;
    this.spec = problem.spec;
    this.groups = groups;
    int from = problem.prefixLength;
    int rows = Math.min(ROWS, spec.q() + (spec.keepCurrent() ? 1 : 0));
    rescoring = new Rescoring(engine, model, problem, from, groups, rows);
    try {
      gradient = Batch.gradient(engine, model, problem, from, groups, 1);
    } catch (RuntimeException | Error e) {
      rescoring.close();
      throw e;
    }
    scores = new Scores[spec.promptLength()];
    for (int p = 0; p < scores.length; p++) {
      scores[p] = new Scores(engine, model, problem, from + p, groups, TOP, allowed);
    }
  }

  @Override
  public long operations() {
    long sum = gradient.operations() + rescoring.operations();
    for (Scores s : scores) {
      sum += s.operations();
    }
    return sum;
  }

  @Override
  public boolean[] update(Slot[] slots) {
    int[][][] top = top(slots);
    Swap[][] candidates = new Swap[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        candidates[a] = draw(slots[a], top[a]);
      }
    }
    return rescoring.move(slots, candidates);
  }

  /** The best tokens of each audit and prompt position by the gradient at the current tokens. */
  int[][][] top(Slot[] slots) {
    Swap[][] current = new Swap[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        current[a] = new Swap[] {current(slots[a])};
        slots[a].forwardSequences++;
        slots[a].backwardSequences++;
      }
    }
    gradient.run(slots, current, 0);
    gradient.runBackward();
    int[][][] top = new int[groups][scores.length][];
    for (int p = 0; p < scores.length; p++) {
      gradient.sumGradients(problem.prefixLength + p, slots, 1, scores[p].gradient);
      int[][] best = scores[p].best(slots);
      for (int a = 0; a < groups; a++) {
        top[a][p] = best[a];
      }
    }
    return top;
  }

  /** The first audit's scores of what {@link #top} gave for a prompt position. */
  double[] scores(int promptPosition) {
    return scores[promptPosition].ofBest();
  }

  /** The swap that changes nothing. */
  private Swap current(Slot slot) {
    return new Swap(problem.prefixLength, slot.ids[problem.prefixLength]);
  }

  private Swap[] draw(Slot slot, int[][] top) {
    List<Integer> positions = new ArrayList<>();
    for (int p = 0; p < top.length; p++) {
      if (top[p].length > 0) {
        positions.add(p);
      }
    }
    List<Swap> picks = new ArrayList<>();
    Set<Swap> seen = new HashSet<>();
    for (int j = 0; j < spec.q() && !positions.isEmpty(); j++) {
      int p = positions.get(Streams.draw(slot.random, positions.size()));
      int token = top[p][Streams.draw(slot.random, top[p].length)];
      Swap pick = new Swap(problem.prefixLength + p, token);
      if (!spec.noRepeat() || seen.add(pick)) {
        picks.add(pick);
      }
    }
    if (spec.keepCurrent() && !picks.isEmpty() && problem.permits(slot.ids, slot.forbidden)) {
      picks.add(current(slot));
    }
    return picks.toArray(Swap[]::new);
  }

  @Override
  public void close() {
    rescoring.close();
    gradient.close();
    for (Scores s : scores) {
      s.close();
    }
  }
}
