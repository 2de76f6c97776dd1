package io.assay.app.bench;

import io.assay.app.bench.Question.Clock;
import io.assay.audit.arca.ArcaAudit;
import io.assay.audit.arca.ArcaListener;
import io.assay.audit.arca.ArcaSpec;
import io.assay.engine.Engine;
import java.util.concurrent.Semaphore;
import java.util.stream.IntStream;

/**
 * The sweeps of one ARCA run, each made when it is asked for: the run waits in between on a thread
 * of its own, so that its sessions are compiled once for all timings of a row.
 */
final class ArcaTiming implements ArcaListener, AutoCloseable {
  private static final int PROMPT = 3;

  private final Clock clock;
  private final int audits;
  private final Semaphore wanted = new Semaphore(0);
  private final Semaphore made = new Semaphore(0);
  private final Thread thread;

  // Handed over by the semaphores.
  private boolean closed;
  private Throwable failure;
  private int updates;
  private long start;
  private double seconds;

  /**
   * Begins a run and makes its first sweep, with all that comes before it: m = 3 prompt tokens, two
   * output tokens that a random model does not say.
   *
   * @param candidates k and q
   * @param audits how many there are; they advance together
   * @param prefix fixed tokens before the prompt
   */
  ArcaTiming(Engine engine, Clock clock, int candidates, int audits, int prefix) {
    this.clock = clock;
    this.audits = audits;
    ArcaSpec spec =
        ArcaSpec.reverse("gpt2-small", 4711, 815)
            .promptLength(PROMPT)
            .prefix(IntStream.range(100, 100 + prefix).boxed().toList())
            .k(candidates)
            .q(candidates)
            .sweeps(Integer.MAX_VALUE)
            .restarts(audits)
            .slots(audits)
            .seed(1)
            .build();
    thread = Thread.ofPlatform().daemon().start(() -> run(engine, spec));
    await();
  }

  private void run(Engine engine, ArcaSpec spec) {
    try {
      ArcaAudit.run(engine, Gpt2Small.model(), spec, this);
      failure = new IllegalStateException("the audits ended before they were timed");
    } catch (RuntimeException | Error e) {
      failure = e;
    }
    made.release();
  }

  /** Seconds of one coordinate update of one audit: the mean over a sweep, which is made now. */
  double secondsOfUpdate() {
    wanted.release();
    await();
    return seconds / (PROMPT * audits);
  }

  private void await() {
    made.acquireUninterruptibly();
    if (failure != null) {
      throw new IllegalStateException("the audits failed: " + failure.getMessage(), failure);
    }
  }

  @Override
  public void progress(Progress progress) {
    if (++updates % PROMPT == 0) {
      seconds = (clock.now() - start) / 1e9;
      made.release();
      wanted.acquireUninterruptibly();
      start = clock.now();
    }
  }

  @Override
  public boolean cancelled() {
    return closed;
  }

  @Override
  public void close() {
    closed = true;
    wanted.release();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
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
