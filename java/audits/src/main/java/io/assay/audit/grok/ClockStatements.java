package io.assay.audit.grok;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.audit.grok.Mechanism.Ablated;
import io.assay.audit.grok.Mechanism.ReadOut;
import io.assay.engine.Engine;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Statement 2 of specs/grokking.md section 8: the network made by hand (5.4). */
final class ClockStatements {
  private static final List<Integer> KEYS = ClockWeights.KEYS;
  private static final double LOSS = 1.0976648e-8;
  private static final double RESTRICTED = 1.0953485e-8;
  private static final double[] SINGLE = {
    1.30330e-5, 3.11317e-5, 5.10645e-4, 8.48248e-4, 4.58361e-3
  };
  private static final double[] A = {6.0026545, 7.0030969, 8.0035393, 9.0039818, 10.0044242};
  private static final double[] MAP = {48.713448, 56.832356, 64.951264, 73.070172, 81.189080};

  /**
   * Read-outs of a frequency over its amplitude, by numpy from the four interpolated squares alone.
   * Over all angles those of cosine and sine would be equal, and the products' opposite; 113 angles
   * meet the kinks of the ReLUs differently, by 5e-6.
   */
  private static final double COSINE = 7.5200068248;

  private static final double SINE = 7.5199405577;
  private static final double COSINE_EXPLAINED = 0.999971550970;
  private static final double SINE_EXPLAINED = 0.999971754150;
  private static final double[] PRODUCTS = {7.519989599697, -7.520024049979};

  private final Engine engine;
  private final List<Statement> s = new ArrayList<>();

  ClockStatements(Engine engine) {
    this.engine = engine;
  }

  /** A number of which the specification gives so many decimals. */
  private void digits(String id, String words, double expected, double got, double bound) {
    s.add(near("grok.2." + id, words, expected, got, bound));
  }

  /** To 1e-9, as double gives it. */
  private void exact(String id, String words, double expected, double got) {
    digits(id, words, expected, got, 1e-9 * Math.abs(expected));
  }

  private void close(String id, String words, double expected, double got) {
    digits(id, words, expected, got, 1e-6 * Math.abs(expected));
  }

  List<Statement> statements() {
    Network network = ClockWeights.network();
    try (AllPairs pairs = new AllPairs(engine, network)) {
      Map<String, Tensor> values = pairs.run(network);
      Logits logits = Logits.of(ClockWeights.P, values.get(AllPairs.LOGITS));
      boolean[] all = new boolean[ClockWeights.P * ClockWeights.P];
      Arrays.fill(all, true);
      WeightMeasures weights = WeightMeasures.of(network);
      s.add(same("grok.2.keys", "key frequencies", KEYS, weights.keys().frequencies()));
      s.add(same("grok.2.sparse", "too many of them", false, weights.keys().notSparse()));
      losses(LogitMeasures.of(engine.kernels(), logits, all, KEYS, true));
      weights(weights);
      Neurons neurons = Neurons.of(ClockWeights.P, values.get(AllPairs.NEURONS));
      neurons(neurons);
      mechanism(Mechanism.of(pairs, engine.kernels(), network, weights.keys(), neurons));
    }
    return s;
  }

  private void losses(LogitMeasures m) {
    close("all", "loss over all pairs", LOSS, m.all().loss());
    s.add(near("grok.2.right", "share of right answers", 1, m.all().accuracy(), 0));
    close("restricted", "restricted loss", RESTRICTED, m.restricted().loss());
    close("excluded", "excluded loss", 4.7297244, m.excludedTrain());
    double other = 0;
    for (int k = 1; k <= m.a().length; k++) {
      int at = KEYS.indexOf(k);
      if (at < 0) {
        other = Math.max(other, Math.abs(m.a()[k - 1]));
      } else {
        close("a." + k, "coefficient of frequency " + k, A[at], m.a()[k - 1]);
        double got = m.excludedByFrequency()[k - 1];
        digits("single." + k, "loss without frequency " + k, SINGLE[at], got, 1e-5 * SINGLE[at]);
      }
    }
    digits("other", "largest other coefficient", 0, other, 1e-12);
    digits("explained", "variance of the logits explained", 0.99997165, m.explained(), 1e-8);
  }

  private void weights(WeightMeasures w) {
    double[] embedding = w.embedding().clone();
    Arrays.sort(embedding);
    int n = embedding.length;
    digits("W_E.10", "tenth of the norms of W_E", 7.516648, embedding[n - 10], 1e-6);
    digits("W_E.1", "first of them", 7.516648, embedding[n - 1], 1e-6);
    digits("W_E.rest", "eleventh of them", 0, embedding[n - 11], 1e-12);
    digits("W_E.gini", "Gini of W_E, 1 - 10/113", 0.9115044, w.giniEmbedding(), 1e-7);
    digits("W_E.pairs", "Gini of its pairs, 1 - 5/56", 0.9107143, w.giniEmbeddingPairs(), 1e-7);
    for (int i = 0; i < MAP.length; i++) {
      int k = KEYS.get(i);
      close("W_L.cos." + k, "norm of cosine " + k + " in W_L", MAP[i], w.neuronLogits()[2 * k - 1]);
      close("W_L.sin." + k, "norm of sine " + k + " in W_L", MAP[i], w.neuronLogits()[2 * k]);
    }
    digits("W_L.gini", "Gini of W_L", 0.9203540, w.giniNeuronLogits(), 1e-7);
  }

  private void neurons(Neurons neurons) {
    int used = 480;
    int own =
        (int)
            IntStream.range(0, used)
                .filter(j -> neurons.frequency()[j] == KEYS.get(j / 96))
                .count();
    s.add(same("grok.2.neurons", "used neurons with their own frequency", used, own));
    long unused = Arrays.stream(neurons.frequency()).skip(used).filter(k -> k == -1).count();
    s.add(same("grok.2.neurons.unused", "unused neurons with none", 32L, unused));
    int clustered = neurons.clusters().values().stream().mapToInt(Integer::intValue).sum();
    s.add(same("grok.2.clusters", "neurons in clusters", 160, clustered));
    double[] explained = Arrays.copyOf(neurons.explained(), used);
    Arrays.sort(explained);
    digits("fve.min", "least variance explained of a neuron", 0.28934, explained[0], 1e-5);
    double median = (explained[used / 2 - 1] + explained[used / 2]) / 2;
    digits("fve.median", "median", 0.77130, median, 1e-5);
    digits("fve.max", "greatest", 0.96208, explained[used - 1], 1e-5);
  }

  private void mechanism(Mechanism m) {
    s.add(same("grok.2.rank", "rank of W_L", 2 * KEYS.size(), m.rank()));
    digits("residual", "what the key frequencies leave of W_L", 0, m.residual(), 1e-14);
    double apart = 0;
    for (int i = 0; i < 2 * KEYS.size(); i += 2) {
      apart = Math.max(apart, m.singularValues()[i] / m.singularValues()[i + 1] - 1);
    }
    digits("pairs", "how far apart its singular values are in a pair", 0, apart, 1e-9);
    for (int i = 0; i < KEYS.size(); i++) {
      ReadOut r = m.readOuts().get(i);
      String of = " along the directions of " + r.frequency();
      double a = ClockWeights.AMPLITUDES[i];
      exact("u." + r.frequency(), "coefficient of cos" + of, a * COSINE, r.cosine());
      exact("v." + r.frequency(), "coefficient of sin" + of, a * SINE, r.sine());
      exact("u.fve." + r.frequency(), "explained" + of, COSINE_EXPLAINED, r.cosineExplained());
      exact("v.fve." + r.frequency(), "explained, sin" + of, SINE_EXPLAINED, r.sineExplained());
      for (int product = 0; product < 2; product++) {
        exact(
            "u.products." + product + "." + r.frequency(),
            "coefficient of " + (product == 0 ? "cos cos" : "sin sin") + of,
            a * PRODUCTS[product],
            r.products()[product]);
      }
    }
    ablation(m, "nothing", LOSS, 1e-6);
    ablation(m, "only 2 x 2 blocks of the key frequencies kept", RESTRICTED, 1e-6);
    ablation(m, "only 3 x 3 blocks of the key frequencies kept", RESTRICTED, 1e-6);
    ablation(m, "neurons projected on the key directions of W_L", LOSS, 1e-6);
    ablation(m, "neurons projected on their complement", 4.7273878, 1e-6);
    ablation(m, "clustered neurons replaced by their polynomials", 1.44486e-8, 1e-5);
    for (int h = 0; h < 2; h++) {
      double equals = m.attention().get(h).equals();
      digits("equals." + h, "attention of head " + h + " to \"=\"", 4.2e-18, equals, 1e-19);
    }
  }

  private void ablation(Mechanism m, String name, double expected, double relative) {
    Ablated got =
        m.ablations().stream().filter(a -> a.name().equals(name)).findFirst().orElseThrow();
    digits(
        "ablated." + (m.ablations().indexOf(got) + 1),
        "loss, " + name,
        expected,
        got.loss(),
        relative * expected);
  }
}
