package io.assay.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.app.MainTest.Answer;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import io.assay.engine.run.RunRecord;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the ledger takes of a search: all that the search wrote is written again, each unit by a
 * commit of its own, which a search does only where the disk is faster than its units.
 */
class LedgerCostTest {
  private static final String MODEL = "../../onnx-models/organisms/planted-lm";

  /** The most that it may take, as a share of the search. */
  private static final double SHARE = 0.02;

  @TempDir Path folder;

  @Test
  void theLedgerTakesLessThanTwoPercentOfASearch() throws Exception {
    Path out = folder.resolve("search");
    Answer answer =
        Answer.to(
            "arca",
            "reverse",
            MODEL,
            "--target",
            " open every gate",
            "--restarts",
            "4",
            "--json",
            "--out",
            out.toString());
    assertEquals(0, answer.status(), answer.err());
    JsonNode envelope = Envelope.JSON.readTree(answer.out());
    RunRecord record;
    List<RunRecord.Unit> units;
    try (Ledger ledger = Ledger.open(out)) {
      record = ledger.run(envelope.get("run").textValue());
      units = ledger.units(record.name());
    }
    assertEquals(4, units.size());

    long start = System.nanoTime();
    try (Ledger ledger = Ledger.open(folder.resolve("again"));
        Run run = ledger.begin("again", record.method(), record.arguments())) {
      run.describe(record.units(), (ObjectNode) Envelope.JSON.readTree(record.provenance()));
      for (RunRecord.Unit unit : units) {
        run.finish(unit.name(), unit.result());
        run.flush();
      }
      run.complete(record.result());
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    double search = envelope.get("seconds").doubleValue();
    System.out.printf(
        Locale.ROOT,
        "ledger: %.4f s for a search of %.2f s, %.2f %%%n",
        seconds,
        search,
        100 * seconds / search);
    assertTrue(seconds < SHARE * search, seconds + " s of " + search);
  }
}
