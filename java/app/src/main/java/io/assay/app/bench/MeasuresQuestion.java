package io.assay.app.bench;

import io.assay.audit.grok.GrokAnalysis.Point;
import io.assay.audit.grok.GrokMeter;
import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import io.assay.audit.grok.GrokTask;
import io.assay.engine.Engine;
import io.assay.engine.kernel.FourierAblate;
import io.assay.engine.kernel.Matrix;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * All progress measures of one checkpoint of the published configuration, from its weights on; the
 * other way is a part of them, the losses without each frequency, by a call for each.
 */
public final class MeasuresQuestion implements Question {
  private static final int P = 113;
  private static final int FREQUENCIES = (P - 1) / 2;
  private static final List<Integer> KEYS = List.of(14, 35, 41, 42, 52);

  /** Statement 11 of specs/grokking.md section 8, on two threads. */
  private static final double BOUND = 25e-3;

  /** Multiplications of specs/grokking.md 7.3, with all logits: 0.41e9 + 0.52e9. */
  private static final double PRODUCTS = 0.93e9;

  private final Engine engine;
  private final Arena arena = Arena.ofShared();
  private final GrokModel model = GrokModel.initial(GrokShape.of(P), 1);
  private final boolean[] train = GrokTask.addition(P, 0.3, 0).trainMask();
  private final GrokMeter meter;
  private final FourierAblate[] single = new FourierAblate[FREQUENCIES];
  private Point measured;

  public MeasuresQuestion(Engine engine) {
    this.engine = engine;
    meter = new GrokMeter(engine, model);
    Matrix logits = Matrix.of(Tensor.ofDoubles(meter.logits(model).values(), (long) P * P, P));
    MemorySegment groups = arena.allocate(train.length);
    for (int i = 0; i < train.length; i++) {
      groups.set(ValueLayout.JAVA_BYTE, i, (byte) (train[i] ? 1 : 0));
    }
    for (int k = 0; k < FREQUENCIES; k++) {
      MemorySegment family = arena.allocate(FREQUENCIES);
      family.set(ValueLayout.JAVA_BYTE, k, (byte) 1);
      MemorySegment loss = arena.allocate(Double.BYTES, Double.BYTES);
      single[k] = new FourierAblate(logits, P, family, 1, groups, 1, false, false, loss);
    }
  }

  @Override
  public String name() {
    return "grok.measures";
  }

  @Override
  public String shape() {
    return "p=113, D 128, 512 neurons, all pairs, fp64";
  }

  @Override
  public String baseline() {
    return "56 ablations alone, a call each";
  }

  @Override
  public Cost cost() {
    return new Cost(2 * PRODUCTS, 0);
  }

  @Override
  public Cost baselineCost() {
    return Cost.NONE;
  }

  @Override
  public double bound(double otherSeconds) {
    return engine.threads() == 2 ? BOUND : Double.NaN;
  }

  /** Enough that most find Java's part compiled, as those of a folder of checkpoints do. */
  @Override
  public int runs() {
    return 41;
  }

  @Override
  public void check() {
    ours();
    other();
    for (int k = 0; k < FREQUENCIES; k++) {
      double mine = measured.logits().excludedByFrequency()[k];
      double theirs = single[k].loss().get(Tensor.DOUBLE, 0);
      if (!(Math.abs(mine - theirs) <= 1e-12 * theirs)) {
        throw new IllegalStateException(
            "%s: loss without frequency %d is %s, not %s".formatted(name(), k + 1, mine, theirs));
      }
    }
  }

  @Override
  public void ours() {
    measured = meter.measure(0, model, train, KEYS, false);
  }

  @Override
  public void other() {
    for (FourierAblate one : single) {
      engine.kernels().fourierAblate(one);
    }
  }

  @Override
  public void close() {
    meter.close();
    arena.close();
  }
}
