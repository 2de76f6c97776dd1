package io.assay.engine.train;

/** Follows a run and may end it early. Methods are called on the thread that trains. */
public interface TrainListener {
  /** Watches nothing and never cancels. */
  TrainListener NONE = new TrainListener() {};

  /**
   * State of a run after an update.
   *
   * @param step updates done
   * @param steps updates of the whole run
   * @param loss loss of the update's batch, before the update
   * @param learningRate learning rate of the update
   * @param gradientNorm norm of the gradient of all weights, before clipping
   * @param itemsPerSecond tokens or examples, see {@link Objective#items}, since the call of run
   * @param secondsLeft estimated from the same
   */
  record Progress(
      long step,
      long steps,
      double loss,
      double learningRate,
      double gradientNorm,
      double itemsPerSecond,
      double secondsLeft) {}

  /** Called after each update; the trainer may be saved, evaluated or read here. */
  default void progress(Progress progress) {}

  /** Asked between updates; true ends the run after those done. */
  default boolean cancelled() {
    return false;
  }
}
