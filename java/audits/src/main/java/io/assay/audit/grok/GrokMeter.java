package io.assay.audit.grok;

import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.engine.Engine;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** Measures networks of one shape, such as the checkpoints of a training, one after the other. */
public final class GrokMeter implements AutoCloseable {
  private final Engine engine;
  private final AllPairs pairs;

  /**
   * @param model any of the shape
   */
  public GrokMeter(Engine engine, GrokModel model) {
    this(engine, Network.of(model.weights()));
  }

  GrokMeter(Engine engine, Network shape) {
    this.engine = engine;
    this.pairs = new AllPairs(engine, shape);
  }

  /**
   * All progress measures of a network.
   *
   * @param epoch of its training
   * @param train [p p] whether a pair was trained on
   * @param keys key frequencies; may be empty
   * @param allowNoTest whether all pairs may have been trained on
   * @throws io.assay.engine.InputException if the training set has another size, is empty or leaves
   *     no test set, or a key frequency is not one
   */
  public Point measure(
      long epoch, GrokModel model, boolean[] train, List<Integer> keys, boolean allowNoTest) {
    return measure(epoch, Network.of(model.weights()), train, keys, allowNoTest);
  }

  Point measure(
      long epoch, Network network, boolean[] train, List<Integer> keys, boolean allowNoTest) {
    AllPairs.Found found = pairs.sweep(network);
    Supplier<Neurons> beside = beside(found::neurons);
    Logits logits = found.logits();
    // The kernel has all threads: nothing else is to want them.
    Neurons neurons = beside.get();
    LogitMeasures.Losses losses =
        LogitMeasures.Losses.of(engine.kernels(), logits, train, keys, allowNoTest);
    Supplier<Spectrum> spectrum = beside(() -> Spectrum.of(logits));
    boolean[] right = logits.right();
    WeightMeasures weights = found.weights();
    return new Point(epoch, losses.with(spectrum.get(), right), weights, neurons);
  }

  /** Begins work on another thread, if the engine has one; it is over when it was got. */
  private <T> Supplier<T> beside(Supplier<T> work) {
    return engine.threads() == 1 ? work : CompletableFuture.supplyAsync(work)::join;
  }

  /** Logits of all pairs. */
  public Logits logits(GrokModel model) {
    Logits swept = pairs.sweep(Network.of(model.weights())).logits();
    return new Logits(swept.p(), swept.values());
  }

  Mechanism mechanism(Network network, Keys keys, Neurons neurons) {
    return Mechanism.of(pairs, engine.kernels(), network, keys, neurons);
  }

  @Override
  public void close() {
    pairs.close();
  }
}
