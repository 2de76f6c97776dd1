package io.assay.engine.model;

import io.assay.engine.InputException;
import io.assay.engine.graph.Graph;
import io.assay.engine.graph.Node;
import io.assay.engine.graph.TensorType;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.session.Session;
import io.assay.engine.session.SessionException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Inputs drawn for a graph of which nothing is known but its types: floats are normal, token ids
 * below the rows of the table that they are looked up in, masks ones, a past empty.
 */
final class DrawnInputs {
  /** Sizes for axes that are free, tried one after the other: a model may take only some. */
  private static final List<Long> SIZES = List.of(7L, 32L, 64L, 224L, 4L, 1L);

  /** Operators that hand ids on to the lookup. */
  private static final Set<String> CARRIERS =
      Set.of("Cast", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Expand", "Flatten", "Slice");

  private final Graph graph;

  /** The symbols of free first axes, which are taken for those of the rows. */
  private final Set<String> rowSymbols = new HashSet<>();

  DrawnInputs(Graph graph) {
    this.graph = graph;
    for (String input : graph.inputs()) {
      List<Dim> dims = graph.type(input).dims();
      boolean free = dims != null && !dims.isEmpty() && !dims.getFirst().isKnown();
      if (free && !isOfPositions(input)) {
        rowSymbols.add(dims.getFirst().symbol());
      }
    }
  }

  /** Sizes to try for free axes that are not that of the rows; a single one if there are none. */
  private List<Long> sizes() {
    for (String input : graph.inputs()) {
      List<Dim> dims = graph.type(input).dims();
      if (dims == null
          || dims.stream().anyMatch(dim -> !dim.isKnown() && !rowSymbols.contains(dim.symbol()))) {
        return SIZES;
      }
    }
    return SIZES.subList(0, 1);
  }

  /**
   * The graph with its shapes fixed by inputs of {@code rows} rows, of the first size that fixes
   * all of them; empty if none does.
   */
  static Optional<Graph> specialised(Graph graph, long rows) {
    DrawnInputs drawn = new DrawnInputs(graph);
    for (long size : drawn.sizes()) {
      Map<String, long[]> shapes = new LinkedHashMap<>();
      graph.inputs().forEach(input -> shapes.put(input, drawn.shape(input, rows, size)));
      try {
        return Optional.of(graph.specialise(shapes, Session::evaluate));
      } catch (SessionException | InputException e) {
        // The next size may fit.
      }
    }
    return Optional.empty();
  }

  /** Whether the first axis of {@code input} is that of the rows. */
  boolean isByRow(String input) {
    List<Dim> dims = graph.type(input).dims();
    return dims != null && !dims.isEmpty() && rowSymbols.contains(dims.getFirst().symbol());
  }

  /** Whether {@code input} has the rows at another axis than the first. */
  boolean hasRowsInside(String input) {
    List<Dim> dims = graph.type(input).dims();
    return dims != null && dims.stream().skip(1).anyMatch(dim -> rowSymbols.contains(dim.symbol()));
  }

  /** Whether the symbol of the first axis says that it is that of the positions. */
  boolean isOfPositions(String input) {
    List<Dim> dims = graph.type(input).dims();
    if (dims == null || dims.isEmpty() || dims.getFirst().isKnown()) {
      return false;
    }
    String symbol = dims.getFirst().symbol().toLowerCase(Locale.ROOT);
    return !symbol.contains("batch")
        && Stream.of("seq", "time", "length").anyMatch(symbol::contains);
  }

  /** Inputs that a model runs on, and its outputs. */
  record Run(Map<String, Tensor> inputs, Map<String, Tensor> outputs) {
    private boolean isFinite() {
      return outputs.values().stream()
          .filter(t -> t.dtype().isFloat())
          .allMatch(
              t -> LongStream.range(0, t.elements()).allMatch(i -> Double.isFinite(t.get(i))));
    }
  }

  /**
   * The first of the drawn inputs that a model runs on. Booleans are true; false where only then
   * all outputs are finite, since a mask may say what is left out.
   *
   * @param rows size of free first axes, and of others of the same symbol
   * @throws SessionException or an {@link InputException}, the first failure if all fail
   */
  Run run(long rows, UnaryOperator<Map<String, Tensor>> model) {
    RuntimeException first = null;
    for (long size : sizes()) {
      try {
        Run run = run(rows, size, 1, model);
        boolean hasBooleans = run.inputs.values().stream().anyMatch(t -> t.dtype() == DType.BOOL);
        if (run.isFinite() || !hasBooleans) {
          return run;
        }
        Run other = run(rows, size, 0, model);
        return other.isFinite() ? other : run;
      } catch (SessionException | InputException e) {
        first = first == null ? e : first;
      }
    }
    throw first;
  }

  private Run run(long rows, long size, double bool, UnaryOperator<Map<String, Tensor>> model) {
    Map<String, Tensor> inputs = draw(rows, size, bool);
    return new Run(inputs, model.apply(inputs));
  }

  /** Values for all inputs, the same for the same arguments. */
  private Map<String, Tensor> draw(long rows, long size, double bool) {
    Random random = new Random(1);
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (String input : graph.inputs()) {
      Tensor t =
          Tensor.allocate(Arena.ofAuto(), graph.type(input).dtype(), shape(input, rows, size));
      double fixed = t.dtype() == DType.BOOL ? bool : input.contains("mask") ? 1 : Double.NaN;
      int limit = Math.clamp(tableRows(input).orElse(2), 1, Integer.MAX_VALUE);
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
      boolean byRow = rowSymbols.contains(dim.symbol());
      shape[axis] = dim.isKnown() ? dim.size() : byRow ? rows : past && axis == 2 ? 0 : size;
    }
    return shape;
  }

  /** Fewest rows of a table that the ids of {@code input} are looked up in, if any is found. */
  OptionalLong tableRows(String input) {
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
    return least == Long.MAX_VALUE ? OptionalLong.empty() : OptionalLong.of(least);
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
