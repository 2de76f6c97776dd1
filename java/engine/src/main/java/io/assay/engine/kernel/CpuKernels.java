package io.assay.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.ref.Reference;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * The kernels in C++, on the best instruction set that the processor has. Arguments must be
 * off-heap.
 */
public final class CpuKernels implements Kernels {
  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private final String tier;

  /** Null once closed. */
  private MemorySegment stream;

  private CpuKernels(String tier, MemorySegment stream) {
    this.tier = tier;
    this.stream = stream;
  }

  /**
   * Opens the native kernels.
   *
   * @param threads most threads that one call uses, 1 to 1024
   * @param tier {@code scalar}, {@code avx2}, {@code avx512} or {@code neon} for the whole process;
   *     null for the best one present
   * @throws InputException if there is no native library or the tier cannot run here, with the
   *     reason
   */
  public static CpuKernels open(int threads, String tier) {
    if (NativeLibrary.reason() != null) {
      throw new InputException("there are no cpu kernels: " + NativeLibrary.reason());
    }
    try {
      if (tier != null) {
        NativeApi.tierForce(tier);
      }
      return new CpuKernels(NativeApi.tierName(NativeApi.tierCurrent()), NativeApi.create(threads));
    } catch (IllegalArgumentException e) {
      throw new InputException(e.getMessage(), e);
    }
  }

  @Override
  public String implementation() {
    return "cpu";
  }

  @Override
  public String tier() {
    return tier;
  }

  @Override
  public void tokenSwapTopk(TokenSwap a) {
    KernelArguments.check(a);
    if (a.gradient().rows() == 0) {
      return;
    }
    run(
        (arena, stream) -> {
          Struct s = new Struct(arena, NativeApi.TOKEN_SWAP);
          s.matrix("embedding", a.embedding());
          s.matrix("head", a.head());
          s.matrix("gradient", a.gradient());
          s.matrix("hidden", a.hidden());
          s.address("alpha", a.alpha());
          s.address("bias", a.bias());
          s.address("unigram", a.unigram());
          s.address("allowed", a.allowed());
          s.address("forbidden_offsets", a.forbiddenOffsets());
          s.address("forbidden_ids", a.forbiddenIds());
          s.number("kept", a.kept());
          s.address("ids", a.ids());
          s.address("scores", a.scores());
          s.address("found", a.found());
          s.address("nans", a.nans());
          s.address("lse", a.lse());
          NativeApi.tokenSwap(arena, s.memory(), stream);
        });
    Reference.reachabilityFence(a);
  }

  @Override
  public void headRows(
      HeadRows a,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin) {
    KernelArguments.checkOutputs(a, logProb, lse, argMax, margin);
    if (a.hidden().rows() == 0) {
      return;
    }
    run(
        (arena, stream) ->
            NativeApi.headRows(
                arena,
                head(arena, a),
                Struct.offHeap("logProb", logProb),
                Struct.offHeap("lse", lse),
                Struct.offHeap("argMax", argMax),
                Struct.offHeap("margin", margin),
                stream));
    Reference.reachabilityFence(a);
  }

  @Override
  public void headBackward(HeadRows a, MemorySegment lse, MemorySegment weight, Matrix gradient) {
    KernelArguments.checkBackward(a, lse, weight, gradient);
    if (a.hidden().rows() == 0) {
      return;
    }
    run(
        (arena, stream) ->
            NativeApi.headBackward(
                arena,
                head(arena, a),
                Struct.offHeap("lse", lse),
                Struct.offHeap("weight", weight),
                Struct.of(arena, "gradient", gradient),
                stream));
    Reference.reachabilityFence(a);
  }

  private static MemorySegment head(Arena arena, HeadRows a) {
    Struct s = new Struct(arena, NativeApi.HEAD_ROWS);
    s.matrix("hidden", a.hidden());
    s.matrix("head", a.head());
    s.address("bias", a.bias());
    s.address("targets", a.targets());
    return s.memory();
  }

  @Override
  public void adamw(Matrix p, Matrix g, Matrix m, Matrix v, AdamW settings, long step) {
    KernelArguments.checkAdamw(p, g, m, v, settings, step);
    run(
        (arena, stream) -> {
          Struct s = new Struct(arena, NativeApi.ADAMW);
          s.real("learning_rate", settings.learningRate());
          s.real("beta1", settings.beta1());
          s.real("beta2", settings.beta2());
          s.real("epsilon", settings.epsilon());
          s.real("weight_decay", settings.weightDecay());
          s.number("step", step);
          NativeApi.adamw(
              s.memory(),
              Struct.of(arena, "gradients", g),
              Struct.of(arena, "parameters", p),
              Struct.of(arena, "firstMoments", m),
              Struct.of(arena, "secondMoments", v),
              stream);
        });
  }

  private interface Call {
    void with(Arena arena, MemorySegment stream);
  }

  private void run(Call call) {
    lock.readLock().lock();
    try (Arena arena = Arena.ofConfined()) {
      if (stream == null) {
        throw new IllegalStateException("these kernels are closed");
      }
      call.with(arena, stream);
    } finally {
      lock.readLock().unlock();
    }
  }

  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      if (stream != null) {
        NativeApi.destroy(stream);
        stream = null;
      }
    } finally {
      lock.writeLock().unlock();
    }
  }

  /** A C struct that is being filled; its first field is its size where it has that field. */
  private record Struct(MemorySegment memory, StructLayout layout) {
    Struct(Arena arena, StructLayout layout) {
      this(arena.allocate(layout), layout);
      number("struct_bytes", layout.byteSize());
    }

    /** A matrix as a struct of its own. */
    static MemorySegment of(Arena arena, String name, Matrix m) {
      MemorySegment memory = arena.allocate(NativeApi.MATRIX);
      fill(memory, name, m);
      return memory;
    }

    private static void fill(MemorySegment to, String name, Matrix m) {
      Struct s = new Struct(to, NativeApi.MATRIX);
      s.memory.set(ADDRESS, s.at("data"), offHeap(name, m.data()));
      s.memory.set(JAVA_INT, s.at("dtype"), code(m.dtype()));
      s.number("rows", m.rows());
      s.number("columns", m.columns());
      s.number("stride", m.stride());
    }

    void matrix(String field, Matrix m) {
      if (m != null) {
        fill(memory.asSlice(at(field), NativeApi.MATRIX.byteSize()), field, m);
      }
    }

    void address(String field, MemorySegment s) {
      memory.set(ADDRESS, at(field), s == null ? MemorySegment.NULL : offHeap(field, s));
    }

    void number(String field, long value) {
      memory.set(JAVA_LONG, at(field), value);
    }

    void real(String field, double value) {
      memory.set(JAVA_DOUBLE, at(field), value);
    }

    private long at(String field) {
      return layout.byteOffset(PathElement.groupElement(field));
    }

    static MemorySegment offHeap(String name, MemorySegment s) {
      if (!s.isNative()) {
        throw new IllegalArgumentException(
            name + " is on the heap; the cpu kernels take off-heap memory (Tensor.allocate)");
      }
      return s;
    }

    private static int code(DType dtype) {
      return switch (dtype) {
        case F32 -> 1;
        case F64 -> 2;
        case F16 -> 3;
        case BF16 -> 4;
        default -> throw new IllegalArgumentException("kernels take floats, not " + dtype);
      };
    }
  }
}
