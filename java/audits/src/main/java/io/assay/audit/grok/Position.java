package io.assay.audit.grok;

import java.util.Arrays;

/**
 * One pair at a time, by the plain formulas of specs/grokking.md 2.1, and the gradients of a logit
 * with respect to the two embedded numbers.
 */
final class Position {
  private final Network n;
  private final double[][] embed;
  private final double[][] position;
  private final double[][] in;
  private final double[][] out;
  private final double[][] unembed;
  private final double[][] output;
  private final double[] bias;
  private final double[] queries;
  private final double[] keys;
  private final double[] values;

  /** x_2 [D], the embedded "=". */
  private final double[] equals;

  private Position(Network n) {
    this.n = n;
    embed = n.matrix(GrokShape.EMBEDDING);
    position = n.matrix(GrokShape.POSITIONS);
    in = n.matrix(GrokShape.NEURONS_IN);
    out = n.matrix(GrokShape.NEURONS_OUT);
    unembed = n.matrix(GrokShape.UNEMBEDDING);
    output = n.matrix(GrokShape.ATTENTION_OUT);
    bias = n.tensors().get(GrokShape.NEURONS_BIAS).toDoubles();
    queries = n.tensors().get(GrokShape.QUERIES).toDoubles();
    keys = n.tensors().get(GrokShape.KEYS).toDoubles();
    values = n.tensors().get(GrokShape.VALUES).toDoubles();
    equals = token(n.p(), 2);
  }

  static Position of(Network network) {
    return new Position(network);
  }

  private double[] token(int token, int at) {
    double[] x = position[at].clone();
    for (int d = 0; d < x.length; d++) {
      x[d] += embed[d][token];
    }
    return x;
  }

  /** W_K^T W_Q x_2 [D] of a head, without the scale. */
  double[] key(int head) {
    double[] key = new double[n.width()];
    for (int i = 0; i < n.headWidth(); i++) {
      double query = Svd.dot(row(queries, head, i), equals);
      double[] k = row(keys, head, i);
      for (int d = 0; d < key.length; d++) {
        key[d] += query * k[d];
      }
    }
    return key;
  }

  /** W_in x_2 [m]: what "=" itself adds to the MLP's input. */
  double[] direct() {
    return Arrays.stream(in).mapToDouble(row -> Svd.dot(row, equals)).toArray();
  }

  private double[] row(double[] weights, int head, int i) {
    int from = (head * n.headWidth() + i) * n.width();
    return Arrays.copyOfRange(weights, from, from + n.width());
  }

  /** W_V^T W_O^T of one head times x [D]: what a direction of the output is at its input. */
  private double[] back(int head, double[] x) {
    double[] back = new double[n.width()];
    for (int i = 0; i < n.headWidth(); i++) {
      double weight = 0;
      for (int d = 0; d < n.width(); d++) {
        weight += output[d][head * n.headWidth() + i] * x[d];
      }
      double[] v = row(values, head, i);
      for (int d = 0; d < n.width(); d++) {
        back[d] += weight * v[d];
      }
    }
    return back;
  }

  /** Gradients [2,D] of logit c of the pair with respect to the embedded a and b. */
  double[][] gradients(int a, int b, int c) {
    double[][] x = {token(a, 0), token(b, 1), equals};
    double[][] attention = new double[n.heads()][];
    double[] residual = equals.clone();
    for (int h = 0; h < n.heads(); h++) {
      attention[h] = attention(h, x);
      for (int i = 0; i < n.headWidth(); i++) {
        double z = 0;
        for (int j = 0; j < 3; j++) {
          z += attention[h][j] * Svd.dot(row(values, h, i), x[j]);
        }
        for (int d = 0; d < n.width(); d++) {
          residual[d] += output[d][h * n.headWidth() + i] * z;
        }
      }
    }
    double[] upstream = upstream(residual, c);
    double[][] gradients = new double[2][n.width()];
    for (int h = 0; h < n.heads(); h++) {
      double[] through = back(h, upstream);
      double[] key = key(h);
      double[] effects = new double[3];
      double mean = 0;
      for (int j = 0; j < 3; j++) {
        effects[j] = Svd.dot(through, x[j]);
        mean += attention[h][j] * effects[j];
      }
      for (int j = 0; j < 2; j++) {
        double score = attention[h][j] * (effects[j] - mean) / Math.sqrt(n.headWidth());
        for (int d = 0; d < n.width(); d++) {
          gradients[j][d] += attention[h][j] * through[d] + score * key[d];
        }
      }
    }
    return gradients;
  }

  private double[] attention(int head, double[][] x) {
    double[] key = key(head);
    double[] weights = new double[3];
    double largest = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < 3; j++) {
      weights[j] = Svd.dot(key, x[j]) / Math.sqrt(n.headWidth());
      largest = Math.max(largest, weights[j]);
    }
    double sum = 0;
    for (int j = 0; j < 3; j++) {
      weights[j] = Math.exp(weights[j] - largest);
      sum += weights[j];
    }
    for (int j = 0; j < 3; j++) {
      weights[j] /= sum;
    }
    return weights;
  }

  /** Gradient [D] of logit c with respect to the residual stream before the MLP. */
  private double[] upstream(double[] residual, int c) {
    double[] upstream = new double[n.width()];
    for (int d = 0; d < upstream.length; d++) {
      upstream[d] = unembed[d][c];
    }
    double[] direct = upstream.clone();
    for (int j = 0; j < n.neurons(); j++) {
      if (Svd.dot(in[j], residual) + bias[j] > 0) {
        double weight = 0;
        for (int d = 0; d < direct.length; d++) {
          weight += out[d][j] * direct[d];
        }
        for (int d = 0; d < upstream.length; d++) {
          upstream[d] += weight * in[j][d];
        }
      }
    }
    return upstream;
  }
}
