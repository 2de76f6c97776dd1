package io.assay.audit.grok;

import io.assay.engine.kernel.Kernels;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How a network adds: what its neurons, W_L and heads do, and what is left of it when a part is
 * taken out or replaced (specs/grokking.md 2.4, 3.6 and 6).
 *
 * @param singularValues of W_L, descending
 * @param rank how many of them reach {@value #RANK} of the largest
 * @param residual what the key frequencies leave of W_L, as a share of its Frobenius norm
 * @param readOuts of each key frequency
 * @param attention of each head
 * @param ablations losses over all pairs
 * @param kind clock or pizza
 * @param plane [2 frequencies + 1, 2 frequencies + 1]: norm over the classes of the logits' 2-D
 *     Fourier coefficients, by row in a and in b
 */
public record Mechanism(
    double[] singularValues,
    int rank,
    double residual,
    List<ReadOut> readOuts,
    List<Attention> attention,
    List<Ablated> ablations,
    ClockOrPizza kind,
    double[][] plane) {
  private static final double RANK = 0.05;

  /**
   * How the neurons write cos(w_k (a+b)), along u_k = W_L^T F_{2k-1}, and sin(w_k (a+b)), along v_k
   * = W_L^T F_{2k}.
   *
   * @param cosine coefficient of cos(w_k (a+b)) in u_k n
   * @param cosineExplained fraction of the variance of u_k n that it explains
   * @param sine coefficient of sin(w_k (a+b)) in v_k n
   * @param sineExplained fraction of the variance of v_k n
   * @param products coefficients in u_k n of cos(w_k a) cos(w_k b) and of sin(w_k a) sin(w_k b):
   *     equal and opposite for a sum of angles
   */
  public record ReadOut(
      int frequency,
      double cosine,
      double cosineExplained,
      double sine,
      double sineExplained,
      double[] products) {}

  /**
   * What is left without a part.
   *
   * @param name of the part and what became of it
   * @param loss mean cross-entropy over all pairs, nats
   * @param accuracy share of right answers
   */
  public record Ablated(String name, double loss, double accuracy) {}

  /** Takes one network apart. */
  static Mechanism of(
      AllPairs pairs, Kernels kernels, Network network, Keys keys, Neurons neurons) {
    return new Apart(pairs, kernels, network, keys.frequencies(), neurons).mechanism();
  }

  private static final class Apart {
    private final AllPairs pairs;
    private final Kernels kernels;
    private final Network network;
    private final List<Integer> keys;
    private final Neurons clusters;
    private final int p;
    private final Fourier fourier;
    private final Map<String, Tensor> values;
    private final Logits logits;
    private final double[] neurons;
    private final double[][] map;
    private final List<Ablated> ablations = new ArrayList<>();

    Apart(AllPairs pairs, Kernels kernels, Network network, List<Integer> keys, Neurons clusters) {
      this.pairs = pairs;
      this.kernels = kernels;
      this.network = network;
      this.keys = keys;
      this.clusters = clusters;
      p = network.p();
      fourier = new Fourier(p);
      values = pairs.run(network);
      logits = Logits.of(p, values.get(AllPairs.LOGITS));
      neurons = values.get(AllPairs.NEURONS).toDoubles();
      map = network.neuronLogits();
    }

    Mechanism mechanism() {
      double[] singular = Svd.of(map).values();
      int rank = (int) Arrays.stream(singular).filter(x -> x >= RANK * singular[0]).count();
      List<Attention> attention = new ArrayList<>();
      for (int h = 0; h < network.heads(); h++) {
        attention.add(Attention.of(network, values.get(AllPairs.ATTENTION), h));
      }
      double[][] directions = directions();
      List<ReadOut> readOuts = new ArrayList<>();
      for (int i = 0; i < keys.size(); i++) {
        readOuts.add(readOut(keys.get(i), directions[2 * i], directions[2 * i + 1]));
      }
      logitBlocks();
      projections(directions);
      polynomials();
      skip();
      attention(attention);
      return new Mechanism(
          singular,
          singular[0] == 0 ? 0 : rank,
          residual(directions),
          readOuts,
          attention,
          ablations,
          ClockOrPizza.of(network, logits),
          new Blocks(p, logits.values()).plane());
    }

    private void ablated(String name, Logits left) {
      boolean[] all = new boolean[p * p];
      Arrays.fill(all, true);
      double loss =
          new Ablation(kernels, left, all)
              .losses(Ablation.removed(List.of(List.of()), false))
              .getFirst()
              .getFirst()
              .train();
      int right = 0;
      for (boolean r : left.right()) {
        right += r ? 1 : 0;
      }
      ablations.add(new Ablated(name, loss, (double) right / (p * p)));
    }

    private void ablated(String name, String value, double[] instead) {
      Map<String, Tensor> given = new LinkedHashMap<>();
      for (String other : List.of(AllPairs.NEURONS, AllPairs.SKIP)) {
        given.put(other, values.get(other));
      }
      given.put(value, Tensor.ofDoubles(instead, values.get(value).shape()));
      ablated(name, Logits.of(p, pairs.logits(network, given)));
    }

    /** u_k and v_k [m] of each key frequency, u first. */
    private double[][] directions() {
      double[][] directions = new double[2 * keys.size()][network.neurons()];
      for (int i = 0; i < directions.length; i++) {
        int row = 2 * keys.get(i / 2) - 1 + i % 2;
        for (int c = 0; c < p; c++) {
          for (int j = 0; j < network.neurons(); j++) {
            directions[i][j] += fourier.row(row, c) * map[c][j];
          }
        }
      }
      return directions;
    }

    private double residual(double[][] directions) {
      double all = 0;
      for (double[] row : map) {
        all += Svd.dot(row, row);
      }
      double[][] rest = new double[p][];
      for (int c = 0; c < p; c++) {
        rest[c] = map[c].clone();
        for (int i = 0; i < directions.length; i++) {
          double weight = fourier.row(2 * keys.get(i / 2) - 1 + i % 2, c);
          for (int j = 0; j < rest[c].length; j++) {
            rest[c][j] -= weight * directions[i][j];
          }
        }
      }
      double left = 0;
      for (double[] row : rest) {
        left += Svd.dot(row, row);
      }
      return all == 0 ? 0 : Math.sqrt(left / all);
    }

    private ReadOut readOut(int k, double[] u, double[] v) {
      double[] x = new double[p * p];
      double[] y = new double[p * p];
      for (int i = 0; i < x.length; i++) {
        for (int j = 0; j < u.length; j++) {
          double f = neurons[i * u.length + j];
          x[i] += u[j] * f;
          y[i] += v[j] * f;
        }
      }
      double[] cosine = fit(x, (a, b) -> fourier.cos(k, a + b), 2);
      double[] sine = fit(y, (a, b) -> fourier.sin(k, a + b), 2);
      return new ReadOut(
          k,
          cosine[0],
          cosine[1],
          sine[0],
          sine[1],
          new double[] {
            fit(x, (a, b) -> fourier.cos(k, a) * fourier.cos(k, b), 4)[0],
            fit(x, (a, b) -> fourier.sin(k, a) * fourier.sin(k, b), 4)[0]
          });
    }

    private interface Wave {
      double at(int a, int b);
    }

    /** Coefficient and fraction explained of a wave of mean 0 and mean square 1 / {@code part}. */
    private double[] fit(double[] y, Wave wave, int part) {
      double mean = Arrays.stream(y).average().orElseThrow();
      double product = 0;
      double variance = 0;
      for (int i = 0; i < y.length; i++) {
        product += (y[i] - mean) * wave.at(i / p, i % p);
        variance += (y[i] - mean) * (y[i] - mean);
      }
      double square = (double) p * p / part;
      return new double[] {product / square, product * product / square / variance};
    }

    private void logitBlocks() {
      ablated("nothing", logits);
      Blocks blocks = new Blocks(p, logits.values());
      ablated("only 3 x 3 blocks of the key frequencies kept", new Logits(p, blocks.whole(keys)));
      ablated(
          "only 2 x 2 blocks of the key frequencies kept", new Logits(p, blocks.products(keys)));
      double[][] kept = Spectrum.of(logits).kept(keys);
      double[] restricted = new double[p * p * p];
      for (int i = 0; i < p * p; i++) {
        System.arraycopy(kept[(i / p + i % p) % p], 0, restricted, i * p, p);
      }
      ablated("only a + b of the key frequencies kept", new Logits(p, restricted));
      double[] constant = blocks.whole(List.of());
      for (int k : keys) {
        double[] without = logits.values();
        double[] block = blocks.whole(List.of(k));
        for (int i = 0; i < without.length; i++) {
          without[i] -= block[i] - constant[i];
        }
        ablated("3 x 3 block of frequency " + k + " removed", new Logits(p, without));
      }
    }

    private void projections(double[][] directions) {
      double[][] basis = orthonormal(directions);
      int m = network.neurons();
      double[] on = new double[neurons.length];
      for (int from = 0; from < neurons.length; from += m) {
        for (double[] direction : basis) {
          double weight = 0;
          for (int j = 0; j < m; j++) {
            weight += direction[j] * neurons[from + j];
          }
          for (int j = 0; j < m; j++) {
            on[from + j] += weight * direction[j];
          }
        }
      }
      double[] off = new double[neurons.length];
      for (int i = 0; i < off.length; i++) {
        off[i] = neurons[i] - on[i];
      }
      ablated("neurons projected on the key directions of W_L", AllPairs.NEURONS, on);
      ablated("neurons projected on their complement", AllPairs.NEURONS, off);
    }

    /** By Gram and Schmidt, twice, without what vanishes. */
    private static double[][] orthonormal(double[][] vectors) {
      List<double[]> basis = new ArrayList<>();
      for (double[] vector : vectors) {
        double[] v = vector.clone();
        double before = Math.sqrt(Svd.dot(v, v));
        for (int pass = 0; pass < 2; pass++) {
          for (double[] b : basis) {
            double weight = Svd.dot(v, b);
            for (int j = 0; j < v.length; j++) {
              v[j] -= weight * b[j];
            }
          }
        }
        double length = Math.sqrt(Svd.dot(v, v));
        if (length > 1e-10 * before) {
          for (int j = 0; j < v.length; j++) {
            v[j] /= length;
          }
          basis.add(v);
        }
      }
      return basis.toArray(double[][]::new);
    }

    private void polynomials() {
      double[] block = neurons.clone();
      double[] sums = neurons.clone();
      int m = network.neurons();
      for (int j = 0; j < m; j++) {
        if (clusters.isClustered(j)) {
          double[] one = new double[p * p];
          for (int i = 0; i < one.length; i++) {
            one[i] = neurons[i * m + j];
          }
          int k = clusters.frequency()[j];
          Blocks of = new Blocks(p, one);
          double[] polynomial = of.whole(List.of(k));
          double mean = Arrays.stream(one).average().orElseThrow();
          double cos = fit(one, (a, b) -> fourier.cos(k, a + b), 2)[0];
          double sin = fit(one, (a, b) -> fourier.sin(k, a + b), 2)[0];
          for (int i = 0; i < one.length; i++) {
            int s = i / p + i % p;
            block[i * m + j] = polynomial[i];
            sums[i * m + j] = mean + cos * fourier.cos(k, s) + sin * fourier.sin(k, s);
          }
        }
      }
      ablated("clustered neurons replaced by their polynomials", AllPairs.NEURONS, block);
      ablated("clustered neurons replaced by their waves of a + b", AllPairs.NEURONS, sums);
    }

    private void skip() {
      double[] skip = values.get(AllPairs.SKIP).toDoubles();
      double[] mean = new double[p];
      for (int i = 0; i < skip.length; i++) {
        mean[i % p] += skip[i] / (p * p);
      }
      double[] bias = new double[p];
      double[] out = network.tensors().get(GrokShape.OUT_BIAS).toDoubles();
      double[][] unembed = network.matrix(GrokShape.UNEMBEDDING);
      for (int d = 0; d < out.length; d++) {
        for (int c = 0; c < p; c++) {
          bias[c] += unembed[d][c] * out[d];
        }
      }
      double[] zeros = new double[skip.length];
      double[] means = new double[skip.length];
      for (int i = 0; i < skip.length; i++) {
        zeros[i] = bias[i % p];
        means[i] = mean[i % p];
      }
      ablated("skip around the MLP zero", AllPairs.SKIP, zeros);
      ablated("skip around the MLP at its mean", AllPairs.SKIP, means);
      double[] pre = values.get(AllPairs.PRE).toDoubles();
      double[] direct = Position.of(network).direct();
      for (int i = 0; i < pre.length; i++) {
        pre[i] = Math.max(0, pre[i] - direct[i % direct.length]);
      }
      ablated("embedded \"=\" kept from the MLP", AllPairs.NEURONS, pre);
    }

    private void attention(List<Attention> heads) {
      double[] pattern = values.get(AllPairs.ATTENTION).toDoubles();
      double[] linear = pattern.clone();
      double[] pair = pattern.clone();
      for (int i = 0; i < pattern.length; i += 3) {
        Attention head = heads.get(i / 3 % heads.size());
        int a = i / 3 / heads.size() / p;
        int b = i / 3 / heads.size() % p;
        int k = head.frequency();
        linear[i] =
            head.mean()
                + head.alpha() * (fourier.cos(k, a) - fourier.cos(k, b))
                + head.beta() * (fourier.sin(k, a) - fourier.sin(k, b));
        linear[i + 1] = 1 - pattern[i + 2] - linear[i];
        double both = pattern[i] + pattern[i + 1];
        pair[i] = pattern[i] / both;
        pair[i + 1] = pattern[i + 1] / both;
        pair[i + 2] = 0;
      }
      attended("attention's output zero", new double[pattern.length]);
      attended("attention replaced by its linear fit", linear);
      attended("attention to \"=\" zero, the rest scaled to 1", pair);
    }

    private void attended(String name, double[] pattern) {
      long[] shape = values.get(AllPairs.ATTENTION).shape();
      Tensor instead = Tensor.ofDoubles(pattern, shape);
      ablated(name, Logits.of(p, pairs.logits(network, Map.of(AllPairs.ATTENTION, instead))));
    }
  }
}
