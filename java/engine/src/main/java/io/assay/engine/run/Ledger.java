package io.assay.engine.run;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

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

  static final ObjectMapper JSON = new ObjectMapper();

  private static final String RUNS =
      "SELECT "
          + Schema.RUN_COLUMNS
          + ", (SELECT count(*) FROM unit WHERE run = id), "
          + Schema.sound("run")
          + " FROM run";

  /** A ledger of at most so many bytes is read whole before a run is begun: in milliseconds. */
  private static final long SMALL = 4L << 20;

  private final Path file;
  private final InstantSource clock;
  private Connection connection;

  /** What this ledger was rescued from, or null. */
  private Path damaged;

  /** Whether damage is met by a rescue. */
  private final boolean writable;

  private Ledger(Path file, Connection connection, InstantSource clock, boolean writable) {
    this.file = file;
    this.connection = connection;
    this.clock = clock;
    this.writable = writable;
  }

  /**
   * The ledger of a folder; both are made if they are not there. An older ledger is brought to this
   * version; a damaged one is moved aside and what can be read of it is taken over, as soon as the
   * damage is met: here, if its last user was killed, else when it is read or a run is resumed.
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
    Ledger ledger = new Ledger(file, null, clock, true);
    try {
      if (Rescue.isUnended(file)) {
        ledger.alone(ledger::endRescue);
      }
      // To read every page takes long in a large ledger, and one that was closed needs it not.
      boolean killed = hasJournal(file);
      ledger.sound(
          () -> {
            if (ledger.connection == null) {
              ledger.connection = Schema.open(file);
            }
            if (killed) {
              Schema.check(ledger.connection);
            }
            return null;
          });
      return ledger;
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  /** Whether a process works with the ledger, or was killed while it did. */
  private static boolean hasJournal(Path file) {
    try {
      Path journal = file.resolveSibling(FILE + "-wal");
      return Files.exists(journal) && Files.size(journal) > 0;
    } catch (IOException e) {
      throw new InputException("the ledger " + file + " cannot be read", e);
    }
  }

  private interface Work<T> {
    T done() throws SQLException;
  }

  /** Does some work; if that meets damage, takes over what can be read and does it again. */
  private synchronized <T> T sound(Work<T> work) throws SQLException {
    try {
      return work.done();
    } catch (SQLException e) {
      if (!writable || !Sqlite.isDamage(e)) {
        throw e;
      }
      rescue();
      return work.done();
    }
  }

  private void rescue() throws SQLException {
    alone(
        () -> {
          if (connection != null) {
            connection.close();
          }
          connection = Rescue.of(file);
        });
    damaged = Rescue.aside(file);
  }

  private void endRescue() {
    try {
      // Another process may have done it meanwhile.
      if (Rescue.isUnended(file)) {
        Rescue.end(file);
        damaged = Rescue.aside(file);
      }
    } catch (IOException e) {
      throw new InputException("the rescued ledger " + file + " cannot be put into its place", e);
    }
  }

  private interface Task {
    void run() throws SQLException;
  }

  /** Does something while no process works on a run. */
  private void alone(Task task) throws SQLException {
    try (FileLock all = RunLocks.ofAll(file)) {
      if (all == null) {
        throw new InputException(
            "the ledger " + file + " is damaged, and processes work on runs of it; end them first");
      }
      task.run();
    } catch (IOException e) {
      throw new InputException("the lock of the ledger " + file + " cannot be released", e);
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
    if (hasJournal(file)) {
      throw new InputException(
          "the ledger "
              + file
              + " was left by a killed run, and its folder is read-only; copy the folder, or make"
              + " it writable");
    }
    try {
      Connection connection = Sqlite.openReadOnly(file);
      Schema.requireCurrent(file, connection);
      return Optional.of(new Ledger(file, connection, InstantSource.system(), false));
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
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
    return query(RUNS + " ORDER BY id", r -> read(r).run);
  }

  /**
   * A run by its name.
   *
   * @throws InputException if there is none
   */
  public RunRecord run(String name) {
    return row(name).run;
  }

  /** A run, and the number by which its units and its lock know it. */
  private record Row(long id, RunRecord run) {}

  private Row row(String name) {
    String one = RUNS + " WHERE name = ?";
    List<Row> found = query(one, this::read, name);
    if (found.isEmpty()) {
      // The index of the names may be damaged, and the run be there.
      check();
      found = query(one, this::read, name);
    }
    return found.stream().findFirst().orElseThrow(() -> new InputException(missing(name)));
  }

  /** Reads every page, in a time that grows with the file. */
  private void check() {
    try {
      sound(
          () -> {
            Schema.check(connection);
            return null;
          });
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
  }

  private String missing(String name) {
    List<String> last = query("SELECT name FROM run ORDER BY id DESC LIMIT 3", r -> r.getString(1));
    return "there is no run "
        + name
        + " in the ledger "
        + file
        + (last.isEmpty() ? ", which is empty" : "; its last runs are " + String.join(", ", last))
        + (damaged == null
            ? ""
            : "; what could not be read of it is in the damaged file, " + damaged);
  }

  /**
   * The units of a run, in the order in which they were finished.
   *
   * @throws InputException if there is no such run
   */
  public List<RunRecord.Unit> units(String run) {
    return units(row(run).id);
  }

  List<RunRecord.Unit> units(long id) {
    return query(
        "SELECT name, finished, result FROM unit WHERE run = ? AND "
            + Schema.sound("unit")
            + " ORDER BY number",
        r -> new RunRecord.Unit(r.getString(1), Instant.parse(r.getString(2)), r.getString(3)),
        id);
  }

  /** The number of a run's next unit. */
  long next(long id) {
    return query(
            "SELECT coalesce(max(number), -1) + 1 FROM unit WHERE run = ?", r -> r.getLong(1), id)
        .getFirst();
  }

  private interface Reader<T> {
    T read(ResultSet row) throws SQLException, JsonProcessingException;
  }

  private <T> List<T> query(String sql, Reader<T> reader, Object... parameters) {
    try {
      return sound(
          () -> {
            try (PreparedStatement s = prepare(sql, parameters);
                ResultSet r = s.executeQuery()) {
              List<T> rows = new ArrayList<>();
              while (r.next()) {
                rows.add(reader.read(r));
              }
              return rows;
            } catch (DateTimeException | JsonProcessingException e) {
              throw Sqlite.damage(e.getMessage());
            }
          });
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

  private Row read(ResultSet r) throws SQLException, JsonProcessingException {
    if (!r.getBoolean(14)) {
      throw Sqlite.damage("the row of a run is not as it was written");
    }
    long id = r.getLong(1);
    String ended = r.getString(5);
    String failure = r.getString(11);
    String result = r.getString(12);
    RunRecord.State state =
        result != null
            ? RunRecord.State.FINISHED
            : RunLocks.isHeld(file, id)
                ? RunRecord.State.RUNNING
                : failure != null ? RunRecord.State.FAILED : RunRecord.State.INTERRUPTED;
    RunRecord run =
        new RunRecord(
            r.getString(2),
            r.getString(3),
            state,
            Instant.parse(r.getString(4)),
            ended == null ? null : Instant.parse(ended),
            r.getDouble(6),
            r.getLong(7),
            r.getLong(13),
            JSON.readValue(r.getString(8), new TypeReference<List<String>>() {}),
            r.getString(9),
            r.getString(10),
            failure,
            result);
    return new Row(id, run);
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
      if (Files.size(file) <= SMALL) {
        check();
      }
      String folder = System.getProperty("user.dir");
      String given = JSON.writeValueAsString(arguments);
      sound(
          () ->
              update(
                  "INSERT INTO run (name, method, started, arguments, folder)"
                      + " VALUES (?, ?, ?, ?, ?)",
                  name,
                  method,
                  now(),
                  given,
                  folder));
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a list of strings is always JSON", e);
    } catch (IOException e) {
      throw new InputException("the ledger " + file + " cannot be read", e);
    }
    return work(row(name));
  }

  /**
   * Goes on with a run that was interrupted or failed.
   *
   * @throws InputException if there is no such run, it is finished, or another process works on it
   */
  public Run resume(String name) {
    if (run(name).state() == RunRecord.State.FINISHED) {
      throw new InputException("the run " + name + " is finished; there is nothing to resume");
    }
    // It may have failed because the ledger is damaged where only writing meets it.
    check();
    return work(row(name));
  }

  private Run work(Row row) {
    long id = row.id;
    String name = row.run.name();
    FileLock lock = RunLocks.of(file, id);
    if (lock == null) {
      throw new InputException(
          "the run " + name + " is being worked on by another process; wait for it, or end it");
    }
    try {
      update("DELETE FROM unit WHERE run = ? AND NOT " + Schema.sound("unit"), id);
      update("UPDATE run SET failure = NULL, ended = NULL WHERE id = ?", id);
    } catch (SQLException e) {
      throw Sqlite.unreadable(file, e);
    }
    return new Run(this, id, name, row.run.seconds(), units(id), lock);
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

  /** Changes rows; the number of them. */
  synchronized int update(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = prepare(sql, parameters)) {
      return s.executeUpdate();
    }
  }

  /** Writes units in one transaction. */
  synchronized void write(long run, List<Run.Pending> group, double seconds) throws SQLException {
    update("BEGIN IMMEDIATE");
    try {
      try (PreparedStatement s =
          connection.prepareStatement(
              "INSERT INTO unit VALUES (?1, ?2, ?3, ?4, ?5, crc32c(?1, ?2, ?3, ?4, ?5))")) {
        for (Run.Pending unit : group) {
          s.setLong(1, run);
          s.setString(2, unit.name());
          s.setLong(3, unit.number());
          s.setString(4, clock.instant().toString());
          s.setString(5, unit.result());
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

  @Override
  public void close() {
    try {
      connection.close();
    } catch (SQLException e) {
      throw Sqlite.unwritable(file, e);
    }
  }
}
