package io.assay.engine.graph;

import io.assay.engine.graph.TensorType.Dim;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Puts the operator {@code Chain} of {@code native/src/runtime_chain.cpp} in place of element-wise
 * operators, and sums over the last axis between them, that read each other: gelu, norms of layers,
 * softmax and their gradients. An operator by itself reads and writes memory for each addition.
 *
 * <p>Nodes are taken together where the values between them have one form, rows of columns, and
 * where no path from one to the other leaves them. To see that, each node has a depth: no less than
 * that of what it reads, and more where the two cannot be in one chain. What is on a way out of a
 * chain and back is deeper than where it left. A node that is read only further down moves there:
 * its result is then never stored.
 */
final class OwnChains {
  static final String OP = "Chain";

  /** The same of float64, which has no tanh. */
  static final String WIDE_OP = "Chain64";

  /** Of columns, where rows matter: below, a step costs more than its elements. */
  private static final long LEAST_COLUMNS = 16;

  /** The operator set from which on a softmax is over its axis, and not over what follows it. */
  private static final long OWN_AXIS = 13;

  /** As in {@code native/src/internal.h}. */
  private static final int MOST_VALUES = 256;

  /** Bytes of all buffers. */
  private static final long ROOM = 1 << 17;

  private static final long PIECE = 1024;

  /** Kinds of values and operations, in the order of {@code native/src/internal.h}. */
  private enum Kind {
    FULL,
    ROW,
    COLUMN,
    NUMBER
  }

  private enum Op {
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    NEGATE,
    ROOT,
    TANH,
    EXPONENTIAL,
    LOGARITHM,
    SUM,
    MEAN,
    LARGEST,
    SPREAD
  }

  /** Rows, of any number of axes, and columns, of float32 or float64. */
  private record Form(DType dtype, List<Dim> rows, Dim columns) {
    static Form of(TensorType type) {
      List<Dim> dims = type.dims();
      return new Form(type.dtype(), dims.subList(0, dims.size() - 1), dims.getLast());
    }

    /** What a value is beside those of this form, or null where it is nothing of them. */
    Kind kind(TensorType type) {
      if (type == null || type.dtype() != dtype || type.dims() == null) {
        return null;
      }
      List<Dim> dims = type.dims();
      if (dims.size() == rows.size() + 1 && dims.subList(0, rows.size()).equals(rows)) {
        return dims.getLast().equals(columns)
            ? Kind.FULL
            : dims.getLast().size() == 1 ? Kind.COLUMN : null;
      }
      if (dims.stream().allMatch(d -> d.size() == 1)) {
        return Kind.NUMBER;
      }
      boolean row =
          dims.size() <= rows.size() + 1
              && dims.getLast().equals(columns)
              && dims.stream().limit(dims.size() - 1L).allMatch(d -> d.size() == 1);
      return row ? Kind.ROW : null;
    }
  }

  private final Graph g;
  private final List<Node> nodes;
  private final Map<String, Integer> producers = new HashMap<>();
  private final Map<String, List<Integer>> readers = new HashMap<>();

  /** Of each node that may be in a chain, else null. */
  private final Form[] forms;

  private final int[] depths;

  private OwnChains(Graph g, List<Node> nodes) {
    this.g = g;
    this.nodes = nodes;
    this.forms = new Form[nodes.size()];
    this.depths = new int[nodes.size()];
    for (int i = 0; i < nodes.size(); i++) {
      int at = i;
      nodes.get(i).outputs().forEach(v -> producers.put(v, at));
      Graph.reads(nodes.get(i))
          .forEach(v -> readers.computeIfAbsent(v, _ -> new ArrayList<>()).add(at));
    }
    producers.remove("");
  }

  /**
   * The nodes of a graph, with such chains replaced.
   *
   * @param nodes of the graph in topological order, some of which were replaced by others
   * @param types gets the types of what chains give
   */
  static List<Node> replace(Graph g, List<Node> nodes, Map<String, TensorType> types) {
    OwnChains own = new OwnChains(g, nodes);
    own.findForms();
    own.findDepths();
    own.sink();
    List<Node> all = new ArrayList<>();
    Map<Integer, List<Integer>> chains = own.chains();
    boolean[] gone = new boolean[nodes.size()];
    for (List<Integer> members : chains.values()) {
      Node chain = own.forms[members.getFirst()] == null ? null : own.new Chain(members).node();
      if (chain != null) {
        members.forEach(i -> gone[i] = true);
        chain.outputs().forEach(v -> types.put(v, g.type(v)));
        all.add(chain);
      }
    }
    for (int i = 0; i < nodes.size(); i++) {
      if (!gone[i]) {
        all.add(nodes.get(i));
      }
    }
    return all;
  }

  /** Of nodes whose results are numbers for each row, the form is that of what is beside them. */
  private void findForms() {
    for (int i = 0; i < forms.length; i++) {
      Node node = nodes.get(i);
      Form form = widest(node);
      if (form == null && isColumn(node)) {
        for (String v : node.inputs()) {
          Integer before = producers.get(v);
          form = form == null && before != null ? forms[before] : form;
        }
      }
      forms[i] = fits(node, form) ? form : null;
    }
    for (int i = forms.length - 1; i >= 0; i--) {
      Node node = nodes.get(i);
      for (int reader : forms[i] == null && isColumn(node) ? readersOf(i) : List.<Integer>of()) {
        forms[i] = forms[i] == null && fits(node, forms[reader]) ? forms[reader] : forms[i];
      }
    }
  }

  private List<Integer> readersOf(int i) {
    return readers.getOrDefault(nodes.get(i).output(0), List.of());
  }

  /** The form of the largest value at a node, if that has columns. */
  private Form widest(Node node) {
    TensorType type = g.type(isSum(node) ? node.input(0) : node.output(0));
    boolean columns =
        type != null
            && (type.dtype() == DType.F32 || type.dtype() == DType.F64)
            && type.dims() != null
            && !type.dims().isEmpty()
            && type.dims().getLast().size() != 1;
    return columns ? Form.of(type) : null;
  }

  private boolean isColumn(Node node) {
    TensorType type = g.type(node.output(0));
    return type != null
        && type.dims() != null
        && type.dims().size() > 1
        && type.dims().getLast().size() == 1;
  }

  private static boolean isSum(Node node) {
    return node.qualifiedOp().equals("ReduceSum") || node.qualifiedOp().equals("ReduceMean");
  }

  /** Whether a node can be part of a chain of a form. */
  private boolean fits(Node node, Form form) {
    List<String> operands = form == null ? null : operands(node, form);
    if (operands == null) {
      return false;
    }
    Kind result = form.kind(g.type(node.output(0)));
    if (result != Kind.FULL && result != Kind.COLUMN) {
      return false;
    }
    boolean whole = isSum(node) || isSoftmax(node);
    if (whole && form.kind(g.type(node.input(0))) != Kind.FULL) {
      return false;
    }
    boolean rows = result == Kind.COLUMN || whole;
    for (String v : operands) {
      Kind kind = form.kind(g.type(v));
      if (kind == null || kind == Kind.FULL && result == Kind.COLUMN && !isSum(node)) {
        return false;
      }
      rows |= kind == Kind.ROW || kind == Kind.COLUMN;
    }
    long columns = form.columns().size();
    return form.rows().size() < OwnOperators.MOST_AXES
        && (!rows || columns >= LEAST_COLUMNS && columns * form.dtype().bytes() <= ROOM / 2);
  }

  /** What a node reads as part of a chain, or null where it can be in none. */
  private List<String> operands(Node node, Form form) {
    return switch (node.qualifiedOp()) {
      case "Add", "Sub", "Mul", "Div", "Neg", "Sqrt", "Exp" -> node.inputs();
      case "Tanh" -> form.dtype() == DType.F32 ? node.inputs() : null;
      case "Pow" -> isPower(node) ? List.of(node.input(0)) : null;
      case "Softmax", "LogSoftmax" ->
          g.opsets().getOrDefault("", 0L) >= OWN_AXIS && isLast(node.integer("axis", -1), form)
              ? node.inputs()
              : null;
      case "Expand" ->
          form.kind(g.type(node.input(0))) == Kind.COLUMN
                  && form.kind(g.type(node.output(0))) == Kind.FULL
              ? List.of(node.input(0))
              : null;
      case "ReduceSum", "ReduceMean" -> isOverColumns(node, form) ? List.of(node.input(0)) : null;
      default -> null;
    };
  }

  private boolean isPower(Node node) {
    Tensor exponent = g.constant(node.input(1));
    return exponent != null
        && exponent.elements() == 1
        && (exponent.get(0) == 2 || exponent.get(0) == 3);
  }

  private boolean isOverColumns(Node node, Form form) {
    Tensor given = g.constant(node.input(1));
    long[] axes =
        node.has("axes")
            ? node.integers("axes")
            : given == null || given.elements() != 1 ? null : new long[] {(long) given.get(0)};
    return axes != null
        && axes.length == 1
        && isLast(axes[0], form)
        && node.integer("keepdims", 1) != 0;
  }

  private static boolean isLast(long axis, Form form) {
    return axis == -1 || axis == form.rows().size();
  }

  private static boolean isSoftmax(Node node) {
    return node.qualifiedOp().equals("Softmax") || node.qualifiedOp().equals("LogSoftmax");
  }

  /** How much deeper a reader must be than what it reads. */
  private int step(int from, int to) {
    return forms[from] != null && forms[from].equals(forms[to]) ? 0 : 1;
  }

  private void findDepths() {
    for (int i = 0; i < depths.length; i++) {
      for (String v : Graph.reads(nodes.get(i))) {
        Integer from = producers.get(v);
        if (from != null) {
          depths[i] = Math.max(depths[i], depths[from] + step(from, i));
        }
      }
    }
  }

  private void sink() {
    for (int i = depths.length - 1; i >= 0; i--) {
      if (forms[i] == null || g.outputs().contains(nodes.get(i).output(0))) {
        continue;
      }
      int at = i;
      List<Integer> all = readersOf(i);
      int depth = all.stream().mapToInt(r -> depths[r] - step(at, r)).min().orElse(depths[i]);
      if (all.stream().anyMatch(r -> step(at, r) == 0 && depths[r] == depth)) {
        depths[i] = depth;
      }
    }
  }

  /** Nodes of one form and depth that read each other, by the first of them. */
  private Map<Integer, List<Integer>> chains() {
    int[] of = new int[nodes.size()];
    for (int i = 0; i < of.length; i++) {
      of[i] = i;
      for (String v : forms[i] == null ? List.<String>of() : nodes.get(i).inputs()) {
        Integer from = producers.get(v);
        if (from != null && step(from, i) == 0 && depths[from] == depths[i]) {
          int a = first(of, from);
          int b = first(of, i);
          of[Math.max(a, b)] = Math.min(a, b);
        }
      }
    }
    Map<Integer, List<Integer>> chains = new TreeMap<>();
    for (int i = 0; i < of.length; i++) {
      chains.computeIfAbsent(first(of, i), _ -> new ArrayList<>()).add(i);
    }
    return chains;
  }

  private static int first(int[] of, int i) {
    while (of[i] != i) {
      i = of[i];
    }
    return i;
  }

  /** One chain while it is written. */
  private final class Chain {
    private record Step(Op op, int a, int b, boolean full) {}

    private final List<Integer> members;
    private final Form form;
    private final List<String> inputs = new ArrayList<>();
    private final List<Kind> kinds = new ArrayList<>();
    private final List<Step> steps = new ArrayList<>();
    private final Map<String, Integer> values = new HashMap<>();

    /** Outputs and the steps that give them. */
    private final List<String> outputs = new ArrayList<>();

    private final Map<Integer, Integer> outputOf = new HashMap<>();

    /** The outputs', where no input needs to have it; else empty. */
    private List<Long> shape = List.of();

    Chain(List<Integer> members) {
      this.members = members;
      this.form = forms[members.getFirst()];
    }

    /** The node, or null where nothing reads it, or it has no value of all elements or too many. */
    Node node() {
      for (int i : members) {
        for (String v : operands(nodes.get(i), form)) {
          Integer from = producers.get(v);
          if (from == null || !members.contains(from)) {
            values.computeIfAbsent(v, this::input);
          }
        }
      }
      members.forEach(i -> add(nodes.get(i)));
      members.forEach(this::output);
      boolean rows =
          steps.stream().anyMatch(s -> !s.full())
              || kinds.contains(Kind.ROW)
              || kinds.contains(Kind.COLUMN);
      List<Long> code = new ArrayList<>();
      long buffers = write(code);
      if (!kinds.contains(Kind.FULL)
          || outputs.isEmpty()
          || steps.size() < 2
          || inputs.size() + steps.size() > MOST_VALUES
          || buffers * (rows ? form.columns().size() : PIECE) * form.dtype().bytes() > ROOM) {
        return null;
      }
      Map<String, Object> attributes = new HashMap<>();
      attributes.put("columns", rows ? form.columns().size() : 0);
      attributes.put("kinds", kinds.stream().map(k -> (long) k.ordinal()).toList());
      attributes.put("steps", code);
      attributes.put("shape", shape);
      String op = form.dtype() == DType.F64 ? WIDE_OP : OP;
      return new Node(outputs.getFirst(), OwnOperators.DOMAIN, op, inputs, outputs, attributes);
    }

    /** Adds an input: the value itself, or what it is another shape of. */
    private int input(String value) {
      Kind kind = kind(value);
      String from = kind == Kind.FULL ? withoutReshape(value) : value;
      if (!from.equals(value)) {
        shape =
            form.rows().stream().map(Dim::size).collect(Collectors.toCollection(ArrayList::new));
        shape.add(form.columns().size());
      }
      inputs.add(from);
      kinds.add(kind);
      return inputs.size() - 1;
    }

    private String withoutReshape(String value) {
      Integer from = producers.get(value);
      while (from != null
          && nodes.get(from).qualifiedOp().equals("Reshape")
          && OwnOperators.isFloat(g.type(value))
          && OwnOperators.isFloat(g.type(nodes.get(from).input(0)))) {
        value = nodes.get(from).input(0);
        from = producers.get(value);
      }
      return value;
    }

    private Kind kind(String v) {
      return form.kind(g.type(v));
    }

    private void add(Node node) {
      int a = values.get(node.input(0));
      int b = values.getOrDefault(node.input(1), a);
      String op = node.qualifiedOp();
      int result =
          switch (op) {
            case "Add" -> step(Op.ADD, a, b);
            case "Sub" -> step(Op.SUBTRACT, a, b);
            case "Mul" -> step(Op.MULTIPLY, a, b);
            case "Div" -> step(Op.DIVIDE, a, b);
            case "Neg" -> step(Op.NEGATE, a);
            case "Sqrt" -> step(Op.ROOT, a);
            case "Tanh" -> step(Op.TANH, a);
            case "Exp" -> step(Op.EXPONENTIAL, a);
            case "ReduceSum" -> step(Op.SUM, spread(a));
            case "ReduceMean" -> step(Op.MEAN, spread(a));
            case "Softmax", "LogSoftmax" -> softmax(spread(a), op.equals("Softmax"));
            case "Expand" -> a;
            case "Pow" -> {
              int square = step(Op.MULTIPLY, a, a);
              yield g.constant(node.input(1)).get(0) == 2 ? square : step(Op.MULTIPLY, square, a);
            }
            default -> throw new IllegalStateException(op);
          };
      values.put(node.output(0), result);
    }

    private int softmax(int x, boolean exponential) {
      int shifted = step(Op.SUBTRACT, x, step(Op.LARGEST, x));
      int raised = step(Op.EXPONENTIAL, shifted);
      int sum = step(Op.SUM, raised);
      return exponential
          ? step(Op.DIVIDE, raised, sum)
          : step(Op.SUBTRACT, shifted, step(Op.LOGARITHM, sum));
    }

    private int step(Op op, int a) {
      return step(op, a, a);
    }

    private int step(Op op, int a, int b) {
      boolean sum = op == Op.SUM || op == Op.MEAN || op == Op.LARGEST;
      boolean full = op == Op.SPREAD || !sum && (full(a) || full(b));
      steps.add(new Step(op, a, b, full));
      return inputs.size() + steps.size() - 1;
    }

    /** Whether a value has an element for each column. */
    private boolean full(int value) {
      if (value >= inputs.size()) {
        return steps.get(value - inputs.size()).full();
      }
      return kinds.get(value) == Kind.FULL || kinds.get(value) == Kind.ROW;
    }

    private int spread(int value) {
      return full(value) ? value : step(Op.SPREAD, value);
    }

    private void output(int member) {
      String v = nodes.get(member).output(0);
      if (g.outputs().contains(v) || !members.containsAll(readersOf(member))) {
        int value = values.get(v);
        value = kind(v) == Kind.FULL ? spread(value) : value;
        outputOf.put(value, outputs.size());
        outputs.add(v);
      }
    }

    /** Writes the steps and returns how many buffers they need. */
    private int write(List<Long> code) {
      int[] last = new int[inputs.size() + steps.size()];
      for (int s = 0; s < steps.size(); s++) {
        last[steps.get(s).a()] = s;
        last[steps.get(s).b()] = s;
      }
      List<Integer> until = new ArrayList<>();
      for (int s = 0; s < steps.size(); s++) {
        Step step = steps.get(s);
        int value = inputs.size() + s;
        int buffer = 0;
        if (step.full() && !outputOf.containsKey(value)) {
          while (buffer < until.size() && until.get(buffer) > s) {
            buffer++;
          }
          if (buffer == until.size()) {
            until.add(0);
          }
          until.set(buffer, last[value]);
        }
        code.add((long) step.op().ordinal());
        code.add((long) step.a());
        code.add((long) step.b());
        code.add((long) outputOf.getOrDefault(value, -1));
        code.add((long) buffer);
      }
      return until.size();
    }
  }
}
