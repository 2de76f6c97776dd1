package io.assay.engine.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.EngineOptions;
import io.assay.engine.InputException;
import io.assay.engine.model.Gpt2Folder;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Model;
import io.assay.engine.run.UnitListener;
import io.assay.engine.session.Session;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Safetensors;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.Trainer.Stretch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Training runs of a tiny GPT-2. */
class TrainerTest {
  /** Every weight's gradient of the loss against central differences, in float64. */
  @Test
  void gradientsAreSlopesOfTheLoss() {
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(1))) {
      Objective objective =
          Objective.nextToken(engine, Tiny.model(DType.F64, 3), Tiny.ROWS, Tiny.LENGTH);
      assertEquals(Tiny.CONFIG.weightShapes().size(), objective.weights().size());
      // A rate of 0 leaves the weights where they are.
      TrainSpec still = TrainSpec.of(1, 0);
      try (Trainer trainer = Trainer.open(engine, objective, still, Tiny.DATA)) {
        Random random = new Random(4);
        for (Tensor w : trainer.weights().values()) {
          for (long i = 0; i < w.elements(); i++) {
            w.set(i, w.get(i) + 0.3 * random.nextGaussian());
          }
        }
        double loss = trainer.update().loss();
        // Two compilations of one formula round differently.
        assertEquals(loss, trainer.evaluate(Tiny.DATA, 1), 1e-12);
        double h = 3e-5;
        for (String name : objective.weights()) {
          Tensor w = trainer.weights().get(name);
          for (int k = 0; k < 6; k++) {
            long i = random.nextLong(w.elements());
            double at = w.get(i);
            w.set(i, at + h);
            double up = trainer.evaluate(Tiny.DATA, 1);
            w.set(i, at - h);
            double down = trainer.evaluate(Tiny.DATA, 1);
            w.set(i, at);
            double slope = (up - down) / (2 * h);
            double got = trainer.gradients().get(name).get(i);
            // Rounding: 3e-14 of a loss, over 2 h, is 5e-10; curvature: h^2 is 1e-9.
            assertEquals(slope, got, 1e-8 * Math.max(1, Math.abs(slope)), name + " at " + i);
          }
        }
      }
    }
  }

  /** The weighted mean over the tokens that are not prompt, from the logits in plain doubles. */
  @Test
  void theLossIsTheMeanOverTheTokensThatCount() {
    try (Engine engine = engine(1)) {
      Model model = Tiny.model(DType.F64, 3);
      int[][] tokens = new int[Tiny.ROWS][Tiny.LENGTH];
      float[][] weights = new float[Tiny.ROWS][Tiny.LENGTH];
      Random random = new Random(8);
      for (int r = 0; r < Tiny.ROWS; r++) {
        for (int t = 0; t < Tiny.LENGTH; t++) {
          tokens[r][t] = random.nextInt(Tiny.CONFIG.vocabulary());
          weights[r][t] = random.nextInt(3);
        }
      }
      Data data =
          Data.of(
              (batch, into, shares) -> {
                for (int r = 0; r < Tiny.ROWS; r++) {
                  into[r] = tokens[r].clone();
                  shares[r] = weights[r].clone();
                }
              });
      long[] ids = Arrays.stream(tokens).flatMapToInt(Arrays::stream).asLongStream().toArray();
      Tensor logits;
      try (Session session = engine.compile(model.graph())) {
        Tensor input = Tensor.ofLongs(ids, Tiny.ROWS, Tiny.LENGTH);
        logits = session.run(Map.of("input_ids", input)).get("logits");
      }
      int vocabulary = Tiny.CONFIG.vocabulary();
      double sum = 0;
      double total = 0;
      for (int r = 0; r < Tiny.ROWS; r++) {
        for (int t = 1; t < Tiny.LENGTH; t++) {
          long row = ((long) r * Tiny.LENGTH + t - 1) * vocabulary;
          double partition = 0;
          for (int v = 0; v < vocabulary; v++) {
            partition += Math.exp(logits.get(row + v));
          }
          sum += weights[r][t] * (Math.log(partition) - logits.get(row + tokens[r][t]));
          total += weights[r][t];
        }
      }
      Objective objective = Objective.nextToken(engine, model, Tiny.ROWS, Tiny.LENGTH);
      try (Trainer trainer = Trainer.open(engine, objective, TrainSpec.of(1, 0), data)) {
        assertEquals(sum / total, trainer.update().loss(), 1e-12);
      }
    }
  }

  @Test
  void aBatchIsMemorised() {
    try (Engine engine = Engine.open(EngineOptions.defaults().withThreads(2))) {
      Objective objective =
          Objective.nextToken(engine, Tiny.model(DType.F32, 3), Tiny.ROWS, Tiny.LENGTH);
      TrainSpec spec = TrainSpec.of(300, 1e-2).withSchedule(Schedule.COSINE, 10).withClip(1);
      Data same = (batch, inputs) -> Tiny.DATA.fill(0, inputs);
      try (Trainer trainer = Trainer.open(engine, objective, spec, same)) {
        double first = trainer.update().loss();
        assertEquals(Math.log(Tiny.CONFIG.vocabulary()), first, 0.1);
        trainer.run(TrainListener.NONE);
        assertEquals(spec.steps(), trainer.step());
        double last = trainer.evaluate(same, 1);
        assertTrue(last < 0.01, "the loss is " + last);
      }
    }
  }

  private static final TrainSpec SPEC =
      TrainSpec.of(6, 3e-3).withSchedule(Schedule.COSINE, 2).withClip(0.5);

  private static Trainer open(Engine engine) {
    return Trainer.open(
        engine,
        Objective.nextToken(engine, Tiny.model(DType.F32, 3), Tiny.ROWS, Tiny.LENGTH),
        SPEC,
        Tiny.DATA);
  }

  private static Engine engine(int threads) {
    return Engine.open(EngineOptions.defaults().withThreads(threads));
  }

  private static int[] bits(Trainer trainer) {
    return trainer.weights().values().stream()
        .flatMapToInt(
            t -> Arrays.stream(t.toDoubles()).mapToInt(x -> Float.floatToIntBits((float) x)))
        .toArray();
  }

  @Test
  void threadsDoNotChangeTheBits() {
    List<int[]> runs = new ArrayList<>();
    for (int threads : new int[] {1, 2, 3}) {
      try (Engine engine = engine(threads);
          Trainer trainer = open(engine)) {
        trainer.run(TrainListener.NONE);
        runs.add(bits(trainer));
      }
    }
    assertArrayEquals(runs.get(0), runs.get(1));
    assertArrayEquals(runs.get(0), runs.get(2));
  }

  @Test
  void aResumedRunHasTheBitsOfAnUndisturbedOne(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("run.safetensors");
    try (Engine engine = engine(2);
        Trainer whole = open(engine);
        Trainer first = open(engine);
        Trainer second = open(engine)) {
      whole.run(TrainListener.NONE);
      int[] start = bits(second);
      first.save(file);
      first.update();
      first.update();
      first.update();
      first.save(file);
      second.resume(file);
      assertEquals(3, second.step());
      assertArrayEquals(bits(first), bits(second));
      second.run(TrainListener.NONE);
      assertArrayEquals(bits(whole), bits(second));
      assertFalse(Arrays.equals(start, bits(second)));
      try (Stream<Path> files = Files.list(folder)) {
        assertEquals(List.of(file), files.toList(), "nothing is left beside the checkpoint");
      }
    }
  }

  /** Whatever is missing of the units or the checkpoints, all stretches are there at the end. */
  @Test
  void missingStretchesAreDoneAgain(@TempDir Path folder) throws IOException {
    TrainSpec spec = TrainSpec.of(10, 1e-2);
    try (Engine engine = engine(1)) {
      Kept whole = new Kept(List.of());
      int[] want = stretches(engine, spec, whole, folder.resolve("whole"));
      assertEquals(List.of(2L, 4L, 6L, 8L, 10L), whole.all.stream().map(Stretch::step).toList());
      for (int missing = 0; missing < 5; missing++) {
        Path copy = Files.createDirectory(folder.resolve("copy" + missing));
        for (String name : List.of("step-8.safetensors", "step-10.safetensors")) {
          Files.copy(folder.resolve("whole").resolve(name), copy.resolve(name));
        }
        List<Stretch> left = new ArrayList<>(whole.all);
        left.remove(missing);
        Collections.reverse(left);
        Kept again = new Kept(left);
        int[] got = stretches(engine, spec, again, copy);
        assertEquals(whole.all, again.all, "without stretch " + missing);
        assertArrayEquals(want, got);
      }
    }
  }

  /** Units as a ledger keeps them: each is there once. */
  private static final class Kept implements UnitListener<Stretch> {
    final List<Stretch> all = new ArrayList<>();
    private final List<Stretch> done;

    Kept(List<Stretch> done) {
      this.done = done;
      all.addAll(done);
    }

    @Override
    public List<Stretch> done() {
      return done;
    }

    @Override
    public void finished(Stretch stretch) {
      assertTrue(all.stream().noneMatch(s -> s.step() == stretch.step()), "twice: " + stretch);
      all.add(stretch);
    }

    @Override
    public void lost(Stretch stretch) {
      assertTrue(all.remove(stretch), "not there: " + stretch);
    }
  }

  private static int[] stretches(Engine engine, TrainSpec spec, Kept units, Path folder) {
    Objective objective =
        Objective.nextToken(engine, Tiny.model(DType.F32, 3), Tiny.ROWS, Tiny.LENGTH);
    try (Trainer trainer = Trainer.open(engine, objective, spec, Tiny.DATA)) {
      List<Stretch> told = trainer.run(TrainListener.NONE, units, folder, 2);
      units.all.sort(Comparator.comparingLong(Stretch::step));
      assertEquals(told, units.all);
      return bits(trainer);
    }
  }

  @Test
  void foreignCheckpointsAreRefused(@TempDir Path folder) {
    Path file = folder.resolve("run.safetensors");
    try (Engine engine = engine(1);
        Trainer trainer = open(engine)) {
      trainer.save(file);
      Objective objective =
          Objective.nextToken(engine, Tiny.model(DType.F32, 3), Tiny.ROWS, Tiny.LENGTH);
      try (Trainer other = Trainer.open(engine, objective, SPEC.withClip(2), Tiny.DATA)) {
        String message = assertThrows(InputException.class, () -> other.resume(file)).getMessage();
        assertTrue(message.contains("clip=0.5") && message.contains("clip=2.0"), message);
      }
      Objective wide =
          Objective.nextToken(engine, Tiny.model(DType.F64, 3), Tiny.ROWS, Tiny.LENGTH);
      try (Trainer other = Trainer.open(engine, wide, SPEC, Tiny.DATA)) {
        int[] before = bits(other);
        assertThrows(InputException.class, () -> other.resume(file));
        assertArrayEquals(before, bits(other));
      }
      Safetensors.write(file, trainer.weights(), Map.of());
      String message = assertThrows(InputException.class, () -> trainer.resume(file)).getMessage();
      assertTrue(message.contains("is not a checkpoint"), message);
      assertThrows(InputException.class, () -> trainer.save(folder.resolve("no/such/folder")));
    }
  }

  @Test
  void listenersSeeEveryStepAndMayCancel() {
    List<TrainListener.Progress> seen = new ArrayList<>();
    try (Engine engine = engine(1);
        Trainer trainer = open(engine)) {
      trainer.run(
          new TrainListener() {
            @Override
            public void progress(Progress progress) {
              seen.add(progress);
            }

            @Override
            public boolean cancelled() {
              return seen.size() == 2;
            }
          });
      assertEquals(2, trainer.step());
      assertEquals(List.of(1L, 2L), seen.stream().map(TrainListener.Progress::step).toList());
      TrainListener.Progress last = seen.getLast();
      assertEquals(6, last.steps());
      // A second of work makes items per second; four steps of 24 tokens are left.
      assertEquals(
          4 * Tiny.ROWS * (Tiny.LENGTH - 1), last.itemsPerSecond() * last.secondsLeft(), 1e-6);
      assertEquals(SPEC.rate(1), last.learningRate(), 0);
    }
  }

  @Test
  void aLossThatIsNotFiniteEndsTheRunBeforeTheUpdate() {
    try (Engine engine = engine(1);
        Trainer trainer = open(engine)) {
      trainer.update();
      trainer.weights().get("ln_f.weight").set(0, Double.NaN);
      int[] before = bits(trainer);
      String message = assertThrows(IllegalStateException.class, trainer::update).getMessage();
      assertTrue(message.startsWith("step 2 has the loss NaN"), message);
      assertArrayEquals(before, bits(trainer));
      assertEquals(1, trainer.step());
    }
  }

  /** A saved model computes, when it is loaded, what the weights in memory compute. */
  @Test
  void aSavedFolderHasTheLossOfTheTrainer(@TempDir Path folder) {
    Path saved = folder.resolve("saved");
    try (Engine engine = engine(2);
        Trainer trainer = open(engine)) {
      trainer.run(TrainListener.NONE);
      Gpt2Folder.write(saved, Tiny.CONFIG, trainer.weights());
      Model inMemory = LanguageModel.of("trained", Tiny.CONFIG.heads(), trainer.weights()).model();
      Model loaded = engine.model(saved.toString());
      assertEquals(Tiny.CONFIG, loaded.gpt2().orElseThrow());
      Tensor ids = Tensor.ofLongs(new long[] {3, 1, 4, 1, 5, 9, 2, 6}, 2, 4);
      try (Session want = engine.compile(inMemory.graph());
          Session got = engine.compile(loaded.graph())) {
        Map<String, Tensor> input = Map.of("input_ids", ids);
        assertArrayEquals(
            want.run(input).get("logits").toDoubles(), got.run(input).get("logits").toDoubles());
      }
    }
  }

  @Test
  void aTokenizerGoesAlong(@TempDir Path folder) throws IOException {
    Path from = Files.createDirectories(folder.resolve("from"));
    Path to = Files.createDirectories(folder.resolve("to"));
    Files.writeString(from.resolve("vocab.json"), "{}");
    Files.writeString(from.resolve("notes.txt"), "not part of it");
    Gpt2Folder.copyTokenizer(from, to);
    try (Stream<Path> files = Files.list(to)) {
      assertEquals(List.of(to.resolve("vocab.json")), files.toList());
    }
  }

  @Test
  void weightsThatDoNotFitAreRefused(@TempDir Path folder) {
    Map<String, Tensor> weights = new HashMap<>(InitialWeights.gpt2(Tiny.CONFIG, 1));
    weights.put("h.7.odd", weights.get("ln_f.bias"));
    String message =
        assertThrows(InputException.class, () -> Gpt2Folder.write(folder, Tiny.CONFIG, weights))
            .getMessage();
    assertTrue(message.contains("h.7.odd"), message);
    weights.remove("h.7.odd");
    weights.remove("ln_f.bias");
    assertThrows(InputException.class, () -> Gpt2Folder.write(folder, Tiny.CONFIG, weights));
  }

  @Test
  void wrongSettingsAndDataAreRefusedByName() {
    TrainSpec spec = TrainSpec.of(10, 0.1);
    refused("steps is 0", () -> TrainSpec.of(0, 0.1));
    refused("learningRate is NaN", () -> TrainSpec.of(1, Double.NaN));
    refused("warmup is 10", () -> spec.withSchedule(Schedule.LINEAR, 10));
    refused("beta1 is 1.0", () -> spec.withBetas(1, 0.9));
    refused("beta2 is -0.1", () -> spec.withBetas(0.9, -0.1));
    refused("epsilon is -1.0", () -> spec.withEpsilon(-1));
    refused("weightDecay is Infinity", () -> spec.withWeightDecay(Double.POSITIVE_INFINITY, ""));
    refused("undecayed is (", () -> spec.withWeightDecay(0, "("));
    refused("clip is 0.0", () -> spec.withClip(0));
    try (Engine engine = engine(1)) {
      Model model = Tiny.model(DType.F32, 1);
      refused("2 to 10 tokens", () -> Objective.nextToken(engine, model, 1, 11));
      refused("2 to 10 tokens", () -> Objective.nextToken(engine, model, 1, 1));
      refused("0 rows", () -> Objective.nextToken(engine, model, 0, 5));
      Objective o = Objective.nextToken(engine, model, 2, 5);
      refused("no constant", () -> new Objective(o.graph(), "loss", List.of("logits"), 1));
      refused("one number", () -> new Objective(o.graph(), "logits", o.weights(), 1));
      refused("at least one", () -> new Objective(o.graph(), "loss", List.of(), 1));
      refused(
          "no token to predict",
          () ->
              fill(
                  engine,
                  o,
                  (b, t, w) -> {
                    w[0] = new float[5];
                    w[1] = new float[5];
                  }));
      refused("row 1, position 2 of batch 0", () -> fill(engine, o, (b, t, w) -> t[1][2] = -1));
      refused(
          "token id 23; the ids of the model end at 22",
          () -> fill(engine, o, (b, t, w) -> t[0][4] = 23));
      refused(
          "token id 23; the ids of the model end at 22",
          () -> fill(engine, o, (b, t, w) -> t[1][0] = 23));
      refused("weight at row 0, position 4", () -> fill(engine, o, (b, t, w) -> w[0][4] = -1));
      refused(
          "batches is 0",
          () -> {
            try (Trainer t = open(engine)) {
              t.evaluate(Tiny.DATA, 0);
            }
          });
    }
  }

  private static void fill(Engine engine, Objective objective, Data.Sequences sequences) {
    try (Trainer trainer =
        Trainer.open(engine, objective, TrainSpec.of(1, 0.1), Data.of(sequences))) {
      trainer.update();
    }
  }

  private static void refused(String says, Executable action) {
    String message = assertThrows(InputException.class, action).getMessage();
    assertTrue(message.contains(says), message);
  }
}
