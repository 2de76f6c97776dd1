package io.assay.engine.run;

import io.assay.engine.InputException;
import io.assay.engine.internal.UserCache;
import java.io.IOException;
import java.net.URL;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteErrorCode;
import org.sqlite.SQLiteException;
import org.sqlite.SQLiteJDBCLoader;
import org.sqlite.util.LibraryLoaderUtil;

/** Loads SQLite and opens its files; what goes wrong is said in one sentence. */
final class Sqlite {
  private static final String PATH = "org.sqlite.lib.path";
  private static final String NAME = "org.sqlite.lib.name";

  /** Milliseconds that a statement waits for another process to end its transaction. */
  private static final int PATIENCE = 20_000;

  private static boolean loaded;

  private Sqlite() {}

  /**
   * Opens a file for reading and writing, with a journal that survives a kill and a power cut.
   *
   * @throws SQLException as SQLite says it
   */
  static Connection open(Path file) throws SQLException {
    SQLiteConfig config = new SQLiteConfig();
    config.setBusyTimeout(PATIENCE);
    Connection connection = connect(config, "jdbc:sqlite:" + file);
    try (Statement s = connection.createStatement()) {
      s.execute("PRAGMA journal_mode = WAL");
      s.execute("PRAGMA synchronous = FULL");
      s.execute("PRAGMA foreign_keys = ON");
      return connection;
    } catch (SQLException e) {
      connection.close();
      throw e;
    }
  }

  /** Opens a file in a folder that cannot be written; nobody else must write it meanwhile. */
  static Connection openReadOnly(Path file) throws SQLException {
    SQLiteConfig config = new SQLiteConfig();
    config.setReadOnly(true);
    return connect(config, "jdbc:sqlite:" + file.toUri() + "?immutable=1");
  }

  private static Connection connect(SQLiteConfig config, String url) throws SQLException {
    load();
    Connection connection = config.createConnection(url);
    try {
      Checksum.createIn(connection);
      return connection;
    } catch (SQLException e) {
      connection.close();
      throw e;
    }
  }

  /**
   * Has the library unpacked where the other native libraries are. Left to itself SQLite's driver
   * unpacks it into the temporary folder at each start. A property set by the user comes first.
   */
  private static synchronized void load() {
    if (loaded) {
      return;
    }
    Path file = System.getProperty(PATH) == null ? unpacked() : null;
    if (file != null) {
      System.setProperty(PATH, file.getParent().toString());
      System.setProperty(NAME, file.getFileName().toString());
    }
    try {
      SQLiteJDBCLoader.initialize();
      loaded = true;
    } catch (Exception e) {
      throw new IllegalStateException(
          "the library of SQLite cannot be loaded: " + e.getMessage(), e);
    } finally {
      if (file != null) {
        System.clearProperty(PATH);
        System.clearProperty(NAME);
      }
    }
  }

  /** The library in the user's cache, or null where it or the cache cannot be had. */
  private static Path unpacked() {
    String resources = LibraryLoaderUtil.getNativeLibResourcePath();
    String name = LibraryLoaderUtil.getNativeLibName();
    URL source = SQLiteJDBCLoader.class.getResource(resources + "/" + name);
    String platform = resources.replaceFirst(".*/native/", "").replace('/', '-');
    Path folder = UserCache.folder("sqlite-" + SQLiteJDBCLoader.getVersion() + "-" + platform);
    try {
      if (source != null) {
        UserCache.unpack(source, folder.resolve(name));
        return folder.resolve(name);
      }
    } catch (IOException | SecurityException e) {
      // The driver's own way is left.
    }
    return null;
  }

  /** Whether the file's content, not its place, is at fault. */
  static boolean isDamage(SQLException e) {
    SQLiteErrorCode code = code(e);
    return code == SQLiteErrorCode.SQLITE_NOTADB || (code.code & 0xff) == 11;
  }

  static SQLException damage(String words) {
    return new SQLiteException(words, SQLiteErrorCode.SQLITE_CORRUPT);
  }

  /** An error while a ledger was opened or read: what the user named, or left there, is wrong. */
  static InputException unreadable(Path file, SQLException e) {
    return new InputException(
        "the ledger "
            + file
            + " cannot be used: "
            + words(e)
            + (isDamage(e) ? "; move it away" : ""),
        e);
  }

  /** An error while a run was under way. */
  static IllegalStateException unwritable(Path file, SQLException e) {
    return new IllegalStateException("the ledger " + file + " cannot be written: " + words(e), e);
  }

  private static String words(SQLException e) {
    return switch (code(e).code & 0xff) {
      case 5, 6 -> "another process has been writing for " + PATIENCE / 1000 + " s; try again";
      case 8 -> "it is read-only; choose another folder";
      case 14 -> "its folder is read-only, or it is no file; choose another folder";
      case 11, 26 -> "it is damaged, or no ledger";
      case 13 -> "the disk is full; free some space";
      default -> "SQLite says " + e.getMessage();
    };
  }

  private static SQLiteErrorCode code(SQLException e) {
    return e instanceof SQLiteException s ? s.getResultCode() : SQLiteErrorCode.UNKNOWN_ERROR;
  }
}
