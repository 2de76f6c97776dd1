package io.assay.engine.run;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.zip.CRC32C;

/**
 * The runs of a folder and their finished units of work, in the SQLite file {@value #FILE}. What is
 * committed survives a kill and a power cut.
 *
 * {@snippet :
 * try (Ledger ledger = Ledger.open(folder);
 *     Run run = ledger.begin("night-1", "arca.reverse", List.of())) {
 *   UnitListener<Audit> units = run.units(Audit.class, a -> a.target() + "." + a.restart());
 *   ...
 * }
 * }
 *
 * <p>Any number of processes may use one ledger; each run is worked on by one of them at a time. A
 * ledger may be used from several threads.
 */
public final class Ledger implements AutoCloseable {
  /** Name of the file in its folder. */
  public static final String FILE = "ledger.db";

  private static final String LOCKS = "ledger.lock";
  private static final int APPLICATION = 0x41736179;

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
              """));

  static final ObjectMapper JSON = new ObjectMapper();

  private static final String COLUMNS =
      "id, name, method, started, ended, seconds, units, arguments, folder, provenance, failure,"
          + " result, (SELECT count(*) FROM unit WHERE run = id)";

  /**
   * Files of locks by ledger. They stay open as long as the process: on POSIX systems closing any
   * channel of a file releases all locks that the process has on it.
   */
  private static final Map<Path, FileChannel> LOCK_FILES = new HashMap<>();

  private final Path file;
  private final Connection connection;

  /** What this ledger was rescued from, or null. */
  private Path damaged;

  private final InstantSource clock;

  private Ledger(Path file, Connection connection, InstantSource clock) {
    this.file = file;
    this.connection = connection;
    this.clock = clock;
  }

  /**
   * The ledger of a folder; both are made if they are not there. An older ledger is brought to this
   * version; a damaged one is moved aside and what can be read of it is taken over.
   *
   * @throws InputException if the folder cannot be written, or holds a ledger of a newer version
   */
  public static Ledger open(Path folder) {
    return open(folder, InstantSource.system());
  }

  private static Path in(Path folder) {
    return folder.toAbsolutePath().normalize().resolve(FILE);
  }

  static Ledger open(Path folder, InstantSource clock) {
    Path file = in(folder);
    try {
      Files.createDirectories(file.getParent());
    } catch (IOException e) {
      throw new InputException("the folder " + folder + " cannot be made; choose another", e);
    }
    try {
      return new Ledger(file, prepared(file), clock);
    } catch (SQLException e) {
      if (Sqlite.isDamage(e) && Files.exists(file)) {
        Ledger rescued = new Ledger(file, rescued(file), clock);
        rescued.damaged = Rescue.aside(file);
        return rescued;
      }
      throw Sqlite.unreadable(file, e);
    }
  }

  /**
   * The ledger of a folder, to look at: nothing is made, and the folder may be read-only.
   *
   * @return empty if there is none
   * @throws InputException if there is one that cannot be read
   */
  public static Optional<Ledger> find(Path folder) {
    Path file = in(folder);
    return find(folder, Files.isWritable(file) && Files.isWritable(file.getParent()));
  }

  static Optional<Ledger> find(Path folder, boolean writable) {
    Path file = in(folder);
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    if (writable) {
      return Optional.of(open(folder));
    }
    try {
      Path journal = file.resolveSibling(FILE + "-wal");
      if (Files.exists(journal) && Files.size(journal) > 0) {
        throw new InputException(
            "the ledger "
                + file
                + " was left by a killed run, and its folder is read-only; copy the folder, or make"
                + " it writable");
      }
      Connection connection = Sqlite.openReadOnly(file);
      requireKnown(file, version(connection), connection);
      return Optional.of(new Ledger(file, connection, InstantSource.system()));
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    } catch (IOException e) {
      throw new InputException("the ledger " + file + " cannot be read", e);
    }
  }

  /** An open file in the newest version, all pages of which hang together. */
  static Connection prepared(Path file) throws SQLException {
    Connection connection = Sqlite.open(file);
    try (Statement s = connection.createStatement()) {
      if (version(connection) != MIGRATIONS.size()) {
        s.execute("BEGIN IMMEDIATE");
        // Another process may have done it meanwhile.
        int version = version(connection);
        requireKnown(file, version, connection);
        for (List<String> step : MIGRATIONS.subList(version, MIGRATIONS.size())) {
          for (String statement : step) {
            s.execute(statement);
          }
        }
        s.execute("PRAGMA application_id = " + APPLICATION);
        s.execute("PRAGMA user_version = " + MIGRATIONS.size());
        s.execute("COMMIT");
      }
      requireKnown(file, MIGRATIONS.size(), connection);
      try (ResultSet r = s.executeQuery("PRAGMA quick_check(1)")) {
        if (!r.next() || !r.getString(1).equals("ok")) {
          throw Sqlite.damage(r.getString(1));
        }
      }
      return connection;
    } catch (SQLException | RuntimeException e) {
      connection.close();
      throw e;
    }
  }

  private static int version(Connection connection) throws SQLException {
    return number(connection, "PRAGMA user_version");
  }

  private static int number(Connection connection, String query) throws SQLException {
    try (Statement s = connection.createStatement();
        ResultSet r = s.executeQuery(query)) {
      return r.next() ? r.getInt(1) : 0;
    }
  }

  private static void requireKnown(Path file, int version, Connection connection)
      throws SQLException {
    int application = number(connection, "PRAGMA application_id");
    int tables = number(connection, "SELECT count(*) FROM sqlite_schema");
    if (application != APPLICATION && tables > 0) {
      throw new InputException(
          "the file " + file + " is a database of another program; choose another folder");
    }
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

  /** The file. */
  public Path file() {
    return file;
  }

  /** The damaged file that this ledger was rescued from, which is kept; mostly empty. */
  public Optional<Path> damaged() {
    return Optional.ofNullable(damaged);
  }

  // ---- looking ----

  /** All runs, in the order in which they were begun. */
  public List<RunRecord> runs() {
    return query("SELECT " + COLUMNS + " FROM run ORDER BY id", this::record);
  }

  /**
   * A run by its name.
   *
   * @throws InputException if there is none
   */
  public RunRecord run(String name) {
    return query("SELECT " + COLUMNS + " FROM run WHERE name = ?", this::record, name).stream()
        .findFirst()
        .orElseThrow(
            () ->
                new InputException(
                    "there is no run " + name + " in the ledger " + file + "; look for its name"));
  }

  /**
   * The units of a run, in the order in which they were finished.
   *
   * @throws InputException if there is no such run
   */
  public List<RunRecord.Unit> units(String run) {
    run(run);
    return units(id(run));
  }

  List<RunRecord.Unit> units(long id) {
    return query(
        "SELECT name, finished, result, checksum FROM unit WHERE run = ? ORDER BY number",
        r -> {
          RunRecord.Unit unit =
              new RunRecord.Unit(r.getString(1), Instant.parse(r.getString(2)), r.getString(3));
          return r.getLong(4) == checksum(unit.name(), unit.result()) ? unit : null;
        },
        id);
  }

  /** The number of a run's next unit. */
  long next(long id) {
    return query(
            "SELECT coalesce(max(number), -1) + 1 FROM unit WHERE run = ?", r -> r.getLong(1), id)
        .getFirst();
  }

  private interface Reader<T> {
    /** The value of a row, or null for none. */
    T read(ResultSet row) throws SQLException;
  }

  private synchronized <T> List<T> query(String sql, Reader<T> reader, Object... parameters) {
    try (PreparedStatement s = prepare(sql, parameters);
        ResultSet r = s.executeQuery()) {
      List<T> rows = new ArrayList<>();
      while (r.next()) {
        T row = reader.read(r);
        if (row != null) {
          rows.add(row);
        }
      }
      return rows;
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  private PreparedStatement prepare(String sql, Object... parameters) throws SQLException {
    PreparedStatement s = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      s.setObject(i + 1, parameters[i]);
    }
    return s;
  }

  private RunRecord record(ResultSet r) throws SQLException {
    String ended = r.getString(5);
    String failure = r.getString(11);
    String result = r.getString(12);
    RunRecord.State state =
        result != null
            ? RunRecord.State.FINISHED
            : isHeld(r.getLong(1))
                ? RunRecord.State.RUNNING
                : failure != null ? RunRecord.State.FAILED : RunRecord.State.INTERRUPTED;
    return new RunRecord(
        r.getString(2),
        r.getString(3),
        state,
        Instant.parse(r.getString(4)),
        ended == null ? null : Instant.parse(ended),
        r.getDouble(6),
        r.getLong(7),
        r.getLong(13),
        arguments(r.getString(8)),
        r.getString(9),
        r.getString(10),
        failure,
        result);
  }

  private List<String> arguments(String json) {
    try {
      return JSON.readValue(json, new TypeReference<List<String>>() {});
    } catch (JsonProcessingException e) {
      throw new InputException("the ledger " + file + " is damaged: no arguments in " + json, e);
    }
  }

  private long id(String name) {
    return query("SELECT id FROM run WHERE name = ?", r -> r.getLong(1), name).getFirst();
  }

  // ---- working ----

  /**
   * Begins a run.
   *
   * @param name a name that no other run of this ledger has
   * @param method what runs
   * @param arguments what the command line was given, with which the run is begun again
   * @throws InputException if the ledger cannot be written
   */
  public Run begin(String name, String method, List<String> arguments) {
    try {
      String folder = System.getProperty("user.dir");
      update(
          "INSERT INTO run (name, method, started, arguments, folder) VALUES (?, ?, ?, ?, ?)",
          name,
          method,
          clock.instant().toString(),
          JSON.writeValueAsString(arguments),
          folder);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a list of strings is always JSON", e);
    }
    return work(name, 0);
  }

  /**
   * Goes on with a run that was interrupted or failed.
   *
   * @throws InputException if there is no such run, it is finished, or another process works on it
   */
  public Run resume(String name) {
    RunRecord run = run(name);
    if (run.state() == RunRecord.State.FINISHED) {
      throw new InputException("the run " + name + " is finished; there is nothing to resume");
    }
    return work(name, run.seconds());
  }

  private static Connection rescued(Path file) {
    try (FileLock all = lock(file, 0, Long.MAX_VALUE)) {
      if (all == null) {
        throw new InputException(
            "the ledger " + file + " is damaged, and processes work on runs of it; end them first");
      }
      return Rescue.of(file);
    } catch (IOException e) {
      throw new InputException("the lock of the ledger " + file + " cannot be released", e);
    }
  }

  private Run work(String name, double seconds) {
    long id = id(name);
    FileLock lock = lock(file, id, 1);
    if (lock == null) {
      throw new InputException(
          "the run " + name + " is being worked on by another process; wait for it, or end it");
    }
    List<RunRecord.Unit> done = units(id);
    try {
      Set<String> sound = new HashSet<>(done.stream().map(RunRecord.Unit::name).toList());
      for (String unit : query("SELECT name FROM unit WHERE run = ?", r -> r.getString(1), id)) {
        if (!sound.contains(unit)) {
          update("DELETE FROM unit WHERE run = ? AND name = ?", id, unit);
        }
      }
      update("UPDATE run SET failure = NULL, ended = NULL WHERE id = ?", id);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
    return new Run(this, id, name, seconds, done, lock);
  }

  /**
   * Forgets a run and its units.
   *
   * @throws InputException if there is no such run, or a process works on it
   */
  public void remove(String name) {
    RunRecord run = run(name);
    if (run.state() == RunRecord.State.RUNNING) {
      throw new InputException("the run " + name + " is being worked on; end it first");
    }
    try {
      update("DELETE FROM run WHERE name = ?", name);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  /** Gives the space of removed runs back to the disk. */
  public void compact() {
    try {
      update("VACUUM");
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  /** Sets a property of the open file, for tests. */
  void pragma(String setting) {
    query("PRAGMA " + setting, r -> r.getString(1));
  }

  synchronized void update(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = prepare(sql, parameters)) {
      s.executeUpdate();
    }
  }

  /** Writes units in one transaction. */
  synchronized void write(long run, List<Run.Pending> group, double seconds) throws SQLException {
    update("BEGIN IMMEDIATE");
    try {
      try (PreparedStatement s =
          connection.prepareStatement("INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?)")) {
        for (Run.Pending unit : group) {
          s.setLong(1, run);
          s.setString(2, unit.name());
          s.setLong(3, unit.number());
          s.setString(4, clock.instant().toString());
          s.setString(5, unit.result());
          s.setLong(6, checksum(unit.name(), unit.result()));
          s.addBatch();
        }
        s.executeBatch();
      }
      update("UPDATE run SET seconds = ? WHERE id = ?", seconds, run);
      update("COMMIT");
    } catch (SQLException e) {
      try {
        update("ROLLBACK");
      } catch (SQLException again) {
        // A full disk has rolled back by itself.
        e.addSuppressed(again);
      }
      throw e;
    }
  }

  String now() {
    return clock.instant().toString();
  }

  static long checksum(String name, String result) {
    CRC32C sum = new CRC32C();
    sum.update(name.getBytes(StandardCharsets.UTF_8));
    sum.update(0);
    sum.update(result.getBytes(StandardCharsets.UTF_8));
    return sum.getValue();
  }

  // ---- who works on what ----

  /** The lock of runs, which the system releases when the process ends; null if it is held. */
  private static FileLock lock(Path file, long id, long count) {
    try {
      return locks(file).tryLock(id, count, false);
    } catch (OverlappingFileLockException e) {
      return null;
    } catch (IOException e) {
      throw new InputException(
          "the file " + file.resolveSibling(LOCKS) + " cannot be locked: " + e.getMessage(), e);
    }
  }

  private boolean isHeld(long id) {
    if (!Files.exists(file.resolveSibling(LOCKS)) || !Files.isWritable(file.getParent())) {
      return false;
    }
    try (FileLock lock = lock(file, id, 1)) {
      return lock == null;
    } catch (IOException e) {
      throw new InputException("the lock of a run cannot be released", e);
    }
  }

  private static FileChannel locks(Path file) throws IOException {
    synchronized (LOCK_FILES) {
      FileChannel channel = LOCK_FILES.get(file);
      if (channel == null) {
        channel =
            FileChannel.open(
                file.resolveSibling(LOCKS), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        LOCK_FILES.put(file, channel);
      }
      return channel;
    }
  }

  @Override
  public void close() {
    try {
      connection.close();
    } catch (SQLException e) {
      throw Sqlite.unwritable(file, e);
    }
  }
}
