package io.assay.engine.run;

import java.util.List;

/**
 * What a method tells and asks about its units of work, the pieces that it can leave out when they
 * were done before: an audit of one target, a stretch of training. A method that calls these has
 * progress, cancellation, checkpoints and resume; {@link Run#units} gives the listener that keeps
 * what it is told in a ledger.
 *
 * <p>Methods are called on the thread that runs the method.
 *
 * @param <U> a finished unit
 */
public interface UnitListener<U> {
  /** One that keeps nothing, tells nothing and lets the method run to its end. */
  static <U> UnitListener<U> none() {
    return new UnitListener<>() {};
  }

  /** Units finished in earlier lives of this run, in the order in which they were finished. */
  default List<U> done() {
    return List.of();
  }

  /** Called when a unit is finished. */
  default void finished(U unit) {}

  /**
   * Called for a unit that {@link #done} gave and that must be done again: its file is damaged, or
   * a unit on which it builds is not there.
   */
  default void lost(U unit) {}

  /** Asked between steps; true ends the method after the units finished so far. */
  default boolean cancelled() {
    return false;
  }
}
