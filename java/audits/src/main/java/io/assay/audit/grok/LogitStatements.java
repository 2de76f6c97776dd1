package io.assay.audit.grok;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.engine.kernel.Kernels;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;

/**
 * Statements 1, 3, 4 and 5 of specs/grokking.md section 8: measures of logits that have a closed
 * form (5.3), and identities.
 */
final class LogitStatements {
  private static final int P = ClockWeights.P;
  private static final List<Integer> KEYS = ClockWeights.KEYS;
  private static final double LOSS = 1.104831213e-8;
  private static final double[] SINGLE = {
    1.307811402e-5, 3.120830091e-5, 5.110493134e-4, 8.483064303e-4, 4.581192888e-3
  };

  private final Kernels kernels;
  private final List<Statement> s = new ArrayList<>();

  LogitStatements(Kernels kernels) {
    this.kernels = kernels;
  }

  private interface Logit {
    double at(int a, int b, int c);
  }

  private static Logits logits(int p, Logit logit) {
    double[] values = new double[p * p * p];
    for (int i = 0; i < values.length; i++) {
      values[i] = logit.at(i / p / p, i / p % p, i % p);
    }
    return new Logits(p, values);
  }

  /** sum_k a_k cos(w_k (a+b-c)). */
  static Logits rotations() {
    Fourier f = new Fourier(P);
    return logits(P, (a, b, c) -> rotation(f, a, b, c, false));
  }

  private static double rotation(Fourier f, int a, int b, int c, boolean pizza) {
    double sum = 0;
    for (int i = 0; i < KEYS.size(); i++) {
      int k = KEYS.get(i);
      double wave = ClockWeights.AMPLITUDES[i] * f.cos(k, a + b - c);
      sum += pizza ? wave * Math.abs(Math.cos(Math.PI * k * (a - b) / P)) : wave;
    }
    return sum;
  }

  /** Some third of the pairs. */
  static boolean[] third(int p) {
    RandomGenerator random = new SplittableRandom(3);
    boolean[] train = new boolean[p * p];
    for (int i = 0; i < train.length; i++) {
      train[i] = random.nextInt(3) == 0;
    }
    train[0] = true;
    train[1] = false;
    return train;
  }

  private void close(String id, String words, double expected, double got, double relative) {
    s.add(near("grok." + id, words, expected, got, relative * Math.abs(expected)));
  }

  /** Statement 1. */
  List<Statement> closedForms() {
    Logits logits = rotations();
    LogitMeasures m = LogitMeasures.of(kernels, logits, third(P), KEYS, false);
    close("1.all", "loss of sum a_k cos(w_k (a+b-c)) over all pairs", LOSS, m.all().loss(), 1e-9);
    close("1.train", "over the training set", LOSS, m.train().loss(), 1e-9);
    close("1.test", "over the test set", LOSS, m.test().loss(), 1e-9);
    close("1.restricted", "restricted loss", LOSS, m.restricted().loss(), 1e-9);
    close("1.cosine", "loss of the cosines alone", LOSS, m.cosineLoss(), 1e-9);
    close("1.excluded", "excluded loss, log 113", 4.727387819, m.excludedTrain(), 1e-9);
    close("1.rotation", "the same, of the cosines", 4.727387819, m.excludedRotation(), 1e-9);
    for (int i = 0; i < SINGLE.length; i++) {
      int k = KEYS.get(i);
      close(
          "1.single." + k,
          "loss without frequency " + k,
          SINGLE[i],
          m.excludedByFrequency()[k - 1],
          1e-9);
      close("1.a." + k, "coefficient of " + k, ClockWeights.AMPLITUDES[i], m.a()[k - 1], 1e-12);
    }
    s.add(near("grok.1.other", "largest other coefficient", 0, other(m.a()), 1e-12));
    s.add(near("grok.1.explained", "variance explained", 1, m.explained(), 1e-12));
    s.add(near("grok.1.right", "share of right answers", 1, m.all().accuracy(), 0));
    noise();
    pizza();
    return s;
  }

  private static double other(double[] a) {
    return IntStream.rangeClosed(1, a.length)
        .filter(k -> !KEYS.contains(k))
        .mapToDouble(k -> Math.abs(a[k - 1]))
        .max()
        .orElseThrow();
  }

  private void noise() {
    Fourier f = new Fourier(P);
    RandomGenerator random = new SplittableRandom(1);
    Logits logits = logits(P, (a, b, c) -> rotation(f, a, b, c, false) + 2 * random.nextGaussian());
    Spectrum spectrum = Spectrum.of(logits);
    s.add(
        near(
            "grok.1.noise",
            "variance explained under noise of deviation 2, 165 / 169",
            0.976331,
            spectrum.explained(KEYS, spectrum.total()),
            2e-4));
    s.add(near("grok.1.noise.other", "largest other coefficient", 0, other(spectrum.a()), 0.012));
  }

  private void pizza() {
    Fourier f = new Fourier(P);
    Logits logits = logits(P, (a, b, c) -> rotation(f, a, b, c, true));
    Spectrum spectrum = Spectrum.of(logits);
    double factor = 1 / (P * Math.sin(Math.PI / (2 * P)));
    for (int i = 0; i < KEYS.size(); i++) {
      close(
          "1.pizza." + KEYS.get(i),
          "coefficient of a pizza, 1 / (p sin(pi / 2p)) of the clock's",
          factor * ClockWeights.AMPLITUDES[i],
          spectrum.a()[KEYS.get(i) - 1],
          1e-9);
    }
    s.add(near("grok.1.pizza.factor", "that factor", 0.636640, factor, 5e-7));
    close(
        "1.pizza.explained",
        "variance explained of a pizza, twice the factor's square",
        2 * factor * factor,
        spectrum.explained(KEYS, spectrum.total()),
        1e-9);
  }

  /** Statement 3: Parseval, the basis, and the four marginals. */
  List<Statement> parseval() {
    RandomGenerator random = new SplittableRandom(5);
    for (int p : new int[] {P, 12}) {
      Fourier f = new Fourier(p);
      double worst = 0;
      for (int i = 0; i < p; i++) {
        for (int j = 0; j < p; j++) {
          double product = 0;
          for (int x = 0; x < p; x++) {
            product += f.row(i, x) * f.row(j, x);
          }
          worst = Math.max(worst, Math.abs(product - (i == j ? 1 : 0)));
        }
      }
      s.add(near("grok.3.basis." + p, "largest error of F F^T = I, modulus " + p, 0, worst, 1e-12));
    }
    double[] values = random.doubles((long) P * P).toArray();
    double squares = 0;
    double transformed = 0;
    for (double x : values) {
      squares += x * x;
    }
    for (double[] row : new Blocks(P, values).plane()) {
      for (double x : row) {
        transformed += x * x;
      }
    }
    close("3.parseval", "sum of squares in two dimensions", squares, transformed, 1e-12);
    marginals(random);
    return s;
  }

  private void marginals(RandomGenerator random) {
    int p = 31;
    int m = 6;
    double[] values = new double[p * p * m];
    Fourier f = new Fourier(p);
    for (int i = 0; i < values.length; i++) {
      int j = i % m;
      int a = i / m / p;
      int b = i / m % p;
      // Neurons with a frequency, with little of one, and, the last, with none.
      double wave = f.cos(j + 1, a) + f.sin(j + 1, b) - 0.5;
      values[i] = j == m - 1 ? 2.5 : Math.max(0, wave + j * random.nextGaussian());
    }
    Neurons neurons = Neurons.of(p, Tensor.ofDoubles(values, p, p, m));
    double worst = 0;
    int differing = 0;
    for (int j = 0; j < m - 1; j++) {
      double[] one = new double[p * p];
      for (int i = 0; i < one.length; i++) {
        one[i] = values[i * m + j];
      }
      double[] dense = dense(p, one);
      int best = 1;
      for (int k = 2; k < dense.length; k++) {
        best = dense[k] > dense[best] ? k : best;
      }
      differing += best == neurons.frequency()[j] ? 0 : 1;
      worst = Math.max(worst, Math.abs(dense[best] - neurons.explained()[j]));
    }
    s.add(
        near(
            "grok.3.marginals",
            "four marginals against the dense transform, of the variance explained",
            0,
            worst,
            1e-9));
    s.add(same("grok.3.frequency", "neurons with another frequency", 0, differing));
    s.add(
        same("grok.3.constant", "frequency of a constant neuron", -1, neurons.frequency()[m - 1]));
  }

  /** Share of variance in the 3 x 3 block of each k but the constant, by all p p coefficients. */
  private static double[] dense(int p, double[] f) {
    Fourier fourier = new Fourier(p);
    double[] energy = new double[(p - 1) / 2 + 1];
    double all = 0;
    for (int i = 0; i < p; i++) {
      for (int j = 0; j < p; j++) {
        double coefficient = 0;
        for (int x = 0; x < p * p; x++) {
          coefficient += fourier.row(i, x / p) * fourier.row(j, x % p) * f[x];
        }
        int k = (i + 1) / 2;
        int l = (j + 1) / 2;
        double square = coefficient * coefficient;
        if (k + l > 0) {
          all += square;
          if (k == l || k == 0 || l == 0) {
            energy[Math.max(k, l)] += square;
          }
        }
      }
    }
    double total = all;
    return Arrays.stream(energy).map(e -> e / total).toArray();
  }

  /** Statement 4: all families at once against one after the other, by dense projections. */
  List<Statement> ablations() {
    int p = 23;
    RandomGenerator random = new SplittableRandom(7);
    Fourier f = new Fourier(p);
    for (int gap : new int[] {1, 80, 300}) {
      Logits logits =
          logits(
              p,
              (a, b, c) ->
                  random.nextGaussian()
                      + gap * (f.cos(2, a + b - c) * (a % 3 - 1) + (a * b % p == c ? 1 : 0)) / 2);
      compare("4.gap." + gap, "logits some " + gap + " apart", logits, List.of(2, 5, 7));
    }
    compare("4.clock", "logits of statement 1", rotations(), KEYS);
    return s;
  }

  private void compare(String id, String words, Logits logits, List<Integer> keys) {
    int p = logits.p();
    boolean[] train = third(p);
    List<List<Integer>> families = new ArrayList<>(List.of(List.of(), keys));
    families.addAll(keys.stream().map(List::of).toList());
    List<Ablation.Loss> losses =
        new Ablation(kernels, logits, train).losses(Ablation.removed(families, false)).getFirst();
    double worst = 0;
    for (int i = 0; i < families.size(); i++) {
      double expected = loss(without(logits, families.get(i)), p, train);
      worst = Math.max(worst, Math.abs(losses.get(i).train() / expected - 1));
    }
    // A NaN would pass a comparison that it fails.
    s.add(
        near(
            "grok." + id,
            "largest relative error of losses of families, " + words,
            0,
            Double.isNaN(worst) ? Double.POSITIVE_INFINITY : worst,
            1e-8));
  }

  /** The logits less their dense projections on cos(w_k (a+b)) and sin(w_k (a+b)). */
  private static double[] without(Logits logits, List<Integer> family) {
    int p = logits.p();
    double[] all = logits.values();
    double[] rest = all.clone();
    for (int k : family) {
      for (int phase = 0; phase < 2; phase++) {
        double[] direction = new double[p * p];
        for (int i = 0; i < direction.length; i++) {
          double angle = 2 * Math.PI * k * (i / p + i % p) / p - phase * Math.PI / 2;
          direction[i] = Math.sqrt(2) / p * Math.cos(angle);
        }
        for (int c = 0; c < p; c++) {
          double product = 0;
          for (int i = 0; i < direction.length; i++) {
            product += direction[i] * all[i * p + c];
          }
          for (int i = 0; i < direction.length; i++) {
            rest[i * p + c] -= product * direction[i];
          }
        }
      }
    }
    return rest;
  }

  private static double loss(double[] logits, int p, boolean[] train) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < train.length; i++) {
      if (train[i]) {
        int target = (i / p + i % p) % p;
        double max = Double.NEGATIVE_INFINITY;
        for (int c = 0; c < p; c++) {
          max = c == target ? max : Math.max(max, logits[i * p + c]);
        }
        double others = 0;
        for (int c = 0; c < p; c++) {
          others += c == target ? 0 : Math.exp(logits[i * p + c] - max);
        }
        double l = max + Math.log(others) - logits[i * p + target];
        sum += l > 0 ? l + Math.log1p(Math.exp(-l)) : Math.log1p(Math.exp(l));
        n++;
      }
    }
    return sum / n;
  }

  /** Statement 5: the restricted losses of all pairs are those of the two sets together. */
  List<Statement> restricted() {
    RandomGenerator random = new SplittableRandom(9);
    int p = 37;
    Logits logits = logits(p, (a, b, c) -> 3 * random.nextGaussian());
    boolean[] train = third(p);
    LogitMeasures m = LogitMeasures.of(kernels, logits, train, List.of(3, 4), false);
    double[][] kept = Spectrum.of(logits).kept(List.of(3, 4));
    double[] all = new double[p * p * p];
    boolean[] every = new boolean[p * p];
    Arrays.fill(every, true);
    int n = 0;
    for (int i = 0; i < p * p; i++) {
      System.arraycopy(kept[(i / p + i % p) % p], 0, all, i * p, p);
      n += train[i] ? 1 : 0;
    }
    close(
        "5.all", "restricted loss by each row", loss(all, p, every), m.restricted().loss(), 1e-12);
    close(
        "5.sets",
        "restricted loss of the two sets, each by its pairs",
        m.restricted().loss() * p * p,
        m.restrictedTrain().loss() * n + m.restrictedTest().loss() * (p * p - n),
        1e-12);
    return s;
  }
}
