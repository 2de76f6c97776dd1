package io.assay.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Memory that lies flush against pages which may be neither read nor written (Linux). */
final class GuardedMemory {
  private static final long PAGE = 4096;
  private static final int READ_WRITE = 3;
  private static final int PRIVATE_ANONYMOUS = 0x22;
  private static final MethodHandle MMAP =
      handle(
          "mmap",
          FunctionDescriptor.of(
              ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
  private static final MethodHandle MPROTECT =
      handle("mprotect", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
  private static final MethodHandle MUNMAP =
      handle("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));

  private GuardedMemory() {}

  /** {@code bytes} that end (or, with {@code atStart}, begin) at a guard page. */
  static MemorySegment allocate(Arena arena, long bytes, boolean atStart) {
    long inner = Math.max(1, (bytes + PAGE - 1) / PAGE) * PAGE;
    long all = inner + 2 * PAGE;
    try {
      MemorySegment base =
          (MemorySegment)
              MMAP.invokeExact(MemorySegment.NULL, all, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0L);
      if (base.address() == -1) {
        throw new IllegalStateException("mmap refused " + all + " bytes");
      }
      MemorySegment whole = base.reinterpret(all, arena, GuardedMemory::release);
      protect(whole.asSlice(0, PAGE));
      protect(whole.asSlice(PAGE + inner, PAGE));
      return whole.asSlice(atStart ? PAGE : PAGE + inner - bytes, bytes);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  private static void protect(MemorySegment page) throws Throwable {
    if ((int) MPROTECT.invokeExact(page, page.byteSize(), 0) != 0) {
      throw new IllegalStateException("mprotect failed");
    }
  }

  private static void release(MemorySegment whole) {
    try {
      int status = (int) MUNMAP.invokeExact(whole, whole.byteSize());
      if (status != 0) {
        throw new IllegalStateException("munmap gave " + status);
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  private static MethodHandle handle(String name, FunctionDescriptor type) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type);
  }
}
