package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;

/**
 * A value under construction, so that a gradient rule reads like its formula: {@code
 * g.times(y).over(x)}. Every method appends one node and knows the shape of what it made.
 */
final class Expr {
  /** Where expressions append their nodes. */
  static final class Tape {
    private final Graph.Builder builder;
    private final Map<String, TensorType> types;
    private final Map<String, Tensor> constants;
    private final long opset;

    /** The nodes of an expansion under way, or null. */
    private List<Node> recorded;

    /** Prefix of the names of new values: what the gradient is being taken of. */
    private String scope = "";

    Tape(Graph graph, Graph.Builder builder) {
      this.builder = builder;
      this.types = new HashMap<>(graph.types());
      this.constants = new HashMap<>(graph.constants());
      this.opset = graph.opsets().getOrDefault("", Backward.OLDEST_OPSET);
    }

    void scope(String value) {
      scope = value;
    }

    /** Runs {@code steps} and adds the nodes that they append to {@code into}. */
    <T> T record(List<Node> into, Supplier<T> steps) {
      List<Node> outer = recorded;
      recorded = into;
      try {
        return steps.get();
      } finally {
        recorded = outer;
      }
    }

    /** The value of a constant, or null if it is computed. */
    Tensor constant(String name) {
      return constants.get(name);
    }

    /** A new constant. */
    Expr constant(Tensor value) {
      return shared(builder.fresh(scope + ".back.const"), value);
    }

    /** An existing value of the graph. */
    Expr value(String name) {
      return new Expr(this, name, types.get(name));
    }

    /** A new input of the graph. */
    Expr input(String name, TensorType type) {
      builder.input(name, type);
      types.put(name, type);
      return value(name);
    }

    Expr scalar(DType dtype, double x) {
      return shared("const." + dtype + "." + x, Tensor.scalar(dtype, x));
    }

    Expr longs(long... x) {
      return shared("const.I64." + Arrays.toString(x), Tensor.ofLongs(x, x.length));
    }

    private Expr shared(String name, Tensor t) {
      if (!constants.containsKey(name)) {
        builder.constant(name, t);
        constants.put(name, t);
        types.put(name, TensorType.of(t.dtype(), t.shape()));
      }
      return value(name);
    }

    /** A constant tensor of integers. */
    Expr longs(long[] x, long... shape) {
      return shared(builder.fresh(scope + ".back.longs"), Tensor.ofLongs(x, shape));
    }

    /** A tensor of zeros, made when the graph runs. */
    Expr zeros(DType dtype, long... shape) {
      return scalar(dtype, 0).expandTo(shape);
    }

    Expr concat(int axis, List<Expr> parts) {
      return op("Concat", Map.of("axis", (long) axis), parts.toArray(Expr[]::new));
    }

    Expr op(String op, Map<String, Object> attributes, Expr... inputs) {
      String value = builder.fresh(scope + ".back." + op.toLowerCase(Locale.ROOT));
      return node(value, op, attributes, inputs);
    }

    List<Expr> ops(int outputs, String op, Map<String, Object> attributes, Expr... inputs) {
      List<String> values = new ArrayList<>();
      for (int i = 0; i < outputs; i++) {
        values.add(builder.fresh(scope + ".back." + op.toLowerCase(Locale.ROOT)));
      }
      return node(values, op, attributes, inputs);
    }

    /** A node whose output has the name {@code value}. */
    Expr node(String value, String op, Map<String, Object> attributes, Expr... inputs) {
      return node(List.of(value), op, attributes, inputs).getFirst();
    }

    /** A node with several outputs; an input that is null is absent. */
    List<Expr> node(
        List<String> values, String op, Map<String, Object> attributes, Expr... inputs) {
      List<String> names = new ArrayList<>();
      for (Expr e : inputs) {
        names.add(e == null ? "" : e.value);
      }
      Node node = new Node(values.getFirst(), "", op, names, values, attributes);
      builder.node(node);
      if (recorded != null) {
        recorded.add(node);
      }
      List<TensorType> inferred = Shapes.infer(node, types::get, constants::get);
      List<Expr> made = new ArrayList<>();
      for (int i = 0; i < values.size(); i++) {
        types.put(values.get(i), inferred.get(i));
        builder.type(values.get(i), inferred.get(i));
        made.add(value(values.get(i)));
      }
      return made;
    }
  }

  private final Tape tape;
  private final String value;
  private final TensorType type;

  private Expr(Tape tape, String value, TensorType type) {
    this.tape = tape;
    this.value = value;
    this.type = type;
  }

  String name() {
    return value;
  }

  DType dtype() {
    return type.dtype();
  }

  long[] shape() {
    return type.shape();
  }

  int rank() {
    return type.dims().size();
  }

  TensorType type() {
    return type;
  }

  Expr plus(Expr x) {
    return op("Add", x);
  }

  Expr minus(Expr x) {
    return op("Sub", x);
  }

  Expr times(Expr x) {
    return op("Mul", x);
  }

  Expr over(Expr x) {
    return op("Div", x);
  }

  Expr times(double x) {
    return x == 1 ? this : times(tape.scalar(dtype(), x));
  }

  Expr plus(double x) {
    return plus(tape.scalar(dtype(), x));
  }

  /** {@code x - this}. */
  Expr from(double x) {
    return tape.scalar(dtype(), x).minus(this);
  }

  Expr neg() {
    return op("Neg");
  }

  Expr exp() {
    return op("Exp");
  }

  Expr log() {
    return op("Log");
  }

  Expr sqrt() {
    return op("Sqrt");
  }

  Expr abs() {
    return op("Abs");
  }

  Expr sigmoid() {
    return op("Sigmoid");
  }

  Expr tanh() {
    return op("Tanh");
  }

  Expr sin() {
    return op("Sin");
  }

  Expr cos() {
    return op("Cos");
  }

  Expr sinh() {
    return op("Sinh");
  }

  Expr cosh() {
    return op("Cosh");
  }

  Expr sign() {
    return op("Sign");
  }

  Expr erf() {
    return op("Erf");
  }

  Expr pow(Expr exponent) {
    return op("Pow", exponent);
  }

  /** This, squared; a product, since a power is slow. */
  Expr squared() {
    return times(this);
  }

  /** The smaller of this and {@code x}. */
  Expr atMost(double x) {
    return op("Min", tape.scalar(dtype(), x));
  }

  Expr lessThan(double x) {
    return op("Less", tape.scalar(dtype(), x));
  }

  Expr greaterThan(Expr x) {
    return op("Greater", x);
  }

  Expr greaterThan(double x) {
    return greaterThan(tape.scalar(dtype(), x));
  }

  Expr atLeast(double x) {
    return op("GreaterOrEqual", tape.scalar(dtype(), x));
  }

  Expr sameAs(Expr x) {
    return op("Equal", x);
  }

  Expr sameAs(double x) {
    return sameAs(tape.scalar(dtype(), x));
  }

  Expr and(Expr x) {
    return op("And", x);
  }

  /** With this boolean as the condition: {@code yes} where it holds, {@code no} elsewhere. */
  Expr choose(Expr yes, Expr no) {
    return op("Where", yes, no);
  }

  /** This where the boolean {@code condition} holds, 0 elsewhere. */
  Expr where(Expr condition) {
    return condition.choose(this, tape.scalar(dtype(), 0));
  }

  /** This where the boolean {@code condition} does not hold, 0 elsewhere. */
  Expr unless(Expr condition) {
    return condition.choose(tape.scalar(dtype(), 0), this);
  }

  Expr cast(DType to) {
    return to == dtype() ? this : tape.op("Cast", Map.of("to", (long) OnnxTypes.code(to)), this);
  }

  Expr matmul(Expr x) {
    return op("MatMul", x);
  }

  /** {@code scale * op(this) op(x)} of two matrices; transposition is an attribute, not a copy. */
  Expr gemm(Expr x, boolean transposeThis, boolean transposeX, double scale) {
    return tape.op(
        "Gemm",
        Map.of(
            "transA",
            transposeThis ? 1L : 0L,
            "transB",
            transposeX ? 1L : 0L,
            "alpha",
            (float) scale),
        this,
        x);
  }

  Expr transpose(long... perm) {
    long[] same = new long[perm.length];
    Arrays.setAll(same, i -> i);
    if (Arrays.equals(perm, same)) {
      // The runtime takes every transposition behind a Gemm for one that swaps its axes.
      return this;
    }
    return tape.op("Transpose", Map.of("perm", Arrays.stream(perm).boxed().toList()), this);
  }

  /** The last two axes swapped. */
  Expr transposed() {
    long[] perm = new long[rank()];
    Arrays.setAll(perm, i -> i);
    perm[perm.length - 1] = perm.length - 2;
    perm[perm.length - 2] = perm.length - 1;
    return transpose(perm);
  }

  Expr reshape(long... to) {
    return Arrays.equals(to, shape()) ? this : op("Reshape", tape.longs(to));
  }

  Expr expandTo(long... to) {
    return Arrays.equals(to, shape()) ? this : op("Expand", tape.longs(to));
  }

  /** Sum over {@code axes}, which stay with size 1. */
  Expr sum(long... axes) {
    return axes.length == 0
        ? this
        : tape.op("ReduceSum", Map.of("keepdims", 1L), this, tape.longs(axes));
  }

  /** Product over {@code axes}, which stay with size 1. */
  Expr product(long... axes) {
    if (axes.length == 0) {
      return this;
    }
    return tape.opset < 18
        ? tape.op("ReduceProd", Map.of("axes", Arrays.stream(axes).boxed().toList()), this)
        : op("ReduceProd", tape.longs(axes));
  }

  /** Mean over {@code axes}, which stay with size 1. */
  Expr mean(long... axes) {
    long n = 1;
    for (long axis : axes) {
      n *= shape()[(int) axis];
    }
    return sum(axes).times(1.0 / n);
  }

  /**
   * Undoes a broadcast from {@code target}: sums over the axes that were added or stretched, and
   * stretches those that a reduction had removed. The only place where broadcasting is undone.
   */
  Expr sumTo(long... target) {
    long[] from = shape();
    if (Arrays.equals(from, target)) {
      return this;
    }
    int added = Math.max(0, from.length - target.length);
    List<Long> axes = new ArrayList<>();
    for (int i = 0; i < from.length; i++) {
      if (i < added || (target[i - added] == 1 && from[i] != 1)) {
        axes.add((long) i);
      }
    }
    Expr summed = sum(axes.stream().mapToLong(Long::longValue).toArray());
    if (added > 0) {
      long[] rest = Arrays.copyOfRange(summed.shape(), added, from.length);
      summed = summed.reshape(rest);
    }
    return summed.expandTo(target);
  }

  /** Elements {@code start} to {@code end} of {@code axis}. */
  Expr slice(int axis, long start, long end) {
    return op("Slice", tape.longs(start), tape.longs(end), tape.longs(axis));
  }

  /** The elements of {@code axis} in the opposite order. */
  Expr reversed(int axis) {
    return op(
        "Slice", tape.longs(-1), tape.longs(Long.MIN_VALUE), tape.longs(axis), tape.longs(-1));
  }

  /** This, with {@code before} and {@code after} zeros around it along {@code axis}. */
  Expr pad(int axis, long before, long after) {
    List<Expr> parts = new ArrayList<>();
    long[] zeros = shape();
    if (before > 0) {
      zeros[axis] = before;
      parts.add(tape.zeros(dtype(), zeros));
    }
    parts.add(this);
    if (after > 0) {
      zeros[axis] = after;
      parts.add(tape.zeros(dtype(), zeros));
    }
    return parts.size() == 1 ? this : tape.concat(axis, parts);
  }

  /** This without {@code before} and {@code after} elements of {@code axis}; zeros if negative. */
  Expr cut(int axis, long before, long after) {
    long end = shape()[axis] - Math.max(0, after);
    Expr kept = before > 0 || after > 0 ? slice(axis, Math.max(0, before), end) : this;
    return kept.pad(axis, -before, -after);
  }

  /**
   * Slices added into a tensor of zeros of {@code shape}, at {@code indices} [..., k] of its first
   * k axes. By elements: the runtime's ScatterND loses sums where several threads add to one place.
   */
  Expr scatterRows(Expr indices, long... shape) {
    int k = (int) indices.shape()[indices.rank() - 1];
    long rows = 1;
    long[] steps = new long[k];
    for (int axis = k - 1; axis >= 0; axis--) {
      steps[axis] = rows;
      rows *= shape[axis];
    }
    Expr places =
        k == 1
            ? indices
            : indices
                .op("Mod", tape.longs(Arrays.copyOf(shape, k)))
                .op("Mul", tape.longs(steps))
                .sum(indices.rank() - 1);
    long width = Tensor.elements(Arrays.copyOfRange(shape, k, shape.length));
    long picked = Tensor.elements(indices.shape()) / k;
    Expr spread = places.reshape(picked, 1).expandTo(picked, width);
    return reshape(picked, width).scatterElements(0, spread, rows, width).reshape(shape);
  }

  /** Elements added into a tensor of zeros of {@code shape}, at {@code indices} of {@code axis}. */
  Expr scatterElements(int axis, Expr indices, long... shape) {
    Map<String, Object> attributes = Map.of("axis", (long) axis, "reduction", "add");
    return tape.op("ScatterElements", attributes, tape.zeros(dtype(), shape), indices, this);
  }

  private Expr op(String op, Expr... others) {
    return op(op, Map.of(), others);
  }

  /** A node of any operator with this as its first input. */
  Expr op(String op, Map<String, Object> attributes, Expr... others) {
    Expr[] all = new Expr[others.length + 1];
    all[0] = this;
    System.arraycopy(others, 0, all, 1, others.length);
    return tape.op(op, attributes, all);
  }
}
