package io.assay.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.session.Session;
import io.assay.engine.session.SessionOptions;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;

/**
 * Checks one graph at one point: its values and its gradient, run in float32 by ONNX Runtime,
 * against the float64 reference and its central differences; and what is derived from it against
 * the graph itself.
 */
final class GraphCheck {
  /** Of the largest element: values are rounded at 6e-8, in some ten nodes after each other. */
  private static final double VALUES = 2e-5;

  /** Of the largest entry: the same, forth and back, with what cancels out between; seen: 2e-5. */
  private static final double GRADIENTS = 1e-4;

  /** Share of the largest entry of all gradients that counts as one for every value. */
  private static final double SHARE = 0.02;

  /**
   * The scale of the smallest gradients: a slope of 1e-4 in the tail of a tanh is the difference of
   * numbers about 1, which are rounded as such.
   */
  private static final double LEAST = 0.05;

  /** Roundings between an input and a gradient, as in the bounds above. */
  private static final int ROUNDINGS = 10;

  /** Step of the differences, exact in binary; the second is twice as long. */
  private static final double STEP = 0x1p-12;

  /** Entries of one value that are compared at most. */
  private static final int ENTRIES = 24;

  private static final SessionOptions OPTIONS = SessionOptions.cpu(1).withSpin(false);

  /** The runtime as users have it, with the optimisations that sessions leave on. */
  private final Evaluator ort =
      (g, inputs) -> {
        try (Session session = Session.compile(g, OPTIONS)) {
          return session.run(inputs);
        }
      };

  /** Entries of gradients compared, and those set aside since the difference is no derivative. */
  long compared;

  long aside;

  /** The largest error of a gradient, in tolerances. */
  double worst;

  /** How often each operator was differentiated. */
  final Map<String, Integer> operators = new HashMap<>();

  /** Of one value: how a scalar depends on it. */
  private record Slopes(Tensor gradient, double[] slopes, double[] doubts) {
    double largest() {
      return Arrays.stream(slopes).filter(Double::isFinite).map(Math::abs).max().orElse(0);
    }
  }

  void check(Graph original, Map<String, Tensor> inputs) {
    Random random = new Random(original.name().hashCode());
    Map<String, Array64> values = new LinkedHashMap<>();
    inputs.forEach((v, t) -> values.put(v, Array64.of(t)));
    original.constants().forEach((v, t) -> values.put(v, Array64.of(t)));
    Reference.run(original.nodes(), values);

    Map<String, Tensor> outputs = ort.evaluate(original, inputs);
    outputs.forEach((v, y) -> near("output " + v, values.get(v), y));
    Map<String, long[]> shapes = new LinkedHashMap<>();
    inputs.forEach((v, t) -> shapes.put(v, t.shape()));
    Graph g = original.specialise(shapes, ort);
    // What control flow became has values of its own.
    g.constants().forEach((v, t) -> values.putIfAbsent(v, Array64.of(t)));
    Reference.run(g.nodes(), values);
    g.types().entrySet().stream()
        .filter(e -> values.containsKey(e.getKey()))
        .forEach(
            e ->
                assertArrayEquals(
                    values.get(e.getKey()).longShape(), e.getValue().shape(), e.getKey()));

    Map<String, String> seeds = new LinkedHashMap<>();
    Map<String, Tensor> fed = new LinkedHashMap<>(inputs);
    for (String y : g.outputs()) {
      if (values.get(y).dtype() == DType.F32) {
        seeds.put(y, "seed." + y);
        Random each = new Random(y.hashCode());
        Array64 seed =
            Array64.build(DType.F32, values.get(y).shape(), _ -> (float) each.nextGaussian());
        fed.put("seed." + y, seed.tensor());
      }
    }
    if (seeds.isEmpty()) {
      return;
    }
    List<String> wrt = differentiable(original, g, random.nextBoolean(), random);
    if (wrt.isEmpty()) {
      return;
    }
    Gradient d = g.differentiate(seeds, wrt);
    Map<String, Tensor> got = run(d.graph(), fed);
    outputs.forEach(
        (v, y) -> near("output " + v + " beside the gradient", values.get(v), got.get(v)));
    g.nodes().forEach(n -> operators.merge(n.qualifiedOp(), 1, Integer::sum));
    gradients(original, values, fed, seeds, d, got);

    halves(d, fed, got);
    slices(g, inputs, values, random);
    patch(g, fed, values, seeds, got, d, random);
  }

  /**
   * All float values of the graph, or some of them; not those that were folded, and not the class
   * weights of a loss, which has no gradient by them.
   */
  private static List<String> differentiable(Graph original, Graph g, boolean all, Random random) {
    Set<String> fixed = new HashSet<>();
    g.nodes().stream().filter(n -> n.op().endsWith("Loss")).forEach(n -> fixed.add(n.input(2)));
    List<String> floats =
        g.types().entrySet().stream()
            .filter(e -> e.getValue().dtype() == DType.F32 && !fixed.contains(e.getKey()))
            .filter(e -> original.has(e.getKey()))
            .filter(e -> original.producer(e.getKey()) == null || g.constant(e.getKey()) == null)
            .map(Map.Entry::getKey)
            .sorted()
            .toList();
    List<String> some = floats.stream().filter(_ -> all || random.nextInt(3) == 0).toList();
    return some.isEmpty() ? floats.subList(0, Math.min(1, floats.size())) : some;
  }

  private Map<String, Tensor> run(Graph g, Map<String, Tensor> fed) {
    Graph used = g.slice(List.of(), g.outputs());
    Map<String, Tensor> some = new LinkedHashMap<>(fed);
    some.keySet().retainAll(used.inputs());
    return ort.evaluate(used, some);
  }

  private static void near(String what, Array64 want, Tensor got) {
    assertEquals(want.dtype(), got.dtype(), what);
    assertArrayEquals(want.longShape(), got.shape(), what);
    double scale = Math.max(1, Arrays.stream(want.data()).map(Math::abs).max().orElse(0));
    assertArrayEquals(want.data(), got.toDoubles(), VALUES * scale, what);
  }

  private void gradients(
      Graph original,
      Map<String, Array64> values,
      Map<String, Tensor> fed,
      Map<String, String> seeds,
      Gradient d,
      Map<String, Tensor> got) {
    Map<String, Array64> upstream = new LinkedHashMap<>();
    seeds.forEach((y, seed) -> upstream.put(y, Array64.of(fed.get(seed))));
    Map<String, Slopes> all = new LinkedHashMap<>();
    d.gradients()
        .forEach(
            (x, name) -> {
              Tensor gradient = got.get(name);
              assertArrayEquals(values.get(x).longShape(), gradient.shape(), name);
              all.put(x, slopes(original, values, upstream, x, gradient, Reference::run));
            });
    double largest = all.values().stream().mapToDouble(Slopes::largest).max().orElse(0);
    all.forEach(
        (x, s) -> {
          double scale = Math.max(s.largest(), Math.max(SHARE * largest, LEAST));
          for (int i = 0; i < s.slopes.length; i++) {
            if (Double.isNaN(s.slopes[i])) {
              continue;
            }
            compared++;
            if (s.doubts[i] > GRADIENTS * scale) {
              aside++;
            } else {
              double bound = GRADIENTS * scale;
              double error = Math.abs(s.slopes[i] - s.gradient.get(i));
              if (error > bound) {
                bound += ROUNDINGS * rounding(original, values, upstream, x, s);
              }
              String what = "gradient of " + x + "[" + i + "], of at most " + scale;
              assertEquals(s.slopes[i], s.gradient.get(i), bound, what);
              worst = Math.max(worst, error / bound);
            }
          }
        });
  }

  /**
   * Central differences by two steps, h and 2h, put together so that the error is of the fourth
   * power of h. Where the derivative jumps nearby, or right here, the two disagree about the slope
   * or about the curvature; by how much is the doubt.
   */
  private Slopes slopes(
      Graph g,
      Map<String, Array64> values,
      Map<String, Array64> upstream,
      String x,
      Tensor gradient,
      BiConsumer<List<Node>, Map<String, Array64>> run) {
    List<Node> behind = behind(g, x);
    Map<String, Array64> before = new HashMap<>(values);
    behind.forEach(n -> before.keySet().removeAll(n.outputs()));
    Array64 at = values.get(x);
    double here = scalar(values, upstream);
    int n = at.data().length;
    double[] slopes = new double[n];
    double[] doubts = new double[n];
    Arrays.fill(slopes, Double.NaN);
    int stride = Math.ceilDiv(n, ENTRIES);
    for (int i = 0; i < n; i += stride) {
      double[] f = new double[4];
      double[] steps = {STEP, -STEP, 2 * STEP, -2 * STEP};
      for (int k = 0; k < 4; k++) {
        double[] moved = at.data().clone();
        moved[i] += steps[k];
        Map<String, Array64> there = new HashMap<>(before);
        there.put(x, at.withData(moved));
        run.accept(behind, there);
        f[k] = scalar(there, upstream);
      }
      double near = (f[0] - f[1]) / (2 * STEP);
      double far = (f[2] - f[3]) / (4 * STEP);
      double bend = (f[0] + f[1] - 2 * here) / STEP;
      double farBend = (f[2] + f[3] - 2 * here) / (2 * STEP);
      slopes[i] = (4 * near - far) / 3;
      doubts[i] = Math.max(Math.abs(near - far), Math.abs(bend - farBend / 2));
    }
    return new Slopes(gradient, slopes, doubts);
  }

  /**
   * By how much the reference's slopes move when each number that is given or computed is rounded:
   * where terms far larger than the gradient cancel out, float32 cannot do better.
   */
  private double rounding(
      Graph original,
      Map<String, Array64> values,
      Map<String, Array64> upstream,
      String x,
      Slopes s) {
    Map<String, Array64> rounded = new LinkedHashMap<>();
    values.forEach(
        (v, t) -> {
          if (original.has(v) && original.producer(v) == null) {
            rounded.put(v, rounded(v, t));
          }
        });
    runRounded(original.nodes(), rounded);
    double[] moved =
        slopes(original, rounded, upstream, x, s.gradient, GraphCheck::runRounded).slopes;
    return IntStream.range(0, moved.length)
        .filter(i -> !Double.isNaN(moved[i]) && !Double.isNaN(s.slopes[i]))
        .mapToDouble(i -> Math.abs(moved[i] - s.slopes[i]))
        .max()
        .orElse(0);
  }

  private static void runRounded(List<Node> nodes, Map<String, Array64> values) {
    for (Node node : nodes) {
      Reference.run(List.of(node), values);
      node.outputs().forEach(v -> values.computeIfPresent(v, GraphCheck::rounded));
    }
  }

  /** Each entry up or down by a float32's rounding, always the same way for a value's name. */
  private static Array64 rounded(String value, Array64 t) {
    if (t.dtype() != DType.F32) {
      return t;
    }
    Random random = new Random(value.hashCode());
    return t.withData(
        Arrays.stream(t.data())
            .map(y -> y * (1 + (random.nextBoolean() ? 0x1p-24 : -0x1p-24)))
            .toArray());
  }

  /** The nodes that depend on x. */
  private static List<Node> behind(Graph g, String x) {
    Set<String> reached = new HashSet<>(Set.of(x));
    List<Node> behind = new ArrayList<>();
    for (Node node : g.nodes()) {
      if (Graph.reads(node).stream().anyMatch(reached::contains)) {
        behind.add(node);
        reached.addAll(node.outputs());
      }
    }
    return behind;
  }

  private static double scalar(Map<String, Array64> values, Map<String, Array64> upstream) {
    double sum = 0;
    for (Map.Entry<String, Array64> e : upstream.entrySet()) {
      double[] y = values.get(e.getKey()).data();
      for (int i = 0; i < y.length; i++) {
        sum += e.getValue().data()[i] * y[i];
      }
    }
    return sum;
  }

  private static void same(String what, Map<String, Tensor> want, Map<String, Tensor> got) {
    want.forEach(
        (v, w) -> {
          if (got.containsKey(v)) {
            near(what + ": " + v, Array64.of(w), got.get(v));
          }
        });
  }

  /** The forward half and the backward half, joined, are the whole. */
  private void halves(Gradient d, Map<String, Tensor> fed, Map<String, Tensor> whole) {
    Split split = d.split();
    Map<String, Tensor> forward = run(split.forward(), fed);
    Map<String, Tensor> carried = new LinkedHashMap<>(fed);
    split.carried().forEach(v -> carried.put(v, forward.get(v)));
    same("halves", whole, forward);
    Map<String, Tensor> gradients = run(split.backward(), carried);
    assertTrue(gradients.keySet().containsAll(d.gradients().values()));
    same("halves", whole, gradients);
  }

  /** Cut at some values: what comes before, and what comes behind from those, is the whole. */
  private void slices(
      Graph g, Map<String, Tensor> inputs, Map<String, Array64> values, Random random) {
    int at = random.nextInt(g.nodes().size() + 1);
    Set<String> cut = new LinkedHashSet<>();
    for (int i = 0; i < at; i++) {
      cut.addAll(g.nodes().get(i).outputs());
    }
    cut.removeIf(v -> v.isEmpty() || random.nextInt(3) == 0);
    List<String> rest =
        g.outputs().stream().filter(v -> g.producer(v) != null && !cut.contains(v)).toList();
    if (cut.isEmpty() || rest.isEmpty()) {
      return;
    }
    // All the cut values are exposed at once, which changes nothing.
    Map<String, Tensor> first = run(g.expose(cut.toArray(String[]::new)), inputs);
    first.forEach((v, y) -> near("exposed " + v, values.get(v), y));
    Map<String, Tensor> upTo = run(g.slice(List.of(), cut), inputs);
    same("slice", first, upTo);
    Map<String, Tensor> carried = new LinkedHashMap<>(inputs);
    carried.putAll(upTo);
    run(g.slice(cut, rest), carried).forEach((v, y) -> near("sliced " + v, values.get(v), y));
  }

  /** Every row replaced by itself. */
  private void patch(
      Graph g,
      Map<String, Tensor> fed,
      Map<String, Array64> values,
      Map<String, String> seeds,
      Map<String, Tensor> whole,
      Gradient d,
      Random random) {
    List<String> candidates =
        g.types().entrySet().stream()
            .filter(e -> e.getValue().dtype() == DType.F32 && !e.getValue().dims().isEmpty())
            .map(Map.Entry::getKey)
            .filter(v -> !g.users(v).isEmpty() && g.constant(v) == null)
            .sorted()
            .toList();
    if (candidates.isEmpty()) {
      return;
    }
    String value = candidates.get(random.nextInt(candidates.size()));
    int[] shape = values.get(value).shape();
    int axes = 1 + random.nextInt(Math.min(3, shape.length));
    int[] mapped = Arrays.copyOf(shape, axes);
    long[] rows = IntStream.range(0, Array64.size(mapped)).asLongStream().toArray();
    Map<String, Tensor> patched = new LinkedHashMap<>(fed);
    patched.put(
        value + ".patch.rows",
        Tensor.ofLongs(rows, Arrays.stream(mapped).asLongStream().toArray()));
    Collection<String> wrt =
        d.gradients().keySet().stream().filter(v -> g.inputs().contains(v)).toList();
    Graph p = g.patch(value, new RowPatch(axes, 0)).specialise(Map.of(), ort);
    same("patch of " + value, whole, run(p.differentiate(seeds, wrt).graph(), patched));
  }
}
