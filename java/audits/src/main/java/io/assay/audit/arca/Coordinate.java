package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import java.util.Arrays;
import java.util.BitSet;
import java.util.function.Function;

/**
 * The update of one position in all audits of a group (specs/arca.md 2.4, 3.1 and 7.2): a gradient
 * averaged over random tokens, scores of all tokens by it, the exact evaluation of the best, and
 * the move. What the model said about the positions before this one is carried in the slots.
 */
final class Coordinate implements Step {
  private final Problem problem;
  private final ArcaSpec spec;
  private final LanguageModel model;
  private final int position;
  private final int groups;
  private final BitSet allowed;

  /** Averaging sequences, null where nothing depends on this position or no gradient is used. */
  private final Batch gradient;

  /** Null where candidates are chosen without scores. */
  private final Scores scores;

  private final Rescoring rescoring;

  Coordinate(
      Engine engine,
      LanguageModel model,
      Problem problem,
      int position,
      int groups,
      BitSet allowed) {
    this.problem = problem;
    this.spec = problem.spec;
    this.model = model;
    this.position = position;
    this.groups = groups;
    this.allowed = allowed;
    boolean scored = spec.candidates() == Candidates.GRADIENT && spec.method() != Method.RANDOM;
    boolean followed = position < problem.length - 1;
    int rows = spec.q() + (spec.keepCurrent() ? 1 : 0);
    rescoring = new Rescoring(engine, model, problem, position, groups, rows);
    try {
      gradient =
          scored && followed
              ? Batch.gradient(engine, model, problem, position, groups, averagedTokens())
              : null;
    } catch (RuntimeException | Error e) {
      rescoring.close();
      throw e;
    }
    scores =
        scored ? new Scores(engine, model, problem, position, groups, spec.q(), allowed) : null;
  }

  private int averagedTokens() {
    return spec.method() == Method.AUTOPROMPT ? 1 : spec.k();
  }

  @Override
  public long operations() {
    return rescoring.operations()
        + (gradient == null ? 0 : gradient.operations())
        + (scores == null ? 0 : scores.operations());
  }

  @Override
  public boolean[] update(Slot[] slots) {
    int[][] chosen = choose(slots);
    Swap[][] candidates = new Swap[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        int[] tokens = spec.keepCurrent() ? withCurrent(slots[a], chosen[a]) : chosen[a];
        candidates[a] = Swap.all(position, tokens);
      }
    }
    return rescoring.move(slots, candidates);
  }

  /** Tokens to evaluate in each audit, best first; null for absent audits. */
  private int[][] choose(Slot[] slots) {
    if (spec.method() == Method.RANDOM) {
      return each(slots, this::drawCandidates);
    }
    if (spec.candidates() == Candidates.EXACT) {
      return each(slots, slot -> permitted(slot).stream().toArray());
    }
    int[][] averaging =
        each(
            slots,
            slot ->
                spec.method() == Method.AUTOPROMPT
                    ? new int[] {slot.ids[position]}
                    : drawAveraging(slot));
    average(slots, averaging);
    return scores.best(slots);
  }

  private static int[][] each(Slot[] slots, Function<Slot, int[]> choice) {
    int[][] chosen = new int[slots.length][];
    for (int a = 0; a < slots.length; a++) {
      chosen[a] = slots[a] == null ? null : choice.apply(slots[a]);
    }
    return chosen;
  }

  private int[] withCurrent(Slot slot, int[] tokens) {
    int current = slot.ids[position];
    boolean permitted =
        allowed.get(current) && !(problem.isPrompt(position) && slot.forbidden.get(current));
    if (tokens.length == 0 || !permitted || Arrays.stream(tokens).anyMatch(v -> v == current)) {
      return tokens;
    }
    int[] more = Arrays.copyOf(tokens, tokens.length + 1);
    more[tokens.length] = current;
    return more;
  }

  private BitSet permitted(Slot slot) {
    BitSet permitted = (BitSet) allowed.clone();
    permitted.andNot(slot.barred(position, problem.isPrompt(position)));
    return permitted;
  }

  /** q different permitted tokens. */
  private int[] drawCandidates(Slot slot) {
    int[] ids = permitted(slot).stream().toArray();
    int count = Math.min(spec.q(), ids.length);
    for (int i = 0; i < count; i++) {
      int j = i + (int) (slot.random.nextDouble() * (ids.length - i));
      int id = ids[j];
      ids[j] = ids[i];
      ids[i] = id;
    }
    return Arrays.copyOf(ids, count);
  }

  private int[] drawAveraging(Slot slot) {
    int[] drawn = new int[spec.k()];
    for (int j = 0; j < drawn.length; j++) {
      drawn[j] = Streams.draw(slot.random, model.vocabulary());
    }
    return drawn;
  }

  /** Averages, over the given tokens, the gradient of what this position influences. */
  private void average(Slot[] slots, int[][] tokens) {
    if (gradient == null) {
      scores.gradient.data().fill((byte) 0);
      return;
    }
    int k = averagedTokens();
    Swap[][] swaps = new Swap[groups][];
    for (int a = 0; a < groups; a++) {
      if (slots[a] != null) {
        swaps[a] = Swap.all(position, tokens[a]);
        slots[a].forwardSequences += k;
        slots[a].backwardSequences += k;
      }
    }
    gradient.run(slots, swaps, 0);
    gradient.runBackward();
    double scale = spec.compat() == Compat.OFFICIAL ? 1.0 / k / k : 1.0 / k;
    gradient.sumGradients(position, slots, scale, scores.gradient);
  }

  // ---- one audit by itself, for statements about the parts ----

  /** The averaged gradient [width] for given averaging tokens; zeros where nothing follows. */
  double[] gradient(Slot slot, int... averagingTokens) {
    int[][] tokens = new int[groups][];
    tokens[0] = averagingTokens;
    average(alone(slot), tokens);
    return Arrays.copyOf(scores.gradient.toDoubles(), model.width());
  }

  /** Scores of all tokens (specs/arca.md 2.4) for given averaging tokens, in Java and unmasked. */
  double[] scores(Slot slot, int... averagingTokens) {
    gradient(slot, averagingTokens);
    return scores.all(slot);
  }

  /** The kernel's choice after {@link #gradient} or {@link #scores} of the same slot. */
  int[] ranked(Slot slot) {
    return scores.best(alone(slot))[0];
  }

  /** The kernel's scores of {@link #ranked}. */
  double[] rankedScores() {
    return scores.ofBest();
  }

  /** J with each of at most q tokens at this position; nothing moves. */
  double[] objectives(Slot slot, int... tokens) {
    return rescoring.objectives(alone(slot), Swap.all(position, tokens));
  }

  private Slot[] alone(Slot slot) {
    Slot[] slots = new Slot[groups];
    slots[0] = slot;
    return slots;
  }

  @Override
  public void close() {
    rescoring.close();
    if (gradient != null) {
      gradient.close();
    }
    if (scores != null) {
      scores.close();
    }
  }
}
