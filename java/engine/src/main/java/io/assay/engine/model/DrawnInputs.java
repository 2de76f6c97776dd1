package io.assay.engine.model;

import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/**
 * Inputs drawn for a graph of which nothing is known but its types: floats are normal, token ids
 * below the rows of the table that they are looked up in, masks ones, a past empty.
 */
final class DrawnInputs {
  /** Sizes for axes that are free, tried one after the other: a model may take only some. */
  static final List<Long> SIZES = List.of(7L, 32L, 64L, 224L, 4L, 1L);

  /** Operators that hand ids on to the lookup. */
  private static final Set<String> CARRIERS =
      Set.of("Cast", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Expand", "Flatten", "Slice");

  private final Graph graph;

  DrawnInputs(Graph graph) {
    this.graph = graph;
  }

  /** Whether an input of the graph has a free axis beside the first. */
  boolean hasFreeAxes() {
    for (String input : graph.inputs()) {
      List<Dim> dims = graph.type(input).dims();
      if (dims == null || dims.stream().skip(1).anyMatch(dim -> !dim.isKnown())) {
        return true;
      }
    }
    return false;
  }

  /** Whether the first axis of {@code input} is free: then it is taken for that of the rows. */
  boolean isByRow(String input) {
    List<Dim> dims = graph.type(input).dims();
    return dims != null && !dims.isEmpty() && !dims.getFirst().isKnown();
  }

  /**
   * Values for all inputs, the same for the same arguments.
   *
   * @param rows size of first axes that are free
   * @param size of other free axes
   */
  Map<String, Tensor> draw(long rows, long size, long seed) {
    Random random = new Random(seed);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (String input : graph.inputs()) {
      Tensor t =
          Tensor.allocate(Arena.ofAuto(), graph.type(input).dtype(), shape(input, rows, size));
      double fixed = t.dtype() == DType.BOOL || input.contains("mask") ? 1 : Double.NaN;
      int limit = limit(input);
      for (long i = 0; i < t.elements(); i++) {
        double drawn = t.dtype().isFloat() ? random.nextGaussian() : random.nextInt(limit);
        t.set(i, Double.isNaN(fixed) ? drawn : fixed);
      }
      inputs.put(input, t);
    }
    return inputs;
  }

  private long[] shape(String input, long rows, long size) {
    TensorType type = graph.type(input);
    if (type.dims() == null) {
      return new long[] {rows, size};
    }
    boolean past = ExportedDecoder.isPast(graph, input);
    long[] shape = new long[type.dims().size()];
    for (int axis = 0; axis < shape.length; axis++) {
      Dim dim = type.dims().get(axis);
      boolean open = past && axis == 2;
      shape[axis] = dim.isKnown() ? dim.size() : axis == 0 ? rows : open ? 0 : size;
    }
    return shape;
  }

  /** Fewest rows of a table that the ids of {@code input} are looked up in; 2 if none is found. */
  private int limit(String input) {
    long least = Long.MAX_VALUE;
    Set<String> seen = new HashSet<>(Set.of(input));
    Deque<String> open = new ArrayDeque<>(seen);
    while (!open.isEmpty()) {
      String value = open.remove();
      for (Node user : graph.users(value)) {
        if (user.op().equals("Gather") && user.input(1).equals(value)) {
          least = Math.min(least, size(user.input(0), (int) user.integer("axis", 0)));
        } else if (CARRIERS.contains(user.op()) && user.input(0).equals(value)) {
          user.outputs().stream().filter(seen::add).forEach(open::add);
        }
      }
    }
    return Math.clamp(least == Long.MAX_VALUE ? 2 : least, 1, Integer.MAX_VALUE);
  }

  private long size(String value, int axis) {
    TensorType type = graph.type(value);
    boolean known =
        type != null
            && type.dims() != null
            && axis >= 0
            && axis < type.dims().size()
            && type.dims().get(axis).isKnown();
    return known ? type.dims().get(axis).size() : Long.MAX_VALUE;
  }
}
