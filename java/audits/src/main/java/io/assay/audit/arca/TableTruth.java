package io.assay.audit.arca;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;

import io.assay.audit.Statement;
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
    double[] drawn = {table.get(0), table.get(V + 2)};
    double[] stated = {-0.881362013, -0.943815790};
    s.add(
        near("arca.8.table", "B[0][0] and B[1][2]", 0, ArcaSelfTest.distance(stated, drawn), 1e-9));
    maxima(s);
    greedyMap(s);
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
      List<Integer> prompt =
          result.audits().stream()
              .filter(a -> Math.abs(a.bestSoFar().J() - wanted) < 1e-9)
              .findFirst()
              .map(a -> a.bestSoFar().promptIds())
              .orElse(List.of(-1));
      if (weights[i] == 0) {
        s.add(same(id + ".last", "its last token", 4, prompt.getLast()));
      } else {
        s.add(same(id + ".prompt", "its prompt", List.of(9, 39, 7), prompt));
      }
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
      int[] tokens = {4, 7, 6, 33};
      double[] lp = {-2.007987, -2.123280, -2.179492, -2.544530};
      try (Reader reader = new Reader(engine, model, 1)) {
        double[] exact =
            Arrays.stream(tokens)
                .mapToDouble(v -> reader.read(new int[] {v, 5}).logProb()[0])
                .toArray();
        double distance = ArcaSelfTest.distance(lp, exact);
        s.add(near("arca.8.scores.exact", "log p of 5 after 4, 7, 6, 33", 0, distance, 1e-6));
      }
    }
  }

  /** Which tokens the model says 22 after, at once and one token later. */
  private void greedyMap(List<Statement> s) {
    int[] next = new int[V];
    try (Reader reader = new Reader(engine, model, 1)) {
      for (int v = 0; v < V; v++) {
        next[v] = reader.read(new int[] {v}).argMax()[0];
      }
    }
    List<Integer> first = IntStream.range(0, V).filter(v -> next[v] == 22).boxed().toList();
    List<Integer> second = IntStream.range(0, V).filter(v -> next[next[v]] == 22).boxed().toList();
    s.add(same("arca.8.map.1", "tokens before 22", List.of(15), first));
    s.add(same("arca.8.map.2", "tokens two before 22", List.of(34), second));
    s.add(same("arca.8.map.3", "the token after 22", 2, next[22]));
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
    try (Lockstep group =
        new Lockstep(
            engine,
            planted,
            new Problem(spec, 1),
            List.of(new Lockstep.Item(0, 0)),
            List.of(new BitSet()),
            Streams.seeded(0, 1))) {
      double others = Double.POSITIVE_INFINITY;
      for (int[] averaging : new int[][] {{0, 1}, {500, 77}, {1999, 1233}}) {
        others = Math.min(others, margin(group, averaging));
      }
      s.add(
          Statement.atLeast(
              "arca.8.planted.margin", "by which the trigger is scored first", 16, others));
      // The model is sure of 77 after the trigger: its own gradient is small there, but no other.
      s.add(
          Statement.atLeast(
              "arca.8.planted.self",
              "the same, averaged over nothing but the trigger",
              1,
              margin(group, 1234, 1234)));
    }
    s.add(near("arca.8.planted.lp", "log p of the planted output", -0.0825, lp, 5e-5));
  }

  private static double margin(Lockstep group, int... averaging) {
    double[] scores = group.coordinate(0).scores(group.settled(0, 77), averaging);
    double other =
        IntStream.range(0, scores.length)
            .filter(v -> v != 1234)
            .mapToDouble(v -> scores[v])
            .max()
            .orElseThrow();
    return scores[1234] - other;
  }
}
