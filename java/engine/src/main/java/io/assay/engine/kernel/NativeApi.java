package io.assay.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.StructLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;

/**
 * {@code native/include/assay.h}, function by function and field by field. Nobody else calls its
 * handles; the layouts are compared with what the library says of its own when it is loaded.
 */
final class NativeApi {
  static final int ABI_VERSION = 1;

  static final StructLayout MATRIX =
      MemoryLayout.structLayout(
              ADDRESS.withName("data"),
              JAVA_INT.withName("dtype"),
              JAVA_INT.withName("reserved"),
              JAVA_LONG.withName("rows"),
              JAVA_LONG.withName("columns"),
              JAVA_LONG.withName("stride"))
          .withName("assay_matrix");

  static final StructLayout TOKEN_SWAP =
      MemoryLayout.structLayout(
              JAVA_LONG.withName("struct_bytes"),
              MATRIX.withName("embedding"),
              MATRIX.withName("head"),
              MATRIX.withName("gradient"),
              MATRIX.withName("hidden"),
              ADDRESS.withName("alpha"),
              ADDRESS.withName("bias"),
              ADDRESS.withName("unigram"),
              ADDRESS.withName("allowed"),
              ADDRESS.withName("forbidden_offsets"),
              ADDRESS.withName("forbidden_ids"),
              JAVA_LONG.withName("kept"),
              ADDRESS.withName("ids"),
              ADDRESS.withName("scores"),
              ADDRESS.withName("found"),
              ADDRESS.withName("nans"),
              ADDRESS.withName("lse"))
          .withName("assay_token_swap");

  static final StructLayout HEAD_ROWS =
      MemoryLayout.structLayout(
              JAVA_LONG.withName("struct_bytes"),
              MATRIX.withName("hidden"),
              MATRIX.withName("head"),
              ADDRESS.withName("bias"),
              ADDRESS.withName("targets"))
          .withName("assay_head_rows");

  static final StructLayout ADAMW =
      MemoryLayout.structLayout(
              JAVA_LONG.withName("struct_bytes"),
              JAVA_DOUBLE.withName("learning_rate"),
              JAVA_DOUBLE.withName("beta1"),
              JAVA_DOUBLE.withName("beta2"),
              JAVA_DOUBLE.withName("epsilon"),
              JAVA_DOUBLE.withName("weight_decay"),
              JAVA_LONG.withName("step"))
          .withName("assay_adamw_settings");

  private static final Linker LINKER = Linker.nativeLinker();
  private static final SymbolLookup SYMBOLS = SymbolLookup.loaderLookup();
  private static final List<String> MISSING = new ArrayList<>();

  private static final MethodHandle VERSION = of("assay_abi_version", JAVA_INT);
  private static final MethodHandle LAYOUT = of("assay_struct_layout", ADDRESS);
  private static final MethodHandle BUILD = of("assay_build_id", ADDRESS);
  private static final MethodHandle ERROR = of("assay_last_error", ADDRESS);
  private static final MethodHandle TIERS = of("assay_cpu_tier_count", JAVA_INT);
  private static final MethodHandle TIER_NAME = of("assay_cpu_tier_name", ADDRESS, JAVA_INT);
  private static final MethodHandle TIER_PRESENT = of("assay_cpu_tier_present", JAVA_INT, JAVA_INT);
  private static final MethodHandle TIER_REASON = of("assay_cpu_tier_reason", ADDRESS, JAVA_INT);
  private static final MethodHandle TIER_CURRENT = of("assay_cpu_tier_current", JAVA_INT);
  private static final MethodHandle TIER_FORCE = of("assay_cpu_tier_force", JAVA_INT, ADDRESS);
  private static final MethodHandle CREATE = of("assay_stream_create", JAVA_INT, JAVA_INT, ADDRESS);
  private static final MethodHandle DESTROY = ofVoid("assay_stream_destroy", ADDRESS);
  private static final MethodHandle SWAP_WORKSPACE =
      of("assay_token_swap_topk_workspace", JAVA_INT, ADDRESS, ADDRESS);
  private static final MethodHandle SWAP =
      of("assay_token_swap_topk", JAVA_INT, ADDRESS, ADDRESS, JAVA_LONG, ADDRESS);
  private static final MethodHandle ROWS_WORKSPACE =
      of("assay_head_rows_workspace", JAVA_INT, ADDRESS, ADDRESS);
  private static final MethodHandle ROWS =
      of(
          "assay_head_rows",
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          ADDRESS);
  private static final MethodHandle BACKWARD_WORKSPACE =
      of("assay_head_backward_workspace", JAVA_INT, ADDRESS, ADDRESS);
  private static final MethodHandle BACKWARD =
      of(
          "assay_head_backward",
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          ADDRESS);
  private static final MethodHandle STEP =
      of(
          "assay_adamw",
          JAVA_INT,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          ADDRESS,
          JAVA_LONG,
          ADDRESS);

  private NativeApi() {}

  private static MethodHandle of(String name, MemoryLayout result, MemoryLayout... arguments) {
    return bind(name, FunctionDescriptor.of(result, arguments));
  }

  private static MethodHandle ofVoid(String name, MemoryLayout... arguments) {
    return bind(name, FunctionDescriptor.ofVoid(arguments));
  }

  /** Null, and noted, where the library lacks the symbol. */
  private static MethodHandle bind(String name, FunctionDescriptor type) {
    MemorySegment symbol = SYMBOLS.find(name).orElse(null);
    if (symbol == null) {
      MISSING.add(name);
      return null;
    }
    return LINKER.downcallHandle(symbol, type);
  }

  /** Why the loaded library does not fit this class, or null if it does. */
  static String mismatch() {
    if (!MISSING.isEmpty()) {
      return "the native library lacks " + String.join(", ", MISSING);
    }
    try {
      int version = (int) VERSION.invokeExact();
      if (version != ABI_VERSION) {
        return "the native library has ABI " + version + ", not " + ABI_VERSION;
      }
      String theirs = text((MemorySegment) LAYOUT.invokeExact());
      for (StructLayout struct : List.of(MATRIX, TOKEN_SWAP, HEAD_ROWS, ADAMW)) {
        if (!theirs.lines().toList().contains(line(struct))) {
          return "the native library lays out its structs otherwise: no line \""
              + line(struct)
              + "\" in \""
              + theirs.strip().replace("\n", "; ")
              + "\"";
        }
      }
      return null;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** "name size field=offset ...", as the library describes its structs. */
  private static String line(StructLayout struct) {
    StringBuilder b = new StringBuilder(struct.name().orElseThrow()).append(' ');
    b.append(struct.byteSize());
    for (MemoryLayout field : struct.memberLayouts()) {
      String name = field.name().orElseThrow();
      b.append(' ').append(name).append('=');
      b.append(struct.byteOffset(PathElement.groupElement(name)));
    }
    return b.toString();
  }

  static String buildId() {
    try {
      return text((MemorySegment) BUILD.invokeExact());
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int tiers() {
    try {
      return (int) TIERS.invokeExact();
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static String tierName(int tier) {
    try {
      return text((MemorySegment) TIER_NAME.invokeExact(tier));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static String tierReason(int tier) {
    try {
      return text((MemorySegment) TIER_REASON.invokeExact(tier));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static boolean tierPresent(int tier) {
    try {
      return (int) TIER_PRESENT.invokeExact(tier) != 0;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Index of the tier in use. */
  static int tierCurrent() {
    try {
      int tier = (int) TIER_CURRENT.invokeExact();
      require(Math.min(tier, 0));
      return tier;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void tierForce(String name) {
    try (Arena arena = Arena.ofConfined()) {
      require((int) TIER_FORCE.invokeExact(arena.allocateFrom(name)));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** A pool of threads, to be destroyed. */
  static MemorySegment create(int threads) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      require((int) CREATE.invokeExact(threads, out));
      return out.get(ADDRESS, 0);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void destroy(MemorySegment stream) {
    try {
      DESTROY.invokeExact(stream);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void tokenSwap(SegmentAllocator scratch, MemorySegment args, MemorySegment stream) {
    try {
      MemorySegment bytes = scratch.allocate(JAVA_LONG);
      require((int) SWAP_WORKSPACE.invokeExact(args, bytes));
      long size = bytes.get(JAVA_LONG, 0);
      require((int) SWAP.invokeExact(args, workspace(scratch, size), size, stream));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void headRows(
      SegmentAllocator scratch,
      MemorySegment args,
      MemorySegment logProb,
      MemorySegment lse,
      MemorySegment argMax,
      MemorySegment margin,
      MemorySegment stream) {
    try {
      MemorySegment bytes = scratch.allocate(JAVA_LONG);
      require((int) ROWS_WORKSPACE.invokeExact(args, bytes));
      long size = bytes.get(JAVA_LONG, 0);
      require(
          (int)
              ROWS.invokeExact(
                  args, logProb, lse, argMax, margin, workspace(scratch, size), size, stream));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void headBackward(
      SegmentAllocator scratch,
      MemorySegment args,
      MemorySegment lse,
      MemorySegment weight,
      MemorySegment gradient,
      MemorySegment stream) {
    try {
      MemorySegment bytes = scratch.allocate(JAVA_LONG);
      require((int) BACKWARD_WORKSPACE.invokeExact(args, bytes));
      long size = bytes.get(JAVA_LONG, 0);
      require(
          (int)
              BACKWARD.invokeExact(
                  args, lse, weight, gradient, workspace(scratch, size), size, stream));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static void adamw(
      MemorySegment settings,
      MemorySegment gradients,
      MemorySegment parameters,
      MemorySegment first,
      MemorySegment second,
      MemorySegment stream) {
    try {
      require(
          (int)
              STEP.invokeExact(
                  settings, gradients, parameters, first, second, MemorySegment.NULL, 0L, stream));
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  private static MemorySegment workspace(SegmentAllocator scratch, long bytes) {
    return bytes == 0 ? MemorySegment.NULL : scratch.allocate(bytes, 64);
  }

  /** The text is read at once, in the thread of the failed call. */
  private static void require(int status) throws Throwable {
    if (status < 0) {
      throw new IllegalArgumentException(text((MemorySegment) ERROR.invokeExact()));
    }
  }

  private static String text(MemorySegment address) {
    return address.reinterpret(Long.MAX_VALUE).getString(0);
  }

  private static RuntimeException unexpected(Throwable e) {
    if (e instanceof Error error) {
      throw error;
    }
    return e instanceof RuntimeException r ? r : new IllegalStateException(e);
  }
}
