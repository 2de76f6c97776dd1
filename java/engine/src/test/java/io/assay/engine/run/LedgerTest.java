package io.assay.engine.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.engine.ChildJava;
import io.assay.engine.InputException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LedgerTest {
  @TempDir Path folder;

  private static void refused(String naming, org.junit.jupiter.api.function.Executable call) {
    InputException e = assertThrows(InputException.class, call);
    assertTrue(e.getMessage().contains(naming), e.getMessage());
    assertTrue(e.getMessage().length() < 400, e.getMessage());
  }

  private static ObjectNode provenance(int seed) {
    ObjectNode p = Ledger.JSON.createObjectNode().put("assay", "1").put("commit", "abc");
    p.putObject("spec").put("seed", seed);
    p.putObject("device").put("name", "cpu").put("threads", 2);
    return p;
  }

  private void sql(String statement) throws Exception {
    try (Connection c = Sqlite.open(folder.resolve(Ledger.FILE));
        Statement s = c.createStatement()) {
      s.execute(statement);
    }
  }

  @Test
  void whatIsFinishedIsThereInTheNextLife() {
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.begin("a", "test.run", List.of("x", "--y"))) {
        run.describe(3, provenance(1));
        run.finish("u1", "{\"v\":1}");
        run.finish("u2", "{\"v\":2}");
        run.flush();
        assertEquals(RunRecord.State.RUNNING, ledger.run("a").state());
      }
      assertEquals(RunRecord.State.INTERRUPTED, ledger.run("a").state());
    }
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.resume("a")) {
        run.describe(3, provenance(1));
        assertEquals(List.of("u1", "u2"), run.done().stream().map(RunRecord.Unit::name).toList());
        run.finish("u3", "{}");
        run.complete("{\"all\":true}");
      }
      RunRecord run = ledger.run("a");
      assertEquals(RunRecord.State.FINISHED, run.state());
      assertEquals(3, run.finished());
      assertEquals(3, run.units());
      assertEquals(List.of("x", "--y"), run.arguments());
      assertEquals("{\"all\":true}", run.result());
      refused("finished", () -> ledger.resume("a"));
      refused("no run b", () -> ledger.resume("b"));
    }
  }

  /** The same unit twice is an error of the method, and never two rows. */
  @Test
  void aUnitIsFinishedOnce() {
    try (Ledger ledger = Ledger.open(folder);
        Run run = ledger.begin("a", "test.run", List.of())) {
      run.finish("u", "1");
      run.flush();
      run.finish("u", "2");
      assertThrows(IllegalStateException.class, run::flush);
      assertEquals("1", ledger.units("a").getFirst().result());
      assertEquals(1, ledger.units("a").size());
    }
  }

  @Test
  void aRunGoesOnOnlyWithWhatItWasBegunWith() throws Exception {
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.begin("a", "test.run", List.of())) {
        run.describe(1, provenance(1));
      }
      try (Run run = ledger.resume("a")) {
        refused("spec.seed 1, and now it is 2", () -> run.describe(1, provenance(2)));
        ObjectNode other = provenance(1);
        other.put("commit", "def");
        other.withObject("device").put("threads", 7);
        run.describe(1, other);
        other.withObject("device").put("name", "cuda:0");
        refused("device.name", () -> run.describe(1, other));
      }
    }
    sql("UPDATE run SET provenance = replace(provenance, '\"seed\"', '\"zeal\":9,\"seed\"')");
    try (Ledger ledger = Ledger.open(folder);
        Run run = ledger.resume("a")) {
      refused("spec.zeal, which this Assay does not know", () -> run.describe(1, provenance(1)));
    }
  }

  /** Each file was written by its version; every later one has to read it. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void aLedgerOfEachVersionOpens(int version) throws Exception {
    try (InputStream in = LedgerTest.class.getResourceAsStream("ledger-" + version + ".db")) {
      Files.copy(in, folder.resolve(Ledger.FILE));
    }
    if (version < Schema.MIGRATIONS.size()) {
      refused("the old version 1, and its folder is read-only", () -> Ledger.find(folder, false));
    }
    try (Ledger ledger = Ledger.open(folder)) {
      assertEquals(List.of("old-1", "old-2"), ledger.runs().stream().map(RunRecord::name).toList());
      RunRecord finished = ledger.run("old-1");
      assertEquals(RunRecord.State.FINISHED, finished.state());
      assertEquals("{\"result\":\"Gr\u00fc\u00dfe\"}", finished.result());
      assertEquals(2, finished.finished());
      assertEquals("{\"v\":0.1}", ledger.units("old-1").getFirst().result());
      try (Run run = ledger.resume("old-2")) {
        run.describe(4, provenance(5));
        assertEquals(3, run.done().size());
        run.finish("u3", "{}");
        run.complete("{}");
      }
      assertEquals(RunRecord.State.FINISHED, ledger.run("old-2").state());
    }
  }

  @Test
  void aNewerLedgerAndAnotherDatabaseAreRefused() throws Exception {
    Ledger.open(folder).close();
    sql("PRAGMA user_version = 99");
    refused("version 99, and this Assay knows versions up to", () -> Ledger.open(folder));
    refused("version 99", () -> Ledger.find(folder));
    Path foreign = Files.createDirectory(folder.resolve("foreign"));
    try (Connection c = Sqlite.open(foreign.resolve(Ledger.FILE));
        Statement s = c.createStatement()) {
      s.execute("CREATE TABLE recipe (id)");
    }
    refused("another program", () -> Ledger.open(foreign));
  }

  @Test
  void aReadOnlyFolderIsReadAndNotWritten() {
    assertTrue(Ledger.find(folder, false).isEmpty());
    try (Ledger ledger = Ledger.open(folder);
        Run run = ledger.begin("a", "test.run", List.of())) {
      run.finish("u", "{}");
      run.flush();
      // Its journal is not empty as long as it is open.
      refused("read-only", () -> Ledger.find(folder, false));
    }
    try (Ledger ledger = Ledger.find(folder, false).orElseThrow()) {
      assertEquals("a", ledger.runs().getFirst().name());
      assertEquals(1, ledger.units("a").size());
      refused("read-only", () -> ledger.begin("b", "test.run", List.of()));
    }
    refused("cannot be made", () -> Ledger.open(Path.of("/proc/assay")));
  }

  /** Another process works on a run, is killed, and the run goes on here. */
  @Test
  void aRunBelongsToOneProcessUntilThatIsKilled() throws Exception {
    List<String> command = new ArrayList<>(ChildJava.command(Worker.class));
    command.add(folder.toString());
    Process child =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
    try (Ledger ledger = Ledger.open(folder)) {
      assertTrue(child.inputReader().lines().anyMatch("ready"::equals), "the child ended");
      assertEquals(RunRecord.State.RUNNING, ledger.run("theirs").state());
      refused("another process", () -> ledger.resume("theirs"));
      refused("being worked on", () -> ledger.remove("theirs"));
      try (Run ours = ledger.begin("ours", "test.run", List.of())) {
        for (int i = 0; i < 200; i++) {
          ours.finish("u" + i, "{}");
          ours.flush();
        }
      }
      assertEquals(200, ledger.units("ours").size());
      child.destroyForcibly().waitFor();
      assertEquals(RunRecord.State.INTERRUPTED, ledger.run("theirs").state());
      try (Run run = ledger.resume("theirs")) {
        assertTrue(run.done().size() >= 1, "done " + run.done().size());
        for (int i = 0; i < run.done().size(); i++) {
          assertEquals("u" + i, run.done().get(i).name());
        }
      }
    } finally {
      child.destroyForcibly();
    }
  }

  /** Finishes units until it is killed. */
  static final class Worker {
    public static void main(String[] args) throws InterruptedException {
      try (Ledger ledger = Ledger.open(Path.of(args[0]));
          Run run = ledger.begin("theirs", "test.run", List.of())) {
        run.finish("u0", "{}");
        run.flush();
        System.out.println("ready");
        for (int i = 1; ; i++) {
          run.finish("u" + i, "{}");
          Thread.sleep(1);
        }
      }
    }
  }

  @Test
  void aClockThatJumpsBackChangesNoOrderAndNoDuration() {
    Instant[] now = {Instant.parse("2030-01-01T00:00:00Z")};
    try (Ledger ledger = Ledger.open(folder, () -> now[0])) {
      try (Run run = ledger.begin("a", "test.run", List.of())) {
        run.finish("u1", "{}");
        run.flush();
        now[0] = Instant.parse("1990-01-01T00:00:00Z");
        run.finish("u0", "{}");
        run.complete("{}");
      }
      ledger.begin("b", "test.run", List.of()).close();
      assertEquals(List.of("a", "b"), ledger.runs().stream().map(RunRecord::name).toList());
      assertEquals(
          List.of("u1", "u0"), ledger.units("a").stream().map(RunRecord.Unit::name).toList());
      double seconds = ledger.run("a").seconds();
      assertTrue(seconds >= 0 && seconds < 60, "seconds " + seconds);
    }
  }

  /** More units than may wait for the disk: none is lost, and the order is that of finishing. */
  @Test
  void finishingFasterThanTheDiskLosesNothing() {
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.begin("a", "test.run", List.of())) {
        for (int i = 0; i < 50_000; i++) {
          run.finish("u" + i, Integer.toString(i));
        }
      }
      List<RunRecord.Unit> units = ledger.units("a");
      assertEquals(50_000, units.size());
      for (int i = 0; i < units.size(); i++) {
        assertEquals(Integer.toString(i), units.get(i).result());
      }
    }
  }

  @Test
  void aFullDiskEndsTheRunAndRoomLetsItGoOn() {
    String long1k = '"' + "x".repeat(1000) + '"';
    int written;
    try (Ledger ledger = Ledger.open(folder)) {
      ledger.pragma("max_page_count = 40");
      try (Run run = ledger.begin("a", "test.run", List.of())) {
        IllegalStateException e =
            assertThrows(
                IllegalStateException.class,
                () -> {
                  for (int i = 0; i < 1000; i++) {
                    run.finish("u" + i, long1k);
                    run.flush();
                  }
                });
        assertTrue(e.getMessage().contains("the disk is full"), e.getMessage());
      }
      written = ledger.units("a").size();
      assertTrue(written > 10 && written < 200, "written " + written);
    }
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.resume("a")) {
        assertEquals(written, run.done().size());
        for (int i = written; i < 1000; i++) {
          run.finish("u" + i, long1k);
        }
      }
      assertEquals(1000, ledger.units("a").size());
    }
  }

  @Test
  void nothingIsMadeByLooking() {
    assertTrue(Ledger.find(folder.resolve("none")).isEmpty());
    assertFalse(Files.exists(folder.resolve("none")));
  }
}
