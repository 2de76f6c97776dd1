package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/**
 * Greedy coordinate gradient on TOY-A, against derivatives by central differences and a step done
 * by hand: every token scored, every pick read as a whole sequence of its own.
 */
class GcgTest extends ToyCase {
  private static final int V = 32;
  private static final int D = 16;
  private static final double FLUENCY = 0.2;
  private static final Tensor EMBEDDING = Toys.weights(DType.F64, V, D, 0.6).get("wte.weight");

  private static ArcaSpec.Builder gcg(int... target) {
    return ArcaSpec.reverse("toy-a", target)
        .copyFilter(CopyFilter.NONE)
        .method(Method.GCG)
        .lambdaF(FLUENCY)
        .q(24)
        .restarts(1)
        .seed(5);
  }

  private static Lockstep group(ArcaSpec spec) {
    return new Lockstep(
        engine,
        toy,
        new Problem(spec, 2),
        List.of(new Lockstep.Item(0, 0)),
        List.of(new BitSet()),
        Streams.seeded(spec.seed(), 1));
  }

  /** J by its definition, from log-probabilities of one whole pass. */
  private static double objective(int... ids) {
    return objective(reader.read(ids).logProb());
  }

  private static double objective(double... lp) {
    return lp[2] + lp[3] + FLUENCY / 2 * (lp[0] + lp[1]);
  }

  /**
   * The derivative of J to the one-hot row of every prompt position, by central differences: what
   * enters the body at position i is a sum of embedding rows with these coefficients, and what the
   * fluency predicts at i is a mean with the same ones.
   */
  private static double[][] derivatives(int... ids) {
    double[][] entering = entering(ids);
    double[][] all = new double[3][V];
    for (int i = 0; i < 3; i++) {
      for (int v = 0; v < V; v++) {
        for (int c = 0; c < D; c++) {
          all[i][v] += EMBEDDING.get((long) v * D + c) * entering[i][c];
        }
        if (i > 0) {
          int[] said = ids.clone();
          said[i] = v;
          all[i][v] += FLUENCY / 2 * reader.read(said).logProb()[i - 1];
        }
      }
    }
    return all;
  }

  /**
   * dJ by what enters at each prompt position: extra tokens, whose embeddings are those of the
   * sequence moved by h along one axis, take its place, and the head is multiplied out here.
   */
  private static double[][] entering(int... ids) {
    double h = 1e-5;
    int moved = 3 * D * 2;
    double[] rows = Arrays.copyOf(EMBEDDING.toDoubles(), (V + moved) * D);
    for (int r = 0; r < moved; r++) {
      System.arraycopy(rows, ids[r / 2 / D] * D, rows, (V + r) * D, D);
      rows[(V + r) * D + r / 2 % D] += r % 2 == 0 ? h : -h;
    }
    Map<String, Tensor> weights = new LinkedHashMap<>(Toys.weights(DType.F64, V, D, 0.6));
    weights.put("wte.weight", Tensor.ofDoubles(rows, V + moved, D));
    LanguageModel more = LanguageModel.of("more tokens", 2, weights);
    double[] objectives = new double[moved];
    try (SuffixProgram program = SuffixProgram.forward(engine, more, moved, 1, 0, 4)) {
      for (int r = 0; r < moved; r++) {
        for (int t = 0; t < 4; t++) {
          program.ids.set(r * 4L + t, t == r / 2 / D ? V + r : ids[t]);
        }
      }
      program.runForward();
      for (int r = 0; r < moved; r++) {
        double[] lp = new double[4];
        for (int t = 0; t < 4; t++) {
          lp[t] = logProb(program.hidden, r * 4L + t, ids[t + 1]);
        }
        objectives[r] = objective(lp);
      }
    }
    double[][] gradient = new double[3][D];
    for (int r = 0; r < moved; r += 2) {
      gradient[r / 2 / D][r / 2 % D] = (objectives[r] - objectives[r + 1]) / (2 * h);
    }
    return gradient;
  }

  private static double logProb(Tensor hidden, long row, int target) {
    double sum = 0;
    double wanted = 0;
    for (int v = 0; v < V; v++) {
      double logit = 0;
      for (int c = 0; c < D; c++) {
        logit += EMBEDDING.get((long) v * D + c) * hidden.get(row * D + c);
      }
      sum += Math.exp(logit);
      wanted = v == target ? logit : wanted;
    }
    return wanted - Math.log(sum);
  }

  @Test
  void ranksTokensByTheDerivativeToTheirOneHotRows() {
    int[] ids = {3, 14, 15, 9, 2};
    double[][] expected = derivatives(ids);
    try (Lockstep group = group(gcg(9, 2).build())) {
      GcgStep step = (GcgStep) group.step(0);
      int[][] top = step.top(new Slot[] {group.settled(ids)})[0];
      for (int i = 0; i < 3; i++) {
        double[] derivative = expected[i];
        int[] order =
            IntStream.range(0, V)
                .boxed()
                .sorted(Comparator.comparingDouble(v -> -derivative[v]))
                .mapToInt(Integer::intValue)
                .toArray();
        assertArrayEquals(order, top[i], "position " + i);
        double[] scores = step.scores(i);
        for (int r = 1; r < V; r++) { // up to a constant, which the kernel leaves out
          assertEquals(derivative[top[i][0]] - derivative[top[i][r]], scores[0] - scores[r], 1e-7);
        }
      }
    }
  }

  /** Three steps, drawn and evaluated here, lead where the search goes. */
  @Test
  void stepsAreThoseOfTheDefinition() {
    int steps = 3;
    ArcaSpec spec = gcg(24, 16).successCheck(SuccessCheck.NEVER).sweeps(steps).build();
    ArcaResult.Audit audit =
        ArcaAudit.run(engine, toy, spec, ArcaListener.NONE).audits().getFirst();

    SplittableRandom random = (SplittableRandom) Streams.seeded(5, 1).of(0, 0);
    int[] ids = new int[5];
    for (int t = 0; t < 3; t++) {
      ids[t] = (int) (random.nextDouble() * V);
    }
    ids[3] = 24;
    ids[4] = 16;
    double best = Double.NEGATIVE_INFINITY;
    for (int s = 0; s < steps; s++) {
      double[][] derivative = derivatives(ids);
      int[] winner = null;
      double highest = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < 24; j++) {
        int position = (int) (random.nextDouble() * 3);
        int place = (int) (random.nextDouble() * V);
        int[] pick = ids.clone();
        pick[position] =
            IntStream.range(0, V)
                .boxed()
                .sorted(Comparator.comparingDouble(v -> -derivative[position][v]))
                .toList()
                .get(place);
        double objective = objective(pick);
        if (objective > highest) {
          highest = objective;
          winner = pick;
        }
      }
      ids = winner;
      best = Math.max(best, highest);
    }
    assertEquals(List.of(ids[0], ids[1], ids[2]), audit.promptIds());
    assertEquals(best, audit.bestSoFar().J(), 1e-9);
    assertEquals(steps, audit.coordinateUpdates());
    assertEquals(steps, audit.backwardSequences());
    // Read whole at the start and for the report; one gradient and 24 picks a step.
    assertEquals(1 + steps * 25 + 1, audit.forwardSequences());
  }

  @Test
  void keepsThe256BestTokensOfEachPosition() {
    LanguageModel larger = Toys.table(Toys.tableOf(300));
    ArcaSpec spec =
        ArcaSpec.reverse("table", 5, 11)
            .copyFilter(CopyFilter.NONE)
            .method(Method.GCG)
            .promptLength(1)
            .restarts(1)
            .build();
    assertEquals(512, spec.q());
    assertEquals(250, spec.sweeps());
    Tensor table = Toys.tableOf(300);
    double[] score = new double[300];
    double normaliser = 0;
    for (int w = 0; w < 300; w++) {
      normaliser += Math.exp(table.get(7L * 300 + w));
    }
    for (int u = 0; u < 300; u++) { // B[u,5] minus its mean under what token 7 predicts
      score[u] = table.get(u * 300L + 5);
      for (int w = 0; w < 300; w++) {
        score[u] -= table.get(u * 300L + w) * Math.exp(table.get(7L * 300 + w)) / normaliser;
      }
    }
    List<Integer> order =
        IntStream.range(0, 300)
            .boxed()
            .sorted(Comparator.comparingDouble(v -> -score[v]))
            .limit(256)
            .toList();
    try (Lockstep group =
        new Lockstep(
            engine,
            larger,
            new Problem(spec, 2),
            List.of(new Lockstep.Item(0, 0)),
            List.of(new BitSet()),
            Streams.seeded(0, 1))) {
      Slot slot = group.settled(7, 5, 11);
      int[] top = ((GcgStep) group.step(0)).top(new Slot[] {slot})[0][0];
      assertEquals(order, IntStream.of(top).boxed().toList());
    }
  }

  @Test
  void findsReachableOutputsAndNothingElse() {
    List<List<Integer>> targets = new ArrayList<>(List.of(List.of(12, 1), List.of(3, 3)));
    targets.add(List.of(9, 2)); // no prompt of three tokens leads here
    ArcaSpec spec =
        ArcaSpec.reverse("toy-a", targets)
            .copyFilter(CopyFilter.NONE)
            .method(Method.GCG)
            .q(32)
            .sweeps(30)
            .restarts(4)
            .noRepeat(true)
            .successCheck(SuccessCheck.ANY)
            .build();
    ArcaResult result = ArcaAudit.run(engine, toy, spec, ArcaListener.NONE);
    boolean[] found = new boolean[3];
    for (ArcaResult.Audit audit : result.audits()) {
      found[audit.target()] |= audit.success();
      if (audit.success()) {
        assertEquals(
            audit.outputIds(),
            IntStream.of(Reader.greedy(engine, toy, audit.promptIds(), 2)).boxed().toList());
      }
    }
    assertTrue(found[0] && found[1], "both outputs are reached by over 800 prompts");
    assertTrue(!found[2], "there is no such prompt");
  }
}
