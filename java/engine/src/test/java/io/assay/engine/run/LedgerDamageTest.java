package io.assay.engine.run;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Statement;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Ledgers with damage in them: what is read is what was written, the rest is as if it had not been
 * done, and the damaged file is kept.
 */
class LedgerDamageTest {
  private static final int PAGE = 4096;

  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void where() {
    file = folder.resolve(Ledger.FILE);
  }

  /** Two runs, a and b, of so many units. */
  private void twoRuns(int units) {
    try (Ledger ledger = Ledger.open(folder)) {
      for (String name : List.of("a", "b")) {
        try (Run run = ledger.begin(name, "test.run", List.of("x"))) {
          run.describe(units, Ledger.JSON.createObjectNode().put("seed", 1));
          finish(run, units);
          run.fail("why " + name);
        }
      }
    }
  }

  private static void finish(Run run, int units) {
    List<String> have = run.done().stream().map(RunRecord.Unit::name).toList();
    for (int i = 0; i < units; i++) {
      if (!have.contains("u" + i)) {
        run.finish("u" + i, "\"" + run.name().repeat(100) + i + "\"");
      }
    }
  }

  /** A value changes in the file, and nothing in it says so but the checksum. */
  private void change(String table, String column, String value, String where) throws Exception {
    try (Connection c = Sqlite.open(file);
        Statement s = c.createStatement()) {
      if (table.equals("run")) {
        s.execute("DROP TRIGGER run_changed");
      }
      String sql = "UPDATE %s SET %s = %s WHERE %s".formatted(table, column, value, where);
      assertEquals(1, s.executeUpdate(sql));
    }
  }

  /** A run whose row is damaged is as if it had not been begun; the others stay. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "name = 'c'",
        "method = 'test.rum'",
        "started = '      '",
        "started = '1999-01-01T00:00:00Z'",
        "ended = 'x'",
        "seconds = 1e300",
        "units = -7",
        "arguments = '[\"y\"]'",
        "arguments = '[\"y'",
        "arguments = x'00'",
        "folder = ''",
        "provenance = '{'",
        "provenance = NULL",
        "failure = ''",
        "result = '{}'",
        "checksum = 5"
      })
  void everyValueOfARunIsChecked(String damage) throws Exception {
    twoRuns(3);
    String[] parts = damage.split(" = ");
    change("run", parts[0], parts[1], "name = 'a'");
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("b"), ledger.runs().stream().map(RunRecord::name).toList());
      assertEquals(3, ledger.units("b").size());
      Path kept = ledger.damaged().orElseThrow();
      assertTrue(Files.exists(kept));
      String said = assertThrows(InputException.class, () -> ledger.resume("a")).getMessage();
      assertTrue(said.contains("no run a") && said.contains(kept.toString()), said);
      try (Run run = ledger.resume("b")) {
        assertEquals(3, run.done().size());
      }
    }
  }

  /** A unit whose row is damaged is done again. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "name = 'v'",
        "number = 77",
        "number = 'x'",
        "finished = '      '",
        "finished = '1999-01-01T00:00:00Z'",
        "result = '\"\"'",
        "result = x'22'",
        "checksum = 5"
      })
  void everyValueOfAUnitIsChecked(String damage) throws Exception {
    twoRuns(3);
    String[] parts = damage.split(" = ");
    change("unit", parts[0], parts[1], "name = 'u1' AND run = 1");
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("u0", "u2"), names(ledger, "a"));
      try (Run run = ledger.resume("a")) {
        assertEquals(2, run.done().size());
        finish(run, 3);
      }
      assertEquals(List.of("u0", "u2", "u1"), names(ledger, "a"));
      assertEquals(3, ledger.run("a").finished());
    }
  }

  private static List<String> names(Ledger ledger, String run) {
    return ledger.units(run).stream().map(RunRecord.Unit::name).toList();
  }

  /** Bytes of the file, the {@code n}th place where a text is overwritten from there on. */
  private void overwrite(String text, int n, int length, byte with) throws Exception {
    byte[] bytes = Files.readAllBytes(file);
    String all = new String(bytes, StandardCharsets.ISO_8859_1);
    int at = -1;
    for (int i = 0; i < n; i++) {
      at = all.indexOf(text, at + 1);
      assertTrue(at > 0, text + " is in the file");
    }
    Arrays.fill(bytes, at, at + length, with);
    Files.write(file, bytes);
  }

  /** A long result on pages of its own is damaged: runs before and after it are found. */
  @Test
  void damageInOneRunLosesNoOther() throws Exception {
    try (Ledger ledger = Ledger.open(folder)) {
      for (int i = 0; i < 3; i++) {
        try (Run run = ledger.begin("r" + i, "test.run", List.of())) {
          run.finish("u", "{}");
          run.complete("\"" + Integer.toString(i).repeat(5 * PAGE) + "\"");
        }
      }
    }
    byte[] bytes = Files.readAllBytes(file);
    String all = new String(bytes, StandardCharsets.ISO_8859_1);
    int page = all.lastIndexOf("1".repeat(PAGE - 4)) / PAGE * PAGE;
    Arrays.fill(bytes, page, page + PAGE, (byte) -1);
    Files.write(file, bytes);
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("r0", "r2"), ledger.runs().stream().map(RunRecord::name).toList());
      assertEquals(List.of("u"), names(ledger, "r2"));
    }
  }

  /** The index of the names is damaged, not the run. */
  @Test
  void aRunIsFoundWithoutTheIndexOfTheNames() throws Exception {
    try (Ledger ledger = Ledger.open(folder);
        Run run = ledger.begin("a-name-to-be-found", "test.run", List.of())) {
      run.finish("u", "{}");
    }
    byte[] bytes = Files.readAllBytes(file);
    String all = new String(bytes, StandardCharsets.ISO_8859_1);
    int row = all.indexOf("a-name-to-be-foundtest.run");
    int index = all.indexOf("a-name-to-be-found");
    index = index == row ? all.indexOf("a-name-to-be-found", row + 1) : index;
    assertTrue(row > 0 && index > 0);
    bytes[index] = 'z';
    Files.write(file, bytes);
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(1, ledger.run("a-name-to-be-found").finished());
      assertTrue(ledger.damaged().isPresent());
    }
  }

  /** Damage where only writing meets it is met before a run is begun. */
  @Test
  void aRunBegunInADamagedLedgerIsKept() throws Exception {
    Ledger.open(folder).close();
    byte[] bytes = Files.readAllBytes(file);
    Arrays.fill(bytes, bytes.length - PAGE, bytes.length, (byte) 7);
    Files.write(file, bytes);
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.begin("a", "test.run", List.of())) {
        finish(run, 3);
      }
      assertEquals(3, ledger.units("a").size());
      assertTrue(ledger.damaged().isPresent());
    }
  }

  /** A kill when the new ledger was whole, and the damaged one still in its place. */
  @Test
  void aKillDuringARescueLosesNothing() throws Exception {
    twoRuns(3);
    Files.copy(file, Path.of(file + ".rescued"));
    Files.write(file, new byte[2 * PAGE]);
    Files.write(Path.of(file + "-wal"), new byte[PAGE]);
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(2, ledger.runs().size());
      assertEquals(List.of("u0", "u1", "u2"), names(ledger, "b"));
    }
    assertFalse(Files.exists(Path.of(file + ".rescued")));
  }

  /** And one before that: the copies that it leaves are not read. */
  @Test
  void aKillEarlierInARescueLosesNothing() throws Exception {
    twoRuns(3);
    change("run", "started", "''", "name = 'a'");
    for (String suffix : List.of(".damaged", ".damaged-wal", ".growing", ".growing-wal")) {
      Files.write(Path.of(file + suffix), new byte[2 * PAGE]);
    }
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("b"), ledger.runs().stream().map(RunRecord::name).toList());
      assertEquals(3, ledger.units("b").size());
    }
    assertFalse(Files.exists(Path.of(file + ".growing")));
  }

  /** The first version had checksums of name and result only, and of units only. */
  @Test
  void anOldLedgerIsRescuedToo() throws Exception {
    try (InputStream in = LedgerDamageTest.class.getResourceAsStream("ledger-1.db")) {
      Files.copy(in, file);
    }
    overwrite("2026-11-24T16:23:41.283606091Z", 1, 6, (byte) ' ');
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("old-1"), ledger.runs().stream().map(RunRecord::name).toList());
      assertEquals(2, ledger.units("old-1").size());
      assertTrue(ledger.damaged().isPresent());
    }
  }

  @Test
  void aFileThatIsNoLedgerIsKeptAside() throws Exception {
    byte[] noise = new byte[3 * PAGE];
    new Random(2).nextBytes(noise);
    Files.write(file, noise);
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of(), ledger.runs());
      assertArrayEquals(noise, Files.readAllBytes(ledger.damaged().orElseThrow()));
    }
  }

  /**
   * The page of a unit in the middle of a run that is no inner page of SQLite's tree: those hold
   * some units too, and without one nothing behind it is found.
   */
  private static int leaf(byte[] file, String unit) {
    String text = new String(file, StandardCharsets.ISO_8859_1);
    for (int i = 200; ; i++) {
      int at = text.indexOf(unit + i);
      assertTrue(at > 0, "the unit is in the file");
      int page = at / 4096 * 4096;
      if (file[page] == 0x0a || file[page] == 0x0d) {
        return page;
      }
    }
  }

  /**
   * A ledger that was closed is not read whole when it is opened: damage in it is met where it is
   * read. One that was left by a kill is.
   */
  @Test
  void everyPageIsReadOnlyAfterAKill() throws Exception {
    Path killed = Files.createDirectory(folder.resolve("killed"));
    try (Ledger ledger = Ledger.open(folder)) {
      for (String name : List.of("a", "b")) {
        try (Run run = ledger.begin(name, "test.run", List.of())) {
          for (int i = 0; i < 400; i++) {
            run.finish("u" + i, "\"" + name.repeat(100) + i + "\"");
          }
        }
      }
      ledger.pragma("wal_checkpoint");
      ledger.begin("c", "test.run", List.of()).close();
      copy(folder, killed);
    }
    for (Path place : List.of(folder, killed)) {
      Path file = place.resolve(Ledger.FILE);
      byte[] bytes = Files.readAllBytes(file);
      int page = leaf(bytes, "b".repeat(100));
      Arrays.fill(bytes, page, page + 4096, (byte) -1);
      Files.write(file, bytes);
    }
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(400, ledger.units("a").size());
      assertTrue(ledger.damaged().isEmpty(), "not met yet");
      List<RunRecord.Unit> left = ledger.units("b");
      assertTrue(ledger.damaged().isPresent());
      assertTrue(!left.isEmpty() && left.size() < 400, "left " + left.size());
      assertEquals(400, ledger.units("a").size());
    }
    try (Ledger ledger = Ledger.open(killed)) {
      assertTrue(ledger.damaged().isPresent());
      assertEquals(400, ledger.units("a").size());
    }
  }

  /**
   * Whatever happens to the end of a file: what is read is what was written, and the rest is done
   * again.
   */
  @Test
  void damagedEndsOfFilesLoseUnitsAndNeverChangeThem() throws Exception {
    int lost = 0;
    for (int round = 0; round < 16; round++) {
      Path place = Files.createDirectory(folder.resolve("r" + round));
      Path copy = Files.createDirectory(folder.resolve("c" + round));
      try (Ledger ledger = Ledger.open(place);
          Run run = ledger.begin("a", "test.run", List.of())) {
        run.describe(100, Ledger.JSON.createObjectNode());
        for (int i = 0; i < 100; i++) {
          run.finish("u" + i, "\"" + "abcdefgh".repeat(20) + i + "\"");
          if (i % 20 == 0) {
            run.flush();
          }
        }
        run.flush();
        if (round % 2 == 0) {
          copy(place, copy); // as a kill leaves it, with a journal
        }
      }
      if (round % 2 == 1) {
        copy(place, copy);
      }
      Path journal = copy.resolve(Ledger.FILE + "-wal");
      Path damaged = round % 2 == 0 ? journal : copy.resolve(Ledger.FILE);
      byte[] bytes = Files.readAllBytes(damaged);
      int from = bytes.length - 1 - 700 * round;
      if (round % 4 < 2) {
        bytes = Arrays.copyOf(bytes, from);
      } else {
        Arrays.fill(bytes, from, bytes.length, (byte) (37 * round));
      }
      Files.write(damaged, bytes);
      try (Ledger ledger = Ledger.open(copy)) {
        try (Run run = ledger.resume("a")) {
          lost += 100 - run.done().size();
          for (RunRecord.Unit unit : run.done()) {
            String i = unit.name().substring(1);
            assertEquals("\"" + "abcdefgh".repeat(20) + i + "\"", unit.result());
          }
          List<String> have = run.done().stream().map(RunRecord.Unit::name).toList();
          for (int i = 0; i < 100; i++) {
            if (!have.contains("u" + i)) {
              run.finish("u" + i, "{}");
            }
          }
        }
        assertEquals(100, ledger.units("a").size(), "round " + round);
      }
    }
    assertTrue(lost > 0 && lost < 1600, "lost " + lost);
  }

  private static void copy(Path from, Path to) throws Exception {
    for (String name : List.of(Ledger.FILE, Ledger.FILE + "-wal")) {
      if (Files.exists(from.resolve(name))) {
        Files.copy(from.resolve(name), to.resolve(name));
      }
    }
  }
}
