package io.assay.app.bench;

import io.assay.app.bench.Question.Clock;
import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import java.util.stream.IntStream;

/** Times the updates of an ARCA run, without what comes before the second sweep. */
final class ArcaTiming implements ArcaListener {
  private static final int PROMPT = 3;
  private static final int SWEEPS = 3;

  private final Clock clock;
  private final int warmUp;
  private int calls;
  private long start;
  private long end;
  private long updatesBefore;
  private long updatesAfter;

  private ArcaTiming(Clock clock, int warmUp) {
    this.clock = clock;
    this.warmUp = warmUp;
  }

  /**
   * Seconds of one coordinate update of one audit: m = 3 prompt tokens, two output tokens that a
   * random model does not say.
   *
   * @param candidates k and q
   * @param audits how many audits there are
   * @param slots how many of them advance together
   * @param prefix fixed tokens before the prompt
   */
  static double secondsOfUpdate(
      Engine engine, Clock clock, int candidates, int audits, int slots, int prefix) {
    ArcaSpec spec =
        ArcaSpec.reverse("gpt2-small", 4711, 815)
            .promptLength(PROMPT)
            .prefix(IntStream.range(100, 100 + prefix).boxed().toList())
            .k(candidates)
            .q(candidates)
            .sweeps(SWEEPS)
            .restarts(audits)
            .slots(slots)
            .seed(1)
            .build();
    ArcaTiming timing = new ArcaTiming(clock, PROMPT);
    ArcaAudit.run(engine, Gpt2Small.model(), spec, timing);
    return (timing.end - timing.start) / 1e9 / (timing.updatesAfter - timing.updatesBefore);
  }

  @Override
  public void progress(Progress progress) {
    calls++;
    if (calls == warmUp) {
      start = clock.now();
      updatesBefore = progress.updates();
    }
    end = clock.now();
    updatesAfter = progress.updates();
  }

  /**
   * The floor of one update as the comparison counts it, the mean over the prompt's positions
   * (ARCA's cost table: {@code k(T-i) 4N + q(T-i) 2N + n(6k+2q)dV} and the scores). The last
   * position needs no forward pass of its own, which Assay makes use of and the floor does not.
   */
  static double operations(int candidates) {
    int length = PROMPT + 2;
    double sum = 0;
    for (int i = 0; i < PROMPT; i++) {
      double suffix = length - i;
      sum += candidates * suffix * 6 * Gpt2Small.BLOCKS;
      sum += 2.0 * (6 + 2) * candidates * Gpt2Small.HEAD + 2 * Gpt2Small.HEAD;
    }
    return sum / PROMPT;
  }
}
