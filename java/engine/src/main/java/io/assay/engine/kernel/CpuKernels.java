package io.assay.engine.kernel;

import io.assay.engine.InputException;
import io.assay.engine.kernel.KernelStructs.Use;
import io.assay.engine.kernel.ffi.assay_grok_grid_params;
import io.assay.engine.kernel.ffi.assay_grok_params;
import io.assay.engine.kernel.ffi.assay_grok_weights;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * The kernels in C++, on the best instruction set that the processor has. Arguments must be
 * off-heap.
 */
public final class CpuKernels implements Kernels {
  /** Native code reads and writes the host's memory where it is. */
  private static final KernelStructs.Addresses OFF_HEAP =
      (name, host, bytes, use) -> offHeap(name, host);

  private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
  private final String tier;

  /** Not in use now; as many as there were concurrent callers. */
  private final ConcurrentLinkedQueue<Scratch> scratches = new ConcurrentLinkedQueue<>();

  /** Null once closed. */
  private MemorySegment stream;

  private CpuKernels(String tier, MemorySegment stream) {
    this.tier = tier;
    this.stream = stream;
  }

  /** The file of the native library that serves here, or null where there is none. */
  public static Path library() {
    return NativeLibrary.file();
  }

  /**
   * Opens the native kernels.
   *
   * @param threads most threads that one call uses, 1 to 1024
   * @param tier {@code scalar}, {@code avx2}, {@code avx512}, {@code amx} or {@code neon} for the
   *     whole process; null for the best one present
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
    swap(a, null);
  }

  @Override
  public void tokenSwapTopk(TokenSwap a, CoarseTable coarse) {
    KernelArguments.check(a, coarse);
    swap(a, coarse);
  }

  private void swap(TokenSwap a, CoarseTable coarse) {
    if (a.gradient().rows() == 0) {
      return;
    }
    run(
        (scratch, stream) -> {
          MemorySegment s = KernelStructs.swap(scratch, OFF_HEAP, a, coarse);
          NativeApi.tokenSwapTopk(scratch, s, stream);
        });
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(coarse);
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
        (scratch, stream) ->
            NativeApi.headRows(
                scratch,
                KernelStructs.head(scratch, OFF_HEAP, a),
                offHeap("logProb", logProb),
                offHeap("lse", lse),
                offHeap("argMax", argMax),
                offHeap("margin", margin),
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
        (scratch, stream) ->
            NativeApi.headBackward(
                scratch,
                KernelStructs.head(scratch, OFF_HEAP, a),
                offHeap("lse", lse),
                offHeap("weight", weight),
                KernelStructs.matrix(scratch, OFF_HEAP, "gradient", gradient, Use.WRITES),
                stream));
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(gradient);
  }

  @Override
  public void adamw(Matrix p, Matrix g, Matrix m, Matrix v, AdamW settings, long step) {
    KernelArguments.checkAdamw(p, g, m, v, settings, step);
    run(
        (scratch, stream) -> {
          MemorySegment s = KernelStructs.adamw(scratch, settings, step);
          NativeApi.adamw(
              scratch,
              s,
              KernelStructs.matrix(scratch, OFF_HEAP, "gradients", g, Use.READS),
              KernelStructs.matrix(scratch, OFF_HEAP, "parameters", p, Use.CHANGES),
              KernelStructs.matrix(scratch, OFF_HEAP, "firstMoments", m, Use.CHANGES),
              KernelStructs.matrix(scratch, OFF_HEAP, "secondMoments", v, Use.CHANGES),
              stream);
        });
    Reference.reachabilityFence(p);
    Reference.reachabilityFence(g);
    Reference.reachabilityFence(m);
    Reference.reachabilityFence(v);
  }

  @Override
  public void fourierAblate(FourierAblate a) {
    fourierAblate(List.of(a));
  }

  @Override
  public void fourierAblate(List<FourierAblate> together) {
    together.forEach(KernelArguments::check);
    KernelArguments.checkTogether(together);
    if (together.isEmpty()) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      long losses = together.stream().mapToLong(a -> losses(a)).sum();
      MemorySegment loss = arena.allocate(Math.max(1, losses) * Double.BYTES, Double.BYTES);
      run(
          (scratch, stream) -> {
            MemorySegment s = MemorySegment.NULL;
            for (FourierAblate a : together.reversed()) {
              offHeap("loss", a.loss());
              s = KernelStructs.fourier(scratch, OFF_HEAP, a, s);
            }
            NativeApi.fourierAblate(scratch, s, loss, stream);
          });
      long from = 0;
      for (FourierAblate a : together) {
        long bytes = losses(a) * Double.BYTES;
        MemorySegment.copy(loss, from, a.loss(), 0, bytes);
        from += bytes;
      }
    }
    Reference.reachabilityFence(together);
  }

  private static long losses(FourierAblate a) {
    return (long) a.familyCount() * a.groupCount();
  }

  @Override
  public void grok(GrokPairs a) {
    KernelArguments.check(a);
    run(
        (scratch, stream) -> {
          MemorySegment s = assay_grok_params.allocate(scratch);
          GrokWeights w = a.weights();
          assay_grok_params.struct_bytes(s, s.byteSize());
          assay_grok_params.numbers(s, w.numbers());
          assay_grok_params.width(s, w.embedding().dim(0));
          assay_grok_params.heads(s, w.heads());
          assay_grok_params.head_width(s, w.keys().dim(1));
          assay_grok_params.neurons(s, w.neuronsIn().dim(0));
          assay_grok_params.outputs(s, w.outputs());
          fill(assay_grok_params.weights(s), w);
          if (a.gradients() != null) {
            fill(assay_grok_params.gradients(s), a.gradients());
          }
          assay_grok_params.pairs(s, a.count());
          assay_grok_params.first(s, offHeap("first", a.first()));
          assay_grok_params.second(s, offHeap("second", a.second()));
          assay_grok_params.labels(s, offHeap("labels", a.labels()));
          assay_grok_params.losses(s, offHeap("losses", a.losses()));
          assay_grok_params.best(s, offHeap("best", a.best()));
          NativeApi.grok(scratch, s, stream);
        });
    Reference.reachabilityFence(a);
  }

  private static void fill(MemorySegment s, GrokWeights w) {
    assay_grok_weights.embedding(s, offHeap("embedding", w.embedding().data()));
    assay_grok_weights.positions(s, offHeap("positions", w.positions().data()));
    assay_grok_weights.keys(s, offHeap("keys", w.keys().data()));
    assay_grok_weights.queries(s, offHeap("queries", w.queries().data()));
    assay_grok_weights.values(s, offHeap("values", w.values().data()));
    assay_grok_weights.attention_out(s, offHeap("attentionOut", w.attentionOut().data()));
    assay_grok_weights.neurons_in(s, offHeap("neuronsIn", w.neuronsIn().data()));
    assay_grok_weights.neurons_bias(s, offHeap("neuronsBias", GrokWeights.data(w.neuronsBias())));
    assay_grok_weights.neurons_out(s, offHeap("neuronsOut", w.neuronsOut().data()));
    assay_grok_weights.out_bias(s, offHeap("outBias", GrokWeights.data(w.outBias())));
    assay_grok_weights.unembedding(s, offHeap("unembedding", w.unembedding().data()));
  }

  @Override
  public void grokGrid(GrokGrid a) {
    run(
        (scratch, stream) -> {
          MemorySegment s = assay_grok_grid_params.allocate(scratch);
          assay_grok_grid_params.struct_bytes(s, s.byteSize());
          assay_grok_grid_params.numbers(s, a.numbers());
          assay_grok_grid_params.heads(s, a.heads());
          assay_grok_grid_params.neurons(s, a.neurons());
          assay_grok_grid_params.scores(s, offHeap("scores", a.scores().data()));
          assay_grok_grid_params.tables(s, offHeap("tables", a.tables().data()));
          assay_grok_grid_params.constant(s, offHeap("constant", a.constant().data()));
          assay_grok_grid_params.map(s, offHeap("map", a.map().data()));
          assay_grok_grid_params.logits(s, offHeap("logits", a.logits().data()));
          assay_grok_grid_params.sums(s, offHeap("sums", a.sums().data()));
          assay_grok_grid_params.squares(s, offHeap("squares", a.squares().data()));
          NativeApi.grokGrid(scratch, s, stream);
        });
    Reference.reachabilityFence(a);
  }

  @Override
  public void suffixAttention(SuffixAttention a, Matrix out) {
    KernelArguments.check(a, out);
    run(
        (scratch, stream) -> {
          MemorySegment s = KernelStructs.attention(scratch, OFF_HEAP, a);
          NativeApi.suffixAttention(
              scratch, s, KernelStructs.matrix(scratch, OFF_HEAP, "out", out, Use.WRITES), stream);
        });
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(out);
  }

  @Override
  public void patchRows(PatchRows a, Matrix middle) {
    KernelArguments.check(a, middle);
    run(
        (scratch, stream) -> {
          MemorySegment s = KernelStructs.patch(scratch, OFF_HEAP, a);
          MemorySegment to = KernelStructs.matrix(scratch, OFF_HEAP, "middle", middle, Use.WRITES);
          NativeApi.patchRows(scratch, s, to, KernelStructs.normed(scratch, OFF_HEAP, a), stream);
        });
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(middle);
  }

  @Override
  public void edgeScores(EdgeScores a) {
    KernelArguments.check(a);
    run(
        (scratch, stream) -> {
          MemorySegment s = KernelStructs.edges(scratch, OFF_HEAP, a);
          NativeApi.edgeScores(scratch, s, offHeap("scores", a.scores()), stream);
        });
    Reference.reachabilityFence(a);
  }

  private interface Call {
    void with(Scratch scratch, MemorySegment stream);
  }

  private void run(Call call) {
    lock.readLock().lock();
    try {
      if (stream == null) {
        throw new IllegalStateException("these kernels are closed");
      }
      Scratch free = scratches.poll();
      Scratch scratch = free == null ? new Scratch() : free;
      try {
        scratch.begin();
        call.with(scratch, stream);
      } finally {
        scratches.add(scratch);
      }
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
        scratches.forEach(Scratch::close);
        scratches.clear();
      }
    } finally {
      lock.writeLock().unlock();
    }
  }

  /** The segment itself, NULL for null. */
  private static MemorySegment offHeap(String name, MemorySegment s) {
    if (s == null) {
      return MemorySegment.NULL;
    }
    if (!s.isNative()) {
      throw new IllegalArgumentException(
          name + " is on the heap; the cpu kernels take off-heap memory (Tensor.allocate)");
    }
    return s;
  }
}
