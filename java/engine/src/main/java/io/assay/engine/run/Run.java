package io.assay.engine.run;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A run under way. Finished units are written by a thread of its own, as many together as were
 * finished while the disk was busy with those before: a kill loses only those, and they are done
 * again.
 *
 * <p>The methods may be called from any thread. A run is closed before its ledger.
 */
public final class Run implements AutoCloseable {
  /** Units that may wait for the disk before {@link #finish} does. */
  private static final int MOST_WAITING = 20_000;

  /** Parts of the record that do not decide the result. */
  private static final Set<String> FREE = Set.of("/device/threads", "/device/java", "/commit");

  /** A unit that is not written yet. */
  record Pending(String name, long number, String result) {}

  private final Ledger ledger;
  private final long id;
  private final String name;
  private final FileLock lock;
  private final double before;
  private final long start = System.nanoTime();
  private final List<RunRecord.Unit> done;
  private final ExecutorService writer =
      Executors.newSingleThreadExecutor(
          Thread.ofPlatform().daemon().name("assay-ledger").factory());

  private List<Pending> waiting = new ArrayList<>();
  private boolean scheduled;
  private long number;
  private volatile RuntimeException broken;
  private volatile boolean cancelled;
  private boolean closed;

  Run(
      Ledger ledger,
      long id,
      String name,
      double before,
      List<RunRecord.Unit> done,
      FileLock lock) {
    this.ledger = ledger;
    this.id = id;
    this.name = name;
    this.before = before;
    this.lock = lock;
    this.done = done;
    this.number = ledger.next(id);
  }

  public String name() {
    return name;
  }

  /** Folder for files of this run that are of no use once it is finished; it need not exist. */
  public Path folder() {
    return ledger.file().resolveSibling(name);
  }

  /** Units finished in earlier lives of this run. */
  public List<RunRecord.Unit> done() {
    return done;
  }

  /** Units finished in all lives. */
  public synchronized long finished() {
    return number;
  }

  /** Seconds that all lives of this run have worked, lost work not counted. */
  public double seconds() {
    return before + (System.nanoTime() - start) / 1e9;
  }

  /**
   * Says what decides the result: specification, model, device, versions. In a later life it must
   * be the same.
   *
   * @param units units of work in all
   * @throws InputException naming the first part that differs from the record
   */
  public void describe(long units, ObjectNode provenance) {
    String stored = ledger.run(name).provenance();
    if (stored != null) {
      try {
        JsonNode then = Ledger.JSON.readTree(stored);
        // As text and back, since a number read is not the kind of number that was put.
        JsonNode now = Ledger.JSON.readTree(provenance.toString());
        compare("", then, now, then.path("assay").asText());
      } catch (JsonProcessingException e) {
        throw new InputException("the record of the run " + name + " is damaged; begin it anew", e);
      }
      return;
    }
    change(
        "UPDATE run SET units = ?, provenance = ? WHERE id = ?", units, provenance.toString(), id);
  }

  private void compare(String at, JsonNode then, JsonNode now, String version) {
    if (FREE.contains(at)) {
      return;
    }
    String field = at.isEmpty() ? at : at.substring(1).replace('/', '.');
    if (now.isMissingNode()) {
      throw new InputException(
          ("the run %s was begun with %s, which this Assay does not know; resume it with the Assay"
                  + " that began it, %s")
              .formatted(name, field, version));
    }
    if (then.isObject() && now.isObject()) {
      for (Map.Entry<String, JsonNode> e : then.properties()) {
        compare(at + "/" + e.getKey(), e.getValue(), now.path(e.getKey()), version);
      }
    } else if (!then.equals(now)) {
      throw new InputException(
          "the run %s was begun with %s %s, and now it is %s; resume it as it was begun"
              .formatted(name, field, then, now));
    }
  }

  /**
   * A listener that keeps what a method finishes in the ledger and gives it back in the next life.
   *
   * @param type a record that Jackson can write and read
   * @param unit name of a unit, one of a kind in this run
   */
  public <U> UnitListener<U> units(Class<U> type, Function<U, String> unit) {
    return new UnitListener<>() {
      @Override
      public List<U> done() {
        return done.stream().map(u -> read(u, type)).toList();
      }

      @Override
      public void finished(U u) {
        try {
          finish(unit.apply(u), Ledger.JSON.writeValueAsString(u));
        } catch (JsonProcessingException e) {
          throw new IllegalArgumentException("a unit that cannot be written as JSON: " + u, e);
        }
      }

      @Override
      public void lost(U u) {
        flush();
        change("DELETE FROM unit WHERE run = ? AND name = ?", id, unit.apply(u));
      }

      @Override
      public boolean cancelled() {
        return cancelled;
      }
    };
  }

  private <U> U read(RunRecord.Unit unit, Class<U> type) {
    try {
      return Ledger.JSON.readValue(unit.result(), type);
    } catch (JsonProcessingException e) {
      throw new InputException(
          ("the unit %s of the run %s is not one that this Assay writes (%s); resume the run with"
                  + " the Assay that began it")
              .formatted(unit.name(), name, e.getOriginalMessage()),
          e);
    }
  }

  /**
   * Keeps a finished unit. It is written soon, together with others.
   *
   * @throws IllegalStateException if earlier ones could not be written
   */
  public void finish(String unit, String result) {
    Future<?> full = null;
    synchronized (this) {
      requireSound();
      waiting.add(new Pending(unit, number++, result));
      if (!scheduled) {
        scheduled = true;
        writer.submit(this::write);
      }
      if (waiting.size() >= MOST_WAITING) {
        full = writer.submit(this::write);
      }
    }
    if (full != null) {
      await(full);
    }
  }

  private void requireSound() {
    if (broken != null) {
      throw new IllegalStateException(broken.getMessage(), broken);
    }
  }

  private void write() {
    List<Pending> group;
    synchronized (this) {
      group = waiting;
      waiting = new ArrayList<>();
      scheduled = false;
    }
    if (broken != null || group.isEmpty()) {
      return;
    }
    try {
      ledger.write(id, group, seconds());
    } catch (SQLException e) {
      broken = Sqlite.unwritable(ledger.file(), e);
    }
  }

  /**
   * Waits until all finished units are on the disk.
   *
   * @throws IllegalStateException if they could not be written
   */
  public void flush() {
    await(writer.submit(this::write));
    requireSound();
  }

  private static void await(Future<?> task) {
    try {
      task.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while the ledger was written", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException("the ledger cannot be written", e.getCause());
    }
  }

  /** Asks the method to end; see {@link UnitListener#cancelled}. */
  public void cancel() {
    cancelled = true;
  }

  public boolean isCancelled() {
    return cancelled;
  }

  /** Keeps the result of the finished run, and removes its folder. */
  public void complete(String result) {
    flush();
    change(
        "UPDATE run SET result = ?, ended = ?, seconds = ? WHERE id = ?",
        result,
        ledger.now(),
        seconds(),
        id);
    clean(folder());
  }

  /** Notes why the run failed; it can be resumed all the same. */
  public void fail(String why) {
    change("UPDATE run SET failure = ?, ended = ? WHERE id = ?", why, ledger.now(), id);
  }

  /** Forgets the run. */
  public void withdraw() {
    flush();
    change("DELETE FROM run WHERE id = ?", id);
    clean(folder());
  }

  private void change(String sql, Object... parameters) {
    try {
      ledger.update(sql, parameters);
    } catch (SQLException e) {
      throw Sqlite.unwritable(ledger.file(), e);
    }
  }

  /** Removes a folder of files, if it is there. */
  public static void clean(Path folder) {
    if (!Files.isDirectory(folder)) {
      return;
    }
    try (Stream<Path> all = Files.walk(folder)) {
      for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    } catch (IOException e) {
      throw new IllegalStateException("the folder " + folder + " cannot be removed", e);
    }
  }

  /** Writes what waits and lets others work on the run; a second call does nothing. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      await(writer.submit(this::write));
    } finally {
      writer.close();
      try {
        lock.release();
      } catch (IOException e) {
        throw new IllegalStateException("the lock of the run " + name + " cannot be released", e);
      }
    }
  }
}
