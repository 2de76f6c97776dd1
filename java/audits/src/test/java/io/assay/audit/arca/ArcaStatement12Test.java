package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaResult.StopReason;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Statement 12 of specs/arca.md section 8: bad and doubtful inputs. */
class ArcaStatement12Test extends ToyCase {

  private static ArcaSpec.Builder reverse(int... target) {
    return ArcaSelfTest.reverse(target).sweeps(1).k(2).q(2);
  }

  private static ArcaResult run(ArcaSpec.Builder spec) {
    return ArcaAudit.run(engine, toy, spec.build(), ArcaListener.NONE);
  }

  private static void refused(ArcaSpec.Builder spec, String... words) {
    String message = assertThrows(InputException.class, () -> run(spec)).getMessage();
    for (String word : words) {
      assertTrue(message.contains(word), message);
    }
  }

  @Test
  void namesTheFieldAndTheValue() {
    refused(reverse(), "target is empty");
    refused(reverse(1).promptLength(0), "prompt length", "0");
    refused(reverse(1).k(0), "k must", "0");
    refused(reverse(1).q(-1), "q must", "-1");
    refused(reverse(1).q(257), "256", "257");
    refused(reverse(1).lambda(0), "lambda", "0.0");
    refused(reverse(1).lambdaF(Double.NaN), "lambda-f", "NaN");
    refused(reverse(1).unigrams(null, UnigramTable.of("u", 0)), "reversal");
    refused(reverse(32), "32", "0 to 31");
    refused(reverse(1).prefix(List.of(-1)), "prefix", "-1");
  }

  @Test
  void tooLongNamesBothNumbers() {
    refused(reverse(1, 2).promptLength(11), "13", "12");
  }

  @Test
  void unigramTableOfAnotherLength() {
    refused(reverse(1).unigrams(UnigramTable.of("short", 0, 0), null), "short", "2", "32");
  }

  @Test
  void clampedTablesAreToldWithTheirCount() {
    double[] u = new double[32];
    u[3] = Double.NaN;
    u[4] = 0.5;
    ArcaResult result = run(reverse(1).unigrams(UnigramTable.of("odd", u), null));
    assertTrue(result.warnings().toString().contains("odd has 2 entries"), "warnings");
  }

  @Test
  void fewerAllowedTokensThanCandidatesAreAllUsed() {
    BitSet one = new BitSet();
    one.set(7);
    TokenSet seven = new TokenSet("seven", one);
    ArcaResult.Audit audit = run(reverse(1).q(8).allowed(seven, null)).audits().getFirst();
    assertEquals(List.of(7, 7, 7), audit.promptIds());
  }

  @Test
  void noAllowedToken() {
    TokenSet none = new TokenSet("none", new BitSet());
    ArcaResult.Audit audit = run(reverse(1).allowed(none, null)).audits().getFirst();
    assertEquals(StopReason.NO_CANDIDATES, audit.stopReason());
    assertNull(audit.bestSoFar());
  }

  @Test
  void prefixThatCanNeverPass() {
    double[] u = new double[32];
    u[5] = Math.log(0.5);
    ArcaSpec spec =
        ArcaSpec.joint("toy-a", 2)
            .prefix(List.of(5))
            .unigrams(UnigramTable.of("good", u), null)
            .rule(new UnigramRule(0.99, -1, 0.5, -1, true))
            .restarts(2)
            .build();
    ArcaResult result = ArcaAudit.run(engine, toy, spec, ArcaListener.NONE);
    assertEquals(2, result.audits().size());
    assertEquals(StopReason.INFEASIBLE_PREFIX, result.audits().getFirst().stopReason());
    assertEquals(0, result.operations());
  }

  @Test
  void logitsThatAreNotNumbers() {
    Map<String, Tensor> weights = new LinkedHashMap<>(Toys.weights(DType.F64, 32, 16, 0.6));
    weights.get("h.1.mlp.c_proj.weight").set(0, Double.NaN);
    LanguageModel broken = LanguageModel.of("broken", 2, weights);
    ArcaResult result = ArcaAudit.run(engine, broken, reverse(1).build(), ArcaListener.NONE);
    assertEquals(StopReason.NAN, result.audits().getFirst().stopReason());
    assertEquals(false, result.audits().getFirst().success());
  }

  @Test
  void fluencyOfAPromptOfOneToken() {
    ArcaResult result = run(reverse(1).promptLength(1).lambdaF(1));
    assertTrue(result.warnings().toString().contains("lambda-f"), "warnings");
    assertEquals(0, result.audits().getFirst().FL());
  }

  @Test
  void targetThatThePrefixAloneProduces() {
    ArcaResult result = run(reverse(12, 1).prefix(List.of(3, 14, 15)));
    assertTrue(result.audits().getFirst().alreadyProduced());
    assertEquals(
        false,
        run(reverse(12, 2).prefix(List.of(3, 14, 15))).audits().getFirst().alreadyProduced());
  }

  @Test
  void copyFilterWithoutTextsForbidsTheOutputTokens() {
    ArcaResult.Audit audit =
        run(reverse(1, 2).copyFilter(CopyFilter.FIXED).q(32)).audits().getFirst();
    assertEquals(2, audit.forbidden());
  }

  @Test
  void cancellingKeepsWhatIsFinished() {
    ArcaListener stop =
        new ArcaListener() {
          @Override
          public boolean cancelled() {
            return true;
          }
        };
    ArcaResult result = ArcaAudit.run(engine, toy, reverse(1).build(), stop);
    assertTrue(result.cancelled());
    assertEquals(0, result.audits().size());
  }
}
