package io.assay.app.bench;

import io.assay.engine.Engine;

/** A question about the updates of an ARCA run. */
abstract class ArcaQuestion implements Question {
  final Engine engine;
  final int candidates;
  final Clock clock;
  private final ArcaTiming timing;

  /**
   * Sets the question up.
   *
   * @param candidates k and q
   * @param audits how many advance together
   * @param prefix fixed tokens before the prompt
   */
  ArcaQuestion(Engine engine, int candidates, int audits, int prefix) {
    this.engine = engine;
    this.candidates = candidates;
    this.clock = Clock.of(engine.threads());
    this.timing = new ArcaTiming(engine, clock, candidates, audits, prefix);
  }

  @Override
  public Cost cost() {
    return new Cost(ArcaTiming.operations(candidates), 0);
  }

  /** The search's answers are what {@code assay selftest arca} checks; here a sweep has run. */
  @Override
  public void check() {}

  @Override
  public double secondsOfOurs(Clock clock) {
    return timing.secondsOfUpdate();
  }

  @Override
  public void ours() {
    timing.secondsOfUpdate();
  }

  @Override
  public int runs() {
    return 3;
  }

  @Override
  public void close() {
    timing.close();
  }
}
