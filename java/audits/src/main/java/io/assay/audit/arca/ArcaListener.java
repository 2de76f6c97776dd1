package io.assay.audit.arca;

import io.assay.engine.run.UnitListener;
import java.util.List;

/**
 * Follows a run and may end it early or go on with an earlier one: the units of its work are the
 * audits, one for each target and restart. Methods are called on the thread that runs the audit.
 */
public interface ArcaListener extends UnitListener<ArcaResult.Audit> {
  /** Watches nothing and never cancels. */
  ArcaListener NONE = new ArcaListener() {};

  /**
   * State of a run.
   *
   * @param updates coordinate updates done, over all audits
   * @param updatesAtMost updates if no audit still running succeeds
   * @param finished audits that ended
   * @param audits audits in all
   * @param successes audits that succeeded
   * @param best highest objective J seen so far, nats; -infinity at first
   */
  record Progress(
      long updates, long updatesAtMost, int finished, int audits, int successes, double best) {}

  /**
   * An audit after an update of one of its tokens.
   *
   * @param target index of the target
   * @param restart index of the restart
   * @param sweep sweep of the update, from 0
   * @param ids prefix, prompt and output
   * @param J their objective, nats
   */
  record Move(int target, int restart, int sweep, List<Integer> ids, double J) {}

  /** Called for each audit after each of its updates, before it may end. */
  default void moved(Move move) {}

  /** Called after each coordinate update of the audits that advance together. */
  default void progress(Progress progress) {}
}
