package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * How far a search is, on standard error, with rate, time left and the best objective so far: a bar
 * on a terminal, elsewhere a line now and then.
 */
final class ArcaProgress implements ArcaListener, AutoCloseable {
  /** Seconds between lines. */
  private static final double PAUSE = 10;

  private final Common common;
  private final ProgressBar bar;
  private final long start = System.nanoTime();
  private final Pace pace = new Pace();
  private volatile Optional<Duration> left = Optional.empty();
  private double said;

  ArcaProgress(Common common) {
    this.common = common;
    bar =
        common.showsProgress()
            ? new ProgressBarBuilder()
                .setTaskName("arca")
                .setStyle(ProgressBarStyle.ASCII)
                .setUnit(" updates", 1)
                .showSpeed()
                .setEtaFunction(_ -> left)
                .setUpdateIntervalMillis(250)
                .build()
            : null;
  }

  @Override
  public void progress(Progress p) {
    double now = (System.nanoTime() - start) / 1e9;
    left = pace.left(p, now);
    if (bar != null) {
      bar.maxHint(p.updatesAtMost());
      bar.stepTo(p.updates());
      bar.setExtraMessage(" " + state(p));
    } else if (now - said >= PAUSE) {
      said = now;
      common.warn(line(p, pace.rate(p, now), left));
    }
  }

  private static String state(Progress p) {
    return String.format(
        Locale.ROOT,
        "%d/%d ended, %d found, best J %.2f",
        p.finished(),
        p.audits(),
        p.successes(),
        p.best());
  }

  /** One line; the time left is what it takes if no other audit succeeds. */
  static String line(Progress p, double rate, Optional<Duration> left) {
    return String.format(
        Locale.ROOT,
        "%d of at most %d updates, %.1f/s, %s%s",
        p.updates(),
        p.updatesAtMost(),
        rate,
        state(p),
        left.map(
                d ->
                    String.format(
                        Locale.ROOT,
                        ", at most %d:%02d:%02d left",
                        d.toHours(),
                        d.toMinutesPart(),
                        d.toSecondsPart()))
            .orElse(""));
  }

  /**
   * How fast a search is. The graphs are compiled before the first update, which says nothing of
   * those that follow, so that the clock starts behind it, and the first seconds are no measure.
   */
  static final class Pace {
    /** Seconds before there is an estimate. */
    private static final double WARM = 5;

    private double since = Double.NaN;
    private long before;

    /** Updates a second since the first; 0 at the first. */
    double rate(Progress p, double now) {
      if (Double.isNaN(since)) {
        since = now;
        before = p.updates();
      }
      return now > since ? (p.updates() - before) / (now - since) : 0;
    }

    /** The time left if no other audit succeeds; empty while that cannot be told. */
    Optional<Duration> left(Progress p, double now) {
      double rate = rate(p, now);
      return now - since < WARM || rate == 0
          ? Optional.empty()
          : Optional.of(Duration.ofSeconds((long) ((p.updatesAtMost() - p.updates()) / rate)));
    }
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
