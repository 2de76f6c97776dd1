package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Steps of control flow that the shapes, or constants, decide. */
final class RandomControl {
  private RandomControl() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomControl::branch);
    steps.add(RandomControl::loop);
    steps.add(RandomControl::scan);
  }

  /** A body under construction; it reads values from outside by their names. */
  private record Body(RandomGraph g, Graph.Builder b) {
    Body(RandomGraph g) {
      this(g, Graph.builder("body").opset("", g.opset));
    }

    String op(String op, Map<String, Object> attributes, String... inputs) {
      return b.op(g.inner(), op, attributes, inputs);
    }

    /** One to three operators on a value, which keep its shape. */
    String steps(String x) {
      String y = x;
      for (int n = 1 + g.below(3); n > 0; n--) {
        y =
            switch (g.below(4)) {
              case 0 -> op(g.choices.of("Sin", "Tanh", "Neg", "Sigmoid", "Atan"), Map.of(), y);
              case 1 -> op(g.choices.of("Add", "Mul", "Sub"), Map.of(), x, y);
              default -> op(g.choices.of("Add", "Mul", "Sub"), Map.of(), y, x);
            };
      }
      return y;
    }

    /** With a value of the same shape from outside. */
    String meet(String y, String outer) {
      return op(g.choices.of("Mul", "Add", "Sub"), Map.of(), y, outer);
    }

    Graph done(String... outputs) {
      Arrays.stream(outputs).forEach(b::output);
      return b.buildBody();
    }
  }

  /** The size of the first axis, as the graph itself computes it. */
  private static String rows(RandomGraph g, String x) {
    return g.op("Gather", g.op("Shape", x), g.constant(Tensor.scalar(DType.I64, 0)));
  }

  private static void branch(RandomGraph g) {
    String x = g.any(1, 3);
    String other = g.like(g.shape(x));
    String condition =
        g.choices.oneIn(2)
            ? g.constant(Tensor.scalar(DType.BOOL, g.below(2)))
            : g.op("Greater", rows(g, x), g.constant(Tensor.scalar(DType.I64, 1 + g.below(3))));
    Body yes = new Body(g);
    Graph then = yes.done(yes.meet(yes.steps(x), other));
    Body no = new Body(g);
    Graph otherwise = no.done(no.steps(g.choices.oneIn(2) ? x : other));
    g.op("If", Map.of("then_branch", then, "else_branch", otherwise), condition);
  }

  private static void loop(RandomGraph g) {
    String x = g.any(1, 2);
    String outer = g.like(g.shape(x));
    // The number of rounds is given, or the size of an axis, or the body ends the loop itself.
    int kind = g.below(3);
    String limit =
        switch (kind) {
          case 0 -> g.constant(Tensor.scalar(DType.I64, 1 + g.below(3)));
          case 1 -> rows(g, x);
          default -> "";
        };
    String last = kind == 2 ? g.constant(Tensor.scalar(DType.I64, g.below(3))) : null;
    String on = kind == 2 || g.choices.oneIn(3) ? g.constant(Tensor.scalar(DType.BOOL, 1)) : "";
    Body body = new Body(g);
    String round = g.inner();
    String going = g.inner();
    String state = g.inner();
    body.b.input(round, TensorType.of(DType.I64)).input(going, TensorType.of(DType.BOOL));
    body.b.input(state, TensorType.of(DType.F32, Array64.zeros(DType.F32, g.shape(x)).longShape()));
    String go =
        kind == 2 ? body.op("Less", Map.of(), round, last) : body.op("Identity", Map.of(), going);
    String y = body.meet(body.steps(state), outer);
    if (g.choices.oneIn(2)) {
      y = body.op("Mul", Map.of(), y, body.op("Cast", Map.of("to", 1L), round));
    }
    String moved = body.op("Tanh", Map.of(), y);
    boolean all = g.choices.oneIn(2);
    Graph done = all ? body.done(go, moved, y) : body.done(go, moved);
    g.ops(all ? 2 : 1, "Loop", Map.of("body", done), limit, on, x);
  }

  private static void scan(RandomGraph g) {
    String x = g.any(1, 3);
    int rank = g.rank(x);
    int axis = g.below(rank);
    int[] rest = IntStream.range(0, rank).filter(i -> i != axis).map(i -> g.shape(x)[i]).toArray();
    String start = g.like(rest);
    long[] shape = Arrays.stream(rest).asLongStream().toArray();
    Body body = new Body(g);
    String state = g.inner();
    String part = g.inner();
    body.b.input(state, TensorType.of(DType.F32, shape));
    body.b.input(part, TensorType.of(DType.F32, shape));
    String y = body.meet(body.steps(part), state);
    String moved = body.op("Tanh", Map.of(), y);
    Map<String, Object> a =
        attributes(
            "num_scan_inputs",
            1,
            "scan_input_axes",
            new long[] {axis},
            "scan_input_directions",
            new long[] {g.below(2)},
            "scan_output_axes",
            new long[] {g.below(rank)},
            "scan_output_directions",
            new long[] {g.below(2)},
            "body",
            body.done(moved, y));
    g.ops(2, "Scan", a, start, x);
  }
}
