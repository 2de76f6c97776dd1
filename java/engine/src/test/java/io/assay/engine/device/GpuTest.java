package io.assay.engine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Streams, copies and memory, by a driver without a device. */
@Timeout(60)
class GpuTest {
  private static final int MIB = 1 << 20;
  private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

  private static MemorySegment random(Arena arena, long bytes, int seed) {
    byte[] drawn = new byte[(int) bytes];
    new Random(seed).nextBytes(drawn);
    return arena.allocate(bytes).copyFrom(MemorySegment.ofArray(drawn));
  }

  /** A kernel that adds 1 to every byte. */
  private static Gpu.Work addOne(FakeDriver driver, DeviceTensor tensor) {
    MemorySegment data = tensor.address().reinterpret(tensor.bytes());
    return stream ->
        driver.queue(
            stream,
            () -> {
              for (long i = 0; i < data.byteSize(); i++) {
                data.setAtIndex(BYTE, i, (byte) (data.getAtIndex(BYTE, i) + 1));
              }
            });
  }

  private static void meet(CountDownLatch latch) {
    latch.countDown();
    try {
      if (!latch.await(20, TimeUnit.SECONDS)) {
        throw new AssertionError("the others did not run at the same time");
      }
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** Several pieces and a last one that is not whole, and then, warmed up, a single one. */
  @ParameterizedTest
  @ValueSource(longs = {13 * MIB + 77, 5})
  void whatGoesUpIsWorkedOnAndComesBack(long bytes) {
    FakeDriver driver = new FakeDriver(1, 64 * MIB);
    try (Arena arena = Arena.ofConfined();
        Gpu gpu = new Gpu(driver, 0)) {
      MemorySegment from = random(arena, bytes, 1);
      MemorySegment to = arena.allocate(bytes);
      DeviceTensor tensor = gpu.allocate(DType.U8, bytes);
      tensor.upload(from);
      gpu.run(addOne(driver, tensor), tensor);
      gpu.run(addOne(driver, tensor), tensor);
      tensor.download(to);
      for (long i = 0; i < bytes; i++) {
        if (to.get(BYTE, i) != (byte) (from.get(BYTE, i) + 2)) {
          throw new AssertionError("byte " + i + " is " + to.get(BYTE, i));
        }
      }
    }
    assertTrue(driver.faults().isEmpty(), driver.faults()::toString);
  }

  /**
   * Two parts of one device and one of another: the kernels of all three, and a copy beside them,
   * are under way at the same time; otherwise they would wait for each other for ever.
   */
  @Test
  void streamsOverlap() {
    FakeDriver driver = new FakeDriver(2, 64 * MIB);
    CountDownLatch together = new CountDownLatch(4);
    try (Arena arena = Arena.ofConfined();
        Gpu first = new Gpu(driver, 0);
        Gpu second = new Gpu(driver, 0);
        Gpu third = new Gpu(driver, 1)) {
      for (Gpu gpu : new Gpu[] {first, second, third}) {
        gpu.run(stream -> driver.queue(stream, () -> meet(together)));
      }
      DeviceTensor copied = first.upload(random(arena, 9 * MIB, 2));
      MemorySegment back = arena.allocate(9 * MIB);
      copied.download(back);
      assertEquals(-1, back.mismatch(random(arena, 9 * MIB, 2)));
      together.countDown();
    }
    assertTrue(driver.faults().isEmpty(), driver.faults()::toString);
  }

  /** A block goes to the next tensor while the kernel of the last still reads it. */
  @Test
  void memoryThatIsUsedAgainWaits() {
    FakeDriver driver = new FakeDriver(1, 64 * MIB);
    try (Arena arena = Arena.ofShared();
        Gpu gpu = new Gpu(driver, 0)) {
      MemorySegment old = random(arena, MIB, 3);
      MemorySegment seen = arena.allocate(MIB);
      CountDownLatch go = new CountDownLatch(1);
      DeviceTensor first = gpu.upload(old);
      MemorySegment where = first.address();
      gpu.run(
          stream ->
              driver.queue(
                  stream,
                  () -> {
                    try {
                      go.await();
                    } catch (InterruptedException e) {
                      throw new AssertionError(e);
                    }
                    MemorySegment.copy(where.reinterpret(MIB), 0, seen, 0, MIB);
                  }),
          first);
      first.close();
      DeviceTensor second = gpu.upload(random(arena, MIB, 4));
      assertEquals(where, second.address());
      assertEquals(MIB, gpu.bytes());
      go.countDown();
      MemorySegment back = arena.allocate(MIB);
      second.download(back);
      assertEquals(-1, back.mismatch(random(arena, MIB, 4)));
      assertEquals(-1, seen.mismatch(old));
    }
    assertTrue(driver.faults().isEmpty(), driver.faults()::toString);
  }

  @Test
  void closingGivesEveryByteBack() {
    FakeDriver driver = new FakeDriver(2, 64 * MIB);
    Gpu first = new Gpu(driver, 0);
    Gpu second = new Gpu(driver, 1);
    long pinned = driver.bytes.get();
    DeviceTensor forgotten = first.allocate(DType.F32, 3, 1000);
    first.allocate(DType.F64, 5 * MIB / 8 + 1).close();
    DeviceTensor kept = second.allocate(DType.F32, 1);
    assertEquals(12288 + 6 * MIB, first.bytes());
    assertEquals(12288 + 6 * MIB + 512, driver.bytes.get() - pinned);
    first.close();
    first.close();
    assertEquals(0, first.bytes());
    assertEquals(pinned / 2 + 512, driver.bytes.get());
    assertThrows(IllegalStateException.class, () -> first.allocate(DType.F32, 1));
    forgotten.close();
    kept.close();
    kept.close();
    assertThrows(IllegalStateException.class, kept::address);
    AtomicBoolean over = new AtomicBoolean();
    second.run(
        stream ->
            driver.queue(
                stream,
                () -> {
                  long end = System.nanoTime() + 50_000_000;
                  while (System.nanoTime() < end) {
                    LockSupport.parkNanos(1_000_000);
                  }
                  over.set(true);
                }));
    second.close();
    assertTrue(over.get(), "what is queued is over before memory goes");
    assertEquals(0, driver.bytes.get());
    assertEquals(0, driver.open.get());
  }

  /** What is not in use goes before a request is refused; the refusal says how much there was. */
  @Test
  void aFullDevice() {
    FakeDriver driver = new FakeDriver(1, 8 * MIB);
    try (Gpu gpu = new Gpu(driver, 0)) {
      gpu.allocate(DType.U8, 6 * MIB).close();
      DeviceTensor large = gpu.allocate(DType.U8, 7 * MIB);
      assertEquals(7 * MIB, gpu.bytes());
      DeviceException full =
          assertThrows(DeviceException.class, () -> gpu.allocate(DType.U8, 2 * MIB));
      assertEquals(
          "2 MiB are not to be had beside 7 MiB: the fake device is full", full.getMessage());
      large.close();
      int asked = driver.allocations.get();
      gpu.allocate(DType.U8, 7 * MIB - 3).close();
      assertEquals(asked, driver.allocations.get());
    }
  }

  @Test
  void noSuchDevice() {
    FakeDriver driver = new FakeDriver(2, MIB);
    DeviceException none = assertThrows(DeviceException.class, () -> new Gpu(driver, 2));
    assertEquals("there is no device cuda:2; the driver shows 2", none.getMessage());
    assertEquals(0, driver.open.get());
  }

  /** Where there is no driver, there is a reason, and asking again gives the same one. */
  @Test
  void theInstalledDriver() {
    String reason = CudaDriver.reason();
    if (reason == null) {
      assertTrue(CudaDriver.open().devices() >= 0);
    } else {
      assertEquals(1, reason.lines().count(), reason);
      assertEquals(reason, assertThrows(DeviceException.class, CudaDriver::open).getMessage());
    }
  }

  @Test
  void moreThanATensorHas() {
    FakeDriver driver = new FakeDriver(1, MIB);
    try (Gpu gpu = new Gpu(driver, 0)) {
      DeviceTensor small = gpu.allocate(DType.F32, 2);
      MemorySegment nine = Tensor.ofFloats(new float[9], 9).data();
      assertThrows(IllegalArgumentException.class, () -> small.upload(nine));
      assertThrows(IllegalArgumentException.class, () -> small.download(nine));
    }
  }
}
