package io.assay.engine.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Locale;

/**
 * Zeroed memory in pages of 2 MB, where Linux has them to give: a table of 154 MB in 4 KiB pages
 * takes 38,000 translations to read, and kernels that compute while they read wait for them.
 */
final class LargePages {
  /** From this size on it is worth it. */
  static final long LEAST_BYTES = 8 << 20;

  private static final long PAGE_BYTES = 2 << 20;

  // Linux, on every processor that there is a JDK 25 for.
  private static final int READ_AND_WRITE = 3;
  private static final int PRIVATE_AND_ANONYMOUS = 0x22;
  private static final int HUGEPAGE = 14;
  private static final long FAILED = -1;

  private static final boolean LINUX =
      System.getProperty("os.name").toLowerCase(Locale.ROOT).equals("linux");

  private static final ValueLayout.OfLong SIZE = ValueLayout.JAVA_LONG;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final MethodHandle MAP =
      find("mmap", FunctionDescriptor.of(SIZE, SIZE, SIZE, INT, INT, INT, SIZE));
  private static final MethodHandle ADVISE =
      find("madvise", FunctionDescriptor.of(INT, SIZE, SIZE, INT));
  private static final MethodHandle UNMAP = find("munmap", FunctionDescriptor.of(INT, SIZE, SIZE));

  private LargePages() {}

  private static MethodHandle find(String name, FunctionDescriptor type) {
    Linker linker = Linker.nativeLinker();
    return LINUX
        ? linker
            .defaultLookup()
            .find(name)
            .map(function -> linker.downcallHandle(function, type))
            .orElse(null)
        : null;
  }

  /** Zeroed memory that lives as long as {@code arena}; null where it cannot be had. */
  static MemorySegment allocate(Arena arena, long bytes) {
    if (MAP == null || ADVISE == null || UNMAP == null) {
      return null;
    }
    long mapped = Math.addExact(bytes, PAGE_BYTES);
    long base = map(mapped);
    if (base == FAILED) {
      return null;
    }
    long start = (base + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    try {
      MemorySegment memory =
          MemorySegment.ofAddress(start).reinterpret(bytes, arena, _ -> release(base, mapped));
      advise(start, bytes);
      return memory;
    } catch (IllegalStateException | WrongThreadException e) {
      release(base, mapped); // the arena is closed, or another thread's
      throw e;
    }
  }

  private static long map(long bytes) {
    try {
      return (long) MAP.invokeExact(0L, bytes, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0L);
    } catch (Throwable e) {
      throw new AssertionError("mmap throws nothing", e);
    }
  }

  /** Where the advice is refused, the pages are small. */
  private static void advise(long start, long bytes) {
    try {
      int ignored = (int) ADVISE.invokeExact(start, bytes, HUGEPAGE);
    } catch (Throwable e) {
      throw new AssertionError("madvise throws nothing", e);
    }
  }

  private static void release(long base, long bytes) {
    try {
      int ignored = (int) UNMAP.invokeExact(base, bytes);
    } catch (Throwable e) {
      throw new AssertionError("munmap throws nothing", e);
    }
  }
}
