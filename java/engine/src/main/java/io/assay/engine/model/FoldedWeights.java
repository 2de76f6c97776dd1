package io.assay.engine.model;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The weights of a GPT-2 brought into the form that TransformerLens gives them on loading
 * (specs/ioi.md 2.7): layer norms are folded into what reads them, biases of values into that of
 * the output, and what no later layer sees is taken out. Exact but for rounding.
 *
 * <p>Since a head has no bias here, the final norm keeps its own, divided by its weight, and the
 * head is not centred over the stream.
 */
final class FoldedWeights {
  private final Gpt2Weights from;
  private final int width;
  private final Map<String, Tensor> folded = new LinkedHashMap<>();

  private FoldedWeights(Gpt2Config config, Gpt2Weights from) {
    this.from = from;
    this.width = config.width();
    config.weightShapes().forEach((name, shape) -> folded.put(name, copy(name, shape)));
    for (int layer = 0; layer < config.layers(); layer++) {
      String h = "h." + layer + ".";
      foldNorm(h + "ln_1", h + "attn.c_attn");
      foldNorm(h + "ln_2", h + "mlp.c_fc");
      foldValues(h + "attn.c_attn.bias", h + "attn.c_proj");
      for (String writer : new String[] {h + "attn.c_proj", h + "mlp.c_proj"}) {
        centreRows(writer + ".weight");
        centreRows(writer + ".bias");
      }
    }
    Tensor head = copy(config.tied() ? "wte.weight" : Gpt2Weights.HEAD, headShape(config));
    foldLastNorm(head);
    centreColumns(head);
    folded.put(Gpt2Weights.HEAD, head);
    centreRows("wte.weight");
    centreRows("wpe.weight");
  }

  /** The folded weights; those of the head are apart from the embedding. */
  static Gpt2Weights of(Gpt2Config config, Gpt2Weights weights) {
    return Gpt2Weights.of("folded weights", new FoldedWeights(config, weights).folded);
  }

  private static long[] headShape(Gpt2Config config) {
    return new long[] {config.vocabulary(), config.width()};
  }

  /** A tensor's values; where a norm has no weight ones, where there is no bias zeros. */
  private Tensor copy(String name, long... shape) {
    Tensor copy = Tensor.allocate(Arena.ofAuto(), from.dtype(), shape);
    if (from.has(name)) {
      copy.data().copyFrom(from.get(name).data());
    } else if (name.endsWith(".weight")) {
      fill(copy, 1);
    }
    return copy;
  }

  private static void fill(Tensor t, double value) {
    for (long i = 0; i < t.elements(); i++) {
      t.set(i, value);
    }
  }

  /** {@code W' = diag(w) W - column mean, B' = B + b W}, and the norm's weight 1 and bias 0. */
  private void foldNorm(String norm, String reader) {
    Tensor w = folded.get(norm + ".weight");
    Tensor b = folded.get(norm + ".bias");
    Tensor matrix = folded.get(reader + ".weight");
    Tensor bias = folded.get(reader + ".bias");
    long columns = matrix.dim(1);
    for (long c = 0; c < columns; c++) {
      double shift = 0;
      double mean = 0;
      for (long i = 0; i < width; i++) {
        shift += b.get(i) * matrix.get(i * columns + c);
        mean += w.get(i) * matrix.get(i * columns + c) / width;
      }
      bias.set(c, bias.get(c) + shift);
      for (long i = 0; i < width; i++) {
        // The normalised stream sums to zero.
        matrix.set(i * columns + c, w.get(i) * matrix.get(i * columns + c) - mean);
      }
    }
    fill(w, 1);
    fill(b, 0);
  }

  /** {@code b_O' = b_O + b_V W_O, b_V = 0}: the shares of attention sum to 1. */
  private void foldValues(String biases, String output) {
    Tensor all = folded.get(biases);
    Tensor matrix = folded.get(output + ".weight");
    Tensor bias = folded.get(output + ".bias");
    for (long c = 0; c < width; c++) {
      double shift = 0;
      for (long i = 0; i < width; i++) {
        shift += all.get(2L * width + i) * matrix.get(i * width + c);
      }
      bias.set(c, bias.get(c) + shift);
    }
    for (long i = 0; i < width; i++) {
      all.set(2L * width + i, 0);
    }
  }

  /** {@code W_U' = W_U diag(w), b' = b / w}; a column of weight 0 stays as it is. */
  private void foldLastNorm(Tensor head) {
    Tensor w = folded.get("ln_f.weight");
    Tensor b = folded.get("ln_f.bias");
    for (long i = 0; i < width; i++) {
      double weight = w.get(i);
      if (weight != 0) {
        for (long row = 0; row < head.dim(0); row++) {
          head.set(row * width + i, head.get(row * width + i) * weight);
        }
        b.set(i, b.get(i) / weight);
        w.set(i, 1);
      }
    }
  }

  /** Takes the mean over the stream out of what is written into it: norms do not see it. */
  private void centreRows(String name) {
    Tensor t = folded.get(name);
    for (long row = 0; row < t.elements() / width; row++) {
      centre(t, row * width, 1, width);
    }
  }

  /** Takes the mean over the vocabulary out: it moves all logits of a position alike. */
  private void centreColumns(Tensor head) {
    for (long c = 0; c < width; c++) {
      centre(head, c, width, head.dim(0));
    }
  }

  private static void centre(Tensor t, long first, long stride, long count) {
    double sum = 0;
    for (long i = 0; i < count; i++) {
      sum += t.get(first + i * stride);
    }
    for (long i = 0; i < count; i++) {
      long at = first + i * stride;
      t.set(at, t.get(at) - sum / count);
    }
  }
}
