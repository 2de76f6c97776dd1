package io.assay.app.bench;

import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokSpec;
import io.assay.audit.grok.GrokTraining;
import io.assay.audit.grok.PlainGraph;
import io.assay.engine.Engine;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Objective;
import io.assay.engine.train.Trainer;

/**
 * A training step of the published grokking run: losses and gradients of all 3830 pairs, and AdamW;
 * the other way is the same by the plain network's graph and its derived gradient.
 */
public final class EpochQuestion implements Question {
  /** So many updates that no run of this question makes them all. */
  private static final long STEPS = 1_000_000;

  private final Engine engine;
  private final GrokSpec spec;
  private final double plainOperations;
  private final Trainer ours;
  private final Trainer other;

  /** Sets both ways up, from the same first weights. */
  public EpochQuestion(Engine engine) {
    this.engine = engine;
    spec = GrokSpec.published().withEpochs(STEPS, STEPS);
    GrokModel initial = GrokModel.initial(spec.shape(), spec.initSeed());
    Objective objective = PlainGraph.objective(engine, initial, spec.task());
    plainOperations = GrokQuestion.gradient(objective).graph().operations();
    ours = GrokTraining.open(engine, spec, initial);
    other = PlainGraph.trainer(engine, spec, initial);
  }

  @Override
  public String name() {
    return "grok.epoch";
  }

  @Override
  public String shape() {
    return "p=%d, %d pairs %s"
        .formatted(spec.shape().p(), spec.task().trainCount(), engine.kernels().tier());
  }

  @Override
  public String baseline() {
    return "the graph of all three positions";
  }

  @Override
  public Cost cost() {
    return collapsed(spec.shape(), spec.task().trainCount());
  }

  /** What is left of the products by the collapse, forward and twice that backward. */
  static Cost collapsed(GrokShape s, int pairs) {
    double readers = s.inner() + s.outputClasses();
    double inner = (double) s.heads() * s.headWidth();
    double rows = s.p() + 3;
    double tables =
        rows * inner * s.width()
            + readers * s.width() * inner
            + rows * inner * readers
            + (double) s.inner() * s.width() * s.outputClasses();
    double pair = 2 * s.heads() * readers + (double) s.inner() * s.outputClasses();
    return new Cost(6 * (tables + pair * pairs), 0);
  }

  @Override
  public Cost baselineCost() {
    return new Cost(plainOperations, 0);
  }

  @Override
  public void ours() {
    ours.update();
  }

  @Override
  public void other() {
    other.update();
  }

  /** A quarter of the other way. */
  @Override
  public double bound(double otherSeconds) {
    return otherSeconds / 4;
  }

  /** Losses and gradients of the first step, which moves nothing. */
  @Override
  public void check() {
    require("loss", other.update().loss(), ours.update().loss(), 1e-6);
    other
        .gradients()
        .forEach(
            (name, t) -> {
              double difference = 0;
              double length = 0;
              Tensor mine = ours.gradients().get(name);
              for (long i = 0; i < t.elements(); i++) {
                difference += Math.pow(mine.get(i) - t.get(i), 2);
                length += Math.pow(t.get(i), 2);
              }
              require(name, 0, Math.sqrt(difference / length), 1e-5);
            });
  }

  private void require(String what, double wanted, double got, double bound) {
    if (!(Math.abs(wanted - got) <= bound)) {
      throw new IllegalStateException(
          "%s %s: %s is %.9g, not %.9g".formatted(name(), shape(), what, got, wanted));
    }
  }

  @Override
  public void close() {
    ours.close();
    other.close();
  }
}
