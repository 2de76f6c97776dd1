package io.assay.engine.patch;

import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Locale;

/**
 * The number that is read behind a prompt, in nats: a weighted sum of the logits of answer and
 * wrong at the last position. That is the product of the last hidden row with a few rows of the
 * head, so that no other logit is computed, and estimates of first order need no other gradient.
 */
public enum Metric {
  /** logit(answer) - logit(wrong); Wang et al. 2022. */
  LOGIT_DIFF("logit difference", "logit(answer) - logit(wrong)", 1, -1),
  /**
   * logit(answer) alone. What is added to all logits of a position, which no probability shows,
   * changes it.
   */
  LOGIT("logit of the answer", "logit(answer)", 1, 0);

  private final String words;
  private final String formula;
  private final double answer;
  private final double wrong;

  Metric(String words, String formula, double answer, double wrong) {
    this.words = words;
    this.formula = formula;
    this.answer = answer;
    this.wrong = wrong;
  }

  /** Its name on the command line and in records, such as {@code logit-diff}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Its name in a text, such as {@code logit difference}. */
  public String words() {
    return words;
  }

  public String formula() {
    return formula;
  }

  /** The metric of a pair. */
  public Readout of(LanguageModel model, Pair pair) {
    return of(model, pair.answer(), pair.wrong());
  }

  /** The metric of a prompt with these tokens, which the model has. */
  public Readout of(LanguageModel model, long answer, long wrong) {
    Matrix head = model.head();
    double[] direction = new double[model.width()];
    for (int i = 0; i < direction.length; i++) {
      direction[i] = this.answer * at(head, answer, i) + this.wrong * at(head, wrong, i);
    }
    return new Readout(direction);
  }

  private static double at(Matrix m, long row, long column) {
    long i = row * m.stride() + column;
    return m.dtype() == DType.F64
        ? m.data().get(Tensor.DOUBLE, 8 * i)
        : m.data().get(Tensor.FLOAT, 4 * i);
  }

  /** The metric of one pair, as a function of the last hidden row. */
  public static final class Readout {
    private final double[] direction;

    private Readout(double[] direction) {
      this.direction = direction;
    }

    /** The metric of row {@code row} of {@code hidden} [..., width], nats. */
    public double of(Tensor hidden, long row) {
      double sum = 0;
      long first = row * direction.length;
      for (int i = 0; i < direction.length; i++) {
        sum += hidden.get(first + i) * direction[i];
      }
      return sum;
    }

    /** Derivative of the metric with respect to a hidden row, [width]. */
    public double[] direction() {
      return direction.clone();
    }
  }
}
