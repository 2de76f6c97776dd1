package io.assay.audit.grok;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.DType;
import io.assay.engine.tensor.Tensor;
import io.assay.engine.train.TrainListener;
import io.assay.engine.train.Trainer;
import io.assay.engine.train.Trainer.Stretch;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.function.LongPredicate;

/** Trains a network, with evaluations on all pairs, and keeps its weights at each of them. */
public final class GrokTraining {
  private static final String TEST_LOSS = "testLoss";
  private static final String SQUARES = "sumSq";

  private GrokTraining() {}

  /**
   * What came of a training.
   *
   * @param stretches all of them; measures of each are those of {@link GrokScores} and sumSq
   * @param last the weights at the end
   * @param finished whether all steps were made or a rule of the spec ended it; else it was
   *     cancelled
   */
  public record Result(List<Stretch> stretches, GrokCheckpoint last, boolean finished) {
    public Result {
      stretches = List.copyOf(stretches);
    }
  }

  /** Name of the file of the trajectory after so many steps. */
  public static String file(long epoch) {
    return "epoch-%06d.safetensors".formatted(epoch);
  }

  /**
   * Trains, and goes on from what an earlier life of the run has left. The same spec gives the same
   * bits on one instruction set, whatever the number of threads and the interruptions.
   *
   * @param units who keeps the stretches that are done, each of {@code spec.every()} steps; it also
   *     may cancel
   * @param checkpoints folder of what a later life goes on from
   * @param trajectory folder of the weights that are kept: at the evaluations that {@code keep}
   *     names, at the beginning and at the end
   * @throws InputException if a file cannot be written
   * @throws IllegalStateException if the loss is no longer finite; the last checkpoint stays
   */
  public static Result run(
      Engine engine,
      GrokSpec spec,
      TrainListener listener,
      UnitListener<Stretch> units,
      Path checkpoints,
      Path trajectory,
      LongPredicate keep) {
    try {
      Files.createDirectories(trajectory);
    } catch (IOException e) {
      throw new InputException("the folder " + trajectory + " cannot be made", e);
    }
    GrokModel initial = GrokModel.initial(spec.shape(), spec.initSeed());
    checkpoint(spec, initial, 0).write(trajectory.resolve(file(0)));
    StopRule rule = new StopRule(spec, units);
    try (Trainer trainer = open(engine, spec, initial)) {
      List<Stretch> stretches =
          trainer.run(
              listener,
              rule,
              checkpoints,
              spec.every(),
              (step, weights) -> {
                GrokModel model = new GrokModel(spec.shape(), weights);
                if (keep.test(step)) {
                  checkpoint(spec, model, step).write(trajectory.resolve(file(step)));
                }
                Map<String, Double> measures = GrokScores.of(engine, weights, spec.task()).means();
                measures.put(SQUARES, model.sumOfSquares());
                return measures;
              });
      GrokCheckpoint last =
          checkpoint(spec, new GrokModel(spec.shape(), copy(trainer.weights())), trainer.step());
      boolean finished = trainer.step() == spec.epochs() || rule.reached;
      if (finished) {
        last.write(trajectory.resolve(file(trainer.step())));
      }
      return new Result(stretches, last, finished);
    }
  }

  /** A trainer of the network on the training pairs, ascending. */
  public static Trainer open(Engine engine, GrokSpec spec, GrokModel initial) {
    return Trainer.open(
        engine,
        initial.weights(),
        (weights, gradients) ->
            new GrokLoss(
                engine.kernels(), spec.task(), spec.task().trainPairs(), weights, gradients),
        spec.training());
  }

  private static GrokCheckpoint checkpoint(GrokSpec spec, GrokModel model, long epoch) {
    return new GrokCheckpoint(
        model, spec.task(), OptionalLong.of(spec.initSeed()), OptionalLong.of(epoch));
  }

  private static Map<String, Tensor> copy(Map<String, Tensor> weights) {
    Map<String, Tensor> copies = new LinkedHashMap<>();
    weights.forEach(
        (name, t) -> {
          Tensor copy = Tensor.allocate(Arena.ofAuto(), DType.F32, t.shape());
          copy.data().copyFrom(t.data());
          copies.put(name, copy);
        });
    return copies;
  }

  /** Whether evaluations so far, by step, let the training end. */
  static boolean isDone(GrokSpec spec, Collection<Stretch> stretches) {
    if (stretches.isEmpty()) {
      return false;
    }
    Stretch last = List.copyOf(stretches).getLast();
    Double loss = last.measures().get(TEST_LOSS);
    if (loss == null) {
      return false;
    }
    if (loss < spec.stopLoss()) {
      return true;
    }
    if (spec.stopSettled() == 0) {
      return false;
    }
    Double cleaned =
        Phases.cleaned(
            stretches.stream().mapToDouble(Stretch::step).toArray(),
            stretches.stream().mapToDouble(x -> x.measures().get(TEST_LOSS)).toArray(),
            stretches.stream().mapToDouble(x -> x.measures().get(SQUARES)).toArray());
    return cleaned != null && last.step() - cleaned >= spec.stopSettled();
  }

  /** Hands on what is told, and ends the training by the rules of the spec. */
  private static final class StopRule implements UnitListener<Stretch> {
    private final GrokSpec spec;
    private final UnitListener<Stretch> units;
    private final TreeMap<Long, Stretch> seen = new TreeMap<>();
    private boolean reached;

    StopRule(GrokSpec spec, UnitListener<Stretch> units) {
      this.spec = spec;
      this.units = units;
    }

    @Override
    public List<Stretch> done() {
      List<Stretch> done = units.done();
      done.forEach(x -> seen.put(x.step(), x));
      reached = isDone(spec, seen.values());
      return done;
    }

    @Override
    public void finished(Stretch unit) {
      units.finished(unit);
      seen.put(unit.step(), unit);
      reached = isDone(spec, seen.values());
    }

    @Override
    public void lost(Stretch unit) {
      units.lost(unit);
      seen.remove(unit.step());
      reached = isDone(spec, seen.values());
    }

    @Override
    public boolean cancelled() {
      return reached || units.cancelled();
    }
  }
}
