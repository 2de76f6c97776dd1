package io.assay.app.bench;

import io.assay.engine.Engine;

/** One coordinate update of each of 8 ARCA audits, together; the other way is one by one. */
public final class ArcaLockstepQuestion extends ArcaQuestion {
  private static final int AUDITS = 8;

  /** One of the audits by itself: each of the others would take as long. */
  private final ArcaTiming alone;

  /**
   * Sets the question up.
   *
   * @param candidates k and q
   */
  public ArcaLockstepQuestion(Engine engine, int candidates) {
    super(engine, candidates, AUDITS, 0);
    alone = new ArcaTiming(engine, clock, candidates, 1, 0);
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
  public double secondsOfOther(Clock clock) {
    return alone.secondsOfUpdate();
  }

  @Override
  public void other() {
    alone.secondsOfUpdate();
  }

  @Override
  public void close() {
    super.close();
    alone.close();
  }
}
