package io.assay.engine.graph;

import static java.lang.Math.abs;
import static java.lang.Math.cosh;
import static java.lang.Math.exp;
import static java.lang.Math.sqrt;
import static java.lang.Math.tanh;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleUnaryOperator;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Gradients where inputs are tiny, huge, or next to the edge of a domain: finite and right in
 * float32 wherever the true derivative is a finite float32 and the runtime's own value is right.
 * The derivatives are written out here, in float64.
 */
class ExtremesTest {
  /** Rounding of some ten steps at 6e-8 each is far below both. */
  private static final double RELATIVE = 1e-3;

  private static final double ABSOLUTE = 1e-6;

  private static final double[] MAGNITUDES = {
    1e-37, 1e-30, 1e-20, 1e-10, 1e-4, 0.3, 0.9, 0.999, 0.9999999, 1.0000002, 1.5, 2.9, 9, 20, 50,
    80, 87, 89, 104, 1e3, 1e4, 1e6, 1e10, 1e15, 1.7e19, 1e20, 1e30, 3.4e38
  };

  private final Ort ort = new Ort();

  /** An operator of one input, element by element, and its derivative. */
  record Slope(String op, Map<String, Object> attributes, DoubleUnaryOperator derivative) {
    @Override
    public String toString() {
      return op + attributes;
    }
  }

  private static Slope of(String op, DoubleUnaryOperator derivative) {
    return new Slope(op, Map.of(), derivative);
  }

  private static Slope with(String op, DoubleUnaryOperator derivative, Object... attributes) {
    return new Slope(op, RandomGraph.attributes(attributes), derivative);
  }

  private static double sigmoid(double x) {
    return ReferenceElementwise.sigmoid(x);
  }

  private static double normal(double x) {
    return exp(-x * x / 2) / sqrt(2 * Math.PI);
  }

  private static double gelu(double x) {
    return (1 + ReferenceElementwise.erf(x / sqrt(2))) / 2 + x * normal(x);
  }

  private static double tanhGelu(double x) {
    double c = sqrt(2 / Math.PI);
    double t = tanh(c * (x + 0.044715 * x * x * x));
    return abs(x) > 30
        ? (x > 0 ? 1 : 0)
        : (1 + t + x * (1 - t * t) * c * (1 + 0.134145 * x * x)) / 2;
  }

  private static double mish(double x) {
    double t = tanh(ReferenceElementwise.softplus(x));
    return abs(x) > 40 ? (x > 0 ? 1 : 0) : t + x * (1 - t * t) * sigmoid(x);
  }

  static List<Slope> slopes() {
    return List.of(
        of("Exp", Math::exp),
        of("Log", x -> x > 0 ? 1 / x : Double.NaN),
        of("Sqrt", x -> 0.5 / sqrt(x)),
        of("Reciprocal", x -> -1 / x / x),
        of("Tanh", x -> 1 / cosh(x) / cosh(x)),
        of("Sigmoid", x -> sigmoid(x) * sigmoid(-x)),
        of("Sin", Math::cos),
        of("Cos", x -> -Math.sin(x)),
        of("Tan", x -> 1 / Math.cos(x) / Math.cos(x)),
        of("Sinh", Math::cosh),
        of("Cosh", Math::sinh),
        of("Asin", x -> 1 / sqrt((1 - x) * (1 + x))),
        of("Acos", x -> -1 / sqrt((1 - x) * (1 + x))),
        of("Atan", x -> 1 / (1 + x * x)),
        of("Asinh", x -> 1 / Math.hypot(x, 1)),
        of("Acosh", x -> x > 1 ? 1 / sqrt(x - 1) / sqrt(x + 1) : Double.NaN),
        of("Atanh", x -> abs(x) < 1 ? 1 / ((1 - x) * (1 + x)) : Double.NaN),
        of("Erf", x -> 2 / sqrt(Math.PI) * exp(-x * x)),
        of("Abs", Math::signum),
        of("Relu", x -> x > 0 ? 1 : 0),
        with("LeakyRelu", x -> x > 0 ? 1 : 0.25, "alpha", 0.25),
        with("Elu", x -> x > 0 ? 1 : 1.5 * exp(x), "alpha", 1.5),
        with("Celu", x -> x > 0 ? 1 : exp(x / 0.5), "alpha", 0.5),
        with("Selu", x -> 0.7f * (x > 0 ? 1 : 1.5 * exp(x)), "alpha", 1.5, "gamma", 0.7),
        with("HardSigmoid", x -> abs(x) < 2 ? 0.25 : 0, "alpha", 0.25, "beta", 0.5),
        of("HardSwish", x -> abs(x) < 3 ? x / 3 + 0.5 : x > 0 ? 1 : 0),
        of("Softplus", ReferenceElementwise::sigmoid),
        of("Softsign", x -> 1 / (1 + abs(x)) / (1 + abs(x))),
        of("Mish", ExtremesTest::mish),
        of("Gelu", ExtremesTest::gelu),
        with("Gelu", ExtremesTest::tanhGelu, "approximate", "tanh"),
        of("com.microsoft.Gelu", ExtremesTest::gelu),
        of("com.microsoft.FastGelu", ExtremesTest::tanhGelu),
        with(
            "com.microsoft.QuickGelu",
            x -> sigmoid(1.25 * x) + 1.25 * x * sigmoid(1.25 * x) * sigmoid(-1.25 * x),
            "alpha",
            1.25));
  }

  @ParameterizedTest
  @MethodSource("slopes")
  void elementByElement(Slope s) {
    float[] x = new float[2 * MAGNITUDES.length];
    for (int i = 0; i < MAGNITUDES.length; i++) {
      x[2 * i] = (float) MAGNITUDES[i];
      x[2 * i + 1] = -x[2 * i];
    }
    double[] want = new double[x.length];
    Arrays.setAll(want, i -> s.derivative.applyAsDouble(x[i]));
    int held = check(s.op, s.attributes, Tensor.ofFloats(x, x.length), want, x.length);
    assertTrue(held >= 10, "only " + held + " points");
  }

  /** An operator of rows, and the gradient of the sum of its outputs weighted 1, 2, 3, ... */
  record Rows(String op, Map<String, Object> attributes, UnaryOperator<double[]> gradient) {
    @Override
    public String toString() {
      return op + attributes;
    }
  }

  private static double[] map(double[] x, DoubleUnaryOperator f) {
    return Arrays.stream(x).map(f).toArray();
  }

  static Stream<Rows> rows() {
    Map<String, Object> none = Map.of();
    return Stream.of(
        new Rows("ReduceLogSumExp", none, ReferenceReductions::softmax),
        new Rows("ReduceSum", none, x -> map(x, _ -> 1)),
        new Rows("ReduceMean", none, x -> map(x, _ -> 1.0 / x.length)),
        new Rows("ReduceL1", none, x -> map(x, Math::signum)),
        new Rows("ReduceL2", none, x -> map(x, v -> v / length(x))),
        new Rows("ReduceSumSquare", none, x -> map(x, v -> 2 * v)),
        new Rows("ReduceLogSum", none, x -> map(x, _ -> 1 / ReferenceReductions.sum(x))),
        new Rows("ReduceMax", none, ExtremesTest::largest),
        new Rows("ReduceProd", none, ExtremesTest::others),
        new Rows("Softmax", none, ExtremesTest::softmax),
        new Rows("LogSoftmax", none, ExtremesTest::logSoftmax));
  }

  private static double length(double[] x) {
    double largest = Arrays.stream(x).map(Math::abs).max().orElse(1);
    return largest * sqrt(Arrays.stream(x).map(v -> v / largest * (v / largest)).sum());
  }

  /** Equal shares where several are the largest. */
  private static double[] largest(double[] x) {
    double largest = Arrays.stream(x).max().orElseThrow();
    long holders = Arrays.stream(x).filter(v -> v == largest).count();
    return map(x, v -> v == largest ? 1.0 / holders : 0);
  }

  private static double[] others(double[] x) {
    double[] out = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      out[i] = 1;
      for (int j = 0; j < x.length; j++) {
        out[i] *= i == j ? 1 : x[j];
      }
    }
    return out;
  }

  private static double[] softmax(double[] x) {
    double[] y = ReferenceReductions.softmax(x);
    double mean = 0;
    for (int i = 0; i < x.length; i++) {
      mean += y[i] * (i + 1);
    }
    double[] out = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      out[i] = y[i] * (i + 1 - mean);
    }
    return out;
  }

  private static double[] logSoftmax(double[] x) {
    double[] y = ReferenceReductions.softmax(x);
    double sum = x.length * (x.length + 1) / 2.0;
    double[] out = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      out[i] = i + 1 - y[i] * sum;
    }
    return out;
  }

  private static final double[][] POINTS = {
    {1, 2, 3},
    {1000, 1001, 999},
    {20000.1, 20000.3, 19999},
    {1e8, 1e8, 3},
    {-1e8, -1e8, -1e8},
    {1e20, 1e20, -1e20},
    {1e30, 2e29, 3e29},
    {3e38, -3e38, 1e37},
    {-3.4e38, -3.4e38, 0.5},
    {-3.4e38, -3.4e38, -3.4e38},
    {1e-20, 2e-20, 1e-21},
    {1e-30, 2e-30, 3e-30},
    {1e-30, 1e30, 2},
    {100, -100, 0.25},
    {0, 0, 1e-30},
    {90, 89, 88}
  };

  @ParameterizedTest
  @MethodSource("rows")
  void alongRows(Rows r) {
    int held = 0;
    for (double[] point : POINTS) {
      float[] x = {(float) point[0], (float) point[1], (float) point[2]};
      double[] exact = {x[0], x[1], x[2]};
      held += check(r.op, r.attributes, Tensor.ofFloats(x, 3), r.gradient.apply(exact), 1);
    }
    assertTrue(held >= 15, "only " + held + " points");
  }

  /** How many entries were compared; the outputs are weighted by 1, 2, ... where they are few. */
  private int check(
      String op, Map<String, Object> attributes, Tensor x, double[] want, int independent) {
    boolean contrib = op.startsWith("com.microsoft.");
    Graph.Builder b = Graph.builder("extreme").opset("", 20).opset("com.microsoft", 1);
    b.input("x", TensorType.of(DType.F32, x.shape()));
    String plain = op.substring(op.lastIndexOf('.') + 1);
    b.node(
        new Node(
            "y", contrib ? "com.microsoft" : "", plain, List.of("x"), List.of("y"), attributes));
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    Map<String, Array64> values = new LinkedHashMap<>(Map.of("x", Array64.of(x)));
    Reference.run(g.nodes(), values);
    Array64 y = values.get("y");

    Map<String, Tensor> fed = new LinkedHashMap<>(Map.of("x", x));
    float[] weights = new float[y.data().length];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = independent > 1 ? 1 : i + 1;
    }
    fed.put("seed", Tensor.ofFloats(weights, y.longShape()));
    Gradient d = g.differentiate(Map.of("y", "seed"), List.of("x"));
    fed.keySet().retainAll(d.graph().slice(List.of(), d.graph().outputs()).inputs());
    Map<String, Tensor> got = ort.evaluate(d.graph().slice(List.of(), d.graph().outputs()), fed);

    List<Integer> held = new ArrayList<>();
    for (int i = 0; i < want.length; i++) {
      boolean right =
          independent > 1
              ? close(y.data()[i], got.get("y").get(i))
              : Arrays.stream(new int[] {0, y.data().length - 1})
                  .allMatch(k -> close(y.data()[k], got.get("y").get(k)));
      if (right && abs(want[i]) < Float.MAX_VALUE) {
        assertEquals(
            want[i],
            got.get("x.grad").get(i),
            RELATIVE * abs(want[i]) + ABSOLUTE,
            op + " by element " + i + ", which is " + x.get(i));
        held.add(i);
      }
    }
    return held.size();
  }

  /** Whether the runtime's value is right, so that there is something to differentiate. */
  private static boolean close(double want, double got) {
    return abs(want) < Float.MAX_VALUE && abs(got - want) <= RELATIVE * abs(want) + 1e-38;
  }
}
