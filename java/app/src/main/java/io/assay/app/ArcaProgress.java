package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/** How far a search is, with rate, time left and the best objective so far. */
final class ArcaProgress implements ArcaListener, AutoCloseable {
  private final Bar bar;
  private final Pace pace = new Pace();

  /**
   * @param name of what is searched with
   */
  ArcaProgress(Common common, String name) {
    bar = new Bar(common, name, "updates");
  }

  @Override
  public void progress(Progress p) {
    double now = bar.seconds();
    double rate = pace.rate(p, now);
    Optional<Duration> left = pace.left(p, now);
    bar.show(p.updates(), p.updatesAtMost(), left, state(p), () -> line(p, rate, left));
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
        left.map(d -> ", at most " + Bar.text(d) + " left").orElse(""));
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
    bar.close();
  }
}
