package io.assay.app;

import io.assay.engine.train.TrainListener;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/** How far a training is, with rate, time left, the mean loss of late and the least so far. */
final class TrainProgress implements TrainListener, AutoCloseable {
  /** Updates over which a loss is averaged. */
  private static final int WINDOW = 50;

  private final Bar bar;
  private double sum;
  private int count;
  private double mean = Double.NaN;
  private double best = Double.NaN;

  TrainProgress(Common common) {
    bar = new Bar(common, "training", "updates");
  }

  @Override
  public void progress(Progress p) {
    sum += p.loss();
    count++;
    if (count == WINDOW || Double.isNaN(mean)) {
      mean = sum / count;
      best = Double.isNaN(best) ? mean : Math.min(best, mean);
      sum = 0;
      count = 0;
    }
    Duration left = Duration.ofSeconds((long) p.secondsLeft());
    String state = String.format(Locale.ROOT, "loss %.3f, best %.3f", mean, best);
    bar.show(p.step(), p.steps(), Optional.of(left), state, () -> line(p, state, left));
  }

  static String line(Progress p, String state, Duration left) {
    return String.format(
        Locale.ROOT,
        "%d of %d updates, %.0f tokens/s, %s, %s left",
        p.step(),
        p.steps(),
        p.itemsPerSecond(),
        state,
        Bar.text(left));
  }

  @Override
  public void close() {
    bar.close();
  }
}
