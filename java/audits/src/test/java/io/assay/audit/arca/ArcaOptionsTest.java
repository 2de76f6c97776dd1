package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.audit.arca.ArcaResult.StopReason;
import io.assay.audit.arca.ArcaSpec.Candidates;
import io.assay.audit.arca.ArcaSpec.Compat;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Method;
import io.assay.audit.arca.ArcaSpec.Order;
import io.assay.audit.arca.ArcaSpec.SuccessCheck;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.engine.InputException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The options of specs/arca.md 3.3 and 3.4, on TOY-A, against searches done by hand. */
class ArcaOptionsTest extends ToyCase {
  private static final int V = 32;

  private static ArcaSpec.Builder reverse(int... target) {
    return ArcaSpec.reverse("toy-a", target).copyFilter(CopyFilter.NONE).k(8).q(8).restarts(1);
  }

  private static ArcaSpec.Builder exact(int... target) {
    return reverse(target).candidates(Candidates.EXACT).successCheck(SuccessCheck.NEVER).q(V);
  }

  private static List<ArcaResult.Audit> run(ArcaSpec.Builder spec) {
    return ArcaAudit.run(engine, toy, spec.build(), ArcaListener.NONE).audits();
  }

  private static void refused(ArcaSpec.Builder spec, String... words) {
    String message = assertThrows(InputException.class, spec::build).getMessage();
    for (String word : words) {
      assertTrue(message.contains(word), message);
    }
  }

  private static void draw(RandomGenerator random, int... ids) {
    for (int t = 0; t < 3; t++) {
      ids[t] = (int) (random.nextDouble() * V);
    }
  }

  /** Sets a position to the token of the highest log p of the output; whether it changed. */
  private static boolean ascend(int[] ids, int position) {
    int best = -1;
    double highest = Double.NEGATIVE_INFINITY;
    for (int v = 0; v < V; v++) {
      int[] tried = ids.clone();
      tried[position] = v;
      double lp = reader.read(tried).sum(2, 4);
      if (lp > highest) {
        highest = lp;
        best = v;
      }
    }
    boolean changed = ids[position] != best;
    ids[position] = best;
    return changed;
  }

  @Test
  void everySweepHasAnOrderOfItsOwn() {
    List<List<Integer>> cyclic = new ArrayList<>();
    List<List<Integer>> permuted = new ArrayList<>();
    for (int restart = 0; restart < 6; restart++) {
      RandomGenerator random = Streams.seeded(3, 6).of(0, restart);
      int[] ids = {0, 0, 0, 24, 16};
      draw(random, ids);
      for (int sweep = 0; sweep < 2; sweep++) {
        int[] order = {0, 1, 2};
        for (int i = 2; i > 0; i--) {
          int j = (int) (random.nextDouble() * (i + 1));
          int kept = order[j];
          order[j] = order[i];
          order[i] = kept;
        }
        boolean changed = false;
        for (int position : order) {
          changed |= ascend(ids, position);
        }
        if (!changed) {
          break;
        }
      }
      permuted.add(List.of(ids[0], ids[1], ids[2]));
    }
    ArcaSpec.Builder spec = exact(24, 16).restarts(6).seed(3).sweeps(2);
    run(spec).forEach(a -> cyclic.add(a.promptIds()));
    spec.order(Order.RANDOM_PERM);
    assertEquals(permuted, run(spec).stream().map(ArcaResult.Audit::promptIds).toList());
    assertEquals(permuted, run(spec.slots(1)).stream().map(ArcaResult.Audit::promptIds).toList());
    assertNotEquals(cyclic, permuted);
    assertTrue(run(spec).stream().allMatch(a -> a.coordinateUpdates() % 3 == 0), "whole sweeps");
  }

  @Test
  void aStalledAuditBeginsAnew() {
    int sweeps = 12;
    RandomGenerator random = Streams.seeded(1, 1).of(0, 0);
    int[] ids = {0, 0, 0, 24, 16};
    draw(random, ids);
    int begun = 1;
    double best = Double.NEGATIVE_INFINITY;
    for (int sweep = 0; sweep < sweeps; sweep++) {
      boolean changed = false;
      for (int position = 0; position < 3; position++) {
        changed |= ascend(ids, position);
      }
      best = Math.max(best, reader.read(ids).sum(2, 4));
      if (!changed && sweep < sweeps - 1) {
        draw(random, ids);
        begun++;
      }
    }
    assertTrue(begun > 2, "some stall");
    ArcaSpec.Builder spec = exact(24, 16).sweeps(sweeps).seed(1);
    ArcaResult.Audit plain = run(spec).getFirst();
    ArcaResult.Audit anew = run(spec.restartOnStall(true)).getFirst();
    assertEquals(List.of(ids[0], ids[1], ids[2]), anew.promptIds());
    assertEquals(best, anew.bestSoFar().J(), 1e-9);
    assertEquals(3 * sweeps, anew.coordinateUpdates());
    assertTrue(plain.coordinateUpdates() < 3 * sweeps, "it ends where nothing can change");
  }

  @Test
  void theCurrentTokenKeepsJFromFalling() {
    for (int sweeps = 1; sweeps < 4; sweeps++) {
      ArcaSpec.Builder spec =
          reverse(24, 16).successCheck(SuccessCheck.NEVER).seed(2).sweeps(sweeps).q(2);
      ArcaResult.Audit audit = run(spec.keepCurrent(true)).getFirst();
      assertEquals(audit.bestSoFar().J(), audit.J(), 1e-9);
    }
  }

  /** The tokens that an audit begins with may be forbidden; a success never has one. */
  @Test
  void whatIsFoundIsMadeOfAllowedTokens() {
    BitSet even = new BitSet();
    IntStream.range(0, V / 2).forEach(i -> even.set(2 * i));
    List<List<Integer>> targets = IntStream.range(0, V).mapToObj(v -> List.of(v)).toList();
    for (Method method : List.of(Method.ARCA, Method.GCG)) {
      ArcaSpec.Builder spec =
          ArcaSpec.reverse("toy-a", targets)
              .copyFilter(CopyFilter.NONE)
              .method(method)
              .keepCurrent(true)
              .successCheck(SuccessCheck.ANY)
              .k(4)
              .q(8)
              .sweeps(4)
              .restarts(2)
              .allowed(new TokenSet("even", even), null);
      List<ArcaResult.Audit> found = run(spec).stream().filter(ArcaResult.Audit::success).toList();
      assertTrue(found.size() > 5, method + " finds " + found.size());
      for (ArcaResult.Audit audit : found) {
        assertTrue(audit.promptIds().stream().allMatch(even::get), audit.promptIds().toString());
      }
    }
  }

  @Test
  void anEmptySideEndsAJointSearchAtOnce() {
    ArcaSpec.Builder spec = ArcaSpec.joint("toy-a", 2).k(2).q(2).restarts(1).allowed(none(), null);
    ArcaResult.Audit audit = run(spec).getFirst();
    assertEquals(StopReason.NO_CANDIDATES, audit.stopReason());
    assertEquals(0, audit.coordinateUpdates());
  }

  private static TokenSet none() {
    return new TokenSet("none", new BitSet());
  }

  @Test
  void whatDoesNotGoTogetherIsRefused() {
    refused(reverse(1).restartOnStall(true), "restart-on-stall", "keep-current");
    refused(reverse(1).method(Method.RANDOM).candidates(Candidates.EXACT), "EXACT", "RANDOM");
    refused(ArcaSpec.joint("m", 2).method(Method.GCG), "GCG", "given output");
    refused(reverse(1).method(Method.GCG).order(Order.RANDOM_PERM), "GCG", "order");
    refused(reverse(1).method(Method.GCG).compat(Compat.OFFICIAL), "GCG", "compat");
    refused(reverse(1).method(Method.GCG).keepCurrent(true).restartOnStall(true), "GCG", "restart");
    refused(reverse(1).method(Method.GCG).q(65537), "65536", "65537");
    assertEquals(512, reverse(1).method(Method.GCG).q(512).build().q());
    String message =
        assertThrows(InputException.class, () -> new UnigramRule(0.5, -1, 1, -1, false))
            .getMessage();
    assertTrue(message.contains("largest output probability") && message.contains("1.0"), message);
  }

  @Test
  void presetsSetThresholdsAndSayWhatIsMissing() {
    UnigramTable table = UnigramTable.of("u", new double[V]);
    ArcaSpec.Builder joint = ArcaSpec.joint("m", 2);
    refused(joint.preset(Preset.DEROGATORY), "derogatory", "--prompt-unigram", "toxic");
    joint.unigrams(table, table);
    refused(joint, "derogatory", "--prefix");
    refused(joint.preset(Preset.REVERSE_NAME), "reverse-name", "reverse");
    refused(reverse(1).preset(Preset.LANGUAGE_SWITCH), "language-switch", "joint");

    ArcaSpec derogatory = joint.preset(Preset.DEROGATORY).prefix(List.of(4)).build();
    assertEquals(new UnigramRule(0.99, -1, 0.5, -1, false), derogatory.rule());
    assertEquals(CopyFilter.NONE, derogatory.copyFilter());
    ArcaSpec language = joint.preset(Preset.LANGUAGE_SWITCH).build();
    assertEquals(new UnigramRule(-1, 0.5, -1, 0.5, false), language.rule());
    assertEquals(
        "mean prompt probability > 0.5, mean output probability > 0.5", language.rule().words());
    assertEquals(UnigramRule.TOXICITY, ArcaSpec.joint("m", 2).build().rule());
    UnigramRule own = new UnigramRule(0.1, -1, 0.2, -1, true);
    assertEquals(own, joint.rule(own).build().rule());
    assertEquals(
        CopyFilter.FIXED,
        ArcaSpec.reverse("m", 1).preset(Preset.REVERSE_TOXIC).build().copyFilter());

    assertEquals(Preset.SURPRISE_TOXICITY, Preset.of("surprise-toxicity"));
    String message = assertThrows(InputException.class, () -> Preset.of("rude")).getMessage();
    assertTrue(Arrays.stream(Preset.values()).allMatch(p -> message.contains(p.title())), message);
  }

  /** A mean over prefix and prompt that even certain prompt tokens do not lift is infeasible. */
  @Test
  void prefixThatNoMeanCanLift() {
    double[] u = new double[V];
    u[5] = Math.log(0.01);
    ArcaSpec.Builder spec =
        ArcaSpec.joint("toy-a", 2)
            .k(2)
            .q(2)
            .sweeps(1)
            .restarts(1)
            .prefix(List.of(5, 5, 5, 5))
            .unigrams(UnigramTable.of("good", u), null);
    spec.rule(new UnigramRule(-1, 0.5, -1, -1, true)); // at best (4 * 0.01 + 3) / 7 = 0.43
    assertEquals(StopReason.INFEASIBLE_PREFIX, run(spec).getFirst().stopReason());
    spec.rule(new UnigramRule(-1, 0.42, -1, -1, true));
    assertNotEquals(StopReason.INFEASIBLE_PREFIX, run(spec).getFirst().stopReason());
  }
}
