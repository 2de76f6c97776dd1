package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import java.time.Duration;
import java.util.Locale;
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
                .setUpdateIntervalMillis(250)
                .build()
            : null;
  }

  @Override
  public void progress(Progress p) {
    if (bar != null) {
      bar.maxHint(p.updatesAtMost());
      bar.stepTo(p.updates());
      bar.setExtraMessage(" " + state(p));
    } else if (!common.json()) {
      double now = (System.nanoTime() - start) / 1e9;
      if (now - said >= PAUSE) {
        said = now;
        common.warn(line(p, now));
      }
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

  /** One line after {@code seconds}; the time left is what it takes if no other audit succeeds. */
  static String line(Progress p, double seconds) {
    double rate = p.updates() / seconds;
    Duration left = Duration.ofSeconds((long) ((p.updatesAtMost() - p.updates()) / rate));
    return String.format(
        Locale.ROOT,
        "%d of at most %d updates, %.1f/s, %s, at most %d:%02d:%02d left",
        p.updates(),
        p.updatesAtMost(),
        rate,
        state(p),
        left.toHours(),
        left.toMinutesPart(),
        left.toSecondsPart());
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
