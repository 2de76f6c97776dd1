package io.assay.app.bench;

import io.assay.engine.Engine;

/** One coordinate update of each of 8 ARCA audits, together; the other way is one by one. */
public final class ArcaLockstepQuestion implements Question {
  private static final int AUDITS = 8;

  private final Engine engine;
  private final int candidates;

  /**
   * Sets the question up.
   *
   * @param candidates k and q
   */
  public ArcaLockstepQuestion(Engine engine, int candidates) {
    this.engine = engine;
    this.candidates = candidates;
  }

  @Override
  public String name() {
    return "arca.lockstep";
  }

  @Override
  public String shape() {
    return "gpt2-small k=q=%d m=3 n=2, %d audits, per audit".formatted(candidates, AUDITS);
  }

  @Override
  public String baseline() {
    return "one audit after the other";
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
  public double secondsOfOurs(Clock clock) {
    return ArcaTiming.secondsOfUpdate(engine, clock, candidates, AUDITS, AUDITS, 0);
  }

  @Override
  public double secondsOfOther(Clock clock) {
    return ArcaTiming.secondsOfUpdate(engine, clock, candidates, AUDITS, 1, 0);
  }

  @Override
  public void ours() {
    secondsOfOurs(Clock.WALL);
  }

  @Override
  public void other() {
    secondsOfOther(Clock.WALL);
  }

  @Override
  public int runs() {
    return 3;
  }

  @Override
  public void close() {}
}
