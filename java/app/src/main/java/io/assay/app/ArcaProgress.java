package io.assay.app;

import io.assay.audit.arca.ArcaListener;
import java.util.Locale;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** A progress bar on standard error, with rate, time left and the best objective so far. */
final class ArcaProgress implements ArcaListener, AutoCloseable {
  private final ProgressBar bar;

  /**
   * @param shown whether anybody would see it
   */
  ArcaProgress(boolean shown) {
    bar =
        shown
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
      bar.setExtraMessage(
          String.format(
              Locale.ROOT,
              " %d/%d ended, %d found, best J %.2f",
              p.finished(),
              p.audits(),
              p.successes(),
              p.best()));
    }
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
