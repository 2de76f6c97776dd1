package io.assay.audit.grok;

import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * Logits of all pairs and marginals of all neurons in one pass, in float64: a pair's activations
 * are summed up and multiplied out while they are in the first cache, and never stored
 * (specs/grokking.md 7.2).
 */
final class Sweep {
  /** Parts of the work, whatever the threads: sums over parts are added in their order. */
  private static final int LANES = 8;

  /** Neurons that meet a row of logits at once. */
  private static final int AT_ONCE = 8;

  private final int p;
  private final int heads;
  private final int neurons;

  /** [2p+1, H] rows of m + p: what a token adds to the neurons' input and to the logits. */
  private final double[][] tables;

  /** [m+p] what is the same for all pairs. */
  private final double[] constant;

  /** [m] rows of p, zeros behind: W_L by neuron. */
  private final double[][] map;

  /** [2p+1, H] scores, and their exponentials against the largest of the head. */
  private final double[] scores;

  private final double[] weights;
  private final double[] logits;

  /** What was found: logits, and the frequencies of the neurons. */
  record Found(Logits logits, Neurons neurons) {}

  private Sweep(Network n, Map<String, Tensor> values) {
    p = n.p();
    heads = n.heads();
    neurons = n.neurons();
    int rows = 2 * p + 1;
    int columns = neurons + p;
    double[] all = values.get(AllPairs.TABLES).toDoubles();
    tables = new double[rows * heads][];
    double[] byHead = values.get(AllPairs.SCORES).toDoubles();
    scores = new double[rows * heads];
    weights = new double[rows * heads];
    for (int h = 0; h < heads; h++) {
      double largest = Double.NEGATIVE_INFINITY;
      for (int t = 0; t < rows; t++) {
        int from = (h * rows + t) * columns;
        tables[t * heads + h] = Arrays.copyOfRange(all, from, from + columns);
        scores[t * heads + h] = byHead[h * rows + t];
        largest = Math.max(largest, scores[t * heads + h]);
      }
      for (int t = 0; t < rows; t++) {
        weights[t * heads + h] = Math.exp(scores[t * heads + h] - largest);
      }
    }
    constant = values.get(AllPairs.CONSTANT).toDoubles();
    double[] byClass = values.get(AllPairs.MAP).toDoubles();
    map = new double[neurons][padded(p)];
    for (int c = 0; c < p; c++) {
      for (int j = 0; j < neurons; j++) {
        map[j][c] = byClass[c * neurons + j];
      }
    }
    logits = new double[p * p * p];
  }

  /**
   * Does it.
   *
   * @param values {@link AllPairs#TABLES}, {@link AllPairs#SCORES}, {@link AllPairs#CONSTANT} and
   *     {@link AllPairs#MAP}
   * @param threads most threads to use
   */
  static Found of(Network network, Map<String, Tensor> values, int threads) {
    Sweep sweep = new Sweep(network, values);
    Marginals[] parts = new Marginals[LANES];
    AtomicInteger next = new AtomicInteger();
    Runnable work =
        () -> {
          for (int l = next.getAndIncrement(); l < LANES; l = next.getAndIncrement()) {
            parts[l] = sweep.lane(l);
          }
        };
    try (ExecutorService helpers =
        Executors.newThreadPerTaskExecutor(Thread.ofPlatform().factory())) {
      CompletableFuture<?>[] others =
          IntStream.range(1, Math.min(threads, LANES))
              .mapToObj(_ -> CompletableFuture.runAsync(work, helpers))
              .toArray(CompletableFuture[]::new);
      work.run();
      CompletableFuture.allOf(others).join();
    }
    for (int l = 1; l < LANES; l++) {
      parts[0].add(parts[l]);
    }
    return new Found(new Logits(sweep.p, sweep.logits), Neurons.of(sweep.p, parts[0]));
  }

  /** Pairs with a = lane, lane + {@value #LANES}, ... */
  private Marginals lane(int lane) {
    Marginals sums = new Marginals(p, neurons);
    double[] z = new double[neurons + p];
    double[] row = new double[padded(p)];
    int[] active = new int[neurons];
    for (int a = lane; a < p; a += LANES) {
      for (int b = 0; b < p; b++) {
        System.arraycopy(constant, 0, z, 0, z.length);
        for (int h = 0; h < heads; h++) {
          attend(a, b, h, z);
        }
        System.arraycopy(z, neurons, row, 0, p);
        positive(z, neurons);
        sums.add(a, b, z);
        write(z, active, active(z, active), row);
        System.arraycopy(row, 0, logits, (a * p + b) * p, p);
      }
    }
    return sums;
  }

  /** The ReLU, in a loop that does nothing else: it becomes vector code. */
  private static void positive(double[] z, int n) {
    for (int j = 0; j < n; j++) {
      z[j] = Math.max(0, z[j]);
    }
  }

  /** Lists the neurons that are not zero; how many there are. */
  private static int active(double[] z, int[] active) {
    int n = 0;
    for (int j = 0; j < active.length; j++) {
      active[n] = j;
      n += z[j] > 0 ? 1 : 0;
    }
    return n;
  }

  /** Adds what head h reads at a, b and "=", by its attention. */
  private void attend(int a, int b, int h, double[] z) {
    int atA = a * heads + h;
    int atB = (p + b) * heads + h;
    int atEquals = 2 * p * heads + h;
    double toA = weights[atA];
    double toB = weights[atB];
    double toEquals = weights[atEquals];
    double sum = toA + toB + toEquals;
    if (!(sum > Double.MIN_NORMAL / Math.ulp(1.0))) {
      // All three lie far below the head's largest score.
      double largest = Math.max(scores[atA], Math.max(scores[atB], scores[atEquals]));
      toA = Math.exp(scores[atA] - largest);
      toB = Math.exp(scores[atB] - largest);
      toEquals = Math.exp(scores[atEquals] - largest);
      sum = toA + toB + toEquals;
    }
    add(z, toA / sum, tables[atA], toB / sum, tables[atB], toEquals / sum, tables[atEquals]);
  }

  private static void add(
      double[] z, double u, double[] x, double v, double[] y, double w, double[] q) {
    for (int i = 0; i < z.length; i++) {
      z[i] += u * x[i] + v * y[i] + w * q[i];
    }
  }

  /** Adds to the logits of one pair what its active neurons write, some at a time. */
  private void write(double[] z, int[] active, int n, double[] row) {
    int j = 0;
    for (; j + AT_ONCE <= n; j += AT_ONCE) {
      add(
          row,
          z[active[j]],
          map[active[j]],
          z[active[j + 1]],
          map[active[j + 1]],
          z[active[j + 2]],
          map[active[j + 2]],
          z[active[j + 3]],
          map[active[j + 3]],
          z[active[j + 4]],
          map[active[j + 4]],
          z[active[j + 5]],
          map[active[j + 5]],
          z[active[j + 6]],
          map[active[j + 6]],
          z[active[j + 7]],
          map[active[j + 7]]);
    }
    for (; j < n; j++) {
      double x = z[active[j]];
      double[] of = map[active[j]];
      for (int c = 0; c < row.length; c++) {
        row[c] += x * of[c];
      }
    }
  }

  private static void add(
      double[] row,
      double u0,
      double[] x0,
      double u1,
      double[] x1,
      double u2,
      double[] x2,
      double u3,
      double[] x3,
      double u4,
      double[] x4,
      double u5,
      double[] x5,
      double u6,
      double[] x6,
      double u7,
      double[] x7) {
    for (int c = 0; c < row.length; c++) {
      row[c] +=
          ((u0 * x0[c] + u1 * x1[c]) + (u2 * x2[c] + u3 * x3[c]))
              + ((u4 * x4[c] + u5 * x5[c]) + (u6 * x6[c] + u7 * x7[c]));
    }
  }

  /** Whole vectors of columns, so that no loop has a tail. */
  private static int padded(int columns) {
    return (columns + 15) / 16 * 16;
  }
}
