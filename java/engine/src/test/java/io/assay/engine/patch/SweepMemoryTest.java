package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.assay.engine.ChildJava;
import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * How much a sweep holds at its peak: what the base run of one chunk computed and the chunk's rows,
 * however many pairs there are (specs/ioi.md 8.10).
 */
class SweepMemoryTest {
  private static final int LAYERS = 4;
  private static final int HEADS = 8;
  private static final int WIDTH = 256;
  private static final int LENGTH = 16;
  private static final int PAIRS = 20;

  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path PEAK = Path.of("/proc/self/clear_refs");

  /** Prints by how many bytes the peak of a fresh process grows over a sweep of so many pairs. */
  public static void main(String[] args) throws IOException {
    LanguageModel model = TinyPairs.random(3, LAYERS, HEADS, WIDTH, DType.F32);
    List<Pair> pairs = TinyPairs.randomPairs(4, Integer.parseInt(args[0]), LENGTH);
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(1))) {
      SweepSpec spec = SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, pairs);
      // What every process needs once: libraries, weights, code.
      Sweep.run(engine, model, of(pairs.subList(0, 1), 3), UnitListener.none());
      Files.writeString(PEAK, "5");
      double before = resident("VmRSS:");
      Sweep.run(engine, model, spec, UnitListener.none());
      System.out.println(resident("VmHWM:") - before);
    }
  }

  /** A sweep of few positions, whose rows are few. */
  private static SweepSpec of(List<Pair> pairs, int length) {
    Pair p = pairs.getFirst();
    Pair shorter =
        new Pair(
            p.clean().subList(0, length),
            p.corrupt().subList(0, length),
            p.answer(),
            p.wrong(),
            p.positions());
    return SweepSpec.of("blocks.*.attn.hook_z", Direction.NOISE, List.of(shorter));
  }

  private static double resident(String line) throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(l -> l.startsWith(line))
        .mapToDouble(l -> 1024 * Double.parseDouble(l.replaceAll("\\D", "")))
        .findFirst()
        .orElseThrow();
  }

  private static double growth(int pairs) throws Exception {
    List<String> command =
        ChildJava.command(
            SweepMemoryTest.class,
            // A compiler thread may hold tens of megabytes at the moment of measuring.
            "-Xint",
            "-XX:+UseSerialGC",
            "-XX:+AlwaysPreTouch",
            "-Xms64m",
            "-Xmx64m");
    command.add(Integer.toString(pairs));
    Process child =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String out = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, child.waitFor());
    return Double.parseDouble(out.strip());
  }

  @Test
  void aSweepHoldsOneChunk() throws Exception {
    assumeTrue(Files.isWritable(PEAK), "the peak is reset by /proc/self/clear_refs");
    // The stream and three of its like, queries, keys and values, the last block's keys and values;
    // of the runtime the norm, the MLP before and after.
    double rows = 4.0 * SuffixSweep.MOST_ROWS * WIDTH * (4 + 3 + 2 + 1 + 2 * 4);
    // Stream, middle, z, queries, keys and values of both prompts of the one pair of a chunk.
    double base = 4.0 * 2 * LENGTH * LAYERS * 6 * WIDTH;
    double one = growth(1);
    double many = growth(PAIRS);
    // The runtime takes its memory by powers of two.
    assertTrue(many < 2 * (rows + base), many + " bytes for chunks of " + (rows + base));
    assertTrue(many - one < PAIRS * base / 4, many + " bytes for all pairs, one takes " + one);
  }
}
