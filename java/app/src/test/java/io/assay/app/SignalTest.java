package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.app.Child.Life;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.RunRecord;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Ctrl-C and SIGTERM, as the system sends them to a process: the run is told how to go on, and
 * does.
 */
class SignalTest {
  @TempDir Path folder;
  private Path out;

  @BeforeEach
  void where() {
    out = folder.resolve("out");
  }

  @Test
  void aSearchEndsAtCtrlCAndAtSigtermAndGoesOn() throws Exception {
    endsAndGoesOn(search(), out, "INT", "TERM");
  }

  @Test
  void aTrainingEndsAtCtrlCAndGoesOn() throws Exception {
    String line = "organism build planted-lm --steps 60 --json --out " + folder.resolve("organism");
    endsAndGoesOn(List.of(line.split(" ")), folder.resolve("home"), "INT");
  }

  private List<String> search() throws Exception {
    Path model = RandomModel.write(Files.createDirectory(folder.resolve("model")), 7);
    String line =
        "arca reverse %s --target-ids 5 --target-ids 6,7 --prompt-length 2 --sweeps 12 --restarts 6"
            + " --k 16 --q 16 --slots 2 --success-check never --compare --json --out %s";
    return List.of(line.formatted(model, out).split(" "));
  }

  private void endsAndGoesOn(List<String> line, Path ledger, String... signals) throws Exception {
    Life whole = Child.begin(folder, null, line).end();
    assertEquals(0, whole.status(), whole.err());
    for (int i = 0; i < signals.length; i++) {
      endsAndGoesOn(whole, line, ledger, 2 + i, signals[i]);
    }
  }

  private void endsAndGoesOn(Life whole, List<String> line, Path ledger, int run, String signal)
      throws Exception {
    Child child = Child.begin(folder, null, line);
    while (finished(ledger, run) < 2 && child.isAlive()) {
      Thread.sleep(5);
    }
    child.signal(signal);
    Life ended = child.end();
    assertEquals(130, ended.status(), ended.toString());
    assertEquals("", ended.out());
    assertEquals(1, ended.err().lines().filter(l -> l.contains("interrupted")).count());
    String said = ended.lastWord();
    assertTrue(said.matches("assay: interrupted; `assay runs resume \\S+.*` goes on"), said);
    assertEquals(RunRecord.State.INTERRUPTED, last(ledger).state());

    String command = said.replaceAll(".*`assay (.*)`.*", "$1") + " --json";
    Life resumed = Child.begin(folder, null, List.of(command.split(" "))).end();
    assertEquals(0, resumed.status(), resumed.err());
    assertEquals(KillTest.result(whole), KillTest.result(resumed));
  }

  /** Units of the run of this number, from 1; 0 until it is there. */
  private static long finished(Path folder, int number) {
    try (Ledger ledger = Ledger.open(folder)) {
      List<RunRecord> runs = ledger.runs();
      return runs.size() < number ? 0 : runs.getLast().finished();
    }
  }

  private static RunRecord last(Path folder) {
    try (Ledger ledger = Ledger.open(folder)) {
      return ledger.runs().getLast();
    }
  }
}
