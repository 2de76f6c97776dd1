package io.assay.engine.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.device.FakeDriver;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The CUDA kernels as Java calls them, on the host emulation of a device, which the build makes
 * before it runs these tests.
 */
class CudaKernelsTest {
  private static final long BYTES = 64 << 20;

  @BeforeEach
  void emulated() {
    boolean named = CudaCheck.library() != null;
    assumeTrue(named, "the property " + CudaLibrary.PROPERTY + " names no emulated library");
  }

  /** Two engines take turns on one device; closing one leaves the other whole, and no byte. */
  @Test
  void twoEngines() {
    FakeDriver driver = new FakeDriver(1, BYTES, true);
    Kernels first = CudaKernels.open(driver, 0, 1);
    long one = driver.bytes.get();
    try (Kernels second = CudaKernels.open(driver, 0, 1)) {
      assertEquals("cuda", second.implementation());
      assertEquals("device 0", second.tier());
      new CudaCheck().check(first);
      new CudaCheck().check(second);
      long both = driver.bytes.get();
      first.close();
      first.close();
      assertTrue(driver.bytes.get() < both, driver.bytes.get() + " bytes of " + both);
      new CudaCheck().check(second);
    }
    assertEquals(0, driver.bytes.get());
    assertEquals(0, driver.open.get());
    assertTrue(one > 0);
    assertTrue(driver.faults().isEmpty(), driver.faults()::toString);
  }

  private static HeadRows rows(Arena arena, Tensor table) {
    Tensor hidden = Tensor.allocate(arena, DType.F32, 1, table.dim(1));
    hidden.set(0, 1);
    return new HeadRows(Matrix.of(hidden), Matrix.of(table), null, arena.allocate(4));
  }

  /** What is kept is copied once: a change of the host's memory is not seen. */
  @Test
  void keptTables() {
    FakeDriver driver = new FakeDriver(1, BYTES, true);
    try (Arena arena = Arena.ofConfined();
        Kernels cuda = CudaKernels.open(driver, 0, 1)) {
      Tensor table = Tensor.allocate(arena, DType.F32, 3, 2);
      table.set(4, 9);
      HeadRows args = rows(arena, table);
      MemorySegment best = arena.allocate(4);
      Runnable run =
          () -> cuda.headRows(args, arena.allocate(4), arena.allocate(4), best, arena.allocate(4));
      run.run();
      assertEquals(2, best.get(Tensor.INT, 0));
      table.set(2, 20);
      run.run();
      assertEquals(1, best.get(Tensor.INT, 0));
      cuda.keep(Matrix.of(table));
      table.set(0, 30);
      run.run();
      assertEquals(1, best.get(Tensor.INT, 0));
      int asked = driver.allocations.get();
      run.run();
      assertEquals(asked, driver.allocations.get());
    }
  }

  /** What lies where a kept table was, after that has ended, is not taken for it. */
  @Test
  void keptTablesThatHaveEnded() {
    try (Arena arena = Arena.ofConfined();
        Kernels cuda = CudaKernels.open(new FakeDriver(1, BYTES, true), 0, 1)) {
      MemorySegment place = arena.allocate(24, 8);
      try (Arena brief = Arena.ofConfined()) {
        MemorySegment first = place.reinterpret(24, brief, null);
        cuda.keep(Matrix.of(Tensor.of(DType.F32, first, 3, 2)));
      }
      Tensor second = Tensor.of(DType.F32, place, 3, 2);
      second.set(2, 20);
      MemorySegment best = arena.allocate(4);
      cuda.headRows(
          rows(arena, second), arena.allocate(4), arena.allocate(4), best, arena.allocate(4));
      assertEquals(1, best.get(Tensor.INT, 0));
    }
  }

  @Test
  void refusals() {
    try (Arena arena = Arena.ofConfined()) {
      Kernels cuda = CudaKernels.open(new FakeDriver(1, BYTES, true), 0, 1);
      HeadRows args = rows(arena, Tensor.allocate(arena, DType.F32, 3, 2));
      args.targets().set(Tensor.INT, 0, 3);
      MemorySegment four = arena.allocate(4);
      Runnable run = () -> cuda.headRows(args, four, four, four, four);
      IllegalArgumentException wrong = assertThrows(IllegalArgumentException.class, run::run);
      assertTrue(wrong.getMessage().contains("targets[0] is 3"), wrong.getMessage());
      cuda.close();
      args.targets().set(Tensor.INT, 0, 0);
      assertThrows(IllegalStateException.class, run::run);
      assertThrows(IllegalStateException.class, () -> cuda.keep(args.head()));
    }
  }
}
