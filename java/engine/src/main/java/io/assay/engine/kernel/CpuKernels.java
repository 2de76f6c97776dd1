package io.assay.engine.kernel;

import io.assay.engine.InputException;
import io.assay.engine.kernel.ffi.AssayH;
import io.assay.engine.kernel.ffi.assay_adamw_params;
import io.assay.engine.kernel.ffi.assay_fourier_ablate_params;
import io.assay.engine.kernel.ffi.assay_grok_grid_params;
import io.assay.engine.kernel.ffi.assay_grok_params;
import io.assay.engine.kernel.ffi.assay_grok_weights;
import io.assay.engine.kernel.ffi.assay_head_rows_params;
import io.assay.engine.kernel.ffi.assay_matrix;
import io.assay.engine.kernel.ffi.assay_suffix_attention_params;
import io.assay.engine.kernel.ffi.assay_token_swap_topk_params;
import io.assay.engine.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.file.Path;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * The kernels in C++, on the best instruction set that the processor has. Arguments must be
 * off-heap.
 */
public final class CpuKernels implements Kernels {
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
          MemorySegment s = assay_token_swap_topk_params.allocate(scratch);
          assay_token_swap_topk_params.struct_bytes(s, s.byteSize());
          fill(assay_token_swap_topk_params.embedding(s), "embedding", a.embedding());
          fill(assay_token_swap_topk_params.head(s), "head", a.head());
          fill(assay_token_swap_topk_params.gradient(s), "gradient", a.gradient());
          fill(assay_token_swap_topk_params.hidden(s), "hidden", a.hidden());
          assay_token_swap_topk_params.alpha(s, offHeap("alpha", a.alpha()));
          assay_token_swap_topk_params.bias(s, offHeap("bias", a.bias()));
          assay_token_swap_topk_params.unigram(s, offHeap("unigram", a.unigram()));
          assay_token_swap_topk_params.allowed(s, offHeap("allowed", a.allowed()));
          assay_token_swap_topk_params.forbidden_offsets(
              s, offHeap("forbiddenOffsets", a.forbiddenOffsets()));
          assay_token_swap_topk_params.forbidden_ids(s, offHeap("forbiddenIds", a.forbiddenIds()));
          assay_token_swap_topk_params.kept(s, a.kept());
          assay_token_swap_topk_params.ids(s, offHeap("ids", a.ids()));
          assay_token_swap_topk_params.scores(s, offHeap("scores", a.scores()));
          assay_token_swap_topk_params.found(s, offHeap("found", a.found()));
          assay_token_swap_topk_params.nans(s, offHeap("nans", a.nans()));
          assay_token_swap_topk_params.lse(s, offHeap("lse", a.lse()));
          if (coarse != null) {
            fill(assay_token_swap_topk_params.coarse(s), "coarse", coarse.table());
            assay_token_swap_topk_params.coarse_scale(s, offHeap("coarse scale", coarse.scale()));
            assay_token_swap_topk_params.coarse_error(s, offHeap("coarse error", coarse.error()));
          }
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
                head(scratch, a),
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
                head(scratch, a),
                offHeap("lse", lse),
                offHeap("weight", weight),
                matrix(scratch, "gradient", gradient),
                stream));
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(gradient);
  }

  private static MemorySegment head(Scratch scratch, HeadRows a) {
    MemorySegment s = assay_head_rows_params.allocate(scratch);
    assay_head_rows_params.struct_bytes(s, s.byteSize());
    fill(assay_head_rows_params.hidden(s), "hidden", a.hidden());
    fill(assay_head_rows_params.head(s), "head", a.head());
    assay_head_rows_params.bias(s, offHeap("bias", a.bias()));
    assay_head_rows_params.targets(s, offHeap("targets", a.targets()));
    return s;
  }

  @Override
  public void adamw(Matrix p, Matrix g, Matrix m, Matrix v, AdamW settings, long step) {
    KernelArguments.checkAdamw(p, g, m, v, settings, step);
    run(
        (scratch, stream) -> {
          MemorySegment s = assay_adamw_params.allocate(scratch);
          assay_adamw_params.struct_bytes(s, s.byteSize());
          assay_adamw_params.learning_rate(s, settings.learningRate());
          assay_adamw_params.beta1(s, settings.beta1());
          assay_adamw_params.beta2(s, settings.beta2());
          assay_adamw_params.epsilon(s, settings.epsilon());
          assay_adamw_params.weight_decay(s, settings.weightDecay());
          assay_adamw_params.step(s, step);
          NativeApi.adamw(
              scratch,
              s,
              matrix(scratch, "gradients", g),
              matrix(scratch, "parameters", p),
              matrix(scratch, "firstMoments", m),
              matrix(scratch, "secondMoments", v),
              stream);
        });
    Reference.reachabilityFence(p);
    Reference.reachabilityFence(g);
    Reference.reachabilityFence(m);
    Reference.reachabilityFence(v);
  }

  @Override
  public void fourierAblate(FourierAblate a) {
    KernelArguments.check(a);
    run(
        (scratch, stream) -> {
          MemorySegment s = assay_fourier_ablate_params.allocate(scratch);
          assay_fourier_ablate_params.struct_bytes(s, s.byteSize());
          fill(assay_fourier_ablate_params.logits(s), "logits", a.logits());
          assay_fourier_ablate_params.modulus(s, a.modulus());
          assay_fourier_ablate_params.families(s, offHeap("families", a.families()));
          assay_fourier_ablate_params.family_count(s, a.familyCount());
          assay_fourier_ablate_params.groups(s, offHeap("groups", a.groups()));
          assay_fourier_ablate_params.group_count(s, a.groupCount());
          assay_fourier_ablate_params.keep(s, a.keep() ? 1 : 0);
          assay_fourier_ablate_params.rotation(s, a.rotation() ? 1 : 0);
          NativeApi.fourierAblate(scratch, s, offHeap("loss", a.loss()), stream);
        });
    Reference.reachabilityFence(a);
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
          MemorySegment s = assay_suffix_attention_params.allocate(scratch);
          assay_suffix_attention_params.struct_bytes(s, s.byteSize());
          fill(assay_suffix_attention_params.queries(s), "queries", a.queries());
          fill(assay_suffix_attention_params.keys(s), "keys", a.keys());
          fill(assay_suffix_attention_params.values(s), "values", a.values());
          fill(assay_suffix_attention_params.past_keys(s), "pastKeys", a.pastKeys());
          fill(assay_suffix_attention_params.past_values(s), "pastValues", a.pastValues());
          assay_suffix_attention_params.prompts(s, offHeap("prompts", a.prompts()));
          assay_suffix_attention_params.starts(s, offHeap("starts", a.starts()));
          assay_suffix_attention_params.sequences(s, a.sequences());
          assay_suffix_attention_params.positions(s, a.positions());
          assay_suffix_attention_params.heads(s, a.heads());
          assay_suffix_attention_params.scale(s, a.scale());
          NativeApi.suffixAttention(scratch, s, matrix(scratch, "out", out), stream);
        });
    Reference.reachabilityFence(a);
    Reference.reachabilityFence(out);
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

  /** A matrix as a struct of its own. */
  private static MemorySegment matrix(Scratch scratch, String name, Matrix m) {
    MemorySegment s = assay_matrix.allocate(scratch);
    fill(s, name, m);
    return s;
  }

  /** Leaves the struct zero where the matrix is null. */
  private static void fill(MemorySegment s, String name, Matrix m) {
    if (m != null) {
      assay_matrix.data(s, offHeap(name, m.data()));
      assay_matrix.dtype(s, code(m.dtype()));
      assay_matrix.rows(s, m.rows());
      assay_matrix.columns(s, m.columns());
      assay_matrix.stride(s, m.stride());
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

  private static int code(DType dtype) {
    return switch (dtype) {
      case F32 -> AssayH.ASSAY_F32();
      case F64 -> AssayH.ASSAY_F64();
      case F16 -> AssayH.ASSAY_F16();
      case BF16 -> AssayH.ASSAY_BF16();
      case I8 -> AssayH.ASSAY_I8();
      default -> throw new IllegalArgumentException("kernels do not take " + dtype);
    };
  }
}
