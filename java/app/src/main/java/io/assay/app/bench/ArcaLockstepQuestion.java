package io.assay.app.bench;

import io.assay.engine.Engine;

/** One coordinate update of each of 8 ARCA audits, together; the other way is one by one. */
public final class ArcaLockstepQuestion extends ArcaQuestion {
  private static final int AUDITS = 8;

  /**
   * Sets the question up.
   *
   * @param candidates k and q
   */
  public ArcaLockstepQuestion(Engine engine, int candidates) {
    super(engine, candidates);
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
  public double secondsOfOurs(Clock clock) {
    return ArcaTiming.secondsOfUpdate(engine, clock, candidates, AUDITS, AUDITS, 0);
  }

  @Override
  public double secondsOfOther(Clock clock) {
    return ArcaTiming.secondsOfUpdate(engine, clock, candidates, AUDITS, 1, 0);
  }

  @Override
  public void other() {
    secondsOfOther(Clock.WALL);
  }

  @Override
  public void close() {}
}
