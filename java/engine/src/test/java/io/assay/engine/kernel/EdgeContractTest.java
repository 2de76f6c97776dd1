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

/** Scores of edges: changes against gradients, summed over positions. */
class EdgeContractTest extends KernelContract {
  private EdgeScores args(Random random, DType type, int sources, int readers, int at, int width) {
    MemorySegment before = memory(4L * readers);
    for (int e = 0; e < readers; e++) {
      before.set(Tensor.INT, 4L * e, random.nextInt(sources + 1));
    }
    return new EdgeScores(
        random(random, type, sources, (long) at * width, 1),
        random(random, type, readers, (long) at * width, 2),
        before,
        width,
        memory(8L * sources * readers));
  }

  private static double score(EdgeScores a, long source, long reader) {
    return a.scores().get(Tensor.DOUBLE, 8 * (source * a.gradients().rows() + reader));
  }

  /** A position's products are summed in the matrices' type, the positions in double. */
  @ParameterizedTest
  @MethodSource("implementations")
  void scoresAreThoseOfTheFormula(Implementation implementation) {
    for (DType type : List.of(DType.F32, DType.F64)) {
      for (int i = 0; i < SIZES.length; i++) {
        int width = SIZES[SIZES.length - 1 - i];
        EdgeScores a = args(new Random(i), type, SIZES[i], 1 + 7 * i, 1 + i % 4, width);
        try (Kernels one = implementation.open().apply(1);
            Kernels three = implementation.open().apply(3)) {
          one.edgeScores(a);
          MemorySegment again = memory(a.scores().byteSize());
          three.edgeScores(
              new EdgeScores(a.changes(), a.gradients(), a.before(), a.width(), again));
          assertEquals(-1, a.scores().mismatch(again), "bits by threads");
        }
        double g = gamma(type, width + 2) + gamma(DType.F64, a.changes().columns() + 2);
        for (int s = 0; s < a.changes().rows(); s++) {
          for (int e = 0; e < a.gradients().rows(); e++) {
            boolean edge = s < a.before().get(Tensor.INT, 4L * e);
            Sum want = edge ? dot(a.changes(), s, a.gradients(), e) : new Sum(0, 0);
            assertEquals(
                want.value(), score(a, s, e), g * want.magnitude(), type + " " + s + " to " + e);
          }
        }
      }
    }
  }

  /** Small integers, whose sums are exact; a NaN shows in the edges of its row alone. */
  @ParameterizedTest
  @MethodSource("implementations")
  void exactNumbersAndNaN(Implementation implementation) {
    int width = 5;
    EdgeScores a = args(new Random(7), DType.F32, 40, 50, 3, width);
    for (Matrix m : List.of(a.changes(), a.gradients())) {
      for (long r = 0; r < m.rows(); r++) {
        for (long c = 0; c < m.columns(); c++) {
          set(m.data(), DType.F32, r * m.stride() + c, (r * 3 + c * 7) % 11 - 5);
        }
      }
    }
    set(a.changes().data(), DType.F32, 33 * a.changes().stride() + 6, Double.NaN);
    try (Kernels k = implementation.open().apply(2)) {
      k.edgeScores(a);
      for (int s = 0; s < 40; s++) {
        for (int e = 0; e < 50; e++) {
          boolean edge = s < a.before().get(Tensor.INT, 4L * e);
          double want = edge ? dot(a.changes(), s, a.gradients(), e).value() : 0;
          assertEquals(want, score(a, s, e), s + " to " + e);
        }
      }
      a.before().set(Tensor.INT, 8, 41);
      refused("before[2] is 41", () -> k.edgeScores(a));
      a.before().set(Tensor.INT, 8, -1);
      refused("before[2] is -1", () -> k.edgeScores(a));
      a.before().set(Tensor.INT, 8, 0);
      refused("width is 4", () -> k.edgeScores(with(a, 4, a.scores())));
      refused("width is 0", () -> k.edgeScores(with(a, 0, a.scores())));
      refused("scores", () -> k.edgeScores(with(a, width, memory(8 * 1999))));
      Matrix inside = new Matrix(a.scores(), DType.F32, 50, 15, 15);
      refused(
          "overlaps",
          () -> k.edgeScores(new EdgeScores(a.changes(), inside, a.before(), width, a.scores())));
      EdgeScores other = args(new Random(7), DType.F32, 40, 50, 2, width);
      refused(
          "gradients",
          () ->
              k.edgeScores(
                  new EdgeScores(a.changes(), other.gradients(), a.before(), width, a.scores())));
      EdgeScores none = args(new Random(1), DType.F64, 3, 4, 0, 1);
      none.scores().fill((byte) 1);
      for (int e = 0; e < 4; e++) {
        none.before().set(Tensor.INT, 4L * e, 3);
      }
      k.edgeScores(none);
      assertTrue(none.scores().mismatch(memory(none.scores().byteSize()).fill((byte) 0)) < 0);
    }
  }

  private static EdgeScores with(EdgeScores a, int width, MemorySegment scores) {
    return new EdgeScores(a.changes(), a.gradients(), a.before(), width, scores);
  }
}
