package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The plain formulas of one pair against the collapsed graph of all pairs. */
class PositionTest {
  private static final int P = 7;
  private static final int WIDTH = 6;
  private static final int HEADS = 2;
  private static final int HEAD_WIDTH = 3;
  private static final int NEURONS = 5;

  private static Network random(Map<String, Tensor> changed) {
    Map<String, Tensor> t = new LinkedHashMap<>();
    Random random = new Random(1);
    t.put(GrokShape.EMBEDDING, draw(random, WIDTH, P + 1));
    t.put(GrokShape.POSITIONS, draw(random, 3, WIDTH));
    t.put(GrokShape.KEYS, draw(random, HEADS, HEAD_WIDTH, WIDTH));
    t.put(GrokShape.QUERIES, draw(random, HEADS, HEAD_WIDTH, WIDTH));
    t.put(GrokShape.VALUES, draw(random, HEADS, HEAD_WIDTH, WIDTH));
    t.put(GrokShape.ATTENTION_OUT, draw(random, WIDTH, HEADS * HEAD_WIDTH));
    t.put(GrokShape.NEURONS_IN, draw(random, NEURONS, WIDTH));
    t.put(GrokShape.NEURONS_BIAS, draw(random, NEURONS));
    t.put(GrokShape.NEURONS_OUT, draw(random, WIDTH, NEURONS));
    t.put(GrokShape.OUT_BIAS, draw(random, WIDTH));
    t.put(GrokShape.UNEMBEDDING, draw(random, WIDTH, P + 1));
    t.putAll(changed);
    return Network.of(t);
  }

  private static Tensor draw(Random random, long... shape) {
    double[] values = new double[(int) Tensor.elements(shape)];
    for (int i = 0; i < values.length; i++) {
      values[i] = 0.5 * random.nextGaussian();
    }
    return Tensor.ofDoubles(values, shape);
  }

  /** Moving column a of W_E moves the first position only, where b is another number. */
  @Test
  void gradientsAreDifferenceQuotientsOfTheGraph() {
    Network network = random(Map.of());
    double step = 1e-5;
    int[][] cases = {{2, 5, 0}, {6, 1, 3}, {0, 4, 6}};
    try (Engine engine = Engine.open();
        AllPairs pairs = new AllPairs(engine, network)) {
      for (int[] at : cases) {
        double[][] gradients = Position.of(network).gradients(at[0], at[1], at[2]);
        for (int side = 0; side < 2; side++) {
          for (int d = 0; d < WIDTH; d++) {
            double[] logit = new double[2];
            for (int sign = 0; sign < 2; sign++) {
              double[] embed = network.tensors().get(GrokShape.EMBEDDING).toDoubles();
              embed[d * (P + 1) + at[side]] += sign == 0 ? step : -step;
              Network moved =
                  random(Map.of(GrokShape.EMBEDDING, Tensor.ofDoubles(embed, WIDTH, P + 1)));
              Logits logits = Logits.of(P, pairs.run(moved).get(AllPairs.LOGITS));
              logit[sign] = logits.get(at[0], at[1], at[2]);
            }
            // The quotient errs by step^2, and by rounding over step.
            assertEquals((logit[0] - logit[1]) / (2 * step), gradients[side][d], 1e-8);
          }
        }
      }
    }
  }

  /** A pass without stored activations gives what the graph gives, on any number of threads. */
  @Test
  void sweepsAreTheGraph() {
    Network network = random(Map.of());
    try (Engine engine = Engine.open();
        AllPairs pairs = new AllPairs(engine, network)) {
      Map<String, Tensor> values = pairs.run(network);
      Logits expected = Logits.of(P, values.get(AllPairs.LOGITS));
      Neurons neurons = Neurons.of(P, values.get(AllPairs.NEURONS));
      AllPairs.Found found = pairs.sweep(network);
      assertArrayEquals(expected.values(), found.logits().values(), 1e-13);
      assertArrayEquals(neurons.frequency(), found.neurons().frequency());
      assertArrayEquals(neurons.explained(), found.neurons().explained(), 1e-12);
      assertArrayEquals(neurons.sumShare(), found.neurons().sumShare(), 1e-12);
    }
    double[][] bits = new double[2][];
    for (int threads = 1; threads <= 2; threads++) {
      try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(threads));
          AllPairs pairs = new AllPairs(engine, network)) {
        bits[threads - 1] = pairs.sweep(network).neurons().explained();
      }
    }
    assertArrayEquals(bits[0], bits[1]);
  }

  /** TransformerLens has every matrix the other way round, W_O by head, and may have no biases. */
  @Test
  void networksOfTransformerLensAreTheSame() {
    Network network = random(Map.of());
    Map<String, Tensor> other = new LinkedHashMap<>();
    for (String name : Network.NAMES) {
      Tensor t = network.tensors().get(name);
      if (name.equals(GrokShape.ATTENTION_OUT)) {
        other.put(name, turned(t).reshape(HEADS, HEAD_WIDTH, WIDTH));
      } else if (t.rank() > 1
          && !name.equals(GrokShape.POSITIONS)
          && !name.equals(GrokShape.UNEMBEDDING)) {
        other.put(name, turned(t));
      } else {
        other.put(name, t);
      }
    }
    Network read = Network.of(other);
    for (String name : Network.NAMES) {
      Tensor expected = network.tensors().get(name);
      assertEquals(expected.toString(), read.tensors().get(name).toString(), name);
      for (long i = 0; i < expected.elements(); i++) {
        assertEquals(expected.get(i), read.tensors().get(name).get(i), name);
      }
    }
  }

  private static Tensor turned(Tensor t) {
    int last = t.rank() - 1;
    long rows = t.dim(last - 1);
    long columns = t.dim(last);
    double[] values = new double[(int) t.elements()];
    for (int i = 0; i < values.length; i++) {
      int matrix = (int) (i / (rows * columns) * rows * columns);
      int row = (int) (i % (rows * columns) / columns);
      int column = (int) (i % columns);
      values[matrix + column * (int) rows + row] = t.get(i);
    }
    long[] shape = t.shape();
    shape[last - 1] = columns;
    shape[last] = rows;
    return Tensor.ofDoubles(values, shape);
  }
}
