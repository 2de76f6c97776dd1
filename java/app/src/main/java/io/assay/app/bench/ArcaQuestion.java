package io.assay.app.bench;

import io.assay.engine.Engine;

/** A question about the updates of an ARCA run, which times them itself. */
abstract class ArcaQuestion implements Question {
  final Engine engine;
  final int candidates;

  /**
   * Sets the question up.
   *
   * @param candidates k and q
   */
  ArcaQuestion(Engine engine, int candidates) {
    this.engine = engine;
    this.candidates = candidates;
  }

  @Override
  public Cost cost() {
    return new Cost(ArcaTiming.operations(candidates), 0);
  }

  /** The search's answers are what {@code assay selftest arca} checks; here only that it runs. */
  @Override
  public void check() {
    if (!(secondsOfOurs(Clock.WALL) > 0)) {
      throw new IllegalStateException(name() + " " + shape() + ": no update was made");
    }
  }

  @Override
  public abstract double secondsOfOurs(Clock clock);

  @Override
  public void ours() {
    secondsOfOurs(Clock.WALL);
  }

  @Override
  public int runs() {
    return 3;
  }
}
