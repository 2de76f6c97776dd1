package io.assay.app.bench;

import io.assay.app.bench.Question.Clock;
import io.assay.engine.Engine;
import io.assay.engine.graph.Graph;
import io.assay.engine.session.Binding;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;

/**
 * What this machine can do at most, measured beside the rows: the best of several runs, since a
 * roof is not a median.
 *
 * @param bytesPerSecond read from memory, at the size of GPT-2's embedding (154 MB)
 * @param bytesPerSecondLarge read from memory, at 1 GB
 * @param operationsPerSecond float32 products, by ONNX Runtime with packed weights, the best of the
 *     shapes of {@link #SHAPES}
 */
public record Roof(double bytesPerSecond, double bytesPerSecondLarge, double operationsPerSecond) {
  static final long TABLE = 4L * 50257 * 768;
  private static final long LARGE = 1L << 30;
  private static final long PAGE = 4096;
  private static final int RUNS = 15;

  /**
   * Rows, inner size and columns of the products: GPT-2's widest at 320 rows, and large squares.
   */
  private static final int[][] SHAPES = {{320, 768, 3072}, {1024, 1024, 1024}, {2048, 2048, 2048}};

  /** Measures on the threads of an engine. */
  public static Roof measure(Engine engine) {
    Clock clock = Clock.of(engine.threads());
    double best = 0;
    for (int[] shape : SHAPES) {
      best = Math.max(best, product(engine, clock, shape[0], shape[1], shape[2]));
    }
    return new Roof(
        read(engine.threads(), clock, TABLE), read(engine.threads(), clock, LARGE), best);
  }

  private static double product(Engine engine, Clock clock, int rows, int inner, int columns) {
    Draw draw = new Draw(7);
    Graph.Builder b = Graph.builder("roof").opset("", 17).input("x", Draw.f32(rows, inner));
    b.constant("w", draw.floats(1, inner, columns));
    b.op("y", "MatMul", Map.of(), "x", "w");
    Graph graph = b.output("y").build();
    Tensor y = Tensor.allocate(Arena.ofAuto(), DType.F32, rows, columns);
    try (Session session = engine.compile(graph, true);
        Binding binding = session.bind(Map.of("x", draw.floats(1, rows, inner)), Map.of("y", y))) {
      return 2.0 * rows * inner * columns / best(clock, binding::run);
    }
  }

  /** Nothing but reading, of memory in large pages as tables are; the faster of two ways. */
  private static double read(int threads, Clock clock, long bytes) {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment memory = Tensor.allocate(arena, DType.U8, bytes).data();
      memory.fill((byte) 1);
      long part = bytes / threads / PAGE * PAGE;
      double best = Double.POSITIVE_INFINITY;
      for (ToLongFunction<MemorySegment> way :
          List.<ToLongFunction<MemorySegment>>of(Roof::halves, Roof::eighths)) {
        Part read =
            i -> {
              if (way.applyAsLong(memory.asSlice(i * part, part)) != 0) {
                throw new IllegalStateException("memory differs from what was written");
              }
            };
        best = Math.min(best, best(clock, () -> parallel(threads, read)));
      }
      return (double) part * threads / best;
    }
  }

  /** Compares two halves, by the JDK's own vector code. */
  private static long halves(MemorySegment memory) {
    long half = memory.byteSize() / 2;
    return memory.asSlice(0, half).mismatch(memory.asSlice(half, half)) + 1;
  }

  /** Reads at eight places at once: more is on the way than at one. */
  private static long eighths(MemorySegment memory) {
    long eighth = memory.byteSize() / 8;
    long all = 0;
    for (long i = 0; i < eighth; i += Long.BYTES) {
      long word = 0;
      for (int k = 0; k < 8; k++) {
        word ^= memory.get(ValueLayout.JAVA_LONG, k * eighth + i);
      }
      all |= word;
    }
    return all;
  }

  private interface Part {
    void run(int i);
  }

  private static void parallel(int threads, Part part) {
    if (threads == 1) {
      part.run(0);
      return;
    }
    Thread[] others =
        IntStream.range(1, threads)
            .mapToObj(i -> Thread.ofPlatform().start(() -> part.run(i)))
            .toArray(Thread[]::new);
    part.run(0);
    for (Thread other : others) {
      try {
        other.join();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException("interrupted while the roof was measured", e);
      }
    }
  }

  private static double best(Clock clock, Runnable work) {
    double best = Double.POSITIVE_INFINITY;
    for (int i = 0; i <= RUNS; i++) {
      double seconds = clock.seconds(work);
      best = i == 0 ? best : Math.min(best, seconds);
    }
    return best;
  }
}
