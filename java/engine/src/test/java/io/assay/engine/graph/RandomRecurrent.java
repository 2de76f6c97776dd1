package io.assay.engine.graph;

import static io.assay.engine.graph.RandomGraph.attributes;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;

/** Steps of recurrent layers. */
final class RandomRecurrent {
  private RandomRecurrent() {}

  static void register(List<RandomGraph.Step> steps) {
    steps.add(RandomRecurrent::layer);
  }

  private static void layer(RandomGraph g) {
    String op = g.choices.of("RNN", "GRU", "LSTM");
    boolean lstm = op.equals("LSTM");
    int gates = lstm ? 4 : op.equals("GRU") ? 3 : 1;
    String direction = g.choices.of("forward", "reverse", "bidirectional");
    int directions = direction.equals("bidirectional") ? 2 : 1;
    String x = g.any(3, 3);
    int length = g.shape(x)[0];
    int rows = g.shape(x)[1];
    int hidden = 1 + g.below(2);
    Map<String, Object> a = attributes("direction", direction, "hidden_size", hidden);
    if (op.equals("GRU")) {
      a.put("linear_before_reset", (long) g.below(2));
    }
    if (lstm && g.choices.oneIn(4)) {
      a.put("input_forget", 1L);
    }
    String w = g.like(directions, gates * hidden, g.shape(x)[2]);
    String r = g.like(directions, gates * hidden, hidden);
    String bias = g.choices.oneIn(2) ? g.like(directions, 2 * gates * hidden) : "";
    String lengths = g.choices.oneIn(3) ? lengths(g, rows, length) : "";
    String h = g.choices.oneIn(2) ? g.like(directions, rows, hidden) : "";
    if (!lstm) {
      g.ops(2, op, a, x, w, r, bias, lengths, h);
      return;
    }
    String c = g.choices.oneIn(2) ? g.like(directions, rows, hidden) : "";
    String peepholes = g.choices.oneIn(3) ? g.like(directions, 3 * hidden) : "";
    g.ops(3, op, a, x, w, r, bias, lengths, h, c, peepholes);
  }

  /** How many steps each row has, at least one. */
  private static String lengths(RandomGraph g, int rows, int length) {
    Tensor lengths = Tensor.allocate(Arena.ofAuto(), DType.I32, rows);
    for (int row = 0; row < rows; row++) {
      lengths.set(row, 1 + g.below(length));
    }
    return g.constant(lengths);
  }
}
