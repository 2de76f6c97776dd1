package io.assay.app;

import io.assay.engine.train.TrainListener;
import io.assay.engine.train.Trainer.Stretch;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** How far a training is, with the losses on training and test pairs, and the latter's curve. */
final class GrokProgress implements TrainListener, AutoCloseable {
  private static final String LEVELS = "▁▂▃▄▅▆▇█";
  private static final int POINTS = 24;

  /** Logarithms to the base 10 of the losses that the lowest and the highest level stand for. */
  private static final double LOWEST = -8;

  private static final double HIGHEST = 2;

  private final Bar bar;
  private final List<Double> tests = new ArrayList<>();
  private Map<String, Double> last = Map.of();

  GrokProgress(Common common) {
    bar = new Bar(common, "grokking", "steps");
  }

  /** Takes the evaluation of a stretch, also of an earlier life. */
  void evaluated(Stretch stretch) {
    last = stretch.measures();
    tests.add(last.getOrDefault("testLoss", Double.NaN));
  }

  @Override
  public void progress(Progress p) {
    Duration left = Duration.ofSeconds((long) p.secondsLeft());
    String state = state(p.loss());
    bar.show(
        p.step(),
        p.steps(),
        Optional.of(left),
        state,
        () ->
            String.format(
                Locale.ROOT,
                "%d of %d steps, %s, %s left",
                p.step(),
                p.steps(),
                state,
                Bar.text(left)));
  }

  private String state(double loss) {
    if (!last.containsKey("testLoss")) {
      return String.format(Locale.ROOT, "train %.2e", loss);
    }
    return String.format(
        Locale.ROOT,
        "train %.2e, test %.2e, %.1f %% right %s",
        loss,
        last.get("testLoss"),
        100 * last.get("testAcc"),
        curve(tests));
  }

  /** The losses on a logarithmic scale from 1e-8 to 100, the last of every few. */
  static String curve(List<Double> losses) {
    int every = Math.ceilDiv(Math.max(1, losses.size()), POINTS);
    StringBuilder text = new StringBuilder();
    for (int i = every - 1; i < losses.size(); i += every) {
      double share = (Math.log10(losses.get(i)) - LOWEST) / (HIGHEST - LOWEST);
      int level = (int) Math.clamp(share * LEVELS.length(), 0, LEVELS.length() - 1.0);
      text.append(LEVELS.charAt(level));
    }
    return text.toString();
  }

  @Override
  public void close() {
    bar.close();
  }
}
