package io.assay.audit.arca;

import java.util.List;

/**
 * What a run found.
 *
 * @param audits one for each (target, restart), by target and then restart
 * @param warnings sentences about doubtful input
 * @param cancelled whether the listener ended the run before all audits had finished
 * @param operations multiplications and additions of the graphs and head products that ran
 * @param coordinateUpdates updates of all audits
 * @param slots audits that advanced together
 * @param seconds wall time
 */
public record ArcaResult(
    List<Audit> audits,
    List<String> warnings,
    boolean cancelled,
    long operations,
    long coordinateUpdates,
    int slots,
    double seconds) {

  public ArcaResult {
    audits = List.copyOf(audits);
    warnings = List.copyOf(warnings);
  }

  /** Why an audit ended. */
  public enum StopReason {
    SUCCESS,
    BUDGET,
    INFEASIBLE_PREFIX,
    NO_CANDIDATES,
    NAN
  }

  /** A sequence and its objective. */
  public record Best(List<Integer> promptIds, List<Integer> outputIds, double J) {}

  /** Smallest, mean and largest probability of a side's unigram table. */
  public record Unigram(double min, double mean, double max) {}

  /**
   * One audit, with the fields of specs/arca.md 2.5 under their names.
   *
   * @param target index of the target
   * @param restart index of the restart
   * @param success whether the model's greedy completion is the output, and constraints hold
   * @param sweep sweep of success, from 0; -1 if none
   * @param coordinateUpdates updates done
   * @param promptIds searched prompt, without the prefix; the last state where the search failed
   * @param outputIds the output
   * @param promptText decoded prefix and prompt, or null without a tokenizer
   * @param outputText decoded output, or null without a tokenizer
   * @param J objective, nats
   * @param LP log p(output given prompt), nats
   * @param FL mean log-probability of a prompt token, nats; 0 for a prompt of one token
   * @param promptUnigram null without a table
   * @param outputUnigram null without a table
   * @param greedyMargin smallest distance between the two best logits over the output positions
   * @param textStable whether the text encodes to the same ids again; null without a tokenizer
   * @param alreadyProduced whether the prefix alone makes the model say the output
   * @param forbidden prompt tokens that the copy filter forbids
   * @param bestSoFar sequence with the highest objective that was evaluated; null if none was
   * @param forwardSequences sequences run forward
   * @param backwardSequences sequences run backward
   * @param seconds wall time between start and end of this audit, shared with others
   * @param seed of the run
   * @param stopReason why it ended
   */
  public record Audit(
      int target,
      int restart,
      boolean success,
      int sweep,
      int coordinateUpdates,
      List<Integer> promptIds,
      List<Integer> outputIds,
      String promptText,
      String outputText,
      double J,
      double LP,
      double FL,
      Unigram promptUnigram,
      Unigram outputUnigram,
      double greedyMargin,
      Boolean textStable,
      boolean alreadyProduced,
      int forbidden,
      Best bestSoFar,
      long forwardSequences,
      long backwardSequences,
      double seconds,
      long seed,
      StopReason stopReason) {

    Audit withAlreadyProduced() {
      return new Audit(
          target,
          restart,
          success,
          sweep,
          coordinateUpdates,
          promptIds,
          outputIds,
          promptText,
          outputText,
          J,
          LP,
          FL,
          promptUnigram,
          outputUnigram,
          greedyMargin,
          textStable,
          true,
          forbidden,
          bestSoFar,
          forwardSequences,
          backwardSequences,
          seconds,
          seed,
          stopReason);
    }
  }

  /** Mean over the audits of success: the average success rate. */
  public double successRate() {
    return audits.stream().mapToInt(a -> a.success() ? 1 : 0).average().orElse(0);
  }

  /** Share of the targets for which at least one restart succeeded. */
  public double anySuccessRate() {
    long targets = audits.stream().mapToInt(Audit::target).distinct().count();
    long found = audits.stream().filter(Audit::success).mapToInt(Audit::target).distinct().count();
    return targets == 0 ? 0 : (double) found / targets;
  }
}
