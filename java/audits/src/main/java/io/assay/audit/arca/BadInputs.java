package io.assay.audit.arca;

import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
import io.assay.audit.arca.ArcaResult.StopReason;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What becomes of bad and doubtful inputs (statement 12 of specs/arca.md section 8), on TOY-A. */
final class BadInputs {
  private final Engine engine;
  private final LanguageModel toy;

  BadInputs(Engine engine, LanguageModel toy) {
    this.engine = engine;
    this.toy = toy;
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    s.add(refused("output", "an empty output", reverse()));
    s.add(refused("prompt", "a prompt of no tokens", reverse(1).promptLength(0)));
    s.add(refused("context", "13 tokens in a context of 12", reverse(1, 2).promptLength(11)));
    s.add(refused("k", "k = 0", reverse(1).k(0)));
    s.add(refused("q", "q = 0", reverse(1).q(0)));
    s.add(refused("table", "a table of 2 tokens", reverse(1).unigrams(table(2), null)));
    s.add(refused("side", "an output table in reversal", reverse(1).unigrams(null, table(32))));

    BitSet seven = new BitSet();
    seven.set(7);
    s.add(
        same(
            "arca.12.few",
            "one allowed token where eight are evaluated",
            List.of(7, 7, 7),
            first(run(reverse(1).q(8).allowed(new TokenSet("seven", seven), null))).promptIds()));
    s.add(ends("none", "no allowed token", StopReason.NO_CANDIDATES, barred()));
    s.add(ends("prefix", "a prefix that cannot pass", StopReason.INFEASIBLE_PREFIX, prefixed()));
    s.add(same("arca.12.prefix.free", "operations that cost", 0L, run(prefixed()).operations()));
    s.add(
        same(
            "arca.12.nan",
            "a weight that is no number",
            StopReason.NAN,
            first(ArcaAudit.run(engine, broken(), reverse(1).build(), ArcaListener.NONE))
                .stopReason()));

    double[] odd = new double[32];
    odd[3] = Double.NaN;
    odd[4] = 0.5;
    ArcaResult clamped = run(reverse(1).unigrams(UnigramTable.of("odd", odd), null));
    s.add(warned("clamp", "two entries that are no log-probability", "2 entries", clamped));
    ArcaResult alone = run(reverse(1).promptLength(1).lambdaF(1));
    s.add(warned("fluency", "fluency of one token", "no fluency", alone));
    s.add(same("arca.12.fluency.value", "that fluency", 0.0, first(alone).FL()));
    List<Integer> prefix = List.of(3, 14, 15);
    s.add(
        same(
            "arca.12.produced",
            "a target that the prefix alone produces is flagged",
            true,
            first(run(reverse(12, 1).prefix(prefix))).alreadyProduced()));
    return s;
  }

  private static ArcaSpec.Builder reverse(int... target) {
    return ArcaSelfTest.reverse(target).sweeps(1).k(2).q(2);
  }

  private static ArcaSpec.Builder barred() {
    return reverse(1).allowed(new TokenSet("none", new BitSet()), null);
  }

  private static ArcaSpec.Builder prefixed() {
    double[] u = new double[32];
    u[5] = Math.log(0.5);
    return ArcaSpec.joint("toy-a", 2)
        .prefix(List.of(5))
        .unigrams(UnigramTable.of("good", u), null)
        .rule(new UnigramRule(0.99, -1, 0.5, -1, true))
        .restarts(1);
  }

  private static LanguageModel broken() {
    Map<String, Tensor> weights = new LinkedHashMap<>(Toys.weights(DType.F64, 32, 16, 0.6));
    weights.get("h.1.mlp.c_proj.weight").set(0, Double.NaN);
    return LanguageModel.of("broken", 2, weights);
  }

  private static UnigramTable table(int size) {
    return UnigramTable.of("table", new double[size]);
  }

  private ArcaResult run(ArcaSpec.Builder spec) {
    return ArcaAudit.run(engine, toy, spec.build(), ArcaListener.NONE);
  }

  private static ArcaResult.Audit first(ArcaResult result) {
    return result.audits().getFirst();
  }

  private Statement refused(String id, String words, ArcaSpec.Builder spec) {
    String got = "accepted";
    try {
      run(spec);
    } catch (InputException e) {
      got = "refused";
    }
    return same("arca.12." + id, words, "refused", got);
  }

  private Statement ends(String id, String words, StopReason reason, ArcaSpec.Builder spec) {
    return same("arca.12." + id, words, reason, first(run(spec)).stopReason());
  }

  private static Statement warned(String id, String words, String warning, ArcaResult result) {
    boolean said = result.warnings().stream().anyMatch(w -> w.contains(warning));
    return same("arca.12." + id, words + " are told of", true, said);
  }
}
