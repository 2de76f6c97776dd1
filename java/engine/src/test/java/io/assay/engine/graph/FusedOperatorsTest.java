package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Operators that the runtime computes in one piece, with the attributes and inputs that the
 * fixtures leave out: gradients against differences of the runtime's own operator.
 */
class FusedOperatorsTest {
  private static final String CONTRIB = "com.microsoft";

  /** One node; inputs are drawn, or constants where a tensor is given; "" where one is absent. */
  record Case(
      String domain, String op, Map<String, Object> attributes, List<Object> inputs, int n) {
    @Override
    public String toString() {
      return op + attributes + inputs.stream().map(Case::text).toList();
    }

    private static String text(Object input) {
      return input instanceof long[] shape ? java.util.Arrays.toString(shape) : input.toString();
    }
  }

  private static Case of(String op, Map<String, Object> attributes, Object... inputs) {
    return new Case("", op, attributes, List.of(inputs), 1);
  }

  private static Case contrib(String op, Map<String, Object> attributes, Object... inputs) {
    return new Case(CONTRIB, op, attributes, List.of(inputs), 1);
  }

  private static Case outputs(int n, Case c) {
    return new Case(c.domain, c.op, c.attributes, c.inputs, n);
  }

  private static long[] s(long... shape) {
    return shape;
  }

  private static Tensor i32(int... values) {
    Tensor t = Tensor.allocate(java.lang.foreign.Arena.ofAuto(), DType.I32, values.length);
    for (int i = 0; i < values.length; i++) {
      t.set(i, values[i]);
    }
    return t;
  }

  private static List<Long> l(long... values) {
    return Window.list(values);
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    windows(cases);
    recurrent(cases);
    attention(cases);
    contrib(cases);
    Map<String, Object> none = Map.of();
    cases.add(of("LpNormalization", Map.of("axis", 0L, "p", 1L), s(3, 4)));
    cases.add(
        of("LRN", Map.of("size", 3L, "alpha", 0.5f, "beta", 0.6f, "bias", 2f), s(1, 4, 3, 1)));
    cases.add(of("InstanceNormalization", none, s(2, 3, 4), s(3), s(3)));
    cases.add(of("RMSNormalization", Map.of("axis", 1L), s(2, 3, 4), s(3, 4)));
    cases.add(outputs(1, of("SimplifiedLayerNormalization", none, s(2, 3, 4), s(4))));
    for (String equation :
        List.of("...ij,...jk->...ik", "ij,jk->", "iij->j", "ij->", "i,i", "bij,kj->bk", "ij,->i")) {
      cases.add(of("Einsum", Map.of("equation", equation), operands(equation)));
    }
    return cases.stream();
  }

  /** Operands of an equation: every index has the size 2 or 3. */
  private static Object[] operands(String equation) {
    return Stream.of(equation.split("->")[0].split(",", -1))
        .map(term -> term.replace("...", "z").chars().mapToLong(c -> c % 2 == 0 ? 2 : 3).toArray())
        .toArray();
  }

  private static void windows(List<Case> cases) {
    Map<String, Object> same = Map.of("auto_pad", "SAME_UPPER", "strides", l(2, 2));
    Map<String, Object> lower = Map.of("auto_pad", "SAME_LOWER", "strides", l(2, 1));
    cases.add(of("ConvTranspose", same, s(1, 2, 3, 3), s(2, 2, 3, 3), s(2)));
    cases.add(of("ConvTranspose", lower, s(1, 2, 3, 3), s(2, 1, 3, 2)));
    cases.add(
        of(
            "ConvTranspose",
            Map.of("output_shape", l(7, 6), "strides", l(3, 2), "group", 2L),
            s(2, 4, 2, 3),
            s(4, 1, 3, 2)));
    cases.add(of("Conv", Map.of("auto_pad", "VALID", "strides", l(3)), s(2, 4, 8), s(6, 2, 2)));
    cases.set(
        cases.size() - 1,
        of(
            "Conv",
            Map.of("auto_pad", "VALID", "strides", l(3), "group", 2L, "dilations", l(2)),
            s(2, 4, 9),
            s(6, 2, 2)));
    for (long padding : new long[] {0, 1}) {
      for (long up : new long[] {0, 1}) {
        Map<String, Object> pool =
            Map.of(
                "kernel_shape", l(3, 2),
                "strides", l(2, 2),
                "pads", l(1, 0, 1, 1),
                "ceil_mode", up,
                "count_include_pad", padding);
        cases.add(of("AveragePool", pool, s(1, 2, 6, 6)));
      }
    }
    cases.add(
        of(
            "AveragePool",
            Map.of("kernel_shape", l(2), "dilations", l(3), "pads", l(1, 0)),
            s(1, 2, 7)));
    resize(cases);
  }

  private static void resize(List<Case> cases) {
    Tensor up = Tensor.ofFloats(new float[] {1.7f, 0.6f}, 2);
    Map<String, Object> axes = Map.of("mode", "linear", "axes", l(2, 3));
    cases.add(of("Resize", axes, s(1, 2, 4, 5), "", up));
    cases.add(of("Resize", with(axes, "antialias", 1L), s(1, 2, 4, 5), "", up));
    cases.add(
        of(
            "Resize",
            Map.of("mode", "cubic", "exclude_outside", 1L),
            s(1, 1, 4, 4),
            "",
            "",
            Tensor.ofLongs(new long[] {1, 1, 7, 3}, 4)));
    cases.add(
        of(
            "Resize",
            Map.of("mode", "nearest", "nearest_mode", "ceil"),
            s(1, 2, 5, 3),
            "",
            Tensor.ofFloats(new float[] {1, 1, 0.6f, 2.5f}, 4)));
    cases.add(
        of(
            "Resize",
            Map.of(
                "mode", "linear",
                "coordinate_transformation_mode", "tf_crop_and_resize",
                "extrapolation_value", 3f),
            s(1, 1, 4, 4),
            Tensor.ofFloats(new float[] {0, 0, 0.2f, -0.3f, 1, 1, 0.7f, 1.2f}, 8),
            "",
            Tensor.ofLongs(new long[] {1, 1, 3, 5}, 4)));
  }

  private static Map<String, Object> with(
      Map<String, Object> attributes, String key, Object value) {
    Map<String, Object> more = new LinkedHashMap<>(attributes);
    more.put(key, value);
    return more;
  }

  private static void recurrent(List<Case> cases) {
    Map<String, Object> both = Map.of("hidden_size", 2L, "direction", "bidirectional");
    Map<String, Object> back = Map.of("hidden_size", 2L, "direction", "reverse");
    Tensor lengths = i32(4, 2, 3);
    for (int gates : new int[] {1, 3, 4}) {
      String op = gates == 1 ? "RNN" : gates == 3 ? "GRU" : "LSTM";
      int n = gates == 4 ? 3 : 2;
      cases.add(
          outputs(
              n,
              of(
                  op,
                  both,
                  s(4, 3, 2),
                  s(2, gates * 2, 2),
                  s(2, gates * 2, 2),
                  s(2, gates * 4),
                  lengths,
                  s(2, 3, 2))));
      cases.add(
          outputs(
              n, of(op, back, s(4, 3, 2), s(1, gates * 2, 2), s(1, gates * 2, 2), "", lengths)));
    }
    Map<String, Object> odd =
        with(
            with(back, "activations", List.of("HardSigmoid", "Tanh", "Softsign")),
            "activation_alpha",
            List.of(0.02f));
    cases.add(
        outputs(
            3,
            of(
                "LSTM",
                odd,
                s(2, 3, 2),
                s(1, 8, 2),
                s(1, 8, 2),
                s(1, 16),
                "",
                s(1, 3, 2),
                s(1, 3, 2),
                s(1, 6))));
    for (String op : List.of("input_forget", "clip")) {
      Object value = op.equals("clip") ? (Object) 0.4f : 1L;
      cases.add(outputs(3, of("LSTM", with(back, op, value), s(2, 3, 2), s(1, 8, 2), s(1, 8, 2))));
    }
  }

  private static void attention(List<Case> cases) {
    Map<String, Object> causal = Map.of("is_causal", 1L, "q_num_heads", 4L, "kv_num_heads", 2L);
    cases.add(
        outputs(
            3,
            of(
                "Attention",
                causal,
                s(2, 3, 12),
                s(2, 3, 6),
                s(2, 3, 8),
                "",
                s(2, 2, 4, 3),
                s(2, 2, 4, 4))));
    cases.add(
        of(
            "Attention",
            Map.of("softcap", 0.8f, "scale", 0.9f),
            s(2, 2, 3, 4),
            s(2, 2, 5, 4),
            s(2, 2, 5, 2),
            s(2, 1, 3, 5)));
    Tensor positions = Tensor.ofLongs(new long[] {3, 0, 1, 4, 2, 2}, 2, 3);
    for (long interleaved : new long[] {0, 1}) {
      Map<String, Object> turn = Map.of("interleaved", interleaved);
      cases.add(of("RotaryEmbedding", turn, s(2, 2, 3, 4), s(5, 2), s(5, 2), positions));
      cases.add(
          of(
              "RotaryEmbedding",
              with(with(turn, "num_heads", 2L), "rotary_embedding_dim", 4L),
              s(2, 3, 12),
              s(2, 3, 2),
              s(2, 3, 2)));
    }
    cases.add(contrib("RotaryEmbedding", Map.of(), s(2, 2, 3, 4), positions, s(5, 2), s(5, 2)));
    Tensor start = Tensor.ofLongs(new long[] {2}, 1);
    cases.add(contrib("RotaryEmbedding", Map.of(), s(2, 2, 3, 4), start, s(5, 2), s(5, 2)));
    Map<String, Object> heads = Map.of("num_heads", 2L);
    cases.add(
        contrib(
            "MultiHeadAttention",
            heads,
            s(2, 3, 4),
            s(2, 3, 4),
            s(2, 3, 6),
            s(14),
            "",
            s(1, 2, 3, 3)));
    cases.add(contrib("Attention", heads, s(2, 3, 4), s(4, 12), s(12)));
    cases.add(
        contrib(
            "Attention",
            with(heads, "unidirectional", 1L),
            s(2, 3, 4),
            s(4, 12),
            s(12),
            i32(1, 1, 1, 1, 1, 0).reshape(2, 3)));
  }

  private static void contrib(List<Case> cases) {
    Map<String, Object> none = Map.of();
    for (long ta : new long[] {0, 1}) {
      for (long tb : new long[] {0, 1}) {
        Map<String, Object> a = Map.of("transA", ta, "transB", tb, "alpha", 0.7f);
        long[] x = ta == 1 ? s(2, 3, 4) : s(2, 4, 3);
        cases.add(contrib("FusedMatMul", a, x, tb == 1 ? s(5, 3) : s(3, 5)));
        cases.add(contrib("FusedMatMul", a, x, tb == 1 ? s(2, 5, 3) : s(2, 3, 5)));
      }
    }
    Map<String, Object> gemm = Map.of("activation", "LeakyRelu", "activation_alpha", 0.2f);
    cases.add(contrib("FusedGemm", with(gemm, "transB", 1L), s(3, 4), s(5, 4), s(5)));
    for (String activation : List.of("Relu", "Tanh", "Sigmoid")) {
      cases.add(
          contrib(
              "FusedConv",
              Map.of("activation", activation, "pads", l(1, 1, 0, 0)),
              s(1, 2, 4, 4),
              s(3, 2, 2, 2),
              s(3)));
    }
    cases.add(
        contrib(
            "FusedConv",
            Map.of("activation", "Relu"),
            s(1, 2, 4, 4),
            s(3, 2, 2, 2),
            s(3),
            s(1, 3, 3, 3)));
    cases.add(contrib("Gelu", none, s(2, 3)));
    cases.add(contrib("BiasGelu", none, s(2, 3), s(3)));
    cases.add(contrib("FastGelu", none, s(2, 3), s(3)));
    cases.add(contrib("FastGelu", none, s(2, 3)));
    cases.add(contrib("QuickGelu", Map.of("alpha", 1.3f), s(2, 3)));
    cases.add(outputs(4, contrib("SkipLayerNormalization", none, s(2, 3, 4), s(2, 3, 4), s(4))));
    cases.add(
        outputs(
            4, contrib("SkipLayerNormalization", none, s(2, 3, 4), s(2, 3, 4), s(4), s(4), s(4))));
    cases.add(
        outputs(
            4,
            contrib("SkipSimplifiedLayerNormalization", none, s(2, 3, 4), s(2, 3, 4), s(4), s(4))));
    Tensor ids = i32(1, 0, 2, 2, 1, 1).reshape(2, 3);
    cases.add(
        outputs(
            3,
            contrib(
                "EmbedLayerNormalization",
                Map.of("epsilon", 0.01f),
                ids,
                i32(0, 0, 1, 1, 1, 0).reshape(2, 3),
                s(4, 5),
                s(3, 5),
                s(2, 5),
                s(5),
                s(5))));
  }

  private final Ort ort = new Ort();

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithDifferences(Case c) {
    Graph.Builder b = Graph.builder("case").opset("", 23).opset(CONTRIB, 1);
    Differences differences = new Differences(ort, c.toString().hashCode());
    List<String> names = new ArrayList<>();
    for (Object input : c.inputs) {
      String name = "x" + names.size();
      switch (input) {
        case Tensor t -> b.constant(name, t);
        case long[] shape -> differences.draw(b, name, shape);
        default -> name = "";
      }
      names.add(name);
    }
    List<String> outputs = new ArrayList<>();
    for (int i = 0; i < c.n; i++) {
      // Means and deviations have no gradient, and the runtime does not put them out.
      boolean statistic = c.op.startsWith("Skip") && (i == 1 || i == 2);
      boolean lengths = c.op.startsWith("Embed") && i == 1;
      outputs.add(statistic ? "" : "y" + i);
      if (!statistic && !lengths) {
        b.output("y" + i);
      }
    }
    b.node(new Node("node", c.domain, c.op, names, outputs, c.attributes));
    differences.check(b.build());
  }

  @Test
  void whatAnExpansionDoesNotCoverIsRefused() {
    Graph.Builder b = Graph.builder("statistics").opset("", 23).opset(CONTRIB, 1);
    b.input("x", TensorType.of(DType.F32, 2, 3, 4));
    b.input("scale", TensorType.of(DType.F32, 4));
    List<String> inputs = List.of("x", "x", "scale");
    List<String> outputs = List.of("y", "mean");
    b.node(new Node("skip", CONTRIB, "SkipLayerNormalization", inputs, outputs, Map.of()));
    Graph g = b.output("mean").build().specialise(Map.of(), ort);
    String message =
        assertThrows(
                InputException.class, () -> g.differentiate(Map.of("mean", "seed"), List.of("x")))
            .getMessage();
    assertTrue(message.contains("the output mean of node skip"), message);
  }

  @Test
  void anOperatorInsideAnExpansionIsReadOnlyWhereNeeded() {
    Graph.Builder b = Graph.builder("bn").opset("", 23);
    b.input("x", TensorType.of(DType.F32, 2, 3, 4));
    for (String name : List.of("scale", "bias", "mean", "var")) {
      b.constant(name, Tensor.ofFloats(new float[] {1, 2, 3}, 3));
    }
    b.op("y", "BatchNormalization", Map.of(), "x", "scale", "bias", "mean", "var");
    Graph g = b.output("y").build().specialise(Map.of(), ort);
    Graph d = g.differentiate(Map.of("y", "seed"), List.of("x")).graph();
    // The factor of each channel, the product with it, and the name of the result.
    assertEquals(
        List.of("BatchNormalization", "Add", "Sqrt", "Div", "Reshape", "Mul", "Identity"),
        d.nodes().stream().map(Node::op).toList());
  }
}
