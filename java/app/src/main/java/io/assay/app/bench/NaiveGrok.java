package io.assay.app.bench;

import io.assay.audit.grok.GrokModel;
import io.assay.audit.grok.GrokShape;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The one-layer network of Nanda et al. 2023 (arXiv 2301.05217) at its last position, forward and
 * backward for one pair after the other, in plain Java and float64.
 */
final class NaiveGrok {
  private static final int LENGTH = GrokShape.LENGTH;

  private final GrokShape s;
  private final Map<String, double[]> weights = new HashMap<>();
  private final Map<String, double[]> gradients = new LinkedHashMap<>();

  NaiveGrok(GrokModel model) {
    s = model.shape();
    model
        .weights()
        .forEach(
            (name, t) -> {
              weights.put(name, t.toDoubles());
              gradients.put(name, new double[(int) t.elements()]);
            });
  }

  /** By weight, of everything added so far. */
  Map<String, double[]> gradients() {
    return gradients;
  }

  /** Adds the gradient of {@code share} times the loss of a pair. */
  void add(int a, int b, int label, double share) {
    int width = s.width();
    int inner = s.heads() * s.headWidth();
    int[] ids = {a, b, s.p()};
    double[][] x = new double[LENGTH][width];
    double[][] k = new double[LENGTH][];
    double[][] v = new double[LENGTH][];
    for (int j = 0; j < LENGTH; j++) {
      for (int d = 0; d < width; d++) {
        x[j][d] =
            weights.get(GrokShape.EMBEDDING)[d * s.tokens() + ids[j]]
                + weights.get(GrokShape.POSITIONS)[j * width + d];
      }
      k[j] = product(GrokShape.KEYS, x[j], inner);
      v[j] = product(GrokShape.VALUES, x[j], inner);
    }
    double[] last = x[LENGTH - 1];
    double[] q = product(GrokShape.QUERIES, last, inner);
    double[][] pattern = new double[s.heads()][LENGTH];
    double[] z = new double[inner];
    for (int h = 0; h < s.heads(); h++) {
      attend(h, q, k, pattern[h]);
      for (int c = h * s.headWidth(); c < (h + 1) * s.headWidth(); c++) {
        for (int j = 0; j < LENGTH; j++) {
          z[c] += pattern[h][j] * v[j][c];
        }
      }
    }
    double[] middle = sum(last, product(GrokShape.ATTENTION_OUT, z, width));
    double[] n = biased(GrokShape.NEURONS_BIAS, product(GrokShape.NEURONS_IN, middle, s.inner()));
    for (int m = 0; m < n.length; m++) {
      n[m] = Math.max(0, n[m]);
    }
    double[] end =
        sum(middle, biased(GrokShape.OUT_BIAS, product(GrokShape.NEURONS_OUT, n, width)));

    double[] dLogits = probabilities(end);
    dLogits[label] -= 1;
    double[] dEnd = new double[width];
    double[] unembedding = weights.get(GrokShape.UNEMBEDDING);
    for (int d = 0; d < width; d++) {
      for (int c = 0; c < dLogits.length; c++) {
        dEnd[d] += share * dLogits[c] * unembedding[d * dLogits.length + c];
        gradients.get(GrokShape.UNEMBEDDING)[d * dLogits.length + c] += share * dLogits[c] * end[d];
      }
    }
    double[] dN = back(GrokShape.NEURONS_OUT, GrokShape.OUT_BIAS, n, dEnd);
    for (int m = 0; m < n.length; m++) {
      dN[m] = n[m] > 0 ? dN[m] : 0;
    }
    double[] dMiddle = sum(dEnd, back(GrokShape.NEURONS_IN, GrokShape.NEURONS_BIAS, middle, dN));
    double[] dZ = back(GrokShape.ATTENTION_OUT, null, z, dMiddle);
    double[] dQ = new double[inner];
    double[][] dK = new double[LENGTH][inner];
    double[][] dV = new double[LENGTH][inner];
    for (int h = 0; h < s.heads(); h++) {
      double[] dPattern = new double[LENGTH];
      double mean = 0;
      for (int j = 0; j < LENGTH; j++) {
        for (int c = h * s.headWidth(); c < (h + 1) * s.headWidth(); c++) {
          dPattern[j] += dZ[c] * v[j][c];
          dV[j][c] = pattern[h][j] * dZ[c];
        }
        mean += pattern[h][j] * dPattern[j];
      }
      for (int j = 0; j < LENGTH; j++) {
        double dScore = pattern[h][j] * (dPattern[j] - mean) / Math.sqrt(s.headWidth());
        for (int c = h * s.headWidth(); c < (h + 1) * s.headWidth(); c++) {
          dQ[c] += dScore * k[j][c];
          dK[j][c] = dScore * q[c];
        }
      }
    }
    for (int j = 0; j < LENGTH; j++) {
      double[] dX =
          sum(back(GrokShape.KEYS, null, x[j], dK[j]), back(GrokShape.VALUES, null, x[j], dV[j]));
      if (j == LENGTH - 1) {
        dX = sum(sum(dX, dMiddle), back(GrokShape.QUERIES, null, last, dQ));
      }
      for (int d = 0; d < width; d++) {
        gradients.get(GrokShape.EMBEDDING)[d * s.tokens() + ids[j]] += dX[d];
        gradients.get(GrokShape.POSITIONS)[j * width + d] += dX[d];
      }
    }
  }

  private void attend(int head, double[] q, double[][] k, double[] pattern) {
    double total = 0;
    for (int j = 0; j < LENGTH; j++) {
      double score = 0;
      for (int c = head * s.headWidth(); c < (head + 1) * s.headWidth(); c++) {
        score += q[c] * k[j][c];
      }
      pattern[j] = Math.exp(score / Math.sqrt(s.headWidth()));
      total += pattern[j];
    }
    for (int j = 0; j < LENGTH; j++) {
      pattern[j] /= total;
    }
  }

  /** Softmax of the outputs. */
  private double[] probabilities(double[] end) {
    double[] p = new double[s.outputClasses()];
    double[] unembedding = weights.get(GrokShape.UNEMBEDDING);
    double total = 0;
    for (int c = 0; c < p.length; c++) {
      for (int d = 0; d < end.length; d++) {
        p[c] += unembedding[d * p.length + c] * end[d];
      }
      p[c] = Math.exp(p[c]);
      total += p[c];
    }
    for (int c = 0; c < p.length; c++) {
      p[c] /= total;
    }
    return p;
  }

  /** W x, where W is [out, in]. */
  private double[] product(String weight, double[] x, int out) {
    double[] w = weights.get(weight);
    double[] y = new double[out];
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < x.length; i++) {
        y[o] += w[o * x.length + i] * x[i];
      }
    }
    return y;
  }

  private double[] biased(String bias, double[] y) {
    return weights.containsKey(bias) ? sum(y, weights.get(bias)) : y;
  }

  /** Adds to the gradients of W and its bias what y = W x + b was changed by; gives that of x. */
  private double[] back(String weight, String bias, double[] x, double[] dY) {
    double[] w = weights.get(weight);
    double[] gradient = gradients.get(weight);
    double[] dX = new double[x.length];
    for (int o = 0; o < dY.length; o++) {
      for (int i = 0; i < x.length; i++) {
        dX[i] += w[o * x.length + i] * dY[o];
        gradient[o * x.length + i] += dY[o] * x[i];
      }
      if (bias != null && weights.containsKey(bias)) {
        gradients.get(bias)[o] += dY[o];
      }
    }
    return dX;
  }

  private static double[] sum(double[] a, double[] b) {
    double[] c = new double[a.length];
    for (int i = 0; i < c.length; i++) {
      c[i] = a[i] + b[i];
    }
    return c;
  }
}
