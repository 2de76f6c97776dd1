package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Fixes the input shapes of a graph, infers all others, folds what becomes constant, and writes out
 * sequences and control flow.
 *
 * <p>Nodes are visited in order. One whose inputs are all constant is put off; one that needs the
 * value of such a node is blocked, and so is what follows from it. At the end of a pass the nodes
 * put off are evaluated together, as one graph, and the blocked ones visited again. The number of
 * evaluations is therefore that of the steps between shape arithmetic and what it shapes, not that
 * of the folded nodes.
 */
final class Specialiser {
  private static final Set<String> RANDOM =
      Set.of(
          "RandomNormal",
          "RandomUniform",
          "RandomNormalLike",
          "RandomUniformLike",
          "Multinomial",
          "Bernoulli",
          "Dropout");

  private final Graph g;
  private final Map<String, long[]> inputShapes;
  private final Evaluator evaluator;

  private final Map<String, TensorType> types = new HashMap<>();
  private final Map<String, Tensor> constants;
  private final Set<String> foldable = new HashSet<>();

  /** Float constants of rank 0, which may be weights, and those of them that were folded away. */
  private final Set<String> scalars = new HashSet<>();

  private final Set<String> spent = new HashSet<>();
  private final List<Node> kept = new ArrayList<>();
  private final List<Node> pending = new ArrayList<>();
  private final Set<String> pendingValues = new HashSet<>();

  /** Values whose type nothing tells before the graph runs. */
  private final Set<String> untyped = new HashSet<>();

  private final Sequences sequences;
  private final ControlFlow controlFlow;
  private final Graph.Builder names;

  Specialiser(Graph g, Map<String, long[]> inputShapes, Evaluator evaluator) {
    this.g = g;
    this.inputShapes = inputShapes;
    this.evaluator = evaluator;
    this.constants = new LinkedHashMap<>();
    this.names = g.edit();
    this.sequences = new Sequences(types::get, constants::get, names::fresh);
    this.controlFlow = new ControlFlow(types::get, constants::get, names::fresh);
  }

  Graph run() {
    bindInputs();
    g.constants().forEach(this::given);
    List<Node> open = g.nodes();
    while (!open.isEmpty()) {
      // A graph in topological order always moves on: the first open node is kept or put off.
      open = visit(open);
      fold(open);
    }
    for (String output : g.outputs()) {
      if (sequences.has(output)) {
        throw new InputException(
            "the output " + output + " is a sequence; export the model with tensors as outputs");
      }
    }
    Graph.Builder b = Graph.builder(g.name());
    g.opsets().forEach(b::opset);
    g.inputs().forEach(v -> b.input(v, types.get(v)));
    constants.forEach(b::constant);
    for (Node node : kept) {
      b.node(node);
      node.outputs().stream().filter(types::containsKey).forEach(v -> b.type(v, types.get(v)));
    }
    g.outputs().forEach(b::output);
    Graph specialised = b.build().slice(g.inputs(), g.outputs());
    Map<String, String> apart = new LinkedHashMap<>();
    for (String value : specialised.constants().keySet()) {
      if (spent.contains(value) && !g.outputs().contains(value)) {
        apart.put(value, b.fresh(value + ".unfolded"));
      }
    }
    return apart.isEmpty() ? specialised : specialised.rename(apart);
  }

  /** A constant of the model: a weight is not folded. */
  private void given(String value, Tensor tensor) {
    constants.put(value, tensor);
    types.put(value, TensorType.of(tensor.dtype(), tensor.shape()));
    if (!tensor.dtype().isFloat() || tensor.rank() == 0) {
      foldable.add(value);
      if (tensor.dtype().isFloat()) {
        scalars.add(value);
      }
    }
  }

  /** Visits {@code open} once and returns the nodes that are blocked. */
  private List<Node> visit(List<Node> open) {
    List<Node> blocked = new ArrayList<>();
    Deque<Node> todo = new ArrayDeque<>(open);
    while (!todo.isEmpty()) {
      Node node = todo.remove();
      Set<String> reads = reads(node);
      if (reads.stream().anyMatch(untyped::contains)) {
        keepUntyped(node);
      } else if (!reads.stream().allMatch(v -> types.containsKey(v) || pendingValues.contains(v))) {
        blocked.add(node);
      } else if (node.domain().isEmpty() && node.op().equals("Constant")) {
        given(node.output(0), OnnxReader.constantOf(node));
      } else if (isConstant(node, reads)) {
        if (!GradientRules.isConstant(node)) {
          reads.stream().filter(scalars::contains).forEach(spent::add);
        }
        pending.add(node);
        pendingValues.addAll(node.outputs());
      } else if (reads.stream().anyMatch(pendingValues::contains)) {
        blocked.add(node);
      } else if (node.domain().isEmpty() && node.op().equals("Shape")) {
        define(node.output(0), shapeOf(node));
      } else if (node.domain().isEmpty() && node.op().equals("Size")) {
        long size = Tensor.elements(types.get(node.input(0)).shape());
        define(node.output(0), Tensor.ofLongs(new long[] {size}));
      } else {
        List<Node> others =
            sequences.concerns(node) ? sequences.replace(node) : controlFlow.replace(node);
        if (others != null) {
          others.reversed().forEach(todo::addFirst);
        } else if (Shapes.knows(node)) {
          for (Node settled : settled(node)) {
            infer(settled);
            kept.add(settled);
          }
        } else {
          keepUntyped(node);
        }
      }
    }
    return blocked;
  }

  /** What a node reads; of a sequence, its tensors. */
  private Set<String> reads(Node node) {
    Set<String> reads = new LinkedHashSet<>();
    for (String value : Graph.reads(node)) {
      if (sequences.has(value)) {
        reads.addAll(sequences.of(value));
      } else {
        reads.add(value);
      }
    }
    return reads;
  }

  /**
   * What follows from a node without a shape rule is kept as it is; only a gradient that has to
   * pass it is refused.
   */
  private void keepUntyped(Node node) {
    if (sequences.concerns(node)) {
      throw new InputException(
          "node "
              + Graph.label(node)
              + " uses a sequence in a way that is not known before the graph runs; export the"
              + " model with tensors in place of sequences");
    }
    kept.add(node);
    untyped.addAll(node.outputs());
  }

  private boolean isConstant(Node node, Set<String> reads) {
    return !isRandom(node)
        && !sequences.concerns(node)
        && reads.stream().allMatch(v -> foldable.contains(v) || pendingValues.contains(v))
        && !isOfWeights(node, reads);
  }

  static boolean isRandom(Node node) {
    return RANDOM.contains(node.op());
  }

  /** Whether a node computes floats from float numbers of the model alone, which may be weights. */
  private boolean isOfWeights(Node node, Set<String> reads) {
    return !reads.isEmpty()
        && scalars.containsAll(reads)
        && Shapes.knows(node)
        && !GradientRules.isConstant(node)
        && Shapes.infer(node, types::get, constants::get).getFirst().dtype().isFloat();
  }

  /** The node in a form that the runtime takes for what it is. */
  private List<Node> settled(Node node) {
    if (isUnturned(node)) {
      return List.of(
          new Node(node.name(), "", "Identity", node.inputs(), node.outputs(), Map.of()));
    }
    return node.has("ceil_mode")
        ? Window.withoutLeftOut(node, types.get(node.input(0)).shape(), names::fresh, this::define)
        : List.of(node);
  }

  /** The runtime takes every Transpose before a Gemm, which a gradient has, for one that swaps. */
  private static boolean isUnturned(Node node) {
    long[] order = node.qualifiedOp().equals("Transpose") ? node.integers("perm") : null;
    return order != null && IntStream.range(0, order.length).allMatch(i -> order[i] == i);
  }

  private Tensor shapeOf(Node node) {
    long[] shape = types.get(node.input(0)).shape();
    int start = axis(node.integer("start", 0), shape.length);
    int end = axis(node.integer("end", shape.length), shape.length);
    long[] part = Arrays.copyOfRange(shape, start, Math.max(start, end));
    return Tensor.ofLongs(part, part.length);
  }

  private static int axis(long given, int rank) {
    return Math.clamp(given < 0 ? given + rank : given, 0, rank);
  }

  private void infer(Node node) {
    List<TensorType> inferred = Shapes.infer(node, types::get, constants::get);
    for (int i = 0; i < node.outputs().size(); i++) {
      if (!node.output(i).isEmpty()) {
        TensorType type = i < inferred.size() ? inferred.get(i) : null;
        if (type == null || !type.isStatic()) {
          throw new InputException(
              "the shape of "
                  + node.output(i)
                  + " at node "
                  + Graph.label(node)
                  + " is not fixed by the input shapes");
        }
        types.put(node.output(i), type);
      }
    }
  }

  /** Evaluates the nodes put off, and keeps the values that others read. */
  private void fold(List<Node> blocked) {
    if (pending.isEmpty()) {
      return;
    }
    Set<String> wanted = new LinkedHashSet<>(g.outputs());
    blocked.forEach(node -> wanted.addAll(reads(node)));
    // One that is kept because another of its inputs has no known type did not wait for these.
    kept.forEach(node -> wanted.addAll(Graph.reads(node)));
    wanted.retainAll(pendingValues);
    wanted.remove("");
    Graph.Builder b = Graph.builder(g.name() + ".folded");
    g.opsets().forEach(b::opset);
    Set<String> read = new LinkedHashSet<>();
    for (Node node : pending) {
      b.node(node);
      read.addAll(Graph.reads(node));
    }
    read.stream().filter(constants::containsKey).forEach(v -> b.constant(v, constants.get(v)));
    wanted.forEach(b::output);
    if (!wanted.isEmpty()) {
      evaluator.evaluate(b.build(), Map.of()).forEach(this::define);
    }
    pending.clear();
    pendingValues.clear();
  }

  private void define(String value, Tensor tensor) {
    constants.put(value, tensor);
    types.put(value, TensorType.of(tensor.dtype(), tensor.shape()));
    foldable.add(value);
  }

  private void bindInputs() {
    Map<String, Long> symbols = new HashMap<>();
    inputShapes.forEach((input, shape) -> bind(input, shape, symbols));
    for (String input : g.inputs()) {
      TensorType type = g.type(input);
      long[] shape = inputShapes.get(input);
      if (shape == null) {
        shape = resolve(input, type, symbols);
      }
      types.put(input, TensorType.of(type.dtype(), shape));
    }
  }

  private void bind(String input, long[] shape, Map<String, Long> symbols) {
    if (!g.inputs().contains(input)) {
      throw new InputException("graph " + g.name() + " has no input " + input);
    }
    TensorType type = g.type(input);
    List<Dim> dims = type.dims();
    boolean fits = Arrays.stream(shape).allMatch(d -> d >= 0);
    if (dims != null) {
      fits &= dims.size() == shape.length;
      for (int i = 0; fits && i < shape.length; i++) {
        Dim dim = dims.get(i);
        long bound =
            dim.isKnown() ? dim.size() : symbols.merge(dim.symbol(), shape[i], (old, _) -> old);
        fits = bound == shape[i];
      }
    }
    if (!fits) {
      throw new InputException(
          "the shape " + Arrays.toString(shape) + " does not fit input " + input + ", a " + type);
    }
  }

  private static long[] resolve(String input, TensorType type, Map<String, Long> symbols) {
    boolean known =
        type.dims() != null
            && type.dims().stream().allMatch(d -> d.isKnown() || symbols.containsKey(d.symbol()));
    if (!known) {
      throw new InputException("input " + input + ", a " + type + ", needs a shape; give one");
    }
    return type.dims().stream()
        .mapToLong(d -> d.isKnown() ? d.size() : symbols.get(d.symbol()))
        .toArray();
  }
}
