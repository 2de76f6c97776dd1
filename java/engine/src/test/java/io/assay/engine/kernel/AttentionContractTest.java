package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Attention of sequences behind the keys and values of whole prompts. */
class AttentionContractTest extends KernelContract {
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
            for (int head = 0; head < a.heads(); head++) {
              assertHead(a, s, own - start, row, t, head, out);
            }
          }
          own += a.positions() - start;
        }
      }
    }
  }

  private static void assertHead(
      SuffixAttention a, int s, long own, long row, int t, int head, Matrix out) {
    int start = a.starts().get(Tensor.INT, s * 4L);
    long past = (long) (s % 2) * a.positions();
    long width = a.queries().columns() / a.heads();
    long from = head * width;
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
    double[] shares = Arrays.stream(scores).map(x -> Math.exp(x - max)).toArray();
    double total = Arrays.stream(shares).sum();
    for (long c = from; c < from + width; c++) {
      Sum read = new Sum(0, 0);
      for (int k = 0; k <= t; k++) {
        double value = k < start ? at(a.pastValues(), past + k, c) : at(a.values(), own + k, c);
        read = read.plus(shares[k] / total * value);
      }
      double bound = read.magnitude() * (4 * error + (max - least + 2.0 * t + 16) * u);
      assertEquals(
          read.value(), at(out, row, c), bound, "sequence " + s + " position " + t + " at " + c);
    }
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
}
