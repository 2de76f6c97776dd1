package io.assay.engine.kernel;

import io.assay.engine.kernel.ffi.AssayH;
import io.assay.engine.kernel.ffi.assay_adamw_params;
import io.assay.engine.kernel.ffi.assay_edge_scores_params;
import io.assay.engine.kernel.ffi.assay_fourier_ablate_params;
import io.assay.engine.kernel.ffi.assay_head_rows_params;
import io.assay.engine.kernel.ffi.assay_matrix;
import io.assay.engine.kernel.ffi.assay_patch_rows_params;
import io.assay.engine.kernel.ffi.assay_suffix_attention_params;
import io.assay.engine.kernel.ffi.assay_token_swap_topk_params;
import io.assay.engine.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;

/** The arguments of kernels as the structs of {@code assay.h}, wherever the arrays lie. */
final class KernelStructs {
  /** What a kernel does with an array. */
  enum Use {
    READS,
    /** All of it, and reads nothing. */
    WRITES,
    /** Reads it, or leaves parts as they are. */
    CHANGES
  }

  /** Where a kernel finds an array of the host. */
  interface Addresses {
    /**
     * Its address.
     *
     * @param host the array, or null: then NULL is the address
     * @param bytes how many of its bytes are meant
     */
    MemorySegment of(String name, MemorySegment host, long bytes, Use use);

    default MemorySegment read(String name, MemorySegment host) {
      return of(name, host, host == null ? 0 : host.byteSize(), Use.READS);
    }
  }

  private KernelStructs() {}

  static MemorySegment swap(
      SegmentAllocator memory, Addresses at, TokenSwap a, CoarseTable coarse) {
    MemorySegment s = assay_token_swap_topk_params.allocate(memory);
    assay_token_swap_topk_params.struct_bytes(s, s.byteSize());
    fill(at, assay_token_swap_topk_params.embedding(s), "embedding", a.embedding());
    fill(at, assay_token_swap_topk_params.head(s), "head", a.head());
    fill(at, assay_token_swap_topk_params.gradient(s), "gradient", a.gradient());
    fill(at, assay_token_swap_topk_params.hidden(s), "hidden", a.hidden());
    assay_token_swap_topk_params.alpha(s, at.read("alpha", a.alpha()));
    assay_token_swap_topk_params.bias(s, at.read("bias", a.bias()));
    assay_token_swap_topk_params.unigram(s, at.read("unigram", a.unigram()));
    assay_token_swap_topk_params.allowed(s, at.read("allowed", a.allowed()));
    assay_token_swap_topk_params.forbidden_offsets(
        s, at.read("forbiddenOffsets", a.forbiddenOffsets()));
    assay_token_swap_topk_params.forbidden_ids(s, at.read("forbiddenIds", a.forbiddenIds()));
    assay_token_swap_topk_params.kept(s, a.kept());
    long audits = a.gradient().rows();
    long kept = audits * a.kept();
    int real = a.gradient().dtype().bytes();
    assay_token_swap_topk_params.ids(s, at.of("ids", a.ids(), kept * Integer.BYTES, Use.WRITES));
    assay_token_swap_topk_params.scores(s, at.of("scores", a.scores(), kept * real, Use.WRITES));
    assay_token_swap_topk_params.found(
        s, at.of("found", a.found(), audits * Integer.BYTES, Use.WRITES));
    assay_token_swap_topk_params.nans(s, at.of("nans", a.nans(), audits * Long.BYTES, Use.WRITES));
    assay_token_swap_topk_params.lse(s, at.of("lse", a.lse(), audits * real, Use.WRITES));
    if (coarse != null) {
      fill(at, assay_token_swap_topk_params.coarse(s), "coarse", coarse.table());
      assay_token_swap_topk_params.coarse_scale(s, at.read("coarse scale", coarse.scale()));
      assay_token_swap_topk_params.coarse_error(s, at.read("coarse error", coarse.error()));
    }
    return s;
  }

  static MemorySegment head(SegmentAllocator memory, Addresses at, HeadRows a) {
    MemorySegment s = assay_head_rows_params.allocate(memory);
    assay_head_rows_params.struct_bytes(s, s.byteSize());
    fill(at, assay_head_rows_params.hidden(s), "hidden", a.hidden());
    fill(at, assay_head_rows_params.head(s), "head", a.head());
    assay_head_rows_params.bias(s, at.read("bias", a.bias()));
    assay_head_rows_params.targets(s, at.read("targets", a.targets()));
    return s;
  }

  static MemorySegment adamw(SegmentAllocator memory, Kernels.AdamW settings, long step) {
    MemorySegment s = assay_adamw_params.allocate(memory);
    assay_adamw_params.struct_bytes(s, s.byteSize());
    assay_adamw_params.learning_rate(s, settings.learningRate());
    assay_adamw_params.beta1(s, settings.beta1());
    assay_adamw_params.beta2(s, settings.beta2());
    assay_adamw_params.epsilon(s, settings.epsilon());
    assay_adamw_params.weight_decay(s, settings.weightDecay());
    assay_adamw_params.step(s, step);
    return s;
  }

  /**
   * @param next the struct of further families, or NULL
   */
  static MemorySegment fourier(
      SegmentAllocator memory, Addresses at, FourierAblate a, MemorySegment next) {
    MemorySegment s = assay_fourier_ablate_params.allocate(memory);
    assay_fourier_ablate_params.struct_bytes(s, s.byteSize());
    fill(at, assay_fourier_ablate_params.logits(s), "logits", a.logits());
    assay_fourier_ablate_params.modulus(s, a.modulus());
    assay_fourier_ablate_params.families(s, at.read("families", a.families()));
    assay_fourier_ablate_params.family_count(s, a.familyCount());
    assay_fourier_ablate_params.groups(s, at.read("groups", a.groups()));
    assay_fourier_ablate_params.group_count(s, a.groupCount());
    assay_fourier_ablate_params.keep(s, a.keep() ? 1 : 0);
    assay_fourier_ablate_params.rotation(s, a.rotation() ? 1 : 0);
    assay_fourier_ablate_params.next(s, next);
    return s;
  }

  static MemorySegment attention(SegmentAllocator memory, Addresses at, SuffixAttention a) {
    MemorySegment s = assay_suffix_attention_params.allocate(memory);
    assay_suffix_attention_params.struct_bytes(s, s.byteSize());
    fill(at, assay_suffix_attention_params.queries(s), "queries", a.queries());
    fill(at, assay_suffix_attention_params.keys(s), "keys", a.keys());
    fill(at, assay_suffix_attention_params.values(s), "values", a.values());
    fill(at, assay_suffix_attention_params.past_keys(s), "pastKeys", a.pastKeys());
    fill(at, assay_suffix_attention_params.past_values(s), "pastValues", a.pastValues());
    assay_suffix_attention_params.prompts(s, at.read("prompts", a.prompts()));
    assay_suffix_attention_params.starts(s, at.read("starts", a.starts()));
    assay_suffix_attention_params.sequences(s, a.sequences());
    assay_suffix_attention_params.positions(s, a.positions());
    assay_suffix_attention_params.heads(s, a.heads());
    assay_suffix_attention_params.scale(s, a.scale());
    return s;
  }

  static MemorySegment patch(SegmentAllocator memory, Addresses at, PatchRows a) {
    MemorySegment s = assay_patch_rows_params.allocate(memory);
    assay_patch_rows_params.struct_bytes(s, s.byteSize());
    fill(at, assay_patch_rows_params.live(s), "live", a.live());
    fill(at, assay_patch_rows_params.bank(s), "bank", a.bank());
    fill(at, assay_patch_rows_params.output(s), "output", a.output());
    fill(at, assay_patch_rows_params.stream(s), "stream", a.stream());
    assay_patch_rows_params.rows(s, at.read("rows", a.rows()));
    assay_patch_rows_params.sources(s, at.read("sources", a.sources()));
    assay_patch_rows_params.count(s, a.count());
    assay_patch_rows_params.heads(s, a.heads());
    if (a.norm() != null) {
      assay_patch_rows_params.scale(s, at.read("scale", a.norm().scale()));
      assay_patch_rows_params.bias(s, at.read("bias", a.norm().bias()));
      assay_patch_rows_params.epsilon(s, a.norm().epsilon());
      int kind = a.norm().centred() ? AssayH.ASSAY_LAYER_NORM() : AssayH.ASSAY_RMS_NORM();
      assay_patch_rows_params.norm(s, kind);
    }
    return s;
  }

  /** Where the norm goes, NULL where it is not asked for. */
  static MemorySegment normed(SegmentAllocator memory, Addresses at, PatchRows a) {
    return a.norm() == null
        ? MemorySegment.NULL
        : matrix(memory, at, "normed", a.norm().out(), Use.WRITES);
  }

  static MemorySegment edges(SegmentAllocator memory, Addresses at, EdgeScores a) {
    MemorySegment s = assay_edge_scores_params.allocate(memory);
    assay_edge_scores_params.struct_bytes(s, s.byteSize());
    fill(at, assay_edge_scores_params.changes(s), "changes", a.changes());
    fill(at, assay_edge_scores_params.gradients(s), "gradients", a.gradients());
    assay_edge_scores_params.before(s, at.read("before", a.before()));
    assay_edge_scores_params.width(s, a.width());
    return s;
  }

  /** A matrix as a struct of its own. */
  static MemorySegment matrix(
      SegmentAllocator memory, Addresses at, String name, Matrix m, Use use) {
    MemorySegment s = assay_matrix.allocate(memory);
    fill(at, s, name, m, use);
    return s;
  }

  private static void fill(Addresses at, MemorySegment s, String name, Matrix m) {
    fill(at, s, name, m, Use.READS);
  }

  /** Leaves the struct zero where the matrix is null. */
  private static void fill(Addresses at, MemorySegment s, String name, Matrix m, Use use) {
    if (m != null) {
      boolean gaps = m.stride() != m.columns();
      Use all = gaps && use == Use.WRITES ? Use.CHANGES : use;
      assay_matrix.data(s, at.of(name, m.data(), m.bytes(), all));
      assay_matrix.dtype(s, code(m.dtype()));
      assay_matrix.rows(s, m.rows());
      assay_matrix.columns(s, m.columns());
      assay_matrix.stride(s, m.stride());
    }
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
