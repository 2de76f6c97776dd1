package io.assay.engine.graph;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * Static shape inference: the output types of a node from those of its inputs and from the values
 * of the constant ones, as the ONNX operator definitions state them. One rule for each operator, in
 * one table; to support another, add a line.
 */
final class Shapes {
  /** Output types of a node, in the order of its outputs; null for one that is never typed. */
  interface Rule extends Function<Operands, List<TensorType>> {}

  private static final Map<String, Rule> RULES = new HashMap<>();

  private Shapes() {}

  /** Whether there is a rule for the operator of {@code node}. */
  static boolean knows(Node node) {
    return RULES.containsKey(node.qualifiedOp());
  }

  /**
   * Types of the outputs of {@code node}.
   *
   * @param types type of a value, null if unknown
   * @param constants value of a constant, null if the value is computed
   * @throws InputException if there is no rule for the operator, or the inputs contradict it
   */
  static List<TensorType> infer(
      Node node, Function<String, TensorType> types, Function<String, Tensor> constants) {
    Rule rule = RULES.get(node.qualifiedOp());
    if (rule == null) {
      throw new InputException(
          "node "
              + Graph.label(node)
              + " has an operator whose shapes Assay cannot infer; export the model without it");
    }
    return rule.apply(new Operands(node, types, constants));
  }

  private static void rule(Rule rule, String... ops) {
    for (String op : ops) {
      RULES.put(op, rule);
    }
  }

  static {
    rule(o -> List.of(o.type(0)), unary());
    rule(o -> o.one(o.dtype(0), all(o)), "Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu");
    rule(o -> o.one(o.dtype(0), all(o)), "Max", "Min", "Sum", "Mean", "BitShift");
    rule(o -> o.one(DType.BOOL, all(o)), "Equal", "Less", "LessOrEqual", "Greater");
    rule(o -> o.one(DType.BOOL, all(o)), "GreaterOrEqual", "And", "Or", "Xor");
    rule(o -> o.one(DType.BOOL, o.shape(0)), "IsNaN", "IsInf", "Not");
    rule(o -> o.one(o.dtype(1), all(o)), "Where");
    rule(o -> o.one(code(o, "to", 1), o.shape(0)), "Cast");
    rule(o -> o.one(o.dtype(1), o.shape(0)), "CastLike");
    rule(Shapes::dropout, "Dropout");

    rule(o -> Shapes.matMul(o, o.dtype(0)), "MatMul", "com.microsoft.FusedMatMul");
    rule(o -> Shapes.matMul(o, DType.I32), "MatMulInteger");
    rule(
        o -> o.one(o.has(2) ? o.dtype(2) : code(o, "output_dtype", 2), o.shape(0)),
        "QuantizeLinear");
    rule(o -> o.one(o.dtype(1), o.shape(0)), "DequantizeLinear");
    rule(Shapes::dynamicQuantize, "DynamicQuantizeLinear");
    rule(Shapes::gemm, "Gemm", "com.microsoft.FusedGemm");
    rule(Shapes::einsum, "Einsum");
    rule(Shapes::det, "Det");

    rule(Shapes::reduce, "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd");
    rule(Shapes::reduce, "ReduceL1", "ReduceL2", "ReduceSumSquare");
    rule(Shapes::reduce, "ReduceLogSum", "ReduceLogSumExp");
    rule(Shapes::argument, "ArgMax", "ArgMin");
    rule(Shapes::topK, "TopK");
    rule(Shapes::loss, "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss");
    rule(Shapes::layerNormalization, "LayerNormalization", "SimplifiedLayerNormalization");

    LayoutShapes.register(Shapes::rule);
    ConvolutionShapes.register(Shapes::rule);
    RecurrentShapes.register(Shapes::rule);
    ContribShapes.register(Shapes::rule);
  }

  private static String[] unary() {
    return ("Identity Abs Neg Exp Log Sqrt Reciprocal Tanh Sigmoid Relu Erf Gelu"
            + " Softmax LogSoftmax Hardmax Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh"
            + " Floor Ceil Round Sign Clip Softplus Softsign Elu Selu Celu LeakyRelu HardSigmoid"
            + " HardSwish Mish ThresholdedRelu Shrink CumSum Trilu ScatterND ScatterElements"
            + " InstanceNormalization GroupNormalization LpNormalization RMSNormalization"
            + " LRN RotaryEmbedding")
        .split(" ");
  }

  private static long[] all(Operands o) {
    long[][] shapes = new long[o.node().inputs().size()][];
    for (int i = 0; i < shapes.length; i++) {
      shapes[i] = o.shape(i);
    }
    return o.broadcast(shapes);
  }

  /** Element type given by an attribute. */
  static DType code(Operands o, String attribute, long otherwise) {
    return OnnxTypes.require(
        o.node().integer(attribute, otherwise), "node " + Graph.label(o.node()));
  }

  private static List<TensorType> dropout(Operands o) {
    return List.of(o.type(0), TensorType.of(DType.BOOL, o.shape(0)));
  }

  private static List<TensorType> dynamicQuantize(Operands o) {
    return List.of(
        TensorType.of(DType.U8, o.shape(0)), TensorType.of(DType.F32), TensorType.of(DType.U8));
  }

  private static List<TensorType> matMul(Operands o, DType dtype) {
    long[] a = o.shape(0);
    long[] b = o.shape(1);
    if (a.length == 0 || b.length == 0) {
      throw o.wrong("multiplies a scalar");
    }
    boolean vectorA = a.length == 1;
    boolean vectorB = b.length == 1;
    a = vectorA ? new long[] {1, a[0]} : swapped(a, o.node().integer("transA", 0) != 0);
    b = vectorB ? new long[] {b[0], 1} : swapped(b, o.node().integer("transB", 0) != 0);
    if (a[a.length - 1] != b[b.length - 2]) {
      throw o.wrong("multiplies the shapes " + o.type(0) + " and " + o.type(1));
    }
    long[] batch = o.broadcast(Arrays.copyOf(a, a.length - 2), Arrays.copyOf(b, b.length - 2));
    List<Long> out = new ArrayList<>();
    Arrays.stream(batch).forEach(out::add);
    if (!vectorA) {
      out.add(a[a.length - 2]);
    }
    if (!vectorB) {
      out.add(b[b.length - 1]);
    }
    return o.one(dtype, out.stream().mapToLong(Long::longValue).toArray());
  }

  private static long[] swapped(long[] shape, boolean swap) {
    long[] out = shape.clone();
    if (swap) {
      out[out.length - 1] = shape[out.length - 2];
      out[out.length - 2] = shape[out.length - 1];
    }
    return out;
  }

  private static List<TensorType> gemm(Operands o) {
    if (o.rank(0) != 2 || o.rank(1) != 2) {
      throw o.wrong("multiplies " + o.type(0) + " and " + o.type(1) + ", which are no matrices");
    }
    long[] a = swapped(o.shape(0), o.node().integer("transA", 0) != 0);
    long[] b = swapped(o.shape(1), o.node().integer("transB", 0) != 0);
    if (a[1] != b[0]) {
      throw o.wrong("multiplies the shapes " + o.type(0) + " and " + o.type(1));
    }
    return o.one(o.dtype(0), a[0], b[1]);
  }

  private static List<TensorType> det(Operands o) {
    long[] shape = o.shape(0);
    int n = shape.length;
    if (n < 2 || shape[n - 1] != shape[n - 2]) {
      throw o.wrong("has the determinant of " + o.type(0) + ", which is no square matrix");
    }
    return o.one(o.dtype(0), Arrays.copyOf(shape, n - 2));
  }

  private static List<TensorType> einsum(Operands o) {
    String equation = o.node().text("equation", "").replace(" ", "");
    String[] sides = equation.split("->", -1);
    String[] terms = sides[0].split(",", -1);
    Map<Character, Long> sizes = new HashMap<>();
    long[] dots = null;
    for (int i = 0; i < terms.length; i++) {
      long[] shape = o.shape(i);
      int at = terms[i].indexOf("...");
      String letters = terms[i].replace("...", "");
      int hidden = shape.length - letters.length();
      if (hidden < 0 || at < 0 && hidden > 0) {
        throw o.wrong("has the equation " + equation + " for an input of shape " + o.type(i));
      }
      if (at >= 0) {
        long[] here = Arrays.copyOfRange(shape, at, at + hidden);
        if (dots != null && dots.length != hidden) {
          throw o.wrong(
              "has an ellipsis of "
                  + hidden
                  + " axes beside one of "
                  + dots.length
                  + ", which ONNX Runtime refuses; give the inputs equal numbers of axes");
        }
        dots = o.broadcast(dots == null ? here : dots, here);
      }
      for (int j = 0; j < letters.length(); j++) {
        long size = shape[at >= 0 && j >= at ? j + hidden : j];
        Long known = sizes.merge(letters.charAt(j), size, (x, y) -> x == 1 ? y : x);
        if (size != 1 && known != size) {
          throw o.wrong("has two sizes for the index " + letters.charAt(j) + " of " + equation);
        }
      }
    }
    String result = sides.length > 1 ? sides[1] : implicit(sides[0]);
    List<Long> out = new ArrayList<>();
    for (int i = 0; i < result.length(); i++) {
      if (result.startsWith("...", i)) {
        Arrays.stream(dots == null ? new long[0] : dots).forEach(out::add);
        i += 2;
      } else if (sizes.containsKey(result.charAt(i))) {
        out.add(sizes.get(result.charAt(i)));
      } else {
        throw o.wrong("has the equation " + equation + ", whose result names an unknown index");
      }
    }
    return o.one(o.dtype(0), out.stream().mapToLong(Long::longValue).toArray());
  }

  /** Without an arrow the result has the indices that occur once, in alphabetical order. */
  static String implicit(String terms) {
    StringBuilder out = new StringBuilder(terms.contains("...") ? "..." : "");
    terms
        .chars()
        .filter(c -> c != '.' && c != ',' && terms.indexOf(c) == terms.lastIndexOf(c))
        .sorted()
        .forEach(c -> out.append((char) c));
    return out.toString();
  }

  private static List<TensorType> reduce(Operands o) {
    long[] axes = o.longs("axes", 1);
    if ((axes == null || axes.length == 0) && o.node().integer("noop_with_empty_axes", 0) != 0) {
      return List.of(o.type(0));
    }
    return o.one(o.dtype(0), reduced(o, axes));
  }

  private static List<TensorType> argument(Operands o) {
    return o.one(DType.I64, reduced(o, new long[] {o.node().integer("axis", 0)}));
  }

  /** The shape of input 0 without {@code axes}, or with ones there; no axes are all of them. */
  private static long[] reduced(Operands o, long[] axes) {
    long[] shape = o.shape(0);
    boolean keep = o.node().integer("keepdims", 1) != 0;
    Set<Integer> gone = new HashSet<>();
    for (int i = 0; axes != null && i < axes.length; i++) {
      gone.add(o.axis(axes[i], shape.length));
    }
    List<Long> out = new ArrayList<>();
    for (int i = 0; i < shape.length; i++) {
      if (!gone.isEmpty() && !gone.contains(i)) {
        out.add(shape[i]);
      } else if (keep) {
        out.add(1L);
      }
    }
    return out.stream().mapToLong(Long::longValue).toArray();
  }

  private static List<TensorType> topK(Operands o) {
    long[] shape = o.shape(0);
    shape[o.axis("axis", -1, shape.length)] = o.longs("k", 1)[0];
    return List.of(TensorType.of(o.dtype(0), shape), TensorType.of(DType.I64, shape));
  }

  private static List<TensorType> layerNormalization(Operands o) {
    long[] shape = o.shape(0);
    int axis = o.axis("axis", -1, shape.length);
    long[] rows = shape.clone();
    Arrays.fill(rows, axis, rows.length, 1);
    TensorType statistics = TensorType.of(code(o, "stash_type", 1), rows);
    return List.of(o.type(0), statistics, statistics);
  }

  /** The loss, one for each label or reduced to one number, and the logarithms. */
  private static List<TensorType> loss(Operands o) {
    boolean each = o.node().text("reduction", "mean").equals("none");
    return List.of(TensorType.of(o.dtype(0), each ? o.shape(1) : new long[0]), o.type(0));
  }
}
