package io.assay.engine.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class LargePagesTest {
  private static final long ELEMENTS = LargePages.LEAST_BYTES + 3;

  @Test
  void zeroedAlignedAndGoneWithTheArena() {
    MemorySegment data;
    try (Arena arena = Arena.ofConfined()) {
      data = Tensor.allocate(arena, DType.U8, ELEMENTS).data();
      assertEquals(ELEMENTS, data.byteSize());
      assertEquals(0, data.address() % 64);
      assertEquals(-1, data.mismatch(Arena.ofAuto().allocate(ELEMENTS)));
      data.set(ValueLayout.JAVA_BYTE, ELEMENTS - 1, (byte) 7);
      assertEquals(7, data.get(ValueLayout.JAVA_BYTE, ELEMENTS - 1));
    }
    assertThrows(IllegalStateException.class, () -> data.get(ValueLayout.JAVA_BYTE, 0));
  }

  @Test
  void closedArenaIsRefused() {
    Arena arena = Arena.ofConfined();
    arena.close();
    assertThrows(IllegalStateException.class, () -> Tensor.allocate(arena, DType.U8, ELEMENTS));
  }

  /** Linux lists, for each mapping, whether it was advised ("hg"). */
  @Test
  void linuxIsAskedForLargePagesAndMemoryIsGivenBack() throws IOException {
    assumeTrue(
        Files.exists(Path.of("/sys/kernel/mm/transparent_hugepage")),
        "this system has no transparent large pages");
    long address;
    try (Arena arena = Arena.ofConfined()) {
      address = Tensor.allocate(arena, DType.U8, ELEMENTS).data().address();
      assertTrue(isAdvised(address));
    }
    assertFalse(isAdvised(address));
  }

  private static boolean isAdvised(long address) throws IOException {
    List<String> lines = Files.readAllLines(Path.of("/proc/self/smaps"));
    boolean here = false;
    for (String line : lines) {
      if (line.matches("[0-9a-f]+-[0-9a-f]+ .*")) {
        String[] range = line.substring(0, line.indexOf(' ')).split("-");
        here =
            Long.parseUnsignedLong(range[0], 16) <= address
                && address < Long.parseUnsignedLong(range[1], 16);
      } else if (here && line.startsWith("VmFlags:")) {
        return line.contains(" hg");
      }
    }
    return false;
  }
}
