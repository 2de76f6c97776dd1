package io.assay.engine.kernel;

import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** {@link Kernels#grokGrid} in plain Java: pair by pair, and the sums of each part of the work. */
final class PortableGrid {
  /** Parts of the work, whatever the threads: sums over parts are added in their order. */
  private static final int PARTS = 8;

  private final GrokGrid args;
  private final int p;
  private final int heads;
  private final int neurons;

  /** [H (2p+1)] rows of m + p. */
  private final double[][] tables;

  private final double[] scores;
  private final double[] constant;

  /** [m] rows of p: W_L by neuron. */
  private final double[][] map;

  /** [part][4 p + 1][m]: as the sums, the squares behind. */
  private final double[][][] sums = new double[PARTS][][];

  private PortableGrid(GrokGrid args) {
    this.args = args;
    p = args.numbers();
    heads = args.heads();
    neurons = args.neurons();
    scores = args.scores().toDoubles();
    constant = args.constant().toDoubles();
    tables = new double[scores.length][neurons + p];
    for (int r = 0; r < tables.length; r++) {
      read(args.tables(), (long) r * (neurons + p), tables[r]);
    }
    map = new double[neurons][p];
    for (int c = 0; c < p; c++) {
      for (int j = 0; j < neurons; j++) {
        map[j][c] = args.map().get((long) c * neurons + j);
      }
    }
  }

  static void run(GrokGrid args, PortableFourier.Rows rows) {
    PortableGrid grid = new PortableGrid(args);
    rows.each(PARTS, grid::part);
    for (int part = 1; part < PARTS; part++) {
      for (int r = 0; r <= 4 * grid.p; r++) {
        add(1, grid.sums[part][r], grid.sums[0][r]);
      }
    }
    for (int r = 0; r < 4 * grid.p; r++) {
      write(grid.sums[0][r], args.sums(), (long) r * grid.neurons);
    }
    write(grid.sums[0][4 * grid.p], args.squares(), 0);
  }

  /** Pairs with a = part, part + {@value #PARTS}, ... */
  private void part(int part) {
    double[][] to = new double[4 * p + 1][neurons];
    sums[part] = to;
    double[] z = new double[neurons + p];
    double[] row = new double[p];
    for (int a = part; a < p; a += PARTS) {
      for (int b = 0; b < p; b++) {
        System.arraycopy(constant, 0, z, 0, z.length);
        for (int h = 0; h < heads; h++) {
          attend(a, b, h, z);
        }
        System.arraycopy(z, neurons, row, 0, p);
        for (int j = 0; j < neurons; j++) {
          z[j] = Math.max(0, z[j]);
          if (z[j] != 0) {
            add(z[j], map[j], row);
          }
        }
        add(1, z, to[a]);
        add(1, z, to[p + b]);
        add(1, z, to[2 * p + (a + b) % p]);
        add(1, z, to[3 * p + Math.floorMod(a - b, p)]);
        for (int j = 0; j < neurons; j++) {
          to[4 * p][j] += z[j] * z[j];
        }
        write(row, args.logits(), ((long) a * p + b) * p);
      }
    }
  }

  /** Adds what head h reads at a, b and "=". */
  private void attend(int a, int b, int h, double[] z) {
    int[] at = {h * (2 * p + 1) + a, h * (2 * p + 1) + p + b, h * (2 * p + 1) + 2 * p};
    double most = Math.max(scores[at[0]], Math.max(scores[at[1]], scores[at[2]]));
    double[] share = new double[at.length];
    double sum = 0;
    for (int i = 0; i < at.length; i++) {
      share[i] = Math.exp(scores[at[i]] - most);
      sum += share[i];
    }
    for (int i = 0; i < at.length; i++) {
      add(share[i] / sum, tables[at[i]], z);
    }
  }

  /** Adds a multiple of the first of the elements of {@code from}. */
  private static void add(double factor, double[] from, double[] to) {
    for (int i = 0; i < to.length; i++) {
      to[i] += factor * from[i];
    }
  }

  private static void read(Tensor from, long first, double[] to) {
    MemorySegment.copy(from.data(), Tensor.DOUBLE, first * Double.BYTES, to, 0, to.length);
  }

  private static void write(double[] from, Tensor to, long first) {
    MemorySegment.copy(from, 0, to.data(), Tensor.DOUBLE, first * Double.BYTES, from.length);
  }
}
