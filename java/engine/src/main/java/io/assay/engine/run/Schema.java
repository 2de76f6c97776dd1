package io.assay.engine.run;

import io.assay.engine.InputException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/** The tables of a ledger, and how those of an older one become these. */
final class Schema {
  private static final int APPLICATION = 0x41736179;

  static final String RUN_COLUMNS =
      "id, name, method, started, ended, seconds, units, arguments, folder, provenance, failure,"
          + " result";
  static final String UNIT_COLUMNS = "run, name, number, finished, result";

  /** Checksums of rows, from version 2 on. */
  private static final String RUN_SUM = "crc32c(" + RUN_COLUMNS + ")";

  /** What can be asked of a run of version 1. */
  private static final String LIKELY_RUN =
      "started GLOB '????-??-??T??:*Z' AND coalesce(ended, started) GLOB '????-??-??T??:*Z'"
          + " AND json_valid(arguments)";

  private static final String UNIT_SUM = "crc32c(" + UNIT_COLUMNS + ")";

  /** What makes a ledger of version n one of version n + 1; never changed, only added to. */
  static final List<List<String>> MIGRATIONS =
      List.of(
          List.of(
              """
              CREATE TABLE run (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                name TEXT NOT NULL UNIQUE,
                method TEXT NOT NULL,
                started TEXT NOT NULL,
                ended TEXT,
                seconds REAL NOT NULL DEFAULT 0,
                units INTEGER NOT NULL DEFAULT 0,
                arguments TEXT NOT NULL,
                folder TEXT NOT NULL,
                provenance TEXT,
                failure TEXT,
                result TEXT)\
              """,
              """
              CREATE TABLE unit (
                run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
                name TEXT NOT NULL,
                number INTEGER NOT NULL,
                finished TEXT NOT NULL,
                result TEXT NOT NULL,
                checksum INTEGER NOT NULL,
                PRIMARY KEY (run, name)) WITHOUT ROWID\
              """),
          List.of(
              "ALTER TABLE run ADD COLUMN checksum INTEGER",
              "UPDATE run SET checksum = " + RUN_SUM + " WHERE " + LIKELY_RUN,
              """
              CREATE TRIGGER run_begun AFTER INSERT ON run BEGIN
                UPDATE run SET checksum = %s WHERE id = new.id;
              END\
              """
                  .formatted(RUN_SUM),
              """
              CREATE TRIGGER run_changed AFTER UPDATE OF %s ON run BEGIN
                UPDATE run SET checksum = %s WHERE id = new.id;
              END\
              """
                  .formatted(RUN_COLUMNS, RUN_SUM),
              "UPDATE unit SET checksum = " + UNIT_SUM + " WHERE checksum = crc32c(name, result)"));

  /** What holds for a row of a table that is as it was written, in a ledger of some version. */
  static String sound(String table, int version) {
    if (table.equals("run")) {
      return version == 1 ? LIKELY_RUN : "checksum IS " + RUN_SUM;
    }
    return "checksum IS " + (version == 1 ? "crc32c(name, result)" : UNIT_SUM);
  }

  static String sound(String table) {
    return sound(table, MIGRATIONS.size());
  }

  private Schema() {}

  /**
   * Opens a ledger, which is made or brought to this version.
   *
   * @throws InputException if it is of a newer version, or another program's
   * @throws SQLException as SQLite says it
   */
  static Connection open(Path file) throws SQLException {
    Connection connection = Sqlite.open(file);
    try {
      if (version(connection) != MIGRATIONS.size()) {
        migrate(file, connection);
      }
      requireKnown(file, connection);
      return connection;
    } catch (SQLException | RuntimeException e) {
      connection.close();
      throw e;
    }
  }

  private static void migrate(Path file, Connection connection) throws SQLException {
    try (Statement s = connection.createStatement()) {
      s.execute("BEGIN IMMEDIATE");
      // Another process may have done it meanwhile.
      requireKnown(file, connection);
      for (List<String> step : MIGRATIONS.subList(version(connection), MIGRATIONS.size())) {
        for (String statement : step) {
          s.execute(statement);
        }
      }
      s.execute("PRAGMA application_id = " + APPLICATION);
      s.execute("PRAGMA user_version = " + MIGRATIONS.size());
      s.execute("COMMIT");
    }
  }

  /**
   * @throws InputException if the file is of a newer version, or another program's
   */
  static void requireKnown(Path file, Connection connection) throws SQLException {
    int application = number(connection, "PRAGMA application_id");
    int tables = number(connection, "SELECT count(*) FROM sqlite_schema");
    if (application != APPLICATION && tables > 0) {
      throw new InputException(
          "the file " + file + " is a database of another program; choose another folder");
    }
    int version = version(connection);
    if (version > MIGRATIONS.size()) {
      throw new InputException(
          "the ledger "
              + file
              + " has version "
              + version
              + ", and this Assay knows versions up to "
              + MIGRATIONS.size()
              + "; use the Assay that wrote it, or another folder");
    }
  }

  /** The same of a file that cannot be written, so that an older one stays so. */
  static void requireCurrent(Path file, Connection connection) throws SQLException {
    requireKnown(file, connection);
    int version = version(connection);
    if (version < MIGRATIONS.size()) {
      throw new InputException(
          "the ledger "
              + file
              + " has the old version "
              + version
              + ", and its folder is read-only; copy the folder, or make it writable");
    }
  }

  /**
   * Reads every page, in a time that grows with the file.
   *
   * @throws SQLException if they do not hang together
   */
  static void check(Connection connection) throws SQLException {
    try (Statement s = connection.createStatement();
        ResultSet r = s.executeQuery("PRAGMA integrity_check(1)")) {
      if (!r.next() || !r.getString(1).equals("ok")) {
        throw Sqlite.damage(r.getString(1));
      }
    }
  }

  static int version(Connection connection) throws SQLException {
    return number(connection, "PRAGMA user_version");
  }

  private static int number(Connection connection, String query) throws SQLException {
    try (Statement s = connection.createStatement();
        ResultSet r = s.executeQuery(query)) {
      return r.next() ? r.getInt(1) : 0;
    }
  }
}
