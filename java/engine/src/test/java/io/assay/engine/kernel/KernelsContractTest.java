package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What every implementation of {@link Kernels} owes, against sums written out here in double.
 *
 * <p>A sum of n products of floats, in whatever order, errs by at most gamma_n * sum|terms|,
 * gamma_n = n*u/(1-n*u), u = 2^-24 (Higham 2002, section 3.1); the same with u = 2^-53 for doubles.
 * One more rounding stores the result.
 */
class KernelsContractTest {
  private static final int[] SIZES = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 61, 127};
  private final Arena arena = Arena.ofShared();
  private boolean atStart;

  /**
   * One line per implementation; each opens kernels for a number of threads. Where a CUDA library
   * is named it is those of that alone: the build runs the class a second time.
   */
  static Stream<Implementation> implementations() {
    if (CudaCheck.library() != null) {
      return Stream.of(
          new Implementation("cuda", threads -> CudaKernels.open(CudaCheck.driver(), 0, threads)));
    }
    List<Implementation> all = new ArrayList<>();
    for (KernelsReport.Line line : KernelsReport.lines()) {
      if (line.available()) {
        all.add(
            new Implementation(
                line.implementation() + " " + line.tier(),
                line.implementation().equals("cpu")
                    ? threads -> CpuKernels.open(threads, line.tier())
                    : PortableKernels::new));
      }
    }
    return all.stream();
  }

  record Implementation(String name, IntFunction<Kernels> open) {
    @Override
    public String toString() {
      return name;
    }
  }

  @AfterEach
  void release() {
    arena.close();
  }

  // ---- helpers: memory at guard pages, misaligned by construction, and plain access ----

  private MemorySegment memory(long bytes) {
    atStart = !atStart;
    return GuardedMemory.allocate(arena, bytes, atStart);
  }

  /** Rows of random values with a stride that leaves a gap; the gap holds NaN. */
  private Matrix random(Random random, DType type, long rows, long columns, long gap) {
    long stride = columns + gap;
    long elements = rows == 0 ? 0 : (rows - 1) * stride + columns;
    Matrix m = new Matrix(memory(elements * type.bytes()), type, rows, columns, stride);
    for (long i = 0; i < elements; i++) {
      set(m.data(), type, i, i % stride < columns ? random.nextGaussian() : Double.NaN);
    }
    return m;
  }

  private static void set(MemorySegment s, DType type, long i, double value) {
    switch (type) {
      case F32 -> s.set(Tensor.FLOAT, i * 4, (float) value);
      case F64 -> s.set(Tensor.DOUBLE, i * 8, value);
      case F16 -> s.set(Tensor.SHORT, i * 2, Float.floatToFloat16((float) value));
      case BF16 -> s.set(Tensor.SHORT, i * 2, (short) (Float.floatToIntBits((float) value) >>> 16));
      default -> throw new AssertionError(type);
    }
  }

  private static double get(MemorySegment s, DType type, long i) {
    return switch (type) {
      case F32 -> s.get(Tensor.FLOAT, i * 4);
      case F64 -> s.get(Tensor.DOUBLE, i * 8);
      case F16 -> Float.float16ToFloat(s.get(Tensor.SHORT, i * 2));
      case BF16 -> Float.intBitsToFloat(s.get(Tensor.SHORT, i * 2) << 16);
      default -> throw new AssertionError(type);
    };
  }

  private static double at(Matrix m, long r, long c) {
    return get(m.data(), m.dtype(), r * m.stride() + c);
  }

  private static DType real(DType table) {
    return table == DType.F64 ? DType.F64 : DType.F32;
  }

  private static double gamma(DType real, long n) {
    double u = real == DType.F64 ? 0x1p-53 : 0x1p-24;
    return n * u / (1 - n * u);
  }

  /** A value and the sum of the magnitudes that it was added from. */
  private record Sum(double value, double magnitude) {
    Sum plus(double x) {
      return new Sum(value + x, magnitude + Math.abs(x));
    }
  }

  private static Sum dot(Matrix a, long ra, Matrix b, long rb) {
    Sum sum = new Sum(0, 0);
    for (long c = 0; c < a.columns(); c++) {
      sum = sum.plus(at(a, ra, c) * at(b, rb, c));
    }
    return sum;
  }

  // ---- head rows ----

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

  // ---- token swap ----

  /** A swap without bias or masks; alpha, unigram and lse are there. */
  private TokenSwap swap(
      Random random, DType type, int audits, int vocabulary, int width, int kept) {
    DType real = real(type);
    int b = real.bytes();
    return new TokenSwap(
        random(random, type, vocabulary, width, 1),
        null,
        random(random, real, audits, width, 2),
        random(random, real, audits, width, 0),
        random(random, real, 1, audits, 0).data(),
        random(random, real, 1, vocabulary, 0).data(),
        random(random, real, 1, vocabulary, 0).data(),
        memory((vocabulary + 7) / 8).fill((byte) 0x6D),
        null,
        null,
        kept,
        memory(4L * audits * kept),
        memory((long) b * audits * kept),
        memory(4L * audits),
        memory(8L * audits),
        memory((long) b * audits));
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void tokenSwapKeepsTheBestAllowed(Implementation implementation) {
    Random random = new Random(3);
    for (DType type : List.of(DType.F32, DType.F64, DType.F16, DType.BF16)) {
      for (int i = 0; i < SIZES.length; i++) {
        int audits = 1 + i % 4;
        TokenSwap a = swap(random, type, audits, SIZES[SIZES.length - 1 - i], SIZES[i], 1 + 7 * i);
        byte[] bits = null;
        for (int threads = 1; threads <= 3; threads++) {
          try (Kernels k = implementation.open().apply(threads)) {
            k.tokenSwapTopk(a);
            checkSwap(a, k.tier() + " " + type + " case " + i);
          }
          byte[] now = a.scores().toArray(ValueLayout.JAVA_BYTE);
          assertTrue(bits == null || Arrays.equals(bits, now), "threads change bits");
          bits = now;
        }
      }
    }
  }

  /** Rows near each other, so that 8 bits do not tell them apart, and some far longer. */
  @ParameterizedTest
  @MethodSource("implementations")
  void coarseTableChangesNothing(Implementation implementation) {
    Random random = new Random(16);
    int vocabulary = 601;
    int width = 37;
    TokenSwap a = swap(random, DType.F32, 3, vocabulary, width, 9);
    Matrix table = a.embedding();
    for (int v = 1; v < vocabulary; v++) {
      for (int c = 0; c < width; c++) {
        float first = table.data().get(Tensor.FLOAT, 4L * c);
        float value = v % 2 == 0 ? first * (1 + v * 0x1p-22f) : first * (v % 50 == 1 ? 1e6f : 0.9f);
        table.data().set(Tensor.FLOAT, 4 * (v * table.stride() + c), value);
      }
    }
    table.data().set(Tensor.FLOAT, 4 * (100 * table.stride()), Float.NaN);
    CoarseTable coarse = CoarseTable.of(Arena.ofAuto(), table);
    for (int threads = 1; threads <= 3; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        k.tokenSwapTopk(a);
        List<byte[]> without = results(a);
        a.ids().fill((byte) 7);
        a.scores().fill((byte) 7);
        k.tokenSwapTopk(a, coarse);
        List<byte[]> with = results(a);
        for (int i = 0; i < with.size(); i++) {
          assertArrayEquals(without.get(i), with.get(i), k.tier() + " result " + i);
        }
        MemorySegment small = memory(4L * vocabulary - 1);
        MemorySegment scale = coarse.scale();
        MemorySegment error = coarse.error();
        refused("coarse", () -> k.tokenSwapTopk(a, new CoarseTable(table, scale, error)));
        refused("scale", () -> k.tokenSwapTopk(a, new CoarseTable(coarse.table(), small, error)));
        refused("error", () -> k.tokenSwapTopk(a, new CoarseTable(coarse.table(), scale, small)));
      }
    }
  }

  private static List<byte[]> results(TokenSwap a) {
    return List.of(
        a.ids().toArray(ValueLayout.JAVA_BYTE),
        a.scores().toArray(ValueLayout.JAVA_BYTE),
        a.found().toArray(ValueLayout.JAVA_BYTE),
        a.nans().toArray(ValueLayout.JAVA_BYTE));
  }

  /** The products of a row and of its coarse form with any x differ by at most error times |x|. */
  @Test
  void coarseErrorIsABound() {
    Random random = new Random(17);
    Matrix table = random(random, DType.F32, 50, 29, 2);
    CoarseTable coarse = CoarseTable.of(Arena.ofAuto(), table);
    for (int v = 0; v < 50; v++) {
      double error = coarse.error().get(Tensor.FLOAT, 4L * v);
      double product = 0;
      double length = 0;
      double magnitude = 0;
      for (int c = 0; c < 29; c++) {
        double e = table.data().get(Tensor.FLOAT, 4 * (v * table.stride() + c));
        double scale = coarse.scale().get(Tensor.FLOAT, 4L * v);
        double apart = e - scale * coarse.table().data().get(ValueLayout.JAVA_BYTE, v * 29 + c);
        // The worst x is the difference itself.
        product += apart * apart;
        length += apart * apart;
        magnitude += e * e;
      }
      assertTrue(product <= error * Math.sqrt(length), "row " + v);
      assertTrue(error <= 0x1p-5 * Math.sqrt(magnitude) + 1e-30, "row " + v + " is too loose");
    }
  }

  private static void checkSwap(TokenSwap a, String where) {
    DType real = real(a.embedding().dtype());
    int vocabulary = (int) a.embedding().rows();
    double g = gamma(real, a.embedding().columns() + vocabulary + 16);
    for (int r = 0; r < a.gradient().rows(); r++) {
      double sum = 0;
      double worst = 0;
      for (int v = 0; v < vocabulary; v++) {
        Sum s = dot(a.embedding(), v, a.hidden(), r).plus(get(a.bias(), real, v));
        sum += Math.exp(s.value());
        worst = Math.max(worst, s.magnitude());
      }
      double lse = Math.log(sum);
      assertEquals(lse, get(a.lse(), real, r), g * (1 + worst + Math.abs(lse)), where + " lse");
      double alpha = get(a.alpha(), real, r);
      double[] scores = new double[vocabulary];
      double bound = 0;
      int allowed = 0;
      for (int v = 0; v < vocabulary; v++) {
        Sum e = dot(a.embedding(), v, a.gradient(), r);
        Sum h = dot(a.embedding(), v, a.hidden(), r).plus(get(a.bias(), real, v)).plus(-lse);
        double u = get(a.unigram(), real, v);
        scores[v] = e.value() + alpha * h.value() + u;
        double terms = e.magnitude() + Math.abs(alpha) * (h.magnitude() + worst) + Math.abs(u);
        bound = Math.max(bound, g * (1 + terms));
        boolean may = (0x6D >> (v & 7) & 1) != 0;
        allowed += may ? 1 : 0;
        scores[v] = may ? scores[v] : Double.NaN;
      }
      double[] sorted = Arrays.stream(scores).filter(x -> x == x).sorted().toArray();
      int found = a.found().get(Tensor.INT, r * 4L);
      assertEquals(Math.min(allowed, a.kept()), found, where);
      assertEquals(0, a.nans().get(Tensor.LONG, r * 8L), where);
      for (int j = 0; j < a.kept(); j++) {
        long slot = (long) r * a.kept() + j;
        int id = a.ids().get(Tensor.INT, slot * 4);
        double score = get(a.scores(), real, slot);
        if (j >= found) {
          assertEquals(-1, id, where);
          assertEquals(Double.NEGATIVE_INFINITY, score, where);
        } else {
          assertEquals(sorted[sorted.length - 1 - j], score, bound, where + " place " + j);
          assertEquals(scores[id], score, bound, where + " id " + id);
        }
      }
    }
  }

  /** Exact sums, so that ties are ties on every implementation: small integers. */
  @ParameterizedTest
  @MethodSource("implementations")
  void tiesForbiddenTokensAndNotANumber(Implementation implementation) {
    int vocabulary = 1000;
    Matrix e = random(new Random(4), DType.F32, vocabulary, 3, 1);
    for (int v = 0; v < vocabulary; v++) {
      for (int c = 0; c < 3; c++) {
        set(e.data(), DType.F32, (long) v * e.stride() + c, c == 0 ? v % 5 : 0);
      }
    }
    set(e.data(), DType.F32, 9 * e.stride(), Float.NaN);
    Matrix g = random(new Random(5), DType.F32, 2, 3, 0);
    for (int i = 0; i < 6; i++) {
      set(g.data(), DType.F32, i, 1);
    }
    MemorySegment offsets = memory(24);
    offsets.set(Tensor.LONG, 0, 0);
    offsets.set(Tensor.LONG, 8, 2);
    offsets.set(Tensor.LONG, 16, 3);
    MemorySegment ids = memory(12);
    ids.set(Tensor.INT, 0, 4);
    ids.set(Tensor.INT, 4, 14);
    ids.set(Tensor.INT, 8, 19);
    TokenSwap a =
        new TokenSwap(
            e,
            null,
            g,
            null,
            null,
            null,
            null,
            null,
            offsets,
            ids,
            4,
            memory(32),
            memory(32),
            memory(8),
            memory(16),
            null);
    for (int threads = 1; threads <= 3; threads++) {
      try (Kernels k = implementation.open().apply(threads)) {
        k.tokenSwapTopk(a);
      }
      int[] kept = a.ids().toArray(ValueLayout.JAVA_INT);
      assertEquals("[19, 24, 29, 34, 4, 14, 24, 29]", Arrays.toString(kept));
      assertEquals(1, a.nans().get(Tensor.LONG, 0));
      assertEquals(1, a.nans().get(Tensor.LONG, 8));
    }
  }

  @ParameterizedTest
  @MethodSource("implementations")
  void adamwFollowsTheAlgorithm(Implementation implementation) {
    Kernels.AdamW settings = new Kernels.AdamW(0.01, 0.9, 0.98, 1e-8, 0.1);
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int n : SIZES) {
        Random random = new Random(n);
        Matrix p = random(random, type, 3, n, 2);
        Matrix g = random(random, type, 3, n, 1);
        Matrix m = random(random, type, 3, n, 0);
        Matrix v = random(random, type, 3, n, 3);
        for (int r = 0; r < 3; r++) {
          for (int c = 0; c < n; c++) {
            set(v.data(), type, r * v.stride() + c, Math.abs(at(v, r, c)));
          }
        }
        double[][] want = new double[3 * n][];
        for (int i = 0; i < 3 * n; i++) {
          int r = i / n;
          int c = i % n;
          double first = 0.9 * at(m, r, c) + 0.1 * at(g, r, c);
          double second = 0.98 * at(v, r, c) + 0.02 * at(g, r, c) * at(g, r, c);
          double hat = first / (1 - Math.pow(0.9, 3));
          double root = Math.sqrt(second / (1 - Math.pow(0.98, 3)));
          double next = at(p, r, c) - 0.01 * 0.1 * at(p, r, c) - 0.01 * hat / (root + 1e-8);
          want[i] = new double[] {first, second, next};
        }
        try (Kernels k = implementation.open().apply(2)) {
          k.adamw(p, g, m, v, settings, 3);
        }
        // One rounding of the stored value, and a few of double arithmetic.
        double ulp = type == DType.F64 ? 0x1p-48 : 0x1p-24;
        for (int i = 0; i < 3 * n; i++) {
          int r = i / n;
          int c = i % n;
          assertEquals(want[i][0], at(m, r, c), ulp * (1 + Math.abs(want[i][0])));
          assertEquals(want[i][1], at(v, r, c), ulp * (1 + Math.abs(want[i][1])));
          assertEquals(want[i][2], at(p, r, c), ulp * (1 + Math.abs(want[i][2])));
        }
      }
    }
  }

  /** The moments of what gets no gradient any more end at zero, not among the denormals. */
  @ParameterizedTest
  @MethodSource("implementations")
  void adamwHasNoDenormals(Implementation implementation) {
    Kernels.AdamW settings = new Kernels.AdamW(0.01, 0.9, 0.98, 1e-8, 0.1);
    for (DType type : List.of(DType.F32, DType.F64)) {
      double normal = type == DType.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
      int n = 37;
      Matrix p = random(new Random(1), type, 1, n, 0);
      Matrix g = random(new Random(2), type, 1, n, 0);
      Matrix m = random(new Random(3), type, 1, n, 0);
      Matrix v = random(new Random(4), type, 1, n, 0);
      for (int c = 0; c < n; c++) {
        set(g.data(), type, c, 0);
        // Even ones are denormal before the step, odd ones behind it.
        set(m.data(), type, c, (c % 2 == 0 ? 0.75 : 1.0625) * normal);
        set(v.data(), type, c, (c % 2 == 0 ? 0.75 : 1.0078125) * normal);
        set(p.data(), type, c, (c % 2 == 0 ? 0.75 : 4) * normal);
      }
      try (Kernels k = implementation.open().apply(1)) {
        k.adamw(p, g, m, v, settings, 1);
      }
      for (int c = 0; c < n; c++) {
        assertEquals(0, at(m, 0, c), type + " " + c);
        assertEquals(0, at(v, 0, c), type + " " + c);
        assertEquals(c % 2 == 0, at(p, 0, c) == 0, type + " " + c);
      }
    }
  }

  // ---- suffix attention ----

  private static Matrix without(Matrix m, long rows) {
    return new Matrix(m.data(), m.dtype(), rows, m.columns(), m.stride());
  }

  /** Sequences at several starts of two prompts, queries of all positions or of the last one. */
  private SuffixAttention attention(Random random, DType type, int heads, int width, boolean last) {
    int positions = 37;
    int[] starts = {0, 36, 5, 5, 32, 33};
    MemorySegment first = memory(starts.length * 4L);
    MemorySegment prompts = memory(starts.length * 4L);
    int rows = 0;
    for (int s = 0; s < starts.length; s++) {
      first.set(Tensor.INT, s * 4L, starts[s]);
      prompts.set(Tensor.INT, s * 4L, s % 2);
      rows += positions - starts[s];
    }
    int columns = heads * width;
    return new SuffixAttention(
        random(random, type, last ? starts.length : rows, columns, 1),
        random(random, type, rows, columns, 2),
        random(random, type, rows, columns, 0),
        random(random, type, 2 * positions, columns, 3),
        random(random, type, 2 * positions, columns, 1),
        prompts,
        first,
        starts.length,
        positions,
        heads,
        0.3);
  }

  /** Against the formula; a share errs by its score, the greatest score, e^x and the sum. */
  @ParameterizedTest
  @MethodSource("implementations")
  void suffixAttentionIsTheFormula(Implementation implementation) {
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int width : SIZES) {
        boolean last = width % 2 == 0;
        SuffixAttention a = attention(new Random(width), type, 1 + width % 3, width, last);
        Matrix out = random(new Random(1), type, a.queries().rows(), a.queries().columns(), 2);
        Matrix again = random(new Random(1), type, a.queries().rows(), a.queries().columns(), 2);
        try (Kernels one = implementation.open().apply(1);
            Kernels three = implementation.open().apply(3)) {
          one.suffixAttention(a, out);
          three.suffixAttention(a, again);
        }
        assertEquals(-1, out.data().mismatch(again.data()), "bits by threads");
        long row = 0;
        long own = 0;
        for (int s = 0; s < a.sequences(); s++) {
          int start = a.starts().get(Tensor.INT, s * 4L);
          for (int t = last ? a.positions() - 1 : start; t < a.positions(); t++, row++) {
            for (int c = 0; c < a.queries().columns(); c++) {
              assertRead(a, s, own - start, row, t, c, at(out, row, c));
            }
          }
          own += a.positions() - start;
        }
      }
    }
  }

  private static void assertRead(
      SuffixAttention a, int s, long own, long row, int t, int column, double got) {
    int start = a.starts().get(Tensor.INT, s * 4L);
    long past = (long) (s % 2) * a.positions();
    long width = a.queries().columns() / a.heads();
    long from = column / width * width;
    double u = gamma(a.queries().dtype(), 1);
    double[] scores = new double[t + 1];
    double error = 0;
    for (int k = 0; k <= t; k++) {
      Sum dot = new Sum(0, 0);
      for (long c = from; c < from + width; c++) {
        double key = k < start ? at(a.pastKeys(), past + k, c) : at(a.keys(), own + k, c);
        dot = dot.plus(at(a.queries(), row, c) * key);
      }
      scores[k] = a.scale() * dot.value();
      error = Math.max(error, a.scale() * dot.magnitude() * (width + 4) * u);
    }
    double max = Arrays.stream(scores).max().orElseThrow();
    double least = Arrays.stream(scores).min().orElseThrow();
    double total = Arrays.stream(scores).map(x -> Math.exp(x - max)).sum();
    Sum read = new Sum(0, 0);
    for (int k = 0; k <= t; k++) {
      double value =
          k < start ? at(a.pastValues(), past + k, column) : at(a.values(), own + k, column);
      read = read.plus(Math.exp(scores[k] - max) / total * value);
    }
    double bound = read.magnitude() * (4 * error + (max - least + 2.0 * t + 16) * u);
    assertEquals(read.value(), got, bound, "sequence " + s + " position " + t + " at " + column);
  }

  /** A row's bits do not depend on its neighbours; a NaN stays in its own head. */
  @ParameterizedTest
  @MethodSource("implementations")
  void suffixAttentionKeepsRowsApart(Implementation implementation) {
    SuffixAttention a = attention(new Random(3), DType.F32, 2, 16, false);
    Matrix out = random(new Random(1), DType.F32, a.queries().rows(), 32, 0);
    Matrix first = random(new Random(1), DType.F32, a.positions(), 32, 0);
    try (Kernels k = implementation.open().apply(2)) {
      k.suffixAttention(a, out);
      SuffixAttention alone =
          new SuffixAttention(
              without(a.queries(), 37),
              without(a.keys(), 37),
              without(a.values(), 37),
              null,
              null,
              null,
              a.starts(),
              1,
              37,
              2,
              0.3);
      k.suffixAttention(alone, first);
      long bytes = 37 * 32 * 4;
      assertEquals(-1, out.data().asSlice(0, bytes).mismatch(first.data().asSlice(0, bytes)));
      set(a.queries().data(), DType.F32, 0, Double.NaN);
      Matrix broken = random(new Random(1), DType.F32, a.queries().rows(), 32, 0);
      k.suffixAttention(a, broken);
      for (int c = 0; c < 32; c++) {
        assertEquals(c < 16, Double.isNaN(at(broken, 0, c)), "column " + c);
        assertEquals(at(out, 1, c), at(broken, 1, c));
      }
      refused("starts[0]", () -> k.suffixAttention(starting(a, 37), out));
      refused("pastKeys", () -> k.suffixAttention(starting(alone, 1), out));
      refused("heads", () -> k.suffixAttention(withHeads(a, 3), out));
      refused("out", () -> k.suffixAttention(a, without(out, 5)));
    }
  }

  private SuffixAttention starting(SuffixAttention a, int start) {
    MemorySegment starts = memory(4L * a.sequences());
    starts.set(Tensor.INT, 0, start);
    return new SuffixAttention(
        a.queries(),
        a.keys(),
        a.values(),
        a.pastKeys(),
        a.pastValues(),
        starts,
        starts,
        a.sequences(),
        a.positions(),
        a.heads(),
        a.scale());
  }

  private static SuffixAttention withHeads(SuffixAttention a, int heads) {
    return new SuffixAttention(
        a.queries(),
        a.keys(),
        a.values(),
        a.pastKeys(),
        a.pastValues(),
        a.prompts(),
        a.starts(),
        a.sequences(),
        a.positions(),
        heads,
        a.scale());
  }

  private static void refused(String word, Runnable call) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(word), message);
  }
}
