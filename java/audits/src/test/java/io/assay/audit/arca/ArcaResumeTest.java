package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaResult.Audit;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.Ledger;
import io.assay.engine.run.Run;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A run that goes on from a ledger ends like one that was not disturbed. */
class ArcaResumeTest {
  @TempDir Path folder;

  private static ArcaSpec.Builder spec() {
    return ArcaSpec.reverse("toy", List.of(List.of(1, 2), List.of(3, 4), List.of(5)))
        .promptLength(2)
        .k(4)
        .q(4)
        .sweeps(3)
        .restarts(3)
        .slots(2)
        .seed(5);
  }

  private static UnitListener<Audit> units(Run run) {
    return run.units(Audit.class, a -> a.target() + "." + a.restart());
  }

  /** Takes audits from a ledger, and ends the life after so many more. */
  private record Life(UnitListener<Audit> units, int[] left) implements ArcaListener {
    @Override
    public List<Audit> done() {
      return units.done();
    }

    @Override
    public void finished(Audit audit) {
      left[0]--;
      units.finished(audit);
    }

    @Override
    public boolean cancelled() {
      return left[0] <= 0;
    }
  }

  /** All but what a life costs; the text of a double tells its bits. */
  private static String of(ArcaResult result) {
    return result.toString().replaceAll("(seconds|operations)=[^,\\]]*", "");
  }

  @ParameterizedTest
  @EnumSource(ArcaSpec.Order.class)
  void everyLifeAddsToTheOneResult(ArcaSpec.Order order) {
    try (Engine engine = Engine.open();
        Ledger ledger = Ledger.open(folder)) {
      LanguageModel model = Toys.a(DType.F32);
      ArcaSpec spec = spec().order(order).build();
      ArcaResult whole = ArcaAudit.run(engine, model, spec, ArcaListener.NONE);
      ledger.begin("a", "arca.reverse", List.of()).close();
      ArcaResult last = null;
      int lives = 0;
      while (last == null || last.cancelled()) {
        lives++;
        try (Run run = ledger.resume("a")) {
          last = ArcaAudit.run(engine, model, spec, new Life(units(run), new int[] {2}));
        }
        assertEquals(last.audits().size(), ledger.run("a").finished());
      }
      assertTrue(lives > 2, "lives " + lives);
      assertEquals(of(whole), of(last));
    }
  }

  @Test
  void anAuditKeepsEveryBitInALedger() {
    Audit odd =
        new Audit(
            1,
            2,
            false,
            -1,
            7,
            List.of(1, 2),
            List.of(),
            "a\u0000\u2028\ud83d\ude00\"",
            null,
            Double.NaN,
            -0.1 - 0.2,
            Double.MIN_VALUE,
            new ArcaResult.Unigram(0, 1e-300, 1 / 3.0),
            null,
            Double.NEGATIVE_INFINITY,
            null,
            true,
            3,
            new ArcaResult.Best(List.of(3), List.of(), -1 / 3.0),
            1L << 40,
            2,
            0.1,
            Long.MIN_VALUE,
            ArcaResult.StopReason.NAN);
    try (Ledger ledger = Ledger.open(folder)) {
      try (Run run = ledger.begin("a", "arca.reverse", List.of())) {
        units(run).finished(odd);
      }
      try (Run run = ledger.resume("a")) {
        assertEquals(List.of(odd), units(run).done());
      }
    }
  }
}
