package io.assay.app;

import java.time.Duration;
import java.util.Optional;
import java.util.function.Supplier;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * How far a run is, on standard error: on a terminal a bar with rate and time left, elsewhere a
 * line now and then, with {@code --quiet} nothing.
 */
final class Bar implements AutoCloseable {
  /** Seconds between lines. */
  private static final double PAUSE = 10;

  private final Common common;
  private final ProgressBar bar;
  private final long start = System.nanoTime();
  private volatile Optional<Duration> left = Optional.empty();
  private double said;

  /**
   * @param task what is done
   * @param unit what is counted
   */
  Bar(Common common, String task, String unit) {
    this.common = common;
    bar =
        common.showsProgress()
            ? new ProgressBarBuilder()
                .setTaskName(task)
                .setStyle(ProgressBarStyle.ASCII)
                .setUnit(" " + unit, 1)
                .showSpeed()
                .setEtaFunction(_ -> left)
                .setUpdateIntervalMillis(250)
                .build()
            : null;
  }

  /** Seconds since this was made. */
  double seconds() {
    return (System.nanoTime() - start) / 1e9;
  }

  /**
   * Shows how far it is.
   *
   * @param left the time that it still takes, if that is known
   * @param state what else there is to say, beside the bar
   * @param line the same and all numbers, where there is no bar
   */
  void show(long done, long most, Optional<Duration> left, String state, Supplier<String> line) {
    this.left = left;
    if (bar != null) {
      bar.maxHint(most);
      bar.stepTo(done);
      bar.setExtraMessage(" " + state);
    } else if (seconds() - said >= PAUSE) {
      said = seconds();
      common.warn(line.get());
    }
  }

  /** A time as hours, minutes and seconds. */
  static String text(Duration time) {
    return "%d:%02d:%02d".formatted(time.toHours(), time.toMinutesPart(), time.toSecondsPart());
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
