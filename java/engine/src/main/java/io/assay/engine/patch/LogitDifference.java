package io.assay.engine.patch;

import io.assay.engine.kernel.Matrix;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;

/**
 * logit(answer) - logit(wrong) at the last position, in nats: the product of a hidden row with the
 * difference of two rows of the head, so that no other logit is computed.
 */
final class LogitDifference {
  private final double[] direction;

  LogitDifference(LanguageModel model, Pair pair) {
    Matrix head = model.head();
    direction = new double[model.width()];
    for (int i = 0; i < direction.length; i++) {
      direction[i] = at(head, pair.answer(), i) - at(head, pair.wrong(), i);
    }
  }

  private static double at(Matrix m, long row, long column) {
    long i = row * m.stride() + column;
    return m.dtype() == DType.F64
        ? m.data().get(Tensor.DOUBLE, 8 * i)
        : m.data().get(Tensor.FLOAT, 4 * i);
  }

  /** The metric of row {@code row} of {@code hidden} [rows, width]. */
  double of(Tensor hidden, long row) {
    double sum = 0;
    long first = row * direction.length;
    for (int i = 0; i < direction.length; i++) {
      sum += hidden.get(first + i) * direction[i];
    }
    return sum;
  }

  /** Derivative of the metric with respect to a hidden row. */
  double[] direction() {
    return direction.clone();
  }
}
