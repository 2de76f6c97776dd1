package io.assay.engine.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Training runs of a tiny GPT-2. */
class TrainerTest {
  /** Every weight's gradient of the loss against central differences, in float64. */
  @Test
  void gradientsAreSlopesOfTheLoss() {
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(1))) {
      Objective objective =
          Objective.nextToken(engine, Tiny.model(DType.F64, 3), Tiny.ROWS, Tiny.LENGTH);
      assertEquals(Tiny.CONFIG.weightShapes().size(), objective.weights().size());
      // A rate of 0 leaves the weights where they are.
      TrainSpec still = TrainSpec.of(1, 0);
      try (Trainer trainer = Trainer.open(engine, objective, still, Tiny.DATA)) {
        Random random = new Random(4);
        for (Tensor w : trainer.weights().values()) {
          for (long i = 0; i < w.elements(); i++) {
            w.set(i, w.get(i) + 0.3 * random.nextGaussian());
          }
        }
        double loss = trainer.update().loss();
        // Two compilations of one formula round differently.
        assertEquals(loss, trainer.evaluate(Tiny.DATA, 1), 1e-12);
        double h = 3e-5;
        for (String name : objective.weights()) {
          Tensor w = trainer.weights().get(name);
          for (int k = 0; k < 6; k++) {
            long i = random.nextLong(w.elements());
            double at = w.get(i);
            w.set(i, at + h);
            double up = trainer.evaluate(Tiny.DATA, 1);
            w.set(i, at - h);
            double down = trainer.evaluate(Tiny.DATA, 1);
            w.set(i, at);
            double slope = (up - down) / (2 * h);
            double got = trainer.gradients().get(name).get(i);
            // Rounding: 3e-14 of a loss, over 2 h, is 5e-10; curvature: h^2 is 1e-9.
            assertEquals(slope, got, 1e-8 * Math.max(1, Math.abs(slope)), name + " at " + i);
          }
        }
      }
    }
  }

  @Test
  void aBatchIsMemorised() {
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(2))) {
      Objective objective =
          Objective.nextToken(engine, Tiny.model(DType.F32, 3), Tiny.ROWS, Tiny.LENGTH);
      TrainSpec spec = TrainSpec.of(300, 1e-2).withSchedule(Schedule.COSINE, 10).withClip(1);
      Data same = (batch, inputs) -> Tiny.DATA.fill(0, inputs);
      try (Trainer trainer = Trainer.open(engine, objective, spec, same)) {
        double first = trainer.update().loss();
        assertEquals(Math.log(Tiny.CONFIG.vocabulary()), first, 0.1);
        trainer.run(TrainListener.NONE);
        assertEquals(spec.steps(), trainer.step());
        double last = trainer.evaluate(same, 1);
        assertTrue(last < 0.01, "the loss is " + last);
      }
    }
  }
}
