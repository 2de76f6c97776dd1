package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.Engine;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Trainer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The recipe by plain PyTorch on the three-position network, from stored first weights. */
class GrokFixtureTest {
  /** A fixture that is here as a whole, or the one beside the checkout. */
  private static Path fixture(String name) {
    Path here = Path.of("src/test/resources/grokking", name);
    if (Files.exists(here.resolve("reference.safetensors"))) {
      return here;
    }
    Path path = Path.of(System.getProperty("assay.shared", "shared"), "fixtures", "grokking", name);
    assumeTrue(Files.exists(path), path + " is missing, here -Dassay.shared=DIR");
    return path;
  }

  /**
   * @param last of the recorded steps
   */
  @ParameterizedTest
  @CsvSource({"p59, 59, 0.5, 1, 199", "p113, 113, 0.3, 0, 99"})
  void lossesAndFirstGradientsAreThoseOfPyTorch(
      String name, int p, double frac, long seed, int last) {
    Path folder = fixture(name);
    Map<String, Tensor> split = Safetensors.read(folder.resolve("split.safetensors")).tensors();
    GrokTask task = GrokTask.addition(p, frac, seed);
    int[] shuffled = task.shuffledPairs();
    for (int i = 0; i < p * p; i++) {
      assertEquals(split.get("shuffled_pairs").getLong(i), shuffled[i], "pair " + i);
    }
    assertEquals(split.get("train_count").getLong(0), task.trainCount());
    GrokModel initial = GrokCheckpoint.read(folder.resolve("init.safetensors")).model();
    Map<String, Tensor> reference =
        Safetensors.read(folder.resolve("reference.safetensors")).tensors();
    GrokSpec spec = new GrokSpec(initial.shape(), task, 0, last + 1, 1e-3, 1, 100, 0, 0, false);
    try (Engine engine = Engine.open();
        Trainer trainer = GrokTraining.open(engine, spec, initial)) {
      for (int epoch = 0; epoch <= last; epoch++) {
        if (epoch % 10 == 0) {
          double want = reference.get("test_loss.float64").get(epoch);
          double got = GrokScores.of(engine, trainer.weights(), task).means().get("testLoss");
          assertEquals(want, got, tolerance(epoch) * want, "test loss of epoch " + epoch);
        }
        double got = trainer.update().loss();
        if (epoch == 0) {
          gradients(reference, trainer.gradients());
        }
        double want = reference.get("train_loss.float64").get(epoch);
        assertEquals(want, got, tolerance(epoch) * want, "loss of epoch " + epoch);
      }
    }
  }

  /**
   * Ten times the distance of PyTorch's float32 and float64 runs, which grows from 2e-7 after ten
   * steps by a factor of some ten every twenty.
   */
  private static double tolerance(int epoch) {
    return epoch <= 10 ? 2e-6 : epoch <= 30 ? 1e-4 : epoch <= 60 ? 1e-3 : epoch <= 100 ? 1e-2 : 0.1;
  }

  private static void gradients(Map<String, Tensor> reference, Map<String, Tensor> gradients) {
    gradients.forEach(
        (name, got) -> {
          Tensor want = reference.get("grad0." + name);
          double difference = 0;
          double length = 0;
          for (long i = 0; i < want.elements(); i++) {
            difference += Math.pow(got.get(i) - want.get(i), 2);
            length += Math.pow(want.get(i), 2);
          }
          assertEquals(0, Math.sqrt(difference / length), 1e-5, name);
        });
  }
}
