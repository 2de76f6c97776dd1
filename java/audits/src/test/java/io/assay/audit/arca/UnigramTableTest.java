package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Unigram tables in all formats. The binary files were written by numpy 2 and Python's pickle: a
 * table of three tokens and six columns, and one of four tokens.
 */
class UnigramTableTest {
  private static final Path FILES = Path.of("src/test/resources/unigram");

  private static String refused(String place) {
    return assertThrows(InputException.class, () -> UnigramTable.read(place)).getMessage();
  }

  @ParameterizedTest
  @ValueSource(strings = {"tox.npy", "tox-p3.pkl", "tox-p4.pkl", "tox-p5.pkl"})
  void columnsOfTheToxicityTableByName(String file) {
    String place = FILES.resolve(file).toString();
    UnigramTable toxic = UnigramTable.read(place + ":toxic");
    assertEquals(3, toxic.size());
    assertEquals(-0.5, toxic.get(0));
    assertEquals(-0.25, toxic.get(1));
    assertEquals(0, toxic.get(2), "1e-5 is no log-probability");
    assertEquals(1, toxic.clamped());
    UnigramTable threat = UnigramTable.read(place + ":threat");
    assertEquals(-3.5, threat.get(1));
    assertEquals(0, threat.clamped());
    UnigramTable hate = UnigramTable.read(place + ":identity_hate");
    assertEquals(UnigramTable.FLOOR, hate.get(1));
    assertEquals(UnigramTable.FLOOR, hate.get(2));
    assertEquals(2, hate.clamped());
    String message = refused(place);
    assertTrue(message.contains("several columns") && message.contains("insult"), message);
    message = refused(place + ":kind");
    assertTrue(message.contains("'kind'") && message.contains("insult"), message);
  }

  @ParameterizedTest
  @ValueSource(strings = {"one.npy", "one-p4.pkl"})
  void oneColumnNeedsNoName(String file) {
    String place = FILES.resolve(file).toString();
    UnigramTable table = UnigramTable.read(place);
    assertEquals(4, table.size());
    assertEquals(-46.0517, table.get(2));
    assertEquals(2, table.clamped());
    UnigramTable opposite = UnigramTable.read(place + ":not");
    assertEquals(Math.log(1 - Math.exp(-0.5)), opposite.get(0), 1e-15);
    assertEquals(UnigramTable.FLOOR, opposite.get(1), 1e-12, "1 - p is at least 1e-20");
    assertEquals(2, opposite.clamped(), "what was clamped stays said");
  }

  @Test
  void theOppositeOfANamedColumn() {
    UnigramTable table = UnigramTable.read(FILES.resolve("tox.npy") + ":not_toxic");
    assertEquals(Math.log(1 - Math.exp(-0.25)), table.get(1), 1e-15);
    assertTrue(table.name().contains("toxic"), table.name());
  }

  @ParameterizedTest
  @CsvSource({
    "fortran.npy, column by column",
    "fortran.pkl, column by column",
    "big-endian.pkl, byte order >",
    "whole.npy, whole numbers",
    "one-p2.pkl, _codecs.encode",
    "program.pkl, posix.system",
    "dict.pkl, instruction 125"
  })
  void whatIsNoPlainTable(String file, String why) {
    String message = refused(FILES.resolve(file).toString());
    assertTrue(message.contains(why) && message.contains(file), message);
    assertFalse(Files.exists(Path.of("/tmp/assay-pickle-was-run")), "a pickle was run");
  }

  @ParameterizedTest
  @ValueSource(strings = {"tox-p3.pkl", "tox-p4.pkl", "tox-p5.pkl", "tox.npy"})
  void everyTruncationIsOneSentence(String file, @TempDir Path dir) throws IOException {
    byte[] whole = Files.readAllBytes(FILES.resolve(file));
    Path path = dir.resolve(file);
    for (int length = 0; length < whole.length; length++) {
      Files.write(path, Arrays.copyOf(whole, length));
      String message = refused(path + ":toxic");
      assertFalse(message.contains("\n"), message);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"tox-p3.pkl", "tox-p4.pkl", "tox-p5.pkl", "one.npy"})
  void everyChangedByteIsATableOrOneSentence(String file) throws IOException {
    byte[] whole = Files.readAllBytes(FILES.resolve(file));
    for (int at = 0; at < whole.length; at++) {
      for (int value = 0; value < 256; value++) {
        byte[] changed = whole.clone();
        changed[at] = (byte) value;
        try {
          NumpyFile array =
              file.endsWith("npy") ? NumpyFile.npy(file, changed) : NumpyFile.pickle(file, changed);
          for (int c = 0; c < array.columns(); c++) {
            assertEquals(array.rows(), array.column(c).length);
          }
        } catch (InputException e) {
          assertFalse(e.getMessage().contains("\n"), e.getMessage());
        }
      }
    }
  }

  @Test
  void textWithNamedColumns(@TempDir Path dir) throws IOException {
    Path path = dir.resolve("u.csv");
    Files.writeString(path, "id,toxic,kind\r\n0,-0.5,-1\r\n\r\n1,nan,-inf\r\n");
    assertEquals(-0.5, UnigramTable.read(path + ":toxic").get(0));
    assertEquals(1, UnigramTable.read(path + ":toxic").clamped());
    assertEquals(UnigramTable.FLOOR, UnigramTable.read(path + ":kind").get(1));
    assertEquals(-0.5, UnigramTable.read(path, "toxic").get(0));
  }

  @Test
  void textThatIsNoTable(@TempDir Path dir) throws IOException {
    Path path = dir.resolve("u.csv");
    Files.writeString(path, "id,toxic,kind\n0,-0.5,-1\n1,-0.5\n");
    assertTrue(refused(path + ":toxic").contains("line 3"), "a short line");
    assertTrue(refused(path.toString()).contains("id, toxic, kind"), "no column chosen");
    Files.writeString(path, "\n");
    assertTrue(refused(path.toString()).contains("is empty"), "empty");
    assertTrue(refused(dir.resolve("none.npy").toString()).contains("none.npy"), "no such file");
  }
}
