package io.assay.engine.graph;

import io.assay.engine.InputException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Gradients of the operators that only move elements. */
final class LayoutRules {
  private LayoutRules() {}

  static void register(Map<String, GradientRule> rules) {
    GradientRule reshape = b -> b.give(0, () -> b.g().reshape(b.in(0).shape()));
    for (String op : List.of("Reshape", "Flatten", "Squeeze", "Unsqueeze")) {
      rules.put(op, reshape);
    }
    rules.put("Expand", b -> b.give(0, b::g));
    rules.put("Transpose", b -> b.give(0, () -> b.g().transpose(inverse(b))));
    rules.put("Concat", LayoutRules::concat);
    rules.put("Split", LayoutRules::split);
    rules.put("Slice", LayoutRules::slice);
  }

  private static long[] inverse(Backward b) {
    long[] perm = b.node().integers("perm");
    int rank = b.in(0).rank();
    long[] inverse = new long[rank];
    for (int i = 0; i < rank; i++) {
      inverse[perm == null ? rank - 1 - i : (int) perm[i]] = i;
    }
    return inverse;
  }

  private static void concat(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    long start = 0;
    for (int i = 0; i < b.node().inputs().size(); i++) {
      long from = start;
      long end = start + b.in(i).shape()[axis];
      b.give(i, () -> b.g().slice(axis, from, end));
      start = end;
    }
  }

  private static void split(Backward b) {
    int axis = Backward.axis(b.node().integer("axis", 0), b.in(0).rank());
    b.give(
        0,
        () -> {
          List<Expr> parts = new ArrayList<>();
          for (int i = 0; i < b.node().outputs().size(); i++) {
            parts.add(b.g(i));
          }
          return b.concat(axis, parts);
        });
  }

  /** Puts zeros where the slice did not look. */
  private static void slice(Backward b) {
    long[] shape = b.in(0).shape();
    long[] starts = b.longs("starts", 1);
    long[] ends = b.longs("ends", 2);
    long[] axes = b.longs("axes", 3);
    long[] steps = b.longs("steps", 4);
    b.give(
        0,
        () -> {
          Expr g = b.g();
          for (int i = 0; i < starts.length; i++) {
            if (steps != null && steps[i] != 1) {
              throw new InputException(
                  "the gradient of node "
                      + Graph.label(b.node())
                      + " is known for steps of 1 only, not "
                      + steps[i]
                      + "; export the model without it");
            }
            int axis = axes == null ? i : Backward.axis(axes[i], shape.length);
            long start = bound(starts[i], shape[axis]);
            long end = Math.max(start, bound(ends[i], shape[axis]));
            g = g.pad(axis, start, shape[axis] - end);
          }
          return g;
        });
  }

  private static long bound(long at, long size) {
    return Math.clamp(at < 0 ? at + size : at, 0, size);
  }
}
