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
import java.util.List;

/** Takes what can be read of a damaged ledger over into a new one; the old one is kept aside. */
final class Rescue {
  private static final int PAGE_SIZE_AT = 16;
  private static final int PAGES_AT = 28;

  /** A length above so many times that of the file is not believed. */
  private static final int MOST_FILLED = 1000;

  private Rescue() {}

  /**
   * @return the new ledger, open
   * @throws InputException if not even a new one can be made
   */
  static Connection of(Path file) {
    Path aside = aside(file);
    try {
      for (String suffix : List.of("-wal", "-shm", "")) {
        Path part = Path.of(file + suffix);
        if (Files.exists(part)) {
          Files.move(part, Path.of(aside + suffix), StandardCopyOption.REPLACE_EXISTING);
        }
      }
      fillUp(aside);
      Connection fresh = Schema.open(file);
      try (Connection old = Sqlite.open(aside)) {
        copy(old, fresh, "run", 12);
        copy(old, fresh, "unit", 6);
      } catch (SQLException e) {
        // Nothing of it can be read; the new ledger is empty.
      }
      return fresh;
    } catch (IOException e) {
      throw new InputException(
          "the ledger " + file + " is damaged and cannot be moved away: " + e.getMessage(), e);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  /** Where a damaged ledger is kept. */
  static Path aside(Path file) {
    return file.resolveSibling(Ledger.FILE + ".damaged");
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

  /** Copies rows up to the first that cannot be read. */
  private static void copy(Connection old, Connection fresh, String table, int columns)
      throws SQLException {
    String row = "INSERT OR IGNORE INTO " + table + " VALUES (?" + ", ?".repeat(columns - 1) + ")";
    fresh.setAutoCommit(false);
    try (Statement s = old.createStatement();
        ResultSet r = s.executeQuery("SELECT * FROM " + table);
        PreparedStatement insert = fresh.prepareStatement(row)) {
      while (r.next()) {
        for (int c = 1; c <= columns; c++) {
          insert.setObject(c, r.getObject(c));
        }
        insert.executeUpdate();
      }
    } catch (SQLException e) {
      if (!Sqlite.isDamage(e)) {
        throw e;
      }
    } finally {
      fresh.commit();
      fresh.setAutoCommit(true);
    }
  }
}
