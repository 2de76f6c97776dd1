package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.TreeSet;

/**
 * A computation as ONNX defines it: named values, produced by inputs, constants and nodes.
 *
 * <p>A graph is an immutable value. Every derivation returns a new graph that shares the constant
 * tensors, so that ten derived graphs cost one copy of the weights. Value names are unique; nodes
 * are held in topological order.
 */
public final class Graph {
  private final String name;
  private final Map<String, Long> opsets;
  private final List<String> inputs;
  private final List<String> outputs;
  private final List<Node> nodes;
  private final Map<String, Tensor> constants;
  private final Map<String, TensorType> types;
  private final Map<String, Node> producers = new HashMap<>();
  private final Map<String, List<Node>> users = new HashMap<>();
  private final List<String> captures;

  private Graph(Builder b, List<Node> sorted, List<String> captures) {
    this.name = b.name;
    this.opsets = Collections.unmodifiableMap(new LinkedHashMap<>(b.opsets));
    this.inputs = List.copyOf(b.inputs);
    this.outputs = List.copyOf(b.outputs);
    this.nodes = List.copyOf(sorted);
    this.constants = Collections.unmodifiableMap(new LinkedHashMap<>(b.constants));
    this.types = Collections.unmodifiableMap(new LinkedHashMap<>(b.types));
    this.captures = List.copyOf(captures);
    for (Node node : nodes) {
      for (String output : node.outputs()) {
        if (!output.isEmpty()) {
          producers.put(output, node);
        }
      }
      for (String used : reads(node)) {
        users.computeIfAbsent(used, _ -> new ArrayList<>()).add(node);
      }
    }
  }

  public String name() {
    return name;
  }

  /** Operator set versions by domain; the default domain is the empty string. */
  public Map<String, Long> opsets() {
    return opsets;
  }

  public List<String> inputs() {
    return inputs;
  }

  public List<String> outputs() {
    return outputs;
  }

  /** The nodes in topological order. */
  public List<Node> nodes() {
    return nodes;
  }

  /** The constant values (initialisers), in the order in which they were added. */
  public Map<String, Tensor> constants() {
    return constants;
  }

  /** Constant {@code value}, or null if that value is computed or unknown. */
  public Tensor constant(String value) {
    return constants.get(value);
  }

  /** Type of a value, or null where it is not known; those of inputs always are. */
  public TensorType type(String value) {
    return types.get(value);
  }

  /** The known types, those of constants included. */
  public Map<String, TensorType> types() {
    return types;
  }

  /** The node that computes {@code value}, or null for inputs, constants and unknown names. */
  public Node producer(String value) {
    return producers.get(value);
  }

  /** The nodes that read {@code value}, also from inside a body attribute, in graph order. */
  public List<Node> users(String value) {
    return Collections.unmodifiableList(users.getOrDefault(value, List.of()));
  }

  /** Whether the graph has a value of this name. */
  public boolean has(String value) {
    return producers.containsKey(value) || constants.containsKey(value) || inputs.contains(value);
  }

  /** The names of all values: inputs, constants, and what the nodes compute, in their order. */
  public List<String> values() {
    List<String> values = new ArrayList<>(inputs);
    values.addAll(constants.keySet());
    nodes.forEach(node -> node.outputs().stream().filter(v -> !v.isEmpty()).forEach(values::add));
    return values;
  }

  /**
   * Operators of the graph, those in bodies included, that make floats and have no gradient: {@link
   * #differentiate} refuses to pass them. Where no type is known, a value counts as a float.
   */
  public Set<String> withoutGradient() {
    Set<String> found = new TreeSet<>();
    for (Node node : nodes) {
      boolean makesFloats =
          node.outputs().stream().anyMatch(v -> type(v) == null || type(v).dtype().isFloat());
      if (makesFloats && GradientRules.isMissing(node)) {
        found.add(node.qualifiedOp());
      }
      for (Object attribute : node.attributes().values()) {
        if (attribute instanceof Graph body) {
          found.addAll(body.withoutGradient());
        }
      }
    }
    return found;
  }

  /** Outer values that a body graph (attribute of If, Loop, Scan) reads; empty for whole graphs. */
  public List<String> captures() {
    return captures;
  }

  /**
   * Reads an ONNX file, after which the graph is named; weights in it and beside it are mapped, not
   * copied.
   *
   * <p>Constant nodes become constants, the model's own functions are inlined, and operator sets 11
   * to 15 are brought into the form of 16.
   *
   * @throws InputException if the file is not a whole, valid ONNX model, refers to data outside of
   *     its folder, or uses what Assay does not support
   */
  public static Graph read(Path onnx) {
    return read(onnx, new ArrayList<>());
  }

  /**
   * Reads an ONNX file like {@link #read(Path)} and adds the files beside it that hold its weights
   * to {@code dataOut}, as the model names them.
   */
  public static Graph read(Path onnx, Collection<Path> dataOut) {
    return OnnxReader.read(onnx, dataOut);
  }

  /**
   * Writes the graph as an ONNX file. If the constants exceed 1 GiB they go to a second file beside
   * it, named after it with {@code .data} appended.
   *
   * @throws java.io.UncheckedIOException if a file cannot be written
   */
  public void write(Path onnx) {
    OnnxWriter.write(this, onnx, OnnxWriter.EMBEDDED_BYTES);
  }

  /**
   * The graph as an ONNX message for a runtime in this process. Constants of 1 KiB or more are
   * declared as external data and put into {@code externalOut} instead, by name.
   */
  public byte[] toProto(Map<String, Tensor> externalOut) {
    return OnnxWriter.toProto(this, externalOut);
  }

  /** The same graph with further outputs. */
  public Graph expose(String... values) {
    Builder b = edit();
    for (String value : values) {
      requireValue(value);
      b.output(value);
    }
    return b.build();
  }

  /**
   * The part that computes {@code to}, started at {@code from}: those values become inputs (also
   * constants may, for weights that are trained), in addition to the inputs that are still needed.
   *
   * @throws InputException if a value is unknown, or the type of one in {@code from} is
   */
  public Graph slice(Collection<String> from, Collection<String> to) {
    return Derivations.slice(this, from, to);
  }

  /**
   * All nodes that read {@code value} read {@code by} instead, save those that {@code by} is
   * computed from. Outputs stay as they are.
   */
  public Graph replace(String value, String by) {
    return Derivations.replace(this, value, by);
  }

  /**
   * The same graph with other names for some values.
   *
   * @param names new name by present name
   * @throws InputException if a new name is in use
   */
  public Graph rename(Map<String, String> names) {
    return Derivations.rename(this, names);
  }

  /**
   * The users of {@code value} read a gathered copy: {@code Gather(Concat(value, bank), rows)}.
   *
   * <p>New inputs, with k = {@link RowPatch#axes}: {@code VALUE.patch.rows}, I64, of the value's
   * first k dimensions, indexes the value's leading dimensions taken as one, followed by the bank;
   * {@code VALUE.patch.bank}, of shape {@code [bank, remaining dimensions of the value]}, absent
   * for a bank of size 0. An output of that value still shows it unpatched.
   *
   * @throws InputException if the value's rank is unknown or smaller than k
   */
  public Graph patch(String value, RowPatch patch) {
    return Derivations.patch(this, value, patch);
  }

  /**
   * Fixes the shapes of inputs, infers those of all values, and folds what is then constant: shape
   * arithmetic and other values that do not depend on inputs or float weights. Float numbers (of
   * rank 0) are folded with shape arithmetic, not with each other, and one that was has no
   * gradient: it is then no value of the graph. Afterwards {@link #type} is static for every value,
   * and nothing unused is left.
   *
   * <p>Inputs not named get their shape from the symbols that the named ones bind.
   *
   * @param inputShapes shapes by input name
   * @param evaluator runs the parts that are folded
   * @throws InputException if shapes contradict each other or leave a dimension open
   */
  public Graph specialise(Map<String, long[]> inputShapes, Evaluator evaluator) {
    return new Specialiser(this, inputShapes, evaluator).run();
  }

  /**
   * The same graph with those weights of convolutions as constants that are computed from constants
   * alone: the runtime lays out only constants as its fast convolution reads them.
   *
   * @param evaluator computes them, together
   */
  public Graph withConstantFilters(Evaluator evaluator) {
    return Derivations.withConstantFilters(this, evaluator);
  }

  /**
   * The same computation, written so that the optimisers of ONNX Runtime, which get some graphs
   * wrong, leave it right.
   */
  public Graph forRuntime() {
    return RuntimeForm.of(this);
  }

  /**
   * The same computation with Assay's own operators of the domain {@code io.assay}, of float32,
   * chains of float64 too, and on the processor, where standard ones do the same slowly: chains of
   * element-wise operators, norms of layers, the gradients of MaxPool and Relu, products with
   * matrices that change, sums over rows. Only a runtime that took them from the native library can
   * compile it.
   */
  public Graph withOwnOperators() {
    return OwnOperators.replace(this);
  }

  /**
   * The same computation in one float type, {@code F32} or {@code F64}: inputs, constants and casts
   * of every other become it. Other types stay.
   */
  public Graph withFloat(DType dtype) {
    Set<DType> others = EnumSet.of(DType.F16, DType.BF16, DType.F32, DType.F64);
    others.remove(dtype);
    return Derivations.withFloat(this, others, dtype);
  }

  /** The same computation with float32 in place of all floats of 16 bits. */
  public Graph widened() {
    return Derivations.withFloat(this, EnumSet.of(DType.F16, DType.BF16), DType.F32);
  }

  /**
   * Appends the reverse-mode gradient of the scalar {@code sum over seeds of sum(value * seed)}.
   *
   * @param seeds name of a new input for the upstream gradient (of the value's shape and type), by
   *     value; the value is usually an output
   * @param wrt inputs, constants or any other float values; one that the seeded values do not
   *     depend on gets a gradient of zeros
   * @throws InputException if a shape is open (specialise first), a value is unknown or no float,
   *     or an operator on the way has no gradient rule; the message names it and the path to it
   */
  public Gradient differentiate(Map<String, String> seeds, Collection<String> wrt) {
    return Backward.differentiate(this, seeds, wrt);
  }

  /**
   * Floating point operations of the products, 2 for each multiply-add, of a specialised graph;
   * MatMul, Gemm, FusedMatMul, Conv, ConvTranspose and Einsum count, everything else is left out.
   */
  public long operations() {
    return Operations.count(this);
  }

  void requireValue(String value) {
    if (!has(value)) {
      throw new InputException("graph " + name + " has no value named " + value);
    }
  }

  /** Names that a node reads, each once: its inputs and what its bodies take from outside. */
  static Set<String> reads(Node node) {
    Set<String> reads = new LinkedHashSet<>(node.inputs());
    for (Object attribute : node.attributes().values()) {
      if (attribute instanceof Graph body) {
        reads.addAll(body.captures);
      }
    }
    reads.remove("");
    return reads;
  }

  /** A node as messages show it. */
  static String label(Node node) {
    return (node.name().isEmpty() ? node.output(0) : node.name()) + " (" + node.qualifiedOp() + ")";
  }

  public static Builder builder(String name) {
    return new Builder(name);
  }

  /** A builder that starts with everything that this graph has. */
  public Builder edit() {
    Builder b = new Builder(name);
    b.opsets.putAll(opsets);
    b.inputs.addAll(inputs);
    b.outputs.addAll(outputs);
    b.nodes.addAll(nodes);
    b.constants.putAll(constants);
    b.types.putAll(types);
    b.names.addAll(producers.keySet());
    b.names.addAll(constants.keySet());
    b.names.addAll(inputs);
    return b;
  }

  @Override
  public String toString() {
    return name + "(" + inputs + " -> " + outputs + ", " + nodes.size() + " nodes)";
  }

  /** Collects the parts of a graph; {@link #build} checks and orders them. */
  public static final class Builder {
    private final String name;
    private final Map<String, Long> opsets = new LinkedHashMap<>();
    private final Set<String> inputs = new LinkedHashSet<>();
    private final Set<String> outputs = new LinkedHashSet<>();
    private final List<Node> nodes = new ArrayList<>();
    private final Map<String, Tensor> constants = new LinkedHashMap<>();
    private final Map<String, TensorType> types = new LinkedHashMap<>();
    private final Set<String> names = new HashSet<>();
    private final Set<String> reserved = new HashSet<>();
    private final Map<String, Integer> counters = new HashMap<>();

    private Builder(String name) {
      this.name = name;
    }

    /** States the version of an operator domain; an empty domain is the default one. */
    public Builder opset(String domain, long version) {
      opsets.put(domain, version);
      return this;
    }

    /** Whether a value of this name has been added. */
    public boolean has(String value) {
      return names.contains(value) && !reserved.contains(value);
    }

    /** Makes sure that a function's operator set is the model's. */
    void opsetOf(String domain, long version, String function) {
      Long known = opsets.putIfAbsent(domain, version);
      if (known != null && known != version) {
        throw new InputException(
            "function "
                + function
                + " uses version "
                + version
                + " of the operators '"
                + domain
                + "' and the model version "
                + known
                + "; export it inlined");
      }
    }

    /** Adds an input. */
    public Builder input(String value, TensorType type) {
      define(value);
      inputs.add(value);
      types.put(value, type);
      return this;
    }

    /** Makes a value an output; outputs keep the order in which they are named. */
    public Builder output(String value) {
      outputs.add(value);
      return this;
    }

    /** Forgets the outputs named so far. */
    public Builder clearOutputs() {
      outputs.clear();
      return this;
    }

    /** Adds a constant and returns its name. */
    public String constant(String value, Tensor tensor) {
      define(value);
      constants.put(value, tensor);
      types.put(value, TensorType.of(tensor.dtype(), tensor.shape()));
      return value;
    }

    /** States the type of a value. */
    public Builder type(String value, TensorType type) {
      types.put(value, type);
      return this;
    }

    /** The type that a value was given, or null. */
    public TensorType type(String value) {
      return types.get(value);
    }

    /** Adds a node. Nodes may come in any order. */
    public Builder node(Node node) {
      for (String output : node.outputs()) {
        if (!output.isEmpty()) {
          define(output);
        }
      }
      nodes.add(node);
      return this;
    }

    /** Adds a node of the default domain with one output, and returns the output's name. */
    public String op(String value, String op, Map<String, Object> attributes, String... inputs) {
      node(new Node(value, "", op, List.of(inputs), List.of(value), attributes));
      return value;
    }

    /** Replaces all nodes by others, whose outputs may be the same values. */
    public Builder nodes(List<Node> others) {
      for (Node node : nodes) {
        names.removeAll(node.outputs());
      }
      nodes.clear();
      others.forEach(this::node);
      return this;
    }

    /** A value name that is not in use, {@code hint} itself if possible; it is reserved. */
    public String fresh(String hint) {
      String candidate = hint;
      while (!names.add(candidate)) {
        candidate = hint + "." + counters.merge(hint, 1, Integer::sum);
      }
      reserved.add(candidate);
      return candidate;
    }

    private void define(String value) {
      if (value.isEmpty()) {
        throw new InputException("graph " + name + " has a value without a name; name it");
      }
      if (!reserved.remove(value) && !names.add(value)) {
        throw new InputException(
            "graph " + name + " defines the value " + value + " twice; value names must be unique");
      }
    }

    /**
     * The graph.
     *
     * @throws InputException if a value is read that nothing produces, or nodes form a cycle
     */
    public Graph build() {
      Graph graph = buildBody();
      if (!graph.captures.isEmpty()) {
        String value = graph.captures.getFirst();
        List<Node> readers = graph.users(value);
        throw new InputException(
            "graph "
                + name
                + " reads the value "
                + value
                + (readers.isEmpty() ? " as an output" : " in node " + label(readers.getFirst()))
                + ", but nothing produces it");
      }
      return graph;
    }

    /** A graph that may read outer values: the body of a control flow node. */
    Graph buildBody() {
      Map<String, Integer> producer = new HashMap<>();
      for (int i = 0; i < nodes.size(); i++) {
        for (String output : nodes.get(i).outputs()) {
          if (!output.isEmpty()) {
            producer.put(output, i);
          }
        }
      }
      Set<String> captured = new LinkedHashSet<>();
      int[] missing = new int[nodes.size()];
      List<List<Integer>> followers = new ArrayList<>();
      for (int i = 0; i < nodes.size(); i++) {
        followers.add(new ArrayList<>());
      }
      PriorityQueue<Integer> ready = new PriorityQueue<>();
      for (int i = 0; i < nodes.size(); i++) {
        for (String used : reads(nodes.get(i))) {
          Integer from = producer.get(used);
          if (from != null) {
            followers.get(from).add(i);
            missing[i]++;
          } else if (!inputs.contains(used) && !constants.containsKey(used)) {
            captured.add(used);
          }
        }
        if (missing[i] == 0) {
          ready.add(i);
        }
      }
      List<Node> sorted = new ArrayList<>(nodes.size());
      while (!ready.isEmpty()) {
        int i = ready.remove();
        sorted.add(nodes.get(i));
        for (int follower : followers.get(i)) {
          if (--missing[follower] == 0) {
            ready.add(follower);
          }
        }
      }
      if (sorted.size() < nodes.size()) {
        int stuck = 0;
        while (missing[stuck] == 0) {
          stuck++;
        }
        throw new InputException(
            "graph " + name + " has a cycle before node " + label(nodes.get(stuck)));
      }
      for (String output : outputs) {
        if (!producer.containsKey(output)
            && !inputs.contains(output)
            && !constants.containsKey(output)) {
          captured.add(output);
        }
      }
      return new Graph(this, sorted, List.copyOf(captured));
    }
  }
}
