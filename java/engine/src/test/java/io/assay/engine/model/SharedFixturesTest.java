package io.assay.engine.model;

import static io.assay.engine.model.TinyGpt2.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Against fixtures too large for this repository, where the property assay.shared finds them. */
class SharedFixturesTest extends TinyGpt2Case {
  private static Path fixture(String name) {
    Path path = Path.of(System.getProperty("assay.shared", "shared"), "fixtures", name);
    assumeTrue(Files.exists(path), path + " is missing");
    return path;
  }

  @Test
  void aShardedFolderIsTheSingleFile() {
    try (Model sharded = Model.load(fixture("gpt2-tiny-sharded"));
        Model single = Model.load(TinyGpt2.folder())) {
      Map<String, Tensor> weights = single.graph().constants();
      assertEquals(weights.keySet(), sharded.graph().constants().keySet());
      weights.forEach(
          (name, t) ->
              assertEquals(-1, t.data().mismatch(sharded.graph().constant(name).data()), name));
      Tensor logits = run(sharded.graph(), Map.of("input_ids", ids())).get("logits");
      assertClose("logits", reference.get("logits.input_ids"), logits, 4e-5);
      long[] tokens = single.tokenizer().orElseThrow().encode("The cat sat on the mat.");
      assertArrayEquals(
          tokens, sharded.tokenizer().orElseThrow().encode("The cat sat on the mat."));
    }
  }

  /** The stored numbers of every block, results by head among them. */
  @Test
  void everyHookOfTheWholeReferenceAgrees() {
    Map<String, Tensor> whole =
        Safetensors.read(fixture("gpt2-tiny").resolve("reference.safetensors")).tensors();
    try (Model model = Model.load(TinyGpt2.folder(), DType.F64)) {
      List<String> hooks = TinyGpt2.hooks(whole);
      assertEquals(60, hooks.size());
      Map<String, Tensor> got =
          run(model.hooks().expose(model.graph(), hooks), Map.of("input_ids", ids()));
      // The rounding of the stored values, of which the largest is 24.
      hooks.forEach(hook -> assertClose(hook, whole.get("act." + hook), got.get(hook), 24e-7));
      List<String> inner =
          whole.keySet().stream()
              .filter(name -> name.startsWith("grad_act."))
              .map(name -> name.substring("grad_act.".length()))
              .filter(name -> !name.endsWith("_input") && !name.endsWith("hook_mlp_in"))
              .filter(name -> !name.contains(".ln1."))
              .sorted()
              .toList();
      assertEquals(54, inner.size());
      Map<String, Tensor> gradients = Gpt2GradientsTest.gradients(model, inner, DType.F64);
      inner.forEach(
          hook -> assertClose(hook, whole.get("grad_act." + hook), gradients.get(hook), 1e-7));
    }
  }
}
