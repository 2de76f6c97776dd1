package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.SweepSpec.By;
import io.assay.engine.patch.SweepSpec.Per;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** What recomputes only what changed against whole passes, on another shape than the fixture's. */
class SuffixSweepTest extends TinyPairs {
  private static final UnitListener<SweepUnit> NONE = UnitListener.none();
  private static final int LAYERS = 4;
  private static final int HEADS = 4;

  private final LanguageModel model = random(3, LAYERS, HEADS, 32, DType.F32);

  @TestFactory
  Stream<DynamicTest> equalsWholePasses() {
    List<SweepSpec> specs = new ArrayList<>();
    List<Pair> pairs = randomPairs(8, 3, 9);
    for (String part :
        List.of(
            "attn.hook_z",
            "attn.hook_q",
            "attn.hook_k",
            "attn.hook_v",
            "attn.hook_pattern",
            "hook_attn_out",
            "hook_mlp_out",
            "hook_resid_pre",
            "hook_resid_mid",
            "hook_resid_post")) {
      for (Per per : Per.values()) {
        specs.add(SweepSpec.of("blocks.*." + part, Direction.NOISE, pairs).withPer(per));
      }
    }
    specs.add(SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, pairs).withBy(By.ZERO));
    specs.add(SweepSpec.of("blocks.*.attn.hook_v", Direction.NOISE, pairs).withBy(By.MEAN));
    specs.add(SweepSpec.of("blocks.*.attn.hook_z", Direction.DENOISE, different()));
    return specs.stream()
        .map(
            spec ->
                DynamicTest.dynamicTest(
                    spec.at() + " " + spec.per() + " " + spec.by(), () -> equal(spec)));
  }

  /** Pairs of two lengths with named positions. */
  private static List<Pair> different() {
    List<Pair> pairs = new ArrayList<>();
    for (int length : new int[] {9, 6, 9}) {
      Pair p = randomPairs(length, 1, length).getFirst();
      Map<String, Integer> places = Map.of("S2", length - 3, "END", length - 1, "IO", 1);
      pairs.add(new Pair(p.clean(), p.corrupt(), p.answer(), p.wrong(), places));
    }
    return pairs;
  }

  private void equal(SweepSpec spec) {
    PatchMap want = Sweep.runPlainly(engine, model, spec);
    PatchMap got = Sweep.run(engine, model, spec, NONE);
    assertEquals(want.axes(), got.axes());
    assertEquals(want.labels(), got.labels());
    double largest = 0;
    for (double[] cell : want.values()) {
      for (double v : cell) {
        largest = Math.max(largest, Math.abs(v));
      }
    }
    assertTrue(largest > 1, "no metric to compare");
    for (int cell = 0; cell < want.cells(); cell++) {
      // 2e-6 of the largest logit, of which the metric has two.
      assertArrayEquals(want.values()[cell], got.values()[cell], 4e-6 * largest, "cell " + cell);
    }
  }

  /** Those names that stand at one place in every pair. */
  @Test
  void positionsOfOneLengthCarryTheirNames() {
    List<Pair> pairs = new ArrayList<>();
    for (int io : new int[] {1, 2}) {
      Pair p = randomPairs(io, 1, 4).getFirst();
      Map<String, Integer> places = Map.of("IO", io, "S1", 3 - io, "END", 3, "to", 3, "S2", 0);
      pairs.add(new Pair(p.clean(), p.corrupt(), p.answer(), p.wrong(), places));
    }
    SweepSpec spec = SweepSpec.of("blocks.3.hook_mlp_out", Direction.NOISE, pairs);
    List<List<String>> labels = Sweep.run(engine, model, spec, NONE).labels();
    assertEquals(List.of(List.of("0 S2", "1", "2", "3 END to")), labels);
    AttributeSpec estimate = AttributeSpec.of(spec.at(), Direction.NOISE, pairs);
    assertEquals(labels, Attribution.run(engine, model, estimate, UnitListener.none()).labels());
  }

  /** What an earlier life finished is taken over, not done again, and the result is the same. */
  @Test
  void goesOnWithFinishedUnits() {
    SweepSpec spec = SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, randomPairs(1, 5, 8));
    List<SweepUnit> units = new ArrayList<>();
    PatchMap whole = Sweep.run(engine, model, spec, keeping(List.of(), units, 1000));
    assertEquals(Sweep.units(engine, model, spec), units.size());
    assertEquals(
        List.of(3, 2, 1, 0), units.subList(0, LAYERS).stream().map(SweepUnit::hook).toList());

    List<SweepUnit> first = new ArrayList<>();
    PatchMap half = Sweep.run(engine, model, spec, keeping(List.of(), first, 2));
    assertTrue(half.cancelled());
    assertEquals(2, first.size());
    assertTrue(IntStream.range(0, half.cells()).anyMatch(cell -> Double.isNaN(half.mean(cell))));
    List<SweepUnit> rest = new ArrayList<>();
    PatchMap resumed = Sweep.run(engine, model, spec, keeping(first, rest, 1000));
    assertEquals(units.size() - 2, rest.size());
    for (int cell = 0; cell < whole.cells(); cell++) {
      assertArrayEquals(whole.values()[cell], resumed.values()[cell], 0);
    }
  }

  private static UnitListener<SweepUnit> keeping(
      List<SweepUnit> done, List<SweepUnit> into, int most) {
    return new UnitListener<>() {
      @Override
      public List<SweepUnit> done() {
        return done;
      }

      @Override
      public void finished(SweepUnit unit) {
        into.add(unit);
      }

      @Override
      public boolean cancelled() {
        return into.size() >= most;
      }
    };
  }

  /** More rows than are held at once: the positions are done in parts. */
  @Test
  void chunksHoldNoMoreRowsThanTheyMay() {
    int[] positions = IntStream.range(0, 100).toArray();
    List<SweepWork.Chunk> chunks = SuffixSweep.chunks(List.of(0, 1), positions, 100, 12);
    assertTrue(chunks.size() > 10);
    int next = 0;
    for (SweepWork.Chunk chunk : chunks) {
      assertEquals(next % 100, chunk.from());
      next = chunk.to();
      int rows = IntStream.range(chunk.from(), chunk.to()).map(p -> 12 * (100 - p)).sum();
      assertTrue(rows <= SuffixSweep.MOST_ROWS, "rows " + rows);
    }
    assertEquals(100, next);
  }

  @Test
  void pairsThatSayNothingAreRefused() {
    Pair same = new Pair(List.of(1, 2), List.of(1, 2), 3, 4, Map.of());
    assertThrows(
        PatchException.class,
        () -> SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, List.of(same)));
    PatchException lengths =
        assertThrows(
            PatchException.class, () -> new Pair(List.of(1, 2), List.of(1, 2, 3), 3, 4, Map.of()));
    assertTrue(lengths.getMessage().contains("2 tokens and the corrupt one 3"));
    List<Pair> mixed = List.of(randomPairs(1, 1, 4).getFirst(), randomPairs(1, 1, 5).getFirst());
    SweepSpec spec = SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, mixed);
    assertThrows(PatchException.class, () -> Sweep.run(engine, model, spec, NONE));
    assertEquals(
        3, Sweep.run(engine, model, spec.withPer(Per.ALL), NONE).base().clean().length + 1);
  }

  @Test
  void aDenominatorOfZeroGivesNoScore() {
    assertTrue(Double.isNaN(Baselines.normalised(3, 1, 1 + 1e-7)));
    assertEquals(0.5, Baselines.normalised(1, 2, 0));
  }
}
