package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Steps of products: of matrices, by an equation, and of windows that slide. */
final class RandomProducts {
  private RandomProducts() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomProducts::matmul);
    steps.add(RandomProducts::gemm);
    steps.add(RandomProducts::einsum);
    steps.add(RandomProducts::det);
    steps.add(RandomProducts::conv);
    steps.add(RandomProducts::convTranspose);
    steps.add(RandomProducts::pool);
    steps.add(RandomProducts::resize);
    steps.add(RandomProducts::attention);
  }

  private static void matmul(RandomGraph g) {
    String x = g.any(1, 4);
    int[] shape = g.shape(x);
    int k = shape[shape.length - 1];
    int[] batch = Arrays.copyOf(shape, Math.max(0, shape.length - 2));
    int[] other =
        switch (g.below(4)) {
          case 0 -> new int[] {k, g.size()};
          case 1 -> new int[] {k};
          case 2 -> Array64.join(batch, new int[] {k, g.size()});
          default -> Array64.join(RandomElementwise.broadcast(g, batch), new int[] {k, g.size()});
        };
    int[] rows = other.length > 2 ? Arrays.copyOf(other, other.length - 2) : new int[0];
    g.require(RandomElementwise.fits(rows, batch));
    String y = g.like(other);
    if (g.choices.oneIn(6) && shape.length > 1 && other.length > 1) {
      // x^T as an attribute.
      int[] turned = shape.clone();
      turned[shape.length - 1] = shape[shape.length - 2];
      turned[shape.length - 2] = k;
      g.op("com.microsoft.FusedMatMul", attributes("transA", 1, "alpha", 0.75), g.like(turned), y);
      return;
    }
    g.op("MatMul", x, y);
  }

  private static void gemm(RandomGraph g) {
    String x = g.any(2, 2);
    int ta = g.below(2);
    int tb = g.below(2);
    int k = g.shape(x)[1 - ta];
    int m = g.shape(x)[ta];
    int n = g.size();
    String y = g.like(tb == 0 ? new int[] {k, n} : new int[] {n, k});
    // Behind a Transpose that changes nothing the runtime cannot compile a Gemm.
    g.require(!g.isUnturned(x) && !g.isUnturned(y));
    Map<String, Object> a =
        attributes("transA", ta, "transB", tb, "alpha", g.choices.of(1.0, 0.5), "beta", 1.5);
    switch (g.below(5)) {
      case 0 -> g.op("Gemm", a, x, y);
      case 1 -> g.op("Gemm", a, x, y, g.like(n));
      case 2 -> g.op("Gemm", a, x, y, g.like(m, n));
      case 3 -> g.op("Gemm", a, x, y, g.like(m, 1));
      default -> g.op("Gemm", a, x, y, g.like());
    }
  }

  private static final String[] EQUATIONS = {
    "ij,jk->ik",
    "ij,jk",
    "i,j->ij",
    "ij->ji",
    "ij,ij->",
    "ij,kj->ik",
    "bij,bjk->bik",
    "ii->i",
    "ij->i",
    "bhqd,bhkd->bhqk",
    "ij,j,i->j",
    "...ij,...jk->...ik",
    "bij,kj->bk",
    "i,i->",
    "iij->j",
    "ij,ik->jk",
    "ijk->kj",
    "ij,ij->ij",
    "ij->",
    "abc,cd->abd"
  };

  private static void einsum(RandomGraph g) {
    String equation = EQUATIONS[g.below(EQUATIONS.length)];
    // Each letter has a size of its own.
    int salt = g.below(6);
    List<String> operands = new ArrayList<>();
    for (String term : equation.split("->")[0].split(",")) {
      int[] shape = term.replace("...", "z").chars().map(l -> 2 + (l * 7 + salt) % 3 % 2).toArray();
      operands.add(g.like(shape));
    }
    g.op("Einsum", Map.of("equation", equation), operands.toArray(String[]::new));
  }

  private static void det(RandomGraph g) {
    int n = 1 + g.below(3);
    g.op("Det", g.choices.oneIn(2) ? g.like(n, n) : g.like(2, n, n));
  }

  /** An image or a row of channels: what there is, or a new one. */
  private static String image(RandomGraph g, int channels) {
    int[] shape =
        g.choices.oneIn(3)
            ? new int[] {2, channels, 3 + g.below(4)}
            : new int[] {1 + g.below(2), channels, 3 + g.below(2), 3 + g.below(2)};
    return g.any(s -> (s.length == 3 || s.length == 4) && s[1] % channels == 0 && s[2] > 1, shape);
  }

  private static long[] each(RandomGraph g, int n, int least, int most) {
    long[] values = new long[n];
    Arrays.setAll(values, _ -> least + g.below(most - least + 1));
    return values;
  }

  /** Attributes of a window: strides, dilations, and pads or their automatic form. */
  private static Map<String, Object> window(RandomGraph g, String x, long[] kernel, int padding) {
    int n = kernel.length;
    Map<String, Object> a = new LinkedHashMap<>();
    long[] strides = each(g, n, 1, 2);
    long[] dilations = new long[n];
    Arrays.fill(dilations, 1);
    if (g.choices.oneIn(4)) {
      dilations = each(g, n, 1, 2);
    }
    long[] pads = each(g, 2 * n, 0, padding);
    boolean auto = g.choices.oneIn(5);
    for (int i = 0; i < n; i++) {
      long size = g.shape(x)[2 + i] + (auto ? 0 : pads[i] + pads[n + i]);
      g.require(size >= (kernel[i] - 1) * dilations[i] + 1);
    }
    a.putAll(attributes("strides", strides, "dilations", dilations));
    if (auto) {
      // The runtime refuses dilations there.
      a.remove("dilations");
      a.put("auto_pad", g.choices.of("SAME_UPPER", "SAME_LOWER", "VALID"));
    } else {
      a.putAll(attributes("pads", pads));
    }
    return a;
  }

  private static void conv(RandomGraph g) {
    int group = 1 + g.below(2);
    String x = image(g, 2 * group - g.below(2) * group);
    int channels = g.shape(x)[1];
    g.require(channels % group == 0);
    int n = g.rank(x) - 2;
    long[] kernel = each(g, n, 1, 3);
    Map<String, Object> a = window(g, x, kernel, 1);
    a.put("group", (long) group);
    int outputs = group * (1 + g.below(2));
    int[] w = weight(outputs, channels / group, kernel);
    if (g.choices.oneIn(2)) {
      g.op("Conv", a, x, g.like(w), g.like(outputs));
    } else {
      g.op("Conv", a, x, g.like(w));
    }
  }

  private static int[] weight(int first, int second, long[] kernel) {
    return Array64.join(
        new int[] {first, second}, Arrays.stream(kernel).mapToInt(Math::toIntExact).toArray());
  }

  private static void convTranspose(RandomGraph g) {
    int group = 1 + g.below(2);
    String x = image(g, group);
    int channels = g.shape(x)[1];
    g.require(channels % group == 0);
    int n = g.rank(x) - 2;
    long[] kernel = each(g, n, 1, 3);
    long[] strides = each(g, n, 1, 2);
    long[] added = new long[n];
    long[] pads = new long[2 * n];
    for (int i = 0; i < n; i++) {
      added[i] = strides[i] > 1 && g.choices.oneIn(3) ? 1 : 0;
      pads[i] = kernel[i] > 1 ? g.below(2) : 0;
      pads[n + i] = kernel[i] > 2 ? g.below(2) : 0;
    }
    Map<String, Object> a =
        attributes("strides", strides, "pads", pads, "output_padding", added, "group", group);
    int each = 1 + g.below(2);
    int[] w = weight(channels, each, kernel);
    if (g.choices.oneIn(2)) {
      g.op("ConvTranspose", a, x, g.like(w), g.like(each * group));
    } else {
      g.op("ConvTranspose", a, x, g.like(w));
    }
  }

  private static void pool(RandomGraph g) {
    String x = image(g, 1);
    String op = g.choices.of("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool");
    if (op.startsWith("Global")) {
      g.op(op, x);
      return;
    }
    long[] kernel = each(g, g.rank(x) - 2, 2, 3);
    Map<String, Object> a = window(g, x, kernel, 1);
    a.putAll(attributes("kernel_shape", kernel, "ceil_mode", g.below(2)));
    if (op.equals("AveragePool")) {
      a.put("count_include_pad", (long) g.below(2));
      if (g.opset < 19) {
        a.remove("dilations");
      }
    }
    if (a.containsKey("auto_pad")) {
      a.remove("ceil_mode");
    } else {
      fitsWhenRoundedUp(g, x, kernel, a);
    }
    g.op(op, a, x);
  }

  /**
   * A window that would start behind the input is left out. Beside one, no other may reach beyond
   * the stated padding where that is counted, or a whole kernel beyond the input.
   */
  private static void fitsWhenRoundedUp(
      RandomGraph g, String x, long[] kernel, Map<String, Object> attributes) {
    Node window = new Node("", "", "", List.of(), List.of(), attributes);
    long[] pads = window.integers("pads");
    long[] strides = window.integers("strides");
    long[] dilations = window.integers("dilations");
    boolean leftOut = false;
    boolean beyond = false;
    for (int i = 0; i < kernel.length; i++) {
      long span = dilations == null ? kernel[i] : (kernel[i] - 1) * dilations[i] + 1;
      long size = g.shape(x)[2 + i] + pads[i];
      long after = pads[kernel.length + i];
      long start = Math.ceilDiv(size + after - span, strides[i]) * strides[i];
      leftOut |= start >= size;
      long reached = (start < size ? start : start - strides[i]) + span - size;
      boolean counted = window.integer("count_include_pad", 0) != 0;
      beyond |= reached >= kernel[i] || counted && reached > after;
    }
    g.require(!leftOut || !beyond || window.integer("ceil_mode", 0) == 0);
  }

  private static void resize(RandomGraph g) {
    String x = image(g, 1);
    int rank = g.rank(x);
    long[] sizes = new long[rank];
    for (int i = 0; i < rank; i++) {
      sizes[i] = i < 2 ? g.shape(x)[i] : 1 + g.below(5);
    }
    String mode = g.choices.of("linear", "nearest");
    String coordinates =
        g.choices.of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel");
    g.op(
        "Resize",
        attributes("mode", mode, "coordinate_transformation_mode", coordinates),
        x,
        "",
        "",
        g.longs(sizes));
  }

  /** Attention as exporters write it out, over values of rank 3. */
  private static void attention(RandomGraph g) {
    String q = g.any(s -> s.length == 3 && s[2] > 1, 2, 3, 2);
    int[] shape = g.shape(q);
    String k = g.like(shape);
    String v = g.like(shape);
    String turned = g.op("Transpose", attributes("perm", new long[] {0, 2, 1}), k);
    String scores = g.op("Mul", g.op("MatMul", q, turned), g.number(0.5));
    if (g.choices.oneIn(2)) {
      String mask = g.op("Trilu", attributes("upper", 0), scores);
      scores = g.op("Add", scores, mask);
    }
    g.op("MatMul", g.op("Softmax", attributes("axis", -1), scores), v);
  }
}
