package io.assay.engine.kernel;

import io.assay.engine.tensor.Tensor;

/**
 * {@link Kernels#grok} pair by pair, as the formula has it, in double: no product is shared between
 * pairs but those of the last position's query, which is the same for all.
 */
final class PortableGrok {
  private static final int POSITIONS = 3;

  private final GrokPairs pairs;
  private final int numbers;
  private final int width;
  private final int heads;
  private final int inner;
  private final int headWidth;
  private final int neurons;
  private final int outputs;
  private final double scale;

  private final double[] embedding;
  private final double[] positions;
  private final double[] keys;
  private final double[] queries;
  private final double[] values;
  private final double[] attentionOut;
  private final double[] neuronsIn;
  private final double[] neuronsBias;
  private final double[] neuronsOut;
  private final double[] outBias;
  private final double[] unembedding;

  private final double[] query;

  /** Gradients, in the order of {@link GrokWeights#all}. */
  private final double[][] d = new double[11][];

  private final double[] dQuery;

  PortableGrok(GrokPairs pairs) {
    this.pairs = pairs;
    GrokWeights w = pairs.weights();
    numbers = w.numbers();
    width = (int) w.embedding().dim(0);
    heads = w.heads();
    headWidth = (int) w.keys().dim(1);
    inner = heads * headWidth;
    neurons = (int) w.neuronsIn().dim(0);
    outputs = w.outputs();
    scale = 1 / Math.sqrt(headWidth);
    embedding = w.embedding().toDoubles();
    positions = w.positions().toDoubles();
    keys = w.keys().toDoubles();
    queries = w.queries().toDoubles();
    values = w.values().toDoubles();
    attentionOut = w.attentionOut().toDoubles();
    neuronsIn = w.neuronsIn().toDoubles();
    neuronsBias = w.neuronsBias() == null ? new double[neurons] : w.neuronsBias().toDoubles();
    neuronsOut = w.neuronsOut().toDoubles();
    outBias = w.outBias() == null ? new double[width] : w.outBias().toDoubles();
    unembedding = w.unembedding().toDoubles();
    double[][] all = {
      embedding,
      positions,
      keys,
      queries,
      values,
      attentionOut,
      neuronsIn,
      neuronsBias,
      neuronsOut,
      outBias,
      unembedding
    };
    for (int i = 0; i < all.length; i++) {
      d[i] = new double[all[i].length];
    }
    query = times(queries, x(numbers, 2), inner);
    dQuery = new double[inner];
  }

  /** W_E[:,token] + W_pos[position]. */
  private double[] x(int token, int position) {
    double[] x = new double[width];
    for (int c = 0; c < width; c++) {
      x[c] = embedding[c * (numbers + 1) + token] + positions[position * width + c];
    }
    return x;
  }

  /** A x, for A [rows, x]. */
  private static double[] times(double[] a, double[] x, int rows) {
    double[] y = new double[rows];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < x.length; c++) {
        y[r] += a[r * x.length + c] * x[c];
      }
    }
    return y;
  }

  /** Into {@code dx} goes A^T dy, into {@code da} dy x^T: back through {@link #times}. */
  private static void back(double[] a, double[] x, double[] dy, double[] da, double[] dx) {
    for (int r = 0; r < dy.length; r++) {
      for (int c = 0; c < x.length; c++) {
        da[r * x.length + c] += dy[r] * x[c];
        dx[c] += dy[r] * a[r * x.length + c];
      }
    }
  }

  void run() {
    long count = pairs.count();
    for (long i = 0; i < count; i++) {
      pair(i, 1.0 / count);
    }
    if (pairs.gradients() == null || count == 0) {
      return;
    }
    double[] dLast = new double[width];
    back(queries, x(numbers, 2), dQuery, d[3], dLast);
    addX(numbers, 2, dLast);
    Tensor[] out = pairs.gradients().all();
    for (int i = 0; i < out.length; i++) {
      for (int at = 0; out[i] != null && at < d[i].length; at++) {
        out[i].set(at, d[i][at]);
      }
    }
  }

  private void addX(int token, int position, double[] dx) {
    for (int c = 0; c < width; c++) {
      d[0][c * (numbers + 1) + token] += dx[c];
      d[1][position * width + c] += dx[c];
    }
  }

  private void pair(long i, double share) {
    int[] tokens = {
      pairs.first().get(Tensor.INT, i * Integer.BYTES),
      pairs.second().get(Tensor.INT, i * Integer.BYTES),
      numbers
    };
    double[][] x = new double[POSITIONS][];
    double[][] k = new double[POSITIONS][];
    double[][] v = new double[POSITIONS][];
    for (int j = 0; j < POSITIONS; j++) {
      x[j] = x(tokens[j], j);
      k[j] = times(keys, x[j], inner);
      v[j] = times(values, x[j], inner);
    }
    double[][] attention = new double[heads][];
    double[] mixed = new double[inner];
    for (int h = 0; h < heads; h++) {
      attention[h] = attention(h, k);
      for (int e = h * headWidth; e < (h + 1) * headWidth; e++) {
        for (int j = 0; j < POSITIONS; j++) {
          mixed[e] += attention[h][j] * v[j][e];
        }
      }
    }
    double[] middle = times(attentionOut, mixed, width);
    add(middle, x[2]);
    double[] pre = times(neuronsIn, middle, neurons);
    add(pre, neuronsBias);
    double[] active = new double[neurons];
    for (int n = 0; n < neurons; n++) {
      active[n] = pre[n] < 0 ? 0 : pre[n];
    }
    double[] end = times(neuronsOut, active, width);
    add(end, middle);
    add(end, outBias);
    double[] dLogits = loss(i, logits(end));
    if (pairs.gradients() == null) {
      return;
    }

    double[] dEnd = new double[width];
    for (int c = 0; c < width; c++) {
      for (int o = 0; o < outputs; o++) {
        dEnd[c] += unembedding[c * outputs + o] * dLogits[o] * share;
        d[10][c * outputs + o] += end[c] * dLogits[o] * share;
      }
    }
    add(d[9], dEnd);
    double[] dMiddle = dEnd.clone();
    double[] dActive = new double[neurons];
    back(neuronsOut, active, dEnd, d[8], dActive);
    for (int n = 0; n < neurons; n++) {
      dActive[n] = pre[n] > 0 ? dActive[n] : 0;
    }
    add(d[7], dActive);
    back(neuronsIn, middle, dActive, d[6], dMiddle);
    double[] dMixed = new double[inner];
    back(attentionOut, mixed, dMiddle, d[5], dMixed);
    double[][] dx = {new double[width], new double[width], dMiddle};
    for (int j = 0; j < POSITIONS; j++) {
      double[] dKey = new double[inner];
      double[] dValue = new double[inner];
      for (int e = 0; e < inner; e++) {
        int h = e / headWidth;
        dValue[e] = attention[h][j] * dMixed[e];
        double dScore = scale * attention[h][j] * attended(h, j, attention[h], v, dMixed);
        dKey[e] = dScore * query[e];
        dQuery[e] += dScore * k[j][e];
      }
      back(values, x[j], dValue, d[4], dx[j]);
      back(keys, x[j], dKey, d[2], dx[j]);
    }
    for (int j = 0; j < POSITIONS; j++) {
      addX(tokens[j], j, dx[j]);
    }
  }

  /** Gradient of attention to position j, less the mean of those of all positions. */
  private double attended(int h, int j, double[] attention, double[][] v, double[] dMixed) {
    double sum = 0;
    for (int e = h * headWidth; e < (h + 1) * headWidth; e++) {
      double mean = 0;
      for (int other = 0; other < POSITIONS; other++) {
        mean += attention[other] * v[other][e];
      }
      sum += dMixed[e] * (v[j][e] - mean);
    }
    return sum;
  }

  private double[] attention(int h, double[][] k) {
    double[] a = new double[POSITIONS];
    double most = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < POSITIONS; j++) {
      for (int e = h * headWidth; e < (h + 1) * headWidth; e++) {
        a[j] += scale * query[e] * k[j][e];
      }
      most = Math.max(most, a[j]);
    }
    double sum = 0;
    for (int j = 0; j < POSITIONS; j++) {
      a[j] = Math.exp(a[j] - most);
      sum += a[j];
    }
    for (int j = 0; j < POSITIONS; j++) {
      a[j] /= sum;
    }
    return a;
  }

  private double[] logits(double[] end) {
    double[] logits = new double[outputs];
    for (int c = 0; c < width; c++) {
      for (int o = 0; o < outputs; o++) {
        logits[o] += unembedding[c * outputs + o] * end[c];
      }
    }
    return logits;
  }

  /** Writes loss and best output; the gradient of the loss by the logits. */
  private double[] loss(long i, double[] logits) {
    int label = pairs.labels().get(Tensor.INT, i * Integer.BYTES);
    int best = 0;
    boolean nan = false;
    for (int o = 0; o < outputs; o++) {
      nan |= Double.isNaN(logits[o]);
      best = logits[o] > logits[best] ? o : best;
    }
    double most = logits[best];
    double others = 0;
    for (int o = 0; o < outputs; o++) {
      others += o == label ? 0 : Math.exp(logits[o] - most);
    }
    double wanted = logits[label] - most;
    double mine = Math.exp(wanted);
    // Far behind, the quotient would overflow, and nothing is lost without it.
    double loss = mine > 1e-200 ? Math.log1p(others / mine) : Math.log(others + mine) - wanted;
    pairs.losses().set(Tensor.DOUBLE, i * Double.BYTES, loss);
    pairs.best().set(Tensor.INT, i * Integer.BYTES, nan ? -1 : best);
    double[] d = new double[outputs];
    for (int o = 0; o < outputs; o++) {
      double e = o == label ? -others : Math.exp(logits[o] - most);
      d[o] = e / (others + mine);
    }
    return d;
  }

  private static void add(double[] to, double[] x) {
    for (int i = 0; i < to.length; i++) {
      to[i] += x[i];
    }
  }
}
