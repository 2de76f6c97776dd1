package io.assay.engine.kernel;

import io.assay.engine.kernel.ffi.AssayH;
import io.assay.engine.kernel.ffi.assay_adamw_params;
import io.assay.engine.kernel.ffi.assay_edge_scores_params;
import io.assay.engine.kernel.ffi.assay_fourier_ablate_params;
import io.assay.engine.kernel.ffi.assay_grok_grid_params;
import io.assay.engine.kernel.ffi.assay_grok_params;
import io.assay.engine.kernel.ffi.assay_grok_weights;
import io.assay.engine.kernel.ffi.assay_head_rows_params;
import io.assay.engine.kernel.ffi.assay_matrix;
import io.assay.engine.kernel.ffi.assay_patch_rows_params;
import io.assay.engine.kernel.ffi.assay_suffix_attention_params;
import io.assay.engine.kernel.ffi.assay_token_swap_topk_params;
import java.lang.foreign.Arena;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * The functions of {@code native/include/assay.h}, with its status codes as exceptions. Nobody else
 * calls the generated bindings of functions; those of structs are used where arguments are written.
 *
 * <p>A failed call throws {@link IllegalArgumentException} with the library's sentence.
 */
final class NativeApi {
  private static final String DESCRIPTOR = "$descriptor";
  private static final String PREFIX = "assay_";

  private NativeApi() {}

  /**
   * Why the loaded library does not fit the bindings, or null if it does. All its functions are
   * looked up here, and what it says of its structs is compared with their generated layouts.
   */
  static String mismatch() {
    SymbolLookup library = SymbolLookup.loaderLookup();
    List<String> missing =
        functions().filter(name -> library.find(name).isEmpty()).sorted().toList();
    if (!missing.isEmpty()) {
      // Together, since a message of all whole names would be too long to be shown as it is.
      String names = String.join(", ", missing).replace(PREFIX, "");
      return "the native library lacks " + PREFIX + "{" + names + "}";
    }
    int version = AssayH.assay_abi_version();
    if (version != AssayH.ASSAY_ABI_VERSION()) {
      return "the native library has ABI " + version + ", not " + AssayH.ASSAY_ABI_VERSION();
    }
    String ours = layouts();
    String theirs = text(AssayH.assay_struct_layout());
    return theirs.equals(ours) ? null : otherwise(theirs, ours);
  }

  /** What is wrong with structs that a library lays out otherwise than the bindings. */
  static String otherwise(String theirs, String ours) {
    return "the native library lays out its structs otherwise: it has \""
        + theirs.strip().replace("\n", "; ")
        + "\", the bindings have \""
        + ours.strip().replace("\n", "; ")
        + "\"";
  }

  /** The layouts of the bindings, as a library describes its own. */
  static String layouts() {
    return Stream.of(
            assay_matrix.layout(),
            assay_token_swap_topk_params.layout(),
            assay_head_rows_params.layout(),
            assay_fourier_ablate_params.layout(),
            assay_adamw_params.layout(),
            assay_grok_weights.layout(),
            assay_grok_params.layout(),
            assay_grok_grid_params.layout(),
            assay_suffix_attention_params.layout(),
            assay_patch_rows_params.layout(),
            assay_edge_scores_params.layout())
        .map(NativeApi::line)
        .reduce("", String::concat);
  }

  /** The names of all functions that the bindings know. */
  private static Stream<String> functions() {
    return Stream.of(AssayH.class.getMethods())
        .map(Method::getName)
        .filter(name -> name.endsWith(DESCRIPTOR))
        .map(name -> name.substring(0, name.length() - DESCRIPTOR.length()));
  }

  /** "name size field=offset ...\n", as the library describes its structs. */
  private static String line(GroupLayout struct) {
    List<String> words = new ArrayList<>();
    words.add(struct.name().orElseThrow());
    words.add(Long.toString(struct.byteSize()));
    for (MemoryLayout field : struct.memberLayouts()) {
      field
          .name()
          .ifPresent(
              name -> words.add(name + "=" + struct.byteOffset(PathElement.groupElement(name))));
    }
    return String.join(" ", words) + "\n";
  }

  static String buildId() {
    return text(AssayH.assay_build_id());
  }

  static int tiers() {
    return AssayH.assay_cpu_tier_count();
  }

  static String tierName(int tier) {
    return text(AssayH.assay_cpu_tier_name(tier));
  }

  static String tierReason(int tier) {
    return text(AssayH.assay_cpu_tier_reason(tier));
  }

  static boolean tierPresent(int tier) {
    return AssayH.assay_cpu_tier_present(tier) != 0;
  }

  /** Index of the tier in use. */
  static int tierCurrent() {
    return require(AssayH.assay_cpu_tier_current());
  }

  static void tierForce(String name) {
    try (Arena arena = Arena.ofConfined()) {
      require(AssayH.assay_cpu_tier_force(arena.allocateFrom(name)));
    }
  }

  /** A pool of threads, to be destroyed. */
  static MemorySegment create(int threads) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(AssayH.C_POINTER);
      require(AssayH.assay_stream_create(threads, out));
      return out.get(AssayH.C_POINTER, 0);
    }
  }

  static void destroy(MemorySegment stream) {
    AssayH.assay_stream_destroy(stream);
  }

  static void tokenSwapTopk(Scratch scratch, MemorySegment args, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_token_swap_topk_workspace, args);
    require(AssayH.assay_token_swap_topk(args, w, w.byteSize(), stream));
  }

  static void headRows(
      Scratch scratch,
      MemorySegment args,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin,
      MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_head_rows_workspace, args);
    require(AssayH.assay_head_rows(args, logProb, lse, argMax, margin, w, w.byteSize(), stream));
  }

  static void headBackward(
      Scratch scratch,
      MemorySegment args,
      MemorySegment lse,
      MemorySegment weight,
      MemorySegment gradient,
      MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_head_backward_workspace, args);
    require(AssayH.assay_head_backward(args, lse, weight, gradient, w, w.byteSize(), stream));
  }

  static void adamw(
      Scratch scratch,
      MemorySegment args,
      MemorySegment gradients,
      MemorySegment parameters,
      MemorySegment first,
      MemorySegment second,
      MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_adamw_workspace, parameters);
    require(
        AssayH.assay_adamw(args, gradients, parameters, first, second, w, w.byteSize(), stream));
  }

  static void fourierAblate(
      Scratch scratch, MemorySegment args, MemorySegment loss, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_fourier_ablate_workspace, args);
    require(AssayH.assay_fourier_ablate(args, loss, w, w.byteSize(), stream));
  }

  static void grok(Scratch scratch, MemorySegment args, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_grok_workspace, args);
    require(AssayH.assay_grok(args, w, w.byteSize(), stream));
  }

  static void grokGrid(Scratch scratch, MemorySegment args, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_grok_grid_workspace, args);
    require(AssayH.assay_grok_grid(args, w, w.byteSize(), stream));
  }

  static void suffixAttention(
      Scratch scratch, MemorySegment args, MemorySegment out, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_suffix_attention_workspace, args);
    require(AssayH.assay_suffix_attention(args, out, w, w.byteSize(), stream));
  }

  static void patchRows(
      Scratch scratch,
      MemorySegment args,
      MemorySegment middle,
      MemorySegment normed,
      MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_patch_rows_workspace, args);
    require(AssayH.assay_patch_rows(args, middle, normed, w, w.byteSize(), stream));
  }

  static void edgeScores(
      Scratch scratch, MemorySegment args, MemorySegment scores, MemorySegment stream) {
    MemorySegment w = workspace(scratch, AssayH::assay_edge_scores_workspace, args);
    require(AssayH.assay_edge_scores(args, scores, w, w.byteSize(), stream));
  }

  /** One of the {@code _workspace} functions. */
  private interface Query {
    int ask(MemorySegment args, MemorySegment bytes);
  }

  private static MemorySegment workspace(Scratch scratch, Query query, MemorySegment args) {
    MemorySegment bytes = scratch.allocate(AssayH.C_LONG_LONG);
    require(query.ask(args, bytes));
    return scratch.workspace(bytes.get(AssayH.C_LONG_LONG, 0));
  }

  /** The text is read at once, in the thread of the failed call. */
  private static int require(int status) {
    if (status < 0) {
      throw new IllegalArgumentException(text(AssayH.assay_last_error()));
    }
    return status;
  }

  private static String text(MemorySegment address) {
    return address.getString(0);
  }
}
