package io.assay.audit.ioi;

import io.assay.engine.InputException;
import java.util.List;

/**
 * How a circuit is found and tested.
 *
 * @param prompts on which it is found; it is tested on as many others of the seed behind theirs
 * @param ablation what replaces the heads outside of it
 * @param references corrupted prompts of each template over which means are taken
 * @param target share of the logit difference that a found circuit keeps, above 0 and at most 1; it
 *     exceeds it by no more than it may fall short
 * @param given the circuit to test; empty to search one
 * @param randomSets random subsets for completeness and minimality
 * @param greedySets greedy subsets for completeness
 */
public record CircuitSpec(
    IoiSpec prompts,
    Ablation ablation,
    int references,
    double target,
    List<Node> given,
    int randomSets,
    int greedySets) {
  /** Share of prompts on which a model must prefer IO before a circuit is claimed. */
  public static final double POSITIVE = 0.9;

  /** Share of the logit difference that a claimed circuit keeps at least. */
  public static final double FAITHFUL = 0.8;

  /**
   * Share of the model's logit difference above which an incompleteness is doubtful: as much as a
   * claimed circuit may lack of it, whatever is removed from both.
   */
  public static final double INCOMPLETE = 0.2;

  /**
   * @throws InputException if a value is out of range; the message names it
   */
  public CircuitSpec {
    given = given.stream().sorted().distinct().toList();
    require(references >= 1, "references", references, "at least 1");
    require(target > 0 && target <= 1, "target", target, "above 0 and at most 1");
    require(randomSets >= 0, "randomSets", randomSets, "0 or more");
    require(greedySets >= 0, "greedySets", greedySets, "0 or more");
  }

  private static void require(boolean holds, String field, Number value, String allowed) {
    if (!holds) {
      throw new InputException(field + " is " + value + "; it must be " + allowed);
    }
  }

  /** Mean ablation by 100 corrupted prompts of each template, and a search. */
  public static CircuitSpec of(IoiSpec prompts) {
    return new CircuitSpec(prompts, Ablation.MEAN, 100, FAITHFUL, List.of(), 20, 10);
  }

  public CircuitSpec withGiven(List<Node> value) {
    return new CircuitSpec(prompts, ablation, references, target, value, randomSets, greedySets);
  }

  public CircuitSpec withAblation(Ablation value) {
    return new CircuitSpec(prompts, value, references, target, given, randomSets, greedySets);
  }
}
