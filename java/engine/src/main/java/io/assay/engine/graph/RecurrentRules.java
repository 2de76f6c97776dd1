package io.assay.engine.graph;

import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Gradients of recurrent layers: those of the layer unrolled over its steps. The runtime's own
 * operator still computes the layer itself.
 */
final class RecurrentRules {
  /** A kind of layer: how many gates it has, and one step of it. */
  private enum Kind {
    RNN(1, 1, List.of("Tanh")),
    GRU(3, 1, List.of("Sigmoid", "Tanh")),
    LSTM(4, 2, List.of("Sigmoid", "Tanh", "Tanh"));

    private final int gates;
    private final int states;
    private final List<String> activations;

    Kind(int gates, int states, List<String> activations) {
      this.gates = gates;
      this.states = states;
      this.activations = activations;
    }
  }

  private final Backward b;
  private final Kind kind;
  private final boolean batchFirst;
  private final long length;
  private final long batch;
  private final long hidden;
  private final Map<List<Integer>, Expr> parts = new HashMap<>();

  private RecurrentRules(Backward b, Kind kind) {
    this.b = b;
    this.kind = kind;
    this.batchFirst = b.node().integer("layout", 0) != 0;
    this.length = b.in(0).shape()[batchFirst ? 1 : 0];
    this.batch = b.in(0).shape()[batchFirst ? 0 : 1];
    this.hidden = b.in(2).shape()[2];
  }

  static void register(Map<String, GradientRule> rules) {
    for (Kind kind : Kind.values()) {
      rules.put(kind.name(), b -> b.expand(() -> new RecurrentRules(b, kind).layer()));
    }
  }

  /** All states of all directions, then the last of each. */
  private List<Expr> layer() {
    String direction = b.node().text("direction", "forward");
    int directions = direction.equals("bidirectional") ? 2 : 1;
    List<Expr> all = new ArrayList<>();
    List<List<Expr>> last = List.of(new ArrayList<>(), new ArrayList<>());
    for (int d = 0; d < directions; d++) {
      Expr[] steps = new Expr[(int) length];
      Expr[] end = unroll(d, d == 1 || direction.equals("reverse"), steps);
      all.add(b.concat(0, List.of(steps)).reshape(length, 1, batch, hidden));
      for (int i = 0; i < end.length; i++) {
        last.get(i).add(end[i].reshape(1, batch, hidden));
      }
    }
    List<Expr> outputs = new ArrayList<>();
    Expr states = b.concat(1, all);
    outputs.add(batchFirst ? states.transpose(2, 0, 1, 3) : states);
    for (List<Expr> parts : last.subList(0, kind.states)) {
      Expr joined = b.concat(0, parts);
      outputs.add(batchFirst ? joined.transpose(1, 0, 2) : joined);
    }
    return outputs;
  }

  /**
   * One direction: puts the state after each step into {@code steps}, each [1, batch, hidden].
   * Beyond the length of a row its state stays and what is put out is 0.
   *
   * @return the last states, [batch, hidden]
   */
  private Expr[] unroll(int d, boolean reverse, Expr[] steps) {
    Expr x = batchFirst ? b.in(0).transpose(1, 0, 2) : b.in(0);
    // The products with the inputs of all steps at once.
    Expr rows = x.reshape(length * batch, -1);
    Expr fed = rows.gemm(gates(1, d, 0, kind.gates), false, true, 1);
    if (b.has(3)) {
      fed = fed.plus(gates(3, d, 0, kind.gates));
    }
    Expr[] state = new Expr[kind.states];
    for (int i = 0; i < state.length; i++) {
      state[i] = initial(5 + i, d);
    }
    Expr lengths = b.has(4) ? b.op("Unsqueeze", Map.of(), b.in(4), b.longs(1)) : null;
    for (int i = 0; i < length; i++) {
      int t = reverse ? (int) length - 1 - i : i;
      Expr[] next = step(d, fed.slice(0, t * batch, (t + 1) * batch), state);
      Expr out = next[0];
      if (lengths != null) {
        Expr alive = lengths.greaterThan(t);
        for (int j = 0; j < next.length; j++) {
          next[j] = alive.choose(next[j], state[j]);
        }
        out = out.where(alive);
      }
      state = next;
      steps[t] = out.reshape(1, batch, hidden);
    }
    return state;
  }

  private Expr[] step(int d, Expr fed, Expr[] state) {
    return switch (kind) {
      case RNN -> new Expr[] {activate(d, 0, fed.plus(recurrent(d, state[0], 0, 1)))};
      case GRU -> new Expr[] {gru(d, fed, state[0])};
      case LSTM -> lstm(d, fed, state[0], state[1]);
    };
  }

  /** ONNX, GRU: gates z, r, h. */
  private Expr gru(int d, Expr fed, Expr h) {
    Expr zr = activate(d, 0, columns(fed, 0, 2).plus(recurrent(d, h, 0, 2)));
    Expr z = columns(zr, 0, 1);
    Expr r = columns(zr, 1, 2);
    Expr candidate =
        b.node().integer("linear_before_reset", 0) != 0
            ? r.times(recurrent(d, h, 2, 3))
            : recurrent(d, r.times(h), 2, 3);
    Expr fresh = activate(d, 1, columns(fed, 2, 3).plus(candidate));
    return z.from(1).times(fresh).plus(z.times(h));
  }

  /** ONNX, LSTM: gates i, o, f, c, and peepholes i, o, f. */
  private Expr[] lstm(int d, Expr fed, Expr h, Expr c) {
    Expr gates = fed.plus(recurrent(d, h, 0, 4));
    Expr i = activate(d, 0, peep(d, columns(gates, 0, 1), c, 0));
    Expr f =
        b.node().integer("input_forget", 0) != 0
            ? i.from(1)
            : activate(d, 0, peep(d, columns(gates, 2, 3), c, 2));
    Expr cell = f.times(c).plus(i.times(activate(d, 1, columns(gates, 3, 4))));
    Expr o = activate(d, 0, peep(d, columns(gates, 1, 2), cell, 1));
    return new Expr[] {o.times(activate(d, 2, cell)), cell};
  }

  private Expr peep(int d, Expr gate, Expr cell, int which) {
    return b.has(7) ? gate.plus(cell.times(gates(7, d, which, which + 1))) : gate;
  }

  /** {@code h R^T + Rb} for some of the gates. */
  private Expr recurrent(int d, Expr h, int from, int to) {
    Expr product = h.gemm(gates(2, d, from, to), false, true, 1);
    return b.has(3) ? product.plus(gates(3, d, kind.gates + from, kind.gates + to)) : product;
  }

  /** What input {@code i} holds for some gates of one direction; all steps read the same value. */
  private Expr gates(int i, int d, int from, int to) {
    return parts.computeIfAbsent(
        List.of(i, d, from, to),
        _ -> {
          long[] shape = b.in(i).shape();
          return b.in(i)
              .slice(0, d, d + 1)
              .reshape(Arrays.copyOfRange(shape, 1, shape.length))
              .slice(0, from * hidden, to * hidden);
        });
  }

  /** Some gates' columns. */
  private Expr columns(Expr x, int from, int to) {
    return x.slice(1, from * hidden, to * hidden);
  }

  private Expr initial(int i, int d) {
    if (!b.has(i)) {
      return b.zeros(b.in(0).dtype(), batch, hidden);
    }
    Expr states = batchFirst ? b.in(i).transpose(1, 0, 2) : b.in(i);
    return states.slice(0, d, d + 1).reshape(batch, hidden);
  }

  /**
   * The activation function at place {@code which} of direction {@code d}. Gates are clipped before
   * it; the runtime does not clip the cell of an LSTM.
   */
  private Expr activate(int d, int which, Expr x) {
    Node node = b.node();
    Expr in = x;
    if (node.has("clip") && which < 2) {
      DType dtype = x.dtype();
      double clip = node.real("clip", 0);
      in = b.op("Clip", Map.of(), x, b.scalar(dtype, -clip), b.scalar(dtype, clip));
    }
    int place = d * kind.activations.size() + which;
    String name =
        node.attributes().get("activations") instanceof List<?> names && place < names.size()
            ? names.get(place).toString()
            : kind.activations.get(which);
    Map<String, Object> attributes = new HashMap<>();
    for (String parameter : List.of("alpha", "beta")) {
      double[] values = node.reals("activation_" + parameter);
      if (values != null && place < values.length) {
        attributes.put(parameter, (float) values[place]);
      }
    }
    return switch (name) {
      case "Sigmoid", "Tanh", "Relu", "Softsign", "Softplus" -> b.op(name, Map.of(), in);
      case "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu" -> b.op(name, attributes, in);
      default -> throw b.refused("for the activation function " + name);
    };
  }
}
