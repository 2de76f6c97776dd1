package io.assay.engine.kernel;

import io.assay.engine.InputException;
import io.assay.engine.kernel.ffi.AssayH;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * {@code libassay_cuda}, the file that the property {@value #PROPERTY} names: the functions of
 * {@code cuda/include/assay_cuda.h}. They have the names of the other library's, so that they are
 * looked up here; the generated code binds that one's.
 */
final class CudaLibrary {
  static final String PROPERTY = "assay.cuda.library";

  private static final MemoryLayout POINTER = ValueLayout.ADDRESS;
  private static final MemoryLayout INT = ValueLayout.JAVA_INT;

  /** A kernel and the question how much workspace it needs. */
  record Kernel(MethodHandle workspace, MethodHandle call) {}

  private static CudaLibrary loaded;

  final Kernel tokenSwapTopk;
  final Kernel headRows;
  final Kernel headBackward;
  final Kernel adamw;
  final Kernel fourierAblate;
  final Kernel suffixAttention;
  final Kernel patchRows;
  final Kernel edgeScores;

  private final SymbolLookup symbols;
  private final List<String> missing = new ArrayList<>();
  private final MethodHandle lastError;
  private final MethodHandle create;
  private final MethodHandle destroy;

  private CudaLibrary(Path file) {
    symbols = SymbolLookup.libraryLookup(file, Arena.global());
    lastError = bind("assay_last_error", FunctionDescriptor.of(POINTER));
    create = bind("assay_cuda_stream_create", FunctionDescriptor.of(INT, INT, POINTER, POINTER));
    destroy = bind("assay_stream_destroy", FunctionDescriptor.ofVoid(POINTER));
    tokenSwapTopk = kernel("assay_token_swap_topk", 1);
    headRows = kernel("assay_head_rows", 5);
    headBackward = kernel("assay_head_backward", 4);
    adamw = kernel("assay_adamw", 5);
    fourierAblate = kernel("assay_fourier_ablate", 2);
    suffixAttention = kernel("assay_suffix_attention", 2);
    patchRows = kernel("assay_patch_rows", 3);
    edgeScores = kernel("assay_edge_scores", 2);
    MethodHandle version = bind("assay_abi_version", FunctionDescriptor.of(INT));
    MethodHandle layout = bind("assay_struct_layout", FunctionDescriptor.of(POINTER));
    if (!missing.isEmpty()) {
      throw new InputException(file + " lacks " + String.join(", ", missing));
    }
    try {
      int abi = (int) version.invokeExact();
      if (abi != AssayH.ASSAY_ABI_VERSION()) {
        throw new InputException(file + " has ABI " + abi + ", not " + AssayH.ASSAY_ABI_VERSION());
      }
      String theirs = text((MemorySegment) layout.invokeExact());
      if (!theirs.equals(NativeApi.layouts())) {
        throw new InputException(file + ": " + NativeApi.otherwise(theirs, NativeApi.layouts()));
      }
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("the library throws nothing", e);
    }
  }

  /** So many pointers, then workspace, its bytes and the stream. */
  private Kernel kernel(String name, int pointers) {
    List<MemoryLayout> types = new ArrayList<>(Collections.nCopies(pointers + 1, POINTER));
    types.add(ValueLayout.JAVA_LONG);
    types.add(POINTER);
    return new Kernel(
        bind(name + "_workspace", FunctionDescriptor.of(INT, POINTER, POINTER)),
        bind(name, FunctionDescriptor.of(INT, types.toArray(MemoryLayout[]::new))));
  }

  /** Null, and a word of it, where the library has no such function. */
  private MethodHandle bind(String name, FunctionDescriptor types) {
    return symbols
        .find(name)
        .map(function -> Linker.nativeLinker().downcallHandle(function, types))
        .orElseGet(
            () -> {
              missing.add(name);
              return null;
            });
  }

  /**
   * The library.
   *
   * @throws InputException if there is none that can be used, with the reason
   */
  static synchronized CudaLibrary get() {
    if (loaded == null) {
      String named = System.getProperty(PROPERTY);
      if (named == null) {
        throw new InputException(
            "libassay_cuda.so is not named; build it (cuda/README.md) and set "
                + PROPERTY
                + " to the file (ASSAY_JAVA_OPTS=-D"
                + PROPERTY
                + "=FILE)");
      }
      try {
        loaded = new CudaLibrary(Path.of(named).toAbsolutePath());
      } catch (IllegalArgumentException e) {
        throw new InputException(
            "the property " + PROPERTY + " names " + named + ": " + e.getMessage());
      }
    }
    return loaded;
  }

  /** A stream of the library out of one of the driver's, to be destroyed. */
  MemorySegment create(int device, long handle) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.ADDRESS);
      require((int) create.invokeExact(device, MemorySegment.ofAddress(handle), out));
      return out.get(ValueLayout.ADDRESS, 0);
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("the library throws nothing", e);
    }
  }

  void destroy(MemorySegment stream) {
    try {
      destroy.invokeExact(stream);
    } catch (Throwable e) {
      throw new AssertionError("the library throws nothing", e);
    }
  }

  /** The text is read at once, in the thread of the failed call. */
  void require(int status) throws Throwable {
    if (status < 0) {
      throw new IllegalArgumentException(text((MemorySegment) lastError.invokeExact()));
    }
  }

  private static String text(MemorySegment address) {
    return address.reinterpret(Long.MAX_VALUE).getString(0);
  }
}
