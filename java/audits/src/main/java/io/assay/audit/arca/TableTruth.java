package io.assay.audit.arca;

import static io.assay.audit.arca.Statement.near;
import static io.assay.audit.arca.Statement.same;

import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.engine.Engine;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;

/** Statements about the bigram model TABLE-LM (specs/arca.md 5.4). */
final class TableTruth {
  private static final int V = 40;
  private final Engine engine;
  private final LanguageModel model;
  private final Tensor table = Toys.tableOf(V);

  TableTruth(Engine engine) {
    this.engine = engine;
    this.model = Toys.table(table);
  }

  List<Statement> statements() {
    List<Statement> s = new ArrayList<>();
    maxima(s);
    scores(s);
    ties(s);
    joint(s);
    planted(s);
    return s;
  }

  private static ArcaSpec.Builder reverse() {
    return ArcaSpec.reverse("table-lm", 5, 11).copyFilter(CopyFilter.NONE).k(8).q(8).restarts(1);
  }

  /** Exact ascent from the starts (s, s, s) against the Viterbi values. */
  private void maxima(List<Statement> s) {
    double[] weights = {0, 0.5, 1, 2, 5};
    double[] values = {-3.806514150, -4.626183687, -5.330560953, -6.739315486, -10.965579085};
    long[] reached = {40, 3, 3, 1, 1};
    for (int i = 0; i < weights.length; i++) {
      ArcaSpec spec =
          reverse()
              .lambdaF(weights[i])
              .candidates(Candidates.EXACT)
              .successCheck(SuccessCheck.NEVER)
              .q(V)
              .restarts(V)
              .build();
      ArcaResult result =
          ArcaAudit.run(engine, model, spec, ArcaListener.NONE, (_, start) -> constant(start));
      double best =
          result.audits().stream().mapToDouble(a -> a.bestSoFar().J()).max().orElseThrow();
      double wanted = values[i];
      long hits =
          result.audits().stream().filter(a -> Math.abs(a.bestSoFar().J() - wanted) < 1e-9).count();
      String id = "arca.8.viterbi." + weights[i];
      s.add(near(id, "highest J, lambda_f " + weights[i], wanted, best, 1e-9));
      s.add(same(id + ".starts", "of 40 starts, those that reach it", reached[i], hits));
    }
  }

  /** Draws that always give one token. */
  private static RandomGenerator constant(int token) {
    return new RandomGenerator() {
      @Override
      public long nextLong() {
        return token;
      }

      @Override
      public double nextDouble() {
        return (token + 0.5) / V;
      }
    };
  }

  private Lockstep group(ArcaSpec spec) {
    return new Lockstep(
        engine,
        model,
        new Problem(spec, spec.outputLength(0)),
        List.of(new Lockstep.Item(0, 0)),
        List.of(new BitSet()),
        Streams.seeded(0, 1));
  }

  private void scores(List<Statement> s) {
    try (Lockstep group = group(reverse().build())) {
      Slot slot = group.settled(1, 2, 3, 5, 11);
      double[] scores = group.coordinate(2).scores(slot, 0, 1, 2, 3, 4, 5, 6, 7);
      int[] ids = {6, 7, 37, 4, 33, 28};
      double[] values = {2.998425, 2.962183, 2.883293, 2.740815, 2.513532, 1.820957};
      double[] got = Arrays.stream(ids).mapToDouble(v -> scores[v]).toArray();
      s.add(
          near(
              "arca.8.scores",
              "scores of the last prompt token",
              0,
              ArcaSelfTest.distance(values, got),
              1e-6));
      int[] ranked = Arrays.copyOf(group.coordinate(2).ranked(slot), 6);
      s.add(same("arca.8.order", "their order", ArcaSelfTest.list(ids), ArcaSelfTest.list(ranked)));
    }
  }

  private void ties(List<Statement> s) {
    try (Lockstep group = group(reverse().build())) {
      Slot slot = group.settled(1, 2, 3, 5, 11);
      double[] gradient = group.coordinate(0).gradient(slot, 0, 1, 2, 3, 4, 5, 6, 7);
      double largest = Arrays.stream(gradient).map(Math::abs).max().orElseThrow();
      s.add(near("arca.8.zero", "gradient before the last prompt token", 0, largest, 0));
      s.add(
          same(
              "arca.8.ties",
              "among equal scores the lowest ids are taken",
              IntStream.range(0, 8).boxed().toList(),
              ArcaSelfTest.list(group.coordinate(0).ranked(slot))));
    }
  }

  private void joint(List<Statement> s) {
    double[] in = new double[V];
    double[] out = new double[V];
    for (int v = 0; v < V; v++) {
      in[v] = v == 22 ? Math.log(0.05) : Math.log(0.999);
      out[v] = v == 22 ? Math.log(0.9) : Math.log(0.001);
    }
    ArcaSpec spec =
        ArcaSpec.joint("table-lm", 2)
            .k(8)
            .q(8)
            .sweeps(20)
            .restarts(100)
            .seed(1)
            .successCheck(SuccessCheck.ANY)
            .unigrams(UnigramTable.of("not bad", in), UnigramTable.of("bad", out))
            .build();
    ArcaResult result = ArcaAudit.run(engine, model, spec, ArcaListener.NONE);
    List<ArcaResult.Audit> found =
        result.audits().stream().filter(ArcaResult.Audit::success).toList();
    long right =
        found.stream()
            .filter(
                a -> {
                  int last = a.promptIds().getLast();
                  return last == 15 && a.outputIds().equals(List.of(22, 2))
                      || last == 34 && a.outputIds().equals(List.of(15, 22));
                })
            .count();
    s.add(Statement.atLeast("arca.8.joint.some", "joint solutions found", 1, found.size()));
    s.add(
        same(
            "arca.8.joint",
            "joint solutions that end in 15 (22 2) or 34 (15 22)",
            (long) found.size(),
            right));
  }

  /** Any averaging tokens rank the trigger first, so two of each are as good as more. */
  private void planted(List<Statement> s) {
    LanguageModel planted = Toys.table(Toys.planted());
    int solved = 0;
    double lp = 0;
    ArcaSpec spec =
        ArcaSpec.reverse("planted", 77)
            .copyFilter(CopyFilter.NONE)
            .promptLength(1)
            .k(2)
            .q(2)
            .sweeps(1)
            .restarts(100)
            .build();
    for (ArcaResult.Audit a : ArcaAudit.run(engine, planted, spec, ArcaListener.NONE).audits()) {
      solved += a.success() && a.sweep() == 0 && a.promptIds().getLast() == 1234 ? 1 : 0;
      lp = a.LP();
    }
    s.add(
        same(
            "arca.8.planted",
            "of 100 streams, those that find the trigger in sweep 0",
            100,
            solved));
    s.add(near("arca.8.planted.lp", "log p of the planted output", -0.0825, lp, 5e-5));
  }
}
