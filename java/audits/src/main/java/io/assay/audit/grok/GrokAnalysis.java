package io.assay.audit.grok;

import io.assay.audit.grok.GrokSource.Snapshot;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * Takes a network that adds mod p apart, and follows its training by the progress measures of
 * Nanda, Chan, Lieberum, Smith, Steinhardt 2023 (arXiv 2301.05217).
 *
 * @param p modulus
 * @param train [p p] which pairs were trained on
 * @param keys the key frequencies, found in the last checkpoint and used in all
 * @param generalised whether the last checkpoint is right on at least 95 % of the test set
 * @param points a checkpoint each, by epoch
 * @param phases of the training; all null for a single checkpoint
 * @param mechanism of the last checkpoint; null where there are only logits
 * @param distanceIrrelevance of the last checkpoint; see {@link ClockOrPizza}
 */
public record GrokAnalysis(
    int p,
    boolean[] train,
    Keys keys,
    boolean generalised,
    List<Point> points,
    Phases phases,
    Mechanism mechanism,
    double distanceIrrelevance) {
  private static final double GENERALISED = 0.95;

  /**
   * The measures of one checkpoint.
   *
   * @param epoch of the training; 0 where it is not known
   * @param weights null where there are only logits
   * @param neurons null where there are only logits
   */
  public record Point(long epoch, LogitMeasures logits, WeightMeasures weights, Neurons neurons) {}

  /** Told what was done; may end the work. */
  public interface Listener {
    /** After each checkpoint. */
    void measured(int done, int all);

    /** Whether to end. */
    default boolean isCancelled() {
      return false;
    }
  }

  /**
   * Analyses.
   *
   * @param split which pairs were trained on
   * @param given key frequencies, or empty to find them
   * @param allowNoTest whether all pairs may be of the training set
   * @return null if the listener ended the work
   * @throws InputException if the checkpoints are not of one network, or a key frequency is not one
   *     of its modulus
   */
  public static GrokAnalysis run(
      Engine engine,
      GrokSource source,
      GrokTask split,
      List<Integer> given,
      boolean allowNoTest,
      Listener listener) {
    Snapshot last = source.read(engine, source.size() - 1);
    int p = last.p();
    if (split.p() != p) {
      throw new InputException(
          "the split is one of modulus " + split.p() + ", the network has modulus " + p);
    }
    Ablation.requireFrequencies(p, given);
    boolean[] train = split.trainMask();
    LogitMeasures.requireTrain(p, train, allowNoTest);
    try (GrokMeter meter = last.network() == null ? null : new GrokMeter(engine, last.network())) {
      Keys keys = keys(last, given);
      List<Point> points = new ArrayList<>();
      for (int i = 0; i < source.size(); i++) {
        if (listener.isCancelled()) {
          return null;
        }
        Snapshot snapshot = i == source.size() - 1 ? last : source.read(engine, i);
        requireSame(last, snapshot, source, i);
        points.add(
            measure(engine, meter, source.epochs().get(i), snapshot, train, keys, allowNoTest));
        listener.measured(i + 1, source.size());
      }
      Point end = points.getLast();
      double test = end.logits().test().accuracy();
      boolean generalised =
          (Double.isNaN(test) ? end.logits().all().accuracy() : test) >= GENERALISED;
      Mechanism mechanism =
          meter == null ? null : meter.mechanism(last.network(), keys, end.neurons());
      double irrelevance =
          mechanism == null
              ? ClockOrPizza.distanceIrrelevance(last.logits())
              : mechanism.kind().distanceIrrelevance();
      return new GrokAnalysis(
          p, train, keys, generalised, points, phases(points), mechanism, irrelevance);
    }
  }

  private static void requireSame(Snapshot last, Snapshot other, GrokSource source, int i) {
    Network a = last.network();
    Network b = other.network();
    boolean same =
        a == null
            ? b == null && other.p() == last.p()
            : b != null
                && a.p() == b.p()
                && a.width() == b.width()
                && a.heads() == b.heads()
                && a.headWidth() == b.headWidth()
                && a.neurons() == b.neurons()
                && a.outputs() == b.outputs();
    if (!same) {
      throw new InputException(
          source.files().get(i)
              + " has other sizes than "
              + source.files().getLast()
              + "; a folder must hold the checkpoints of one network");
    }
  }

  private static Keys keys(Snapshot last, List<Integer> given) {
    if (last.network() != null) {
      WeightMeasures weights = WeightMeasures.of(last.network());
      return given.isEmpty() ? weights.keys() : weights.keys(given);
    }
    double[] norms = Spectrum.of(last.logits()).norms();
    double gini = Fourier.gini(norms);
    return given.isEmpty()
        ? Keys.of(norms, gini, Keys.OF_LOGITS)
        : Keys.given(given, norms.length, gini);
  }

  private static Point measure(
      Engine engine,
      GrokMeter meter,
      long epoch,
      Snapshot snapshot,
      boolean[] train,
      Keys keys,
      boolean allowNoTest) {
    if (meter != null) {
      return meter.measure(epoch, snapshot.network(), train, keys.frequencies(), allowNoTest);
    }
    LogitMeasures logits =
        LogitMeasures.of(
            engine.kernels(), snapshot.logits(), train, keys.frequencies(), allowNoTest);
    return new Point(epoch, logits, null, null);
  }

  /** None where a single checkpoint, or one without weights, has no course. */
  private static Phases phases(List<Point> points) {
    if (points.size() < 2 || points.getFirst().weights() == null) {
      return new Phases(null, null, null);
    }
    return Phases.of(
        curve(points, Point::epoch),
        curve(points, x -> x.logits().train().loss()),
        curve(points, x -> x.logits().test().loss()),
        curve(points, x -> x.logits().excludedTrain()),
        curve(points, x -> x.weights().sumSquares()));
  }

  private static double[] curve(List<Point> points, ToDoubleFunction<Point> of) {
    return points.stream().mapToDouble(of).toArray();
  }
}
