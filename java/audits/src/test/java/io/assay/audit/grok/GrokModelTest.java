package io.assay.audit.grok;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.TrainListener;
import io.assay.engine.train.Trainer.Stretch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GrokModelTest {
  /** What Python's generator gives (specs/grokking.md 5.2). */
  @ParameterizedTest
  @CsvSource({
    "0, 3626764237, 1654615998, 3255389356",
    "1, 577090037, 2444712010, 3639700191",
    // random.seed(2**40 + 3): two words of a key.
    "1099511627779, 943978446, 261273136, 2359950418"
  })
  void bitsAreThoseOfPython(long seed, long first, long second, long third) {
    PythonRandom random = new PythonRandom(seed);
    assertEquals(first, Integer.toUnsignedLong(random.bits()));
    assertEquals(second, Integer.toUnsignedLong(random.bits()));
    assertEquals(third, Integer.toUnsignedLong(random.bits()));
  }

  /** The official splits (specs/grokking.md 5.2). */
  @ParameterizedTest
  @CsvSource({
    "113, 0.3, 0, 3830, 18 34 10 83 55 28, 65, 24, 24672933, 6751",
    "113, 0.3, 1, 3830, 58 58 76 57 60 23, 25, 50, 24321622, 12218",
    "59, 0.5, 0, 1740, 47 3 44 58 35 33, 31, 56, 3044320, 3952",
    "59, 0.5, 1, 1740, 32 36 11 3 53 43, 40, 30, 3038853, 839",
    "59, 0.5, 2, 1740, 25 35 6 51 57 42, 24, 1, 2996895, 2765",
    "43, 0.6, 0, 1109, 10 23 1 4 11 13, 40, 11, 1015325, 1685"
  })
  void splitsAreThoseOfTheOfficialCode(
      int p, double frac, long seed, int n, String first, int a, int b, int sum, int xor) {
    GrokTask task = GrokTask.addition(p, frac, seed);
    assertEquals(n, task.trainCount());
    int[] shuffled = task.shuffledPairs();
    int[] numbers = IntStream.of(first(first)).toArray();
    for (int i = 0; i < 3; i++) {
      assertEquals(numbers[2 * i] * p + numbers[2 * i + 1], shuffled[i]);
    }
    assertEquals(a * p + b, shuffled[n - 1]);
    assertEquals(sum, IntStream.of(task.trainPairs()).sum());
    assertEquals(xor, IntStream.of(task.trainPairs()).reduce(0, (x, y) -> x ^ y));
    boolean[] mask = task.trainMask();
    assertArrayEquals(IntStream.range(0, p * p).filter(i -> mask[i]).toArray(), task.trainPairs());
  }

  private static int[] first(String words) {
    return IntStream.range(0, 6).map(i -> Integer.parseInt(words.split(" ")[i])).toArray();
  }

  /** The expected sum of squares of independent normal numbers (specs/grokking.md 2.1). */
  @Test
  void firstWeightsHaveTheSumOfSquaresOfTheRecipe() {
    GrokModel large = GrokModel.initial(GrokShape.of(113), 0);
    assertEquals(226816, large.weights().values().stream().mapToLong(Tensor::elements).sum());
    double expected = 114 + 3 + 5 * 128 + 2 * 512;
    assertEquals(expected, large.sumOfSquares(), 0.02 * expected);
    assertEquals(0, GrokModel.sumOfSquares(large.weight(GrokShape.NEURONS_BIAS)));
    GrokModel again = GrokModel.initial(GrokShape.of(113), 0);
    large
        .weights()
        .forEach((name, t) -> assertEquals(-1, t.data().mismatch(again.weight(name).data())));
    GrokModel other = GrokModel.initial(GrokShape.of(113), 1);
    assertTrue(
        other.weight(GrokShape.KEYS).data().mismatch(again.weight(GrokShape.KEYS).data()) >= 0);
  }

  @Test
  void checkpointsComeBackAsTheyWereWritten(@TempDir Path folder) throws IOException {
    GrokShape shape = new GrokShape(7, 8, 2, 3, 16, 7, false);
    GrokTask task = new GrokTask(7, 0.5, 3, GrokLabels.random(7, 5));
    GrokCheckpoint written =
        new GrokCheckpoint(
            GrokModel.initial(shape, 4), task, OptionalLong.of(4), OptionalLong.of(200));
    Path file = folder.resolve("a.safetensors");
    written.write(file);
    GrokCheckpoint read = GrokCheckpoint.read(file);
    assertEquals(shape, read.model().shape());
    assertEquals(OptionalLong.of(4), read.initSeed());
    assertEquals(OptionalLong.of(200), read.epoch());
    assertArrayEquals(task.trainPairs(), read.task().trainPairs());
    assertEquals("random 5", read.task().labels().name());
    for (int i = 0; i < 49; i++) {
      assertEquals(task.labels().of(i), read.task().labels().of(i));
    }
    read.model()
        .weights()
        .forEach(
            (name, t) -> assertEquals(-1, t.data().mismatch(written.model().weight(name).data())));
    read.write(folder.resolve("b.safetensors"));
    assertEquals(-1, Files.mismatch(file, folder.resolve("b.safetensors")));
    Safetensors.write(folder.resolve("c.safetensors"), written.model().weights(), Map.of());
    GrokCheckpoint bare = GrokCheckpoint.read(folder.resolve("c.safetensors"));
    assertNull(bare.task());
    assertTrue(bare.epoch().isEmpty());
  }

  @Test
  void labelsAreRead(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("table");
    Files.writeString(file, "0, 1, 2\n1 2 0\n2 0 1\n");
    GrokLabels table = GrokLabels.read(file, 3);
    GrokLabels sum = GrokLabels.addition(3);
    for (int i = 0; i < 9; i++) {
      assertEquals(sum.of(i), table.of(i));
    }
    assertFalse(table.isAddition());
    assertEquals(2, GrokLabels.subtraction(3).of(1));
    Files.writeString(file, "0 1 2 1 2 0 2 0 3");
    refused("holds 3;", () -> GrokLabels.read(file, 3));
    Files.writeString(file, "0 1 2 1 2 0 2 0 1 1");
    refused("has more than 9 numbers", () -> GrokLabels.read(file, 3));
    Files.writeString(file, "0 1 2");
    refused("has 3 numbers; it must have 9", () -> GrokLabels.read(file, 3));
  }

  @Test
  void badInputIsNamed(@TempDir Path folder) {
    refused("p is 112; it must be odd", () -> GrokShape.of(112));
    refused("p is 1; it must be odd", () -> GrokTask.addition(1, 0.5, 0));
    refused("outputClasses is 9", () -> new GrokShape(7, 8, 2, 3, 16, 9, true));
    refused("heads is 0", () -> new GrokShape(7, 8, 0, 3, 16, 8, true));
    refused("fracTrain is 0.0", () -> GrokTask.addition(7, 0, 0));
    refused("leaves no pair of 49 to train on", () -> GrokTask.addition(7, 0.01, 0));
    refused("leaves no pair to test on", () -> GrokTask.addition(7, 1, 0).requireTest(false));
    GrokTask.addition(7, 1, 0).requireTest(true);
    refused("splitSeed is -1", () -> GrokTask.addition(7, 0.5, -1));
    assertFalse(GrokShape.of(15).isPrime());
    assertTrue(GrokShape.of(113).isPrime());

    GrokShape shape = new GrokShape(7, 8, 2, 3, 16, 8, true);
    Map<String, Tensor> weights = new HashMap<>(GrokModel.initial(shape, 0).weights());
    weights.get(GrokShape.NEURONS_IN).set(5, Double.NaN);
    refused("W_in holds NaN at index 5", () -> new GrokModel(shape, weights));
    Path file = folder.resolve("a.safetensors");
    Safetensors.write(file, weights, Map.of("p", "9"));
    refused("have p 9, but its weights have 7", () -> GrokCheckpoint.read(file));
    weights.remove(GrokShape.KEYS);
    Safetensors.write(file, weights, Map.of());
    refused("has no tensor blocks.0.attn.W_K", () -> GrokCheckpoint.read(file));
    refused("W_K is null; it must be F32[2, 3, 8]", () -> new GrokModel(shape, weights));
  }

  private static void refused(String words, Runnable attempt) {
    InputException e = assertThrows(InputException.class, attempt::run);
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  private static Stretch evaluation(long step, double test, double squares) {
    return new Stretch(step, List.of(), Map.of("testLoss", test, "sumSq", squares), "", "");
  }

  /**
   * The phases end at 300: there the test loss is below a fifth of 20, and the squares near 100.
   */
  @Test
  void trainingsEndWhenTheyHaveSettled() {
    GrokSpec never = GrokSpec.small(0);
    GrokSpec settled = never.withStop(0, 200);
    List<Stretch> stretches = new ArrayList<>();
    double[] test = {5, 20, 3, 1e-3, 1e-6, 1e-6};
    double[] squares = {300, 400, 104, 103, 101, 100};
    for (int i = 0; i < test.length; i++) {
      stretches.add(evaluation(100L * (i + 1), test[i], squares[i]));
      assertFalse(GrokTraining.isDone(never, stretches));
      assertEquals(i >= 4, GrokTraining.isDone(settled, stretches), "evaluation " + i);
      assertEquals(i >= 3, GrokTraining.isDone(never.withStop(1e-2, 0), stretches));
    }
    assertFalse(GrokTraining.isDone(settled, List.of()));
    assertThrows(InputException.class, () -> never.withStop(0, -1));
  }

  /** A loss that every network is below ends a training at its first evaluation. */
  @Test
  void aLowTestLossEndsATraining(@TempDir Path folder) {
    GrokSpec spec = GrokSpec.small(0).withEpochs(12, 3).withStop(100, 0);
    try (Engine engine = Engine.open()) {
      GrokTraining.Result result =
          GrokTraining.run(
              engine,
              spec,
              TrainListener.NONE,
              UnitListener.none(),
              folder,
              folder.resolve("trajectory"),
              epoch -> false);
      assertTrue(result.finished());
      assertEquals(3, result.last().epoch().orElseThrow());
      assertTrue(Files.exists(folder.resolve("trajectory").resolve(GrokTraining.file(3))));
    }
  }
}
