package io.assay.engine.run;

import io.assay.engine.InputException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Takes the rows of a damaged ledger that are as they were written over into a new one; the old one
 * is kept aside. A kill on the way loses nothing: the new one takes its place when it is whole.
 */
final class Rescue {
  private static final int PAGE_SIZE_AT = 16;
  private static final int PAGES_AT = 28;

  /** A length above so many times that of the file is not believed. */
  private static final int MOST_FILLED = 1000;

  private Rescue() {}

  /**
   * @return the new ledger, open
   * @throws InputException if it cannot be made
   */
  static Connection of(Path file) {
    Path aside = aside(file);
    Path growing = Path.of(file + ".growing");
    try {
      for (String suffix : List.of("-wal", "-shm", "")) {
        Files.deleteIfExists(Path.of(aside + suffix));
        Files.deleteIfExists(Path.of(growing + suffix));
      }
      for (String suffix : List.of("-wal", "")) {
        Path part = Path.of(file + suffix);
        if (Files.exists(part)) {
          Files.copy(part, Path.of(aside + suffix));
        }
      }
      fillUp(aside);
      try (Connection fresh = Schema.open(growing)) {
        copy(aside, fresh);
      }
      Files.move(growing, whole(file), StandardCopyOption.ATOMIC_MOVE);
      end(file);
      return Schema.open(file);
    } catch (IOException e) {
      throw new InputException(
          "the ledger " + file + " is damaged and cannot be copied: " + e.getMessage(), e);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  /** Where a damaged ledger is kept. */
  static Path aside(Path file) {
    return file.resolveSibling(Ledger.FILE + ".damaged");
  }

  private static Path whole(Path file) {
    return Path.of(file + ".rescued");
  }

  /** Whether a kill came when a new ledger was whole and not yet in its place. */
  static boolean isUnended(Path file) {
    return Files.exists(whole(file));
  }

  /** Puts the new ledger into its place. */
  static void end(Path file) throws IOException {
    Files.deleteIfExists(Path.of(file + "-wal"));
    Files.deleteIfExists(Path.of(file + "-shm"));
    Files.move(
        whole(file), file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  /** Gives a file that was cut off its full length: SQLite reads nothing of a shorter one. */
  private static void fillUp(Path file) throws IOException {
    try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
      if (bytes.length() > PAGES_AT + 4) {
        bytes.seek(PAGE_SIZE_AT);
        long page = bytes.readUnsignedShort();
        bytes.seek(PAGES_AT);
        long length = page * bytes.readInt();
        if (length > bytes.length() && length < MOST_FILLED * bytes.length()) {
          bytes.setLength(length);
        }
      }
    }
  }

  /**
   * @throws SQLException if the new ledger cannot be written
   */
  private static void copy(Path aside, Connection fresh) throws SQLException {
    try (Connection old = opened(aside)) {
      if (old == null) {
        return;
      }
      fresh.setAutoCommit(false);
      copy(old, fresh, "run", Schema.RUN_COLUMNS, "id");
      copy(old, fresh, "unit", Schema.UNIT_COLUMNS, "run", "name");
      fresh.commit();
      fresh.setAutoCommit(true);
    }
  }

  /** The old ledger, or null if it is none any more. */
  private static Connection opened(Path aside) {
    try {
      return Sqlite.open(aside);
    } catch (SQLException e) {
      return null;
    }
  }

  private static void copy(
      Connection old, Connection fresh, String table, String columns, String... key)
      throws SQLException {
    int width = columns.split(",").length;
    try (PreparedStatement insert = fresh.prepareStatement(insertion(table, columns, width))) {
      for (List<Object> row : rows(old, table, columns, key)) {
        for (int c = 0; c < width; c++) {
          insert.setObject(c + 1, row.get(c));
        }
        insert.executeUpdate();
      }
    }
  }

  /** A unit whose run is lost is lost with it. */
  private static String insertion(String table, String columns, int width) {
    String values =
        String.join(", ", IntStream.rangeClosed(1, width).mapToObj(c -> "?" + c).toList());
    return table.equals("run")
        ? "INSERT OR IGNORE INTO run (%s) VALUES (%s)".formatted(columns, values)
        : "INSERT OR IGNORE INTO unit SELECT %s, crc32c(%s) FROM run WHERE id = ?1"
            .formatted(values, values);
  }

  /** The rows of a table that can be read and are as they were written. */
  private static List<List<Object>> rows(
      Connection old, String table, String columns, String... key) {
    List<List<Object>> rows = new ArrayList<>();
    try {
      String one = String.join(" = ? AND ", key) + " = ?";
      String sound = Schema.sound(table, Schema.version(old));
      String sql = "SELECT %s FROM %s WHERE %s AND %s".formatted(columns, table, one, sound);
      for (List<Object> each : keys(old, table, key)) {
        // One of its own for each: a statement that met damage is of no more use.
        try (PreparedStatement row = old.prepareStatement(sql)) {
          for (int k = 0; k < key.length; k++) {
            row.setObject(k + 1, each.get(k));
          }
          read(rows, row::executeQuery);
        }
      }
    } catch (SQLException e) {
      // The table cannot be read at all.
    }
    return rows;
  }

  /** Keys of a table's rows, from both ends up to where it cannot be read. */
  private static Set<List<Object>> keys(Connection old, String table, String... key)
      throws SQLException {
    Set<List<Object>> keys = new LinkedHashSet<>();
    String columns = String.join(", ", key);
    try (Statement s = old.createStatement()) {
      for (String order : List.of(" ASC", " DESC")) {
        String by = String.join(order + ", ", key) + order;
        String sql = "SELECT %s FROM %s ORDER BY %s".formatted(columns, table, by);
        read(keys, () -> s.executeQuery(sql));
      }
    }
    return keys;
  }

  private interface Query {
    ResultSet result() throws SQLException;
  }

  /** Reads rows up to the first that cannot be read. */
  private static void read(Collection<List<Object>> rows, Query query) {
    try (ResultSet r = query.result()) {
      int width = r.getMetaData().getColumnCount();
      while (r.next()) {
        List<Object> row = new ArrayList<>();
        for (int c = 1; c <= width; c++) {
          row.add(r.getObject(c));
        }
        rows.add(row);
      }
    } catch (SQLException e) {
      // What was read counts.
    }
  }
}
