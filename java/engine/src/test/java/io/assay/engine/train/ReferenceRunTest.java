package io.assay.engine.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.model.Model;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Five steps that PyTorch took with its AdamW, in float32. */
class ReferenceRunTest {
  private static Path folder() throws URISyntaxException {
    return Path.of(ReferenceRunTest.class.getResource("/gpt2-tiny/config.json").toURI())
        .getParent();
  }

  @Test
  void lossesAndWeightsAreThoseOfPyTorch() throws URISyntaxException {
    Map<String, Tensor> reference =
        Safetensors.read(folder().resolve("reference.safetensors")).tensors();
    Tensor ids = reference.get("input_ids");
    int rows = Math.toIntExact(ids.dim(0));
    int length = Math.toIntExact(ids.dim(1));
    Data data =
        Data.of(
            (batch, tokens, weights) -> {
              for (int i = 0; i < rows * length; i++) {
                tokens[i / length][i % length] = (int) ids.getLong(i);
              }
            });
    // All weights decay: the empty expression matches no name.
    TrainSpec spec = TrainSpec.of(5, 1e-3).withBetas(0.9, 0.98).withWeightDecay(0.1, "");
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(1))) {
      Model model = engine.model(folder().toString());
      Objective objective = Objective.nextToken(engine, model, rows, length);
      try (Trainer trainer = Trainer.open(engine, objective, spec, data)) {
        Tensor losses = reference.get("adamw.losses");
        // Ten times the distance between float32 and float64 runs of PyTorch.
        double bound = 1e-5;
        for (int step = 0; step < 5; step++) {
          assertEquals(losses.get(step), trainer.update().loss(), bound, "step " + step);
        }
        assertEquals(losses.get(5), trainer.evaluate(data, 1), bound);
        for (String name :
            List.of("transformer.wte.weight", "transformer.h.1.attn.c_attn.weight")) {
          Tensor want = reference.get("adamw.final." + name);
          Tensor got = trainer.weights().get(name);
          for (long i = 0; i < want.elements(); i++) {
            assertEquals(want.get(i), got.get(i), bound, name + " at " + i);
          }
        }
      }
    }
  }
}
