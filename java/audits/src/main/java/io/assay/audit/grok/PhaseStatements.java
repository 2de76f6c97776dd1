package io.assay.audit.grok;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import java.util.Arrays;
import java.util.List;

/** Statement 9 of specs/grokking.md section 8: the phases of the published mainline run (4.2). */
final class PhaseStatements {
  /** Epoch, training loss, test loss, excluded loss, sum of squared weights. */
  private static final double[][] MAINLINE = {
    {0, 4.78, 4.78, 4.77, 1780},
    {200, 0.020, 16.2, 1.24, 3650},
    {1000, 6.3e-6, 23.2, 0.338, 3650},
    {1400, 4.3e-7, 25.9, 0.316, 3380},
    {2000, 3.4e-7, 25.3, 0.393, 3000},
    {4000, 3.2e-7, 22.2, 0.952, 2690},
    {6000, 2.9e-7, 19.0, 2.58, 2510},
    {8000, 2.6e-7, 12.3, 6.9, 2300},
    {9400, 2.2e-7, 4.1, 11.6, 2000},
    {10000, 1.8e-7, 0.58, 13.4, 1750},
    {12000, 1.2e-7, 1.7e-4, 9.0, 1140},
    {14000, 1.05e-7, 7.4e-7, 6.2, 995},
    {20000, 1.0e-7, 3.1e-7, 5.9, 964},
    {39800, 9.9e-8, 3.0e-7, 5.98, 955}
  };

  private static final int STEP = 100;

  private PhaseStatements() {}

  static List<Statement> statements() {
    int n = (int) MAINLINE[MAINLINE.length - 1][0] / STEP + 1;
    double[][] curves = new double[5][n];
    for (int i = 0; i < n; i++) {
      for (int c = 0; c < 5; c++) {
        curves[c][i] = c == 0 ? (double) STEP * i : at(STEP * i, c);
      }
    }
    Phases found = Phases.of(curves[0], curves[1], curves[2], curves[3], curves[4]);
    double[] flat = new double[n];
    Arrays.fill(flat, 4.7);
    double[] falling = curves[3].clone();
    Arrays.sort(falling);
    for (int i = 0; i < n / 2; i++) {
      double was = falling[i];
      falling[i] = falling[n - 1 - i];
      falling[n - 1 - i] = was;
    }
    Phases none = Phases.of(curves[0], flat, flat, curves[3], curves[4]);
    Phases forgotten = Phases.of(curves[0], curves[1], flat, falling, curves[4]);
    return List.of(
        near("grok.9.memorised", "end of memorisation", 1350, number(found.memorised()), 150),
        near("grok.9.formed", "end of circuit formation", 9250, number(found.formed()), 250),
        near("grok.9.cleaned", "end of cleanup", 13800, number(found.cleaned()), 300),
        same(
            "grok.9.none",
            "phases of a training that fits nothing",
            new Phases(null, null, null),
            none),
        same(
            "grok.9.forgotten",
            "phases where the excluded loss never rises",
            new Phases(null, null, null),
            forgotten));
  }

  private static double number(Double x) {
    return x == null ? Double.NaN : x;
  }

  /** A curve between the rows of the table, straight in the logarithm. */
  private static double at(int epoch, int curve) {
    int row = 1;
    while (MAINLINE[row][0] < epoch) {
      row++;
    }
    double[] before = MAINLINE[row - 1];
    double[] after = MAINLINE[row];
    double part = (epoch - before[0]) / (after[0] - before[0]);
    return Math.exp((1 - part) * Math.log(before[curve]) + part * Math.log(after[curve]));
  }
}
