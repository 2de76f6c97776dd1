package io.assay.engine.graph;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Recurrent layers, as ONNX defines RNN, GRU and LSTM: one row, one step, one unit at a time. */
final class ReferenceRecurrent {
  private ReferenceRecurrent() {}

  static void register(Map<String, Reference.Operator> table) {
    table.put("RNN", c -> layer(c, 1, 1, ReferenceRecurrent::rnn));
    table.put("GRU", c -> layer(c, 3, 1, ReferenceRecurrent::gru));
    table.put("LSTM", c -> layer(c, 4, 2, ReferenceRecurrent::lstm));
  }

  /** From the input of a row and its states to its next states. */
  private interface Step {
    double[][] next(Gates g, double[] x, double[][] states);
  }

  /** The weights of one direction. */
  private record Gates(Reference.Call c, int direction, int count, int hidden) {
    /** {@code W x + Wb}. */
    double fed(int gate, int unit, double[] x) {
      return product(1, gate, unit, x) + bias(gate, unit);
    }

    /** {@code R h + Rb}. */
    double back(int gate, int unit, double[] h) {
      return product(2, gate, unit, h) + bias(count + gate, unit);
    }

    private double product(int input, int gate, int unit, double[] x) {
      double sum = 0;
      for (int i = 0; i < x.length; i++) {
        sum += c.in(input).get(direction, gate * hidden + unit, i) * x[i];
      }
      return sum;
    }

    private double bias(int gate, int unit) {
      return c.has(3) ? c.in(3).get(direction, gate * hidden + unit) : 0;
    }

    double peephole(int which, int unit) {
      return c.has(7) ? c.in(7).get(direction, which * hidden + unit) : 0;
    }

    boolean is(String attribute) {
      return c.node().integer(attribute, 0) != 0;
    }
  }

  private static double[][] rnn(Gates g, double[] x, double[][] states) {
    double[] h = new double[g.hidden];
    for (int u = 0; u < h.length; u++) {
      h[u] = Math.tanh(g.fed(0, u, x) + g.back(0, u, states[0]));
    }
    return new double[][] {h};
  }

  private static double[][] gru(Gates g, double[] x, double[][] states) {
    double[] h = states[0];
    double[] z = new double[h.length];
    double[] r = new double[h.length];
    double[] reset = new double[h.length];
    for (int u = 0; u < h.length; u++) {
      z[u] = ReferenceElementwise.sigmoid(g.fed(0, u, x) + g.back(0, u, h));
      r[u] = ReferenceElementwise.sigmoid(g.fed(1, u, x) + g.back(1, u, h));
      reset[u] = r[u] * h[u];
    }
    double[] next = new double[h.length];
    for (int u = 0; u < h.length; u++) {
      double back = g.is("linear_before_reset") ? r[u] * g.back(2, u, h) : g.back(2, u, reset);
      next[u] = (1 - z[u]) * Math.tanh(g.fed(2, u, x) + back) + z[u] * h[u];
    }
    return new double[][] {next};
  }

  private static double[][] lstm(Gates g, double[] x, double[][] states) {
    double[] h = new double[g.hidden];
    double[] c = new double[g.hidden];
    for (int u = 0; u < g.hidden; u++) {
      double[] gate = new double[4];
      for (int i = 0; i < 4; i++) {
        gate[i] = g.fed(i, u, x) + g.back(i, u, states[0]);
      }
      double old = states[1][u];
      double in = ReferenceElementwise.sigmoid(gate[0] + g.peephole(0, u) * old);
      double forget = ReferenceElementwise.sigmoid(gate[2] + g.peephole(2, u) * old);
      c[u] = (g.is("input_forget") ? 1 - in : forget) * old + in * Math.tanh(gate[3]);
      double out = ReferenceElementwise.sigmoid(gate[1] + g.peephole(1, u) * c[u]);
      h[u] = out * Math.tanh(c[u]);
    }
    return new double[][] {h, c};
  }

  /** Y [length, direction, row, hidden], then the last of each state, [direction, row, hidden]. */
  private static List<Array64> layer(Reference.Call c, int gates, int states, Step step) {
    int length = c.in(0).shape()[0];
    int rows = c.in(0).shape()[1];
    int width = c.in(0).shape()[2];
    int directions = c.in(1).shape()[0];
    int hidden = c.in(2).shape()[2];
    Array64 y = Array64.zeros(c.dtype(), length, directions, rows, hidden);
    List<Array64> outputs = new ArrayList<>(List.of(y));
    for (int s = 0; s < states; s++) {
      outputs.add(Array64.zeros(c.dtype(), directions, rows, hidden));
    }
    for (int d = 0; d < directions; d++) {
      boolean back = d == 1 || c.node().text("direction", "forward").equals("reverse");
      for (int row = 0; row < rows; row++) {
        int steps = c.has(4) ? (int) c.in(4).get(row) : length;
        double[][] state = new double[states][hidden];
        for (int s = 0; s < states; s++) {
          for (int u = 0; c.has(5 + s) && u < hidden; u++) {
            state[s][u] = c.in(5 + s).get(d, row, u);
          }
        }
        for (int i = 0; i < steps; i++) {
          int t = back ? steps - 1 - i : i;
          double[] x = new double[width];
          for (int k = 0; k < width; k++) {
            x[k] = c.in(0).get(t, row, k);
          }
          state = step.next(new Gates(c, d, gates, hidden), x, state);
          for (int u = 0; u < hidden; u++) {
            y.data()[((t * directions + d) * rows + row) * hidden + u] = state[0][u];
          }
        }
        for (int s = 0; s < states; s++) {
          System.arraycopy(
              state[s], 0, outputs.get(1 + s).data(), (d * rows + row) * hidden, hidden);
        }
      }
    }
    return outputs;
  }
}
