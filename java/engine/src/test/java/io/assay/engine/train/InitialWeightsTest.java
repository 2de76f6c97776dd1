package io.assay.engine.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.model.Gpt2Config;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The weights that training starts from. */
class InitialWeightsTest {
  private static final Gpt2Config CONFIG =
      new Gpt2Config(2, 2, 64, 256, 32, 100, 1e-5, "gelu_new", true, false, true);

  /** The first numbers of seed 7, from SplitMix64 and Box-Muller written in another language. */
  @Test
  void theStreamIsTheOneStated() {
    double[] want = {
      0.019769486646374703, 0.0020931329497798795, -0.03728511613462455, -0.021400862074366835
    };
    Tensor table = InitialWeights.gpt2(CONFIG, 7).get("wte.weight");
    for (int i = 0; i < want.length; i++) {
      assertEquals((float) want[i], table.get(i), 0);
    }
  }

  @Test
  void deviationsAreThoseOfGpt2() {
    Map<String, Tensor> weights = InitialWeights.gpt2(CONFIG, 1);
    assertEquals(CONFIG.weightShapes().keySet(), weights.keySet());
    weights.forEach(
        (name, t) -> {
          assertArrayEquals(CONFIG.weightShapes().get(name), t.shape(), name);
          double[] x = t.toDoubles();
          if (t.rank() == 1) {
            double value = name.endsWith("bias") ? 0 : 1;
            assertTrue(Arrays.stream(x).allMatch(a -> a == value), name);
            return;
          }
          double want = name.endsWith("c_proj.weight") ? 0.01 : 0.02;
          double mean = Arrays.stream(x).average().orElseThrow();
          double square = Arrays.stream(x).map(a -> a * a).average().orElseThrow();
          // Five standard errors of a mean and of a variance of normal numbers.
          assertEquals(0, mean, 5 * want / Math.sqrt(x.length), name);
          assertEquals(1, square / (want * want), 5 * Math.sqrt(2.0 / x.length), name);
        });
  }

  @Test
  void seedsDiffer() {
    Tensor a = InitialWeights.gpt2(CONFIG, 1).get("wpe.weight");
    Tensor b = InitialWeights.gpt2(CONFIG, 2).get("wpe.weight");
    assertTrue(a.get(0) != b.get(0) && a.get(1) != b.get(1));
  }
}
