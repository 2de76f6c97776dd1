package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.Arrays;
import java.util.Map;

/** Gradients of the operators that pick elements by index: what was picked twice gets both. */
final class IndexingRules {
  private IndexingRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Gather", b -> b.give(0, () -> gather(b)));
    rules.put("GatherElements", b -> b.give(0, () -> gatherElements(b)));
  }

  /** Adds each element of the gradient into zeros where it was picked. */
  private static Expr gatherElements(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    return b.g().scatterElements(axis, b.in(1), b.in(0).shape());
  }

  /** Adds the rows of the gradient into zeros; another axis than the first is brought there. */
  private static Expr gather(Backward b) {
    long[] shape = b.in(0).shape();
    int axis = Backward.axis(b.node().integer("axis", 0), shape.length);
    int picked = b.in(1).rank();
    long[] indexShape = Arrays.copyOf(b.in(1).shape(), picked + 1);
    indexShape[picked] = 1;
    Expr indices = b.in(1).cast(DType.I64).reshape(indexShape);

    long[] toFront = new long[b.g().rank()];
    int n = 0;
    for (int i = 0; i < picked; i++) {
      toFront[n++] = axis + i;
    }
    for (int i = 0; i < toFront.length; i++) {
      if (i < axis || i >= axis + picked) {
        toFront[n++] = i;
      }
    }
    long[] rowsFirst = new long[shape.length];
    long[] back = new long[shape.length];
    rowsFirst[0] = shape[axis];
    back[axis] = 0;
    n = 1;
    for (int i = 0; i < shape.length; i++) {
      if (i != axis) {
        rowsFirst[n] = shape[i];
        back[i] = n++;
      }
    }
    Expr g = axis == 0 ? b.g() : b.g().transpose(toFront);
    Expr rows = g.scatterRows(indices, rowsFirst);
    return axis == 0 ? rows : rows.transpose(back);
  }
}
