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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
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
  private static final int RUNS = 5;

  /**
   * Rows, inner size and columns of the products: GPT-2's widest at 320 rows, and large squares.
   */
  private static final int[][] SHAPES = {{320, 768, 3072}, {1024, 1024, 1024}, {2048, 2048, 2048}};

  /** The larger of both, each for itself. */
  Roof or(Roof other) {
    return new Roof(
        Math.max(bytesPerSecond, other.bytesPerSecond),
        Math.max(bytesPerSecondLarge, other.bytesPerSecondLarge),
        Math.max(operationsPerSecond, other.operationsPerSecond));
  }

  /**
   * Measures as often as it is asked, on the threads of an engine: machines that others use too are
   * faster and slower by turns.
   */
  static final class Meter implements Supplier<Roof>, AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final int threads;
    private final Clock clock;
    private final MemorySegment table;
    private final double large;
    private final List<Product> products = new ArrayList<>();

    private record Product(Session session, Binding binding, double operations) {}

    Meter(Engine engine) {
      threads = engine.threads();
      clock = Clock.of(threads);
      table = filled(arena, TABLE);
      try (Arena once = Arena.ofShared()) {
        large = read(filled(once, LARGE));
      }
      for (int[] shape : SHAPES) {
        products.add(product(engine, shape[0], shape[1], shape[2]));
      }
    }

    private static MemorySegment filled(Arena arena, long bytes) {
      return Tensor.allocate(arena, DType.U8, bytes).data().fill((byte) 1);
    }

    private static Product product(Engine engine, int rows, int inner, int columns) {
      Draw draw = new Draw(7);
      Graph.Builder b = Graph.builder("roof").opset("", 17).input("x", Draw.f32(rows, inner));
      b.constant("w", draw.floats(1, inner, columns));
      b.op("y", "MatMul", Map.of(), "x", "w");
      Session session = engine.compile(b.output("y").build(), true);
      Tensor y = Tensor.allocate(Arena.ofAuto(), DType.F32, rows, columns);
      Binding binding = session.bind(Map.of("x", draw.floats(1, rows, inner)), Map.of("y", y));
      return new Product(session, binding, 2.0 * rows * inner * columns);
    }

    @Override
    public Roof get() {
      double operations = 0;
      for (Product p : products) {
        operations = Math.max(operations, p.operations() / best(p.binding()::run));
      }
      return new Roof(read(table), large, operations);
    }

    /** Nothing but reading, of memory in large pages as tables are; the faster of two ways. */
    private double read(MemorySegment memory) {
      long part = memory.byteSize() / threads / PAGE * PAGE;
      double best = Double.POSITIVE_INFINITY;
      List<ToLongFunction<MemorySegment>> ways = List.of(Roof::halves, Roof::eighths);
      for (ToLongFunction<MemorySegment> way : ways) {
        Part read =
            i -> {
              if (way.applyAsLong(memory.asSlice(i * part, part)) != 0) {
                throw new IllegalStateException("memory differs from what was written");
              }
            };
        best = Math.min(best, best(() -> parallel(threads, read)));
      }
      return (double) part * threads / best;
    }

    private double best(Runnable work) {
      work.run();
      double best = Double.POSITIVE_INFINITY;
      for (int i = 0; i < RUNS; i++) {
        best = Math.min(best, clock.seconds(work));
      }
      return best;
    }

    @Override
    public void close() {
      for (Product p : products) {
        p.binding().close();
        p.session().close();
      }
      arena.close();
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
}
