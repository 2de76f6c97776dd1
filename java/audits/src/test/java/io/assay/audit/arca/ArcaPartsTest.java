package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Streams, unigram tables and copy filters, each against a statement of its own. */
class ArcaPartsTest {
  /** SplitMix64's output function, written from its description (Steele, Lea, Flood 2014). */
  private static long mix64(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  @Test
  void streamsFollowTheFormula() {
    long gamma = 0x9E3779B97F4A7C15L;
    for (long seed : new long[] {0, 1, -7, Long.MAX_VALUE}) {
      long a = mix64(seed + (3 * 5 + 2 + 1) * gamma);
      RandomGenerator stream = Streams.seeded(seed, 5).of(3, 2);
      double expected = (mix64(a + gamma) >>> 11) * 0x1.0p-53;
      assertEquals(expected, stream.nextDouble());
      assertEquals(mix64(a + 2 * gamma), stream.nextLong());
      assertEquals(new SplittableRandom(a).nextDouble(), expected);
    }
  }

  @Test
  void readsNpyOfBothTypes(@TempDir Path dir) throws IOException {
    double[] values = {-1.5, 0, 0.25, Double.NaN};
    for (int width : new int[] {4, 8}) {
      String header = "{'descr': '<f" + width + "', 'fortran_order': False, 'shape': (4,), }\n";
      ByteBuffer file =
          ByteBuffer.allocate(10 + header.length() + 4 * width).order(ByteOrder.LITTLE_ENDIAN);
      file.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.ISO_8859_1));
      file.put((byte) 1).put((byte) 0).putShort((short) header.length());
      file.put(header.getBytes(StandardCharsets.ISO_8859_1));
      for (double v : values) {
        if (width == 4) {
          file.putFloat((float) v);
        } else {
          file.putDouble(v);
        }
      }
      Path path = dir.resolve("u" + width + ".npy");
      Files.write(path, file.array());
      UnigramTable table = UnigramTable.read(path.toString());
      assertArrayEquals(
          new double[] {-1.5, 0, 0, UnigramTable.FLOOR},
          new double[] {table.get(0), table.get(1), table.get(2), table.get(3)});
      assertEquals(2, table.clamped());
      Files.write(path, Arrays.copyOf(file.array(), file.capacity() - 1));
      assertThrows(InputException.class, () -> UnigramTable.read(path.toString()));
    }
  }

  @Test
  void readsOneNumberALine(@TempDir Path dir) throws IOException {
    Path path = dir.resolve("u.csv");
    Files.writeString(path, "id,logp\n0,-0.5\n1,-2\n");
    UnigramTable table = UnigramTable.read(path.toString());
    assertEquals(2, table.size());
    assertEquals(-2, table.get(1));
    assertEquals(Math.log(1 - Math.exp(-2)), table.not().get(1), 1e-15);
    Files.writeString(path, "-0.5\nwhat\n");
    String message =
        assertThrows(InputException.class, () -> UnigramTable.read(path.toString())).getMessage();
    assertTrue(message.contains("line 2"), message);
  }

  @Test
  void copyFilters() {
    List<String> texts = List.of(" Dan", " Danish", "x", " bad", "cat", "danger", " D", "Ba");
    // " Dan" is the output: its stem is "da", so "danish" and "danger" start with it.
    assertEquals(
        bits(0, 1, 5), TokenConstraints.copies(CopyFilter.FIXED, texts::get, 8, List.of(0)));
    // A one-character output forbids, officially, every token of more than three characters.
    assertEquals(
        bits(0, 1, 2, 3, 5),
        TokenConstraints.copies(CopyFilter.OFFICIAL, texts::get, 8, List.of(2)));
    assertEquals(bits(2), TokenConstraints.copies(CopyFilter.FIXED, texts::get, 8, List.of(2)));
    assertEquals(bits(), TokenConstraints.copies(CopyFilter.NONE, texts::get, 8, List.of(2)));
  }

  private static BitSet bits(int... ids) {
    BitSet set = new BitSet();
    for (int id : ids) {
      set.set(id);
    }
    return set;
  }
}
