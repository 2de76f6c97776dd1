package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** Gradients of the operators that pick elements by index: what was picked twice gets both. */
final class IndexingRules {
  private IndexingRules() {}

  static void register(Map<String, GradientRule> rules) {
    rules.put("Gather", b -> b.give(0, () -> gather(b)));
    rules.put("GatherElements", b -> b.give(0, () -> gatherElements(b)));
    rules.put("GatherND", b -> b.give(0, () -> gatherNd(b)));
    rules.put("TopK", b -> b.give(0, () -> topK(b)));
    rules.put("OneHot", b -> b.give(2, () -> oneHot(b)));
    rules.put("ScatterElements", IndexingRules::scatterElements);
    rules.put("ScatterND", IndexingRules::scatterNd);
  }

  /** Adds each element of the gradient into zeros where it was picked. */
  private static Expr gatherElements(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    return b.g().scatterElements(axis, b.in(1), b.in(0).shape());
  }

  private static Expr topK(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", -1), b.in(0).rank());
    return b.g().scatterElements(axis, b.out(1), b.in(0).shape());
  }

  /** The index tuples of several batches are those of one, with the batch's place before them. */
  private static Expr gatherNd(Backward b) {
    long[] shape = b.in(1).shape();
    int batches = (int) b.node().integer("batch_dims", 0);
    Expr indices = b.in(1);
    if (batches > 0) {
      int last = shape.length - 1;
      long[] placeShape = shape.clone();
      placeShape[last] = batches;
      long inner = Tensor.elements(Arrays.copyOfRange(shape, batches, last));
      long[] places = new long[(int) Tensor.elements(placeShape)];
      for (int i = 0; i < places.length; i++) {
        long batch = i / batches / inner;
        for (int axis = batches - 1; axis > i % batches; axis--) {
          batch /= shape[axis];
        }
        places[i] = batch % shape[i % batches];
      }
      indices = b.concat(last, List.of(b.longs(places, placeShape), indices));
    }
    return b.g().scatterRows(indices, b.in(0).shape());
  }

  /** {@code [off, on]} get the sums of the gradient outside of and at the hot places. */
  private static Expr oneHot(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", -1), b.g().rank());
    Expr hot =
        b.in(0)
            .cast(DType.I64)
            .op("OneHot", Map.of("axis", (long) axis), b.longs(b.g().shape()[axis]), b.longs(0, 1))
            .sameAs(1);
    Expr off = b.g().unless(hot).sumTo(1);
    Expr on = b.g().where(hot).sumTo(1);
    return b.concat(0, List.of(off, on));
  }

  /** Adds the rows of the gradient into zeros. */
  private static Expr gather(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    return gather(b.g(), axis, b.in(1), b.in(0).shape());
  }

  /**
   * Undoes a Gather from a tensor of {@code shape}: adds the rows of {@code g} into zeros; another
   * axis than the first is brought there.
   */
  static Expr gather(Expr g, int axis, Expr picks, long[] shape) {
    int picked = picks.rank();
    long[] indexShape = Arrays.copyOf(picks.shape(), picked + 1);
    indexShape[picked] = 1;
    Expr indices = picks.cast(DType.I64).reshape(indexShape);

    long[] toFront = new long[g.rank()];
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
    Expr rows = (axis == 0 ? g : g.transpose(toFront)).scatterRows(indices, rowsFirst);
    return axis == 0 ? rows : rows.transpose(back);
  }

  private static void scatterElements(Backward b) {
    Map<String, Object> axis = Map.of("axis", b.node().integer("axis", 0));
    scatter(
        b,
        x -> x.op("GatherElements", axis, b.in(1)),
        (reduction, base, updates) ->
            base.op(
                "ScatterElements",
                Map.of("axis", axis.get("axis"), "reduction", reduction),
                b.in(1),
                updates));
  }

  private static void scatterNd(Backward b) {
    scatter(
        b,
        x -> x.op("GatherND", Map.of(), b.in(1)),
        (reduction, base, updates) ->
            base.op("ScatterND", Map.of("reduction", reduction), b.in(1), updates));
  }

  /** A scatter by the node's indices of {@code updates} into {@code base}. */
  private interface Scatter {
    Expr into(String reduction, Expr base, Expr updates);
  }

  /**
   * Of a scatter of updates u into x. What is overwritten gets nothing, what is added all; a
   * product gives the other factors, as in ReduceProd; of a largest or smallest value all that hold
   * it have equal shares, as in PyTorch's scatter_reduce.
   */
  private static void scatter(Backward b, UnaryOperator<Expr> gather, Scatter scatter) {
    Expr g = b.g();
    Expr x = b.in(0);
    Expr u = b.in(2);
    DType dtype = g.dtype();
    switch (b.node().text("reduction", "none")) {
      case "none" -> {
        b.give(0, () -> scatter.into("none", g, b.zeros(dtype, u.shape())));
        b.give(2, () -> gather.apply(g));
      }
      case "add" -> {
        b.give(0, () -> g);
        b.give(2, () -> gather.apply(g));
      }
      case "mul" -> {
        b.give(0, () -> g.times(scatter.into("mul", b.scalar(dtype, 1).expandTo(x.shape()), u)));
        b.give(
            2,
            () -> {
              Expr isZero = u.sameAs(0);
              Expr nonZero = isZero.choose(b.scalar(dtype, 1), u);
              Expr zeros = scatter.into("add", b.zeros(dtype, x.shape()), isZero.cast(dtype));
              Expr others = gather.apply(scatter.into("mul", x, nonZero)).over(nonZero);
              Expr only = gather.apply(zeros).sameAs(isZero.cast(dtype));
              return gather.apply(g).times(others).where(only);
            });
      }
      default -> {
        Expr kept = x.sameAs(b.out());
        Expr taken = u.sameAs(gather.apply(b.out()));
        Expr share = g.over(scatter.into("add", kept.cast(dtype), taken.cast(dtype)));
        b.give(0, () -> share.where(kept));
        b.give(2, () -> gather.apply(share).where(taken));
      }
    }
  }
}
