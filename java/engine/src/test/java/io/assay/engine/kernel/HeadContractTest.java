package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The rows of the output head and their gradient. */
class HeadContractTest extends KernelContract {
  private record Heads(
      HeadRows args,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin) {
    void run(Kernels k) {
      k.headRows(args, logProb, lse, argMax, margin);
    }
  }

  private Heads heads(Matrix hidden, Matrix head, MemorySegment bias, int... targets) {
    long rows = hidden.rows();
    int bytes = real(head.dtype()).bytes();
    MemorySegment ids = memory(rows * 4);
    for (int r = 0; r < rows; r++) {
      ids.set(Tensor.INT, r * 4L, targets[r % targets.length]);
    }
    return new Heads(
        new HeadRows(hidden, head, bias, ids),
        memory(rows * bytes),
        memory(rows * bytes),
        memory(rows * 4),
        memory(rows * bytes));
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void headRowsAndBackwardMatchTheFormula(Implementation implementation) {
    Random random = new Random(1);
    try (Kernels k = implementation.open().apply(2)) {
      for (DType type : List.of(DType.F32, DType.F64, DType.F16, DType.BF16)) {
        for (int i = 0; i < SIZES.length; i++) {
          checkHeads(k, random, type, SIZES[i], SIZES[SIZES.length - 1 - i], 1 + i % 5, i % 3);
        }
      }
    }
  }

  private void checkHeads(
      Kernels k, Random random, DType type, int vocabulary, int width, int rows, int gap) {
    String where = k.tier() + " " + type + " V=" + vocabulary + " d=" + width + " R=" + rows;
    DType real = real(type);
    Matrix head = random(random, type, vocabulary, width, gap);
    Matrix hidden = random(random, real, rows, width, gap);
    MemorySegment bias = random(random, real, 1, vocabulary, 0).data();
    Heads h = heads(hidden, head, bias, vocabulary - 1, 0);
    h.run(k);
    MemorySegment weight = random(random, real, 1, rows, 0).data();
    Matrix gradient = random(random, real, rows, width, gap);
    k.headBackward(h.args(), h.lse(), weight, gradient);
    double g = gamma(real, width + 2);
    for (int r = 0; r < rows; r++) {
      double sum = 0;
      double worst = 0;
      double max = Double.NEGATIVE_INFINITY;
      double second = Double.NEGATIVE_INFINITY;
      double[] logits = new double[vocabulary];
      for (int v = 0; v < vocabulary; v++) {
        Sum s = dot(head, v, hidden, r).plus(get(bias, real, v));
        logits[v] = s.value();
        worst = Math.max(worst, s.magnitude());
        sum += Math.exp(s.value());
        second = Math.max(second, Math.min(max, logits[v]));
        max = Math.max(max, logits[v]);
      }
      double lse = Math.log(sum);
      // The log-sum-exp moves no more than its worst logit; its own sum adds gamma_V, and exp and
      // log at most 4 ulp each.
      double bound = g * worst + gamma(real, vocabulary + 8) * (1 + Math.abs(lse));
      assertEquals(lse, get(h.lse(), real, r), bound, where + " lse " + r);
      int target = h.args().targets().get(Tensor.INT, r * 4L);
      double logProb = logits[target] - lse;
      assertEquals(logProb, get(h.logProb(), real, r), 2 * bound, where + " logProb " + r);
      int best = h.argMax().get(Tensor.INT, r * 4L);
      assertTrue(logits[best] >= max - 2 * bound, where + " argMax " + best);
      assertEquals(max - second, get(h.margin(), real, r), 2 * bound, where + " margin " + r);
      for (int c = 0; c < width; c++) {
        Sum s = new Sum(0, 0).plus(at(head, target, c));
        for (int v = 0; v < vocabulary; v++) {
          s = s.plus(-Math.exp(logits[v] - lse) * at(head, v, c));
        }
        double w = get(weight, real, r);
        double allowed = Math.abs(w) * s.magnitude() * (gamma(real, vocabulary + 8) + 3 * bound);
        assertEquals(
            w * s.value(), at(gradient, r, c), allowed, where + " gradient " + r + "," + c);
      }
    }
    for (long i = 0; i < (rows - 1L) * gradient.stride(); i++) {
      if (i % gradient.stride() >= width) {
        assertTrue(Double.isNaN(get(gradient.data(), real, i)), where + " wrote into the gap");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void headRowsOfTiesInfinitiesAndNaN(Implementation implementation) {
    try (Kernels k = implementation.open().apply(1)) {
      Matrix one = new Matrix(memory(4), DType.F32, 1, 1, 1);
      set(one.data(), DType.F32, 0, 1);
      double inf = Double.POSITIVE_INFINITY;
      expectHead(k, one, new double[] {2, 5, 5, 5}, 1, 0);
      expectHead(k, one, new double[] {-inf, 3, -inf}, 1, inf);
      expectHead(k, one, new double[] {1e30, -1e30, 1e-30}, 0, 1e30);
      expectHead(k, one, new double[] {7}, 0, inf);
      expectHead(k, one, new double[] {1, Double.NaN, 9}, -1, Double.NaN);
    }
  }

  private void expectHead(Kernels k, Matrix one, double[] logits, int argMax, double margin) {
    Matrix head = new Matrix(memory(4L * logits.length), DType.F32, logits.length, 1, 1);
    for (int v = 0; v < logits.length; v++) {
      set(head.data(), DType.F32, v, logits[v]);
    }
    Heads h = heads(one, head, null, 0);
    h.run(k);
    assertEquals(argMax, h.argMax().get(Tensor.INT, 0));
    double got = get(h.margin(), DType.F32, 0);

    assertEquals((float) margin, (float) got);
    if (argMax < 0) {
      assertTrue(Double.isNaN(get(h.lse(), DType.F32, 0)));
      assertTrue(Double.isNaN(get(h.logProb(), DType.F32, 0)));
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void badHeadArgumentsAreNamed(Implementation implementation) {
    Random random = new Random(2);
    Matrix head = random(random, DType.F32, 5, 4, 0);
    Matrix hidden = random(random, DType.F32, 2, 4, 0);
    try (Kernels k = implementation.open().apply(1)) {
      refused("targets[1]", () -> heads(hidden, head, null, 0, 5).run(k));
      refused("targets[0]", () -> heads(hidden, head, null, -1, 0).run(k));
      refused("hidden", () -> heads(random(random, DType.F32, 2, 3, 0), head, null, 0).run(k));
      refused("hidden", () -> heads(random(random, DType.F64, 2, 4, 0), head, null, 0).run(k));
      refused("bias", () -> heads(hidden, head, memory(16), 0).run(k));
      Heads ok = heads(hidden, head, null, 0);
      MemorySegment small = memory(7);
      refused("logProb", () -> k.headRows(ok.args(), small, ok.lse(), ok.argMax(), ok.margin()));
      refused("lse", () -> k.headRows(ok.args(), ok.logProb(), null, ok.argMax(), ok.margin()));
      refused("argMax", () -> k.headRows(ok.args(), ok.logProb(), ok.lse(), small, ok.margin()));
      refused("margin", () -> k.headRows(ok.args(), ok.logProb(), ok.lse(), ok.argMax(), small));
      refused("weight", () -> k.headBackward(ok.args(), ok.lse(), small, hidden));
      refused("overlaps", () -> k.headBackward(ok.args(), ok.lse(), ok.logProb(), hidden));
    }
    refused("stride", () -> new Matrix(memory(64), DType.F32, 2, 4, 3));
    refused("bytes", () -> new Matrix(memory(31), DType.F32, 2, 4, 4));
  }
}
