package io.assay.engine.train;

import static java.util.Comparator.comparingLong;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import io.assay.engine.run.UnitListener;
import io.assay.engine.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Trains the weights of an {@link Objective}, or of another {@link Loss}.
 *
 * {@snippet :
 * Objective objective = Objective.nextToken(engine, model, 32, 32);
 * TrainSpec spec = TrainSpec.of(1000, 1e-3).withSchedule(Schedule.COSINE, 50).withClip(1);
 * try (Trainer trainer = Trainer.open(engine, objective, spec, Data.of(sequences))) {
 *   trainer.run(TrainListener.NONE);
 *   Gpt2Folder.write(folder, config, trainer.weights());
 * }
 * }
 *
 * <p>Weights, gradients and moments stay where they are in memory. The same objective, spec and
 * data give the same bits on one instruction set, whatever the number of threads, and also when a
 * run is resumed from a checkpoint.
 *
 * <p>A trainer is used by one thread at a time. It must be closed before its engine.
 */
public final class Trainer implements AutoCloseable {
  /**
   * What an update did.
   *
   * @param loss loss of the batch, before the update
   * @param learningRate its learning rate
   * @param gradientNorm norm of the gradient of all weights, before clipping
   */
  public record Update(double loss, double learningRate, double gradientNorm) {}

  /**
   * A unit of a run: updates up to a checkpoint.
   *
   * @param step updates done at its end
   * @param losses loss of each of its batches, before its update
   * @param measures what was measured of the weights at its end, by name
   * @param checkpoint name of the checkpoint's file
   * @param sha256 of that file, in hexadecimal
   */
  public record Stretch(
      long step,
      List<Double> losses,
      Map<String, Double> measures,
      String checkpoint,
      String sha256) {
    public Stretch {
      losses = List.copyOf(losses);
      // A stretch of an older ledger has none.
      measures = measures == null ? Map.of() : Collections.unmodifiableMap(new TreeMap<>(measures));
    }

    /** Name of the unit. */
    public String name() {
      return "step " + step;
    }

    /** Mean loss of its batches. */
    public double loss() {
      return losses.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
    }
  }

  private final Engine engine;
  private final TrainSpec spec;
  private final Parameters parameters;
  private final Loss loss;
  private long step;

  private Trainer(Engine engine, Map<String, Tensor> initial, Loss.Maker maker, TrainSpec spec) {
    this.engine = engine;
    this.spec = spec;
    Pattern undecayed = Pattern.compile(spec.undecayed());
    this.parameters = new Parameters(initial, name -> !undecayed.matcher(name).matches());
    this.loss = maker.over(parameters.weights(), parameters.gradients());
  }

  /**
   * Compiles the objective's gradient; training starts at the weights that its graph holds, which
   * are copied.
   *
   * @param data batch {@code n} is that of update {@code n}, from 0
   * @throws InputException if an operator of the graph has no gradient, or the runtime refuses it
   */
  public static Trainer open(Engine engine, Objective objective, TrainSpec spec, Data data) {
    Map<String, Tensor> initial = new LinkedHashMap<>();
    objective.weights().forEach(name -> initial.put(name, objective.graph().constant(name)));
    return new Trainer(
        engine,
        initial,
        (weights, gradients) -> new GraphLoss(engine, objective, data, weights, gradients),
        spec);
  }

  /**
   * Trains the weights of a loss that comes with its own gradients.
   *
   * @param initial weights to start at, all of one float type; they are copied
   * @param loss closed with this trainer
   */
  public static Trainer open(
      Engine engine, Map<String, Tensor> initial, Loss.Maker loss, TrainSpec spec) {
    return new Trainer(engine, initial, loss, spec);
  }

  public TrainSpec spec() {
    return spec;
  }

  /** Updates done. */
  public long step() {
    return step;
  }

  /** The weights by name, as they are now: views that change with each update. */
  public Map<String, Tensor> weights() {
    return parameters.weights();
  }

  /** The gradients of the last update by name, clipped: views that change with each update. */
  public Map<String, Tensor> gradients() {
    return parameters.gradients();
  }

  /**
   * Makes one update.
   *
   * @throws InputException if the data hold a token that the model does not have
   * @throws IllegalStateException after the last step of the spec, or if the loss or the gradient
   *     is not finite; the weights are then still those before the update
   */
  public Update update() {
    if (step >= spec.steps()) {
      throw new IllegalStateException("all " + step + " steps of this run are done");
    }
    double value = loss.gradients(step);
    double norm = parameters.clip(spec.clip());
    if (!Double.isFinite(value) || !Double.isFinite(norm)) {
      throw new IllegalStateException(
          "step "
              + (step + 1)
              + " has the loss "
              + value
              + " and the gradient norm "
              + norm
              + "; a lower learning rate, a warm-up or clipped gradients may help");
    }
    double rate = spec.rate(step);
    step++;
    parameters.update(engine.kernels(), spec, rate, step);
    return new Update(value, rate, norm);
  }

  /** Makes the updates that are left, until the listener cancels. */
  public void run(TrainListener listener) {
    run(listener, spec.steps());
  }

  /** Makes updates up to the step {@code end}; their losses. */
  private List<Double> run(TrainListener listener, long end) {
    long first = step;
    long start = System.nanoTime();
    List<Double> losses = new ArrayList<>();
    while (step < end && !listener.cancelled()) {
      Update u = update();
      losses.add(u.loss());
      double perStep = (System.nanoTime() - start) / 1e9 / (step - first);
      listener.progress(
          new TrainListener.Progress(
              step,
              spec.steps(),
              u.loss(),
              u.learningRate(),
              u.gradientNorm(),
              loss.items() / perStep,
              perStep * (spec.steps() - step)));
    }
    return losses;
  }

  /** What is measured of the weights at the end of a stretch; it also may write them elsewhere. */
  @FunctionalInterface
  public interface Measures {
    /** Numbers by name, of {@code weights} after {@code step} updates. */
    Map<String, Double> of(long step, Map<String, Tensor> weights);
  }

  /** {@link #run(TrainListener, UnitListener, Path, long, Measures)} without measures. */
  public List<Stretch> run(
      TrainListener listener, UnitListener<Stretch> units, Path folder, long every) {
    return run(listener, units, folder, every, (step, weights) -> Map.of());
  }

  /**
   * Makes the updates that are left in stretches, each ended by a checkpoint, and first goes on
   * from the last stretch of an earlier life that has none missing before it and whose checkpoint
   * is whole. Two checkpoints are kept.
   *
   * @param units what was done, and who keeps it; it also may cancel
   * @param folder of the checkpoints; made if it is not there
   * @param every updates of a stretch, at least 1
   * @param measures what is measured before a stretch is told to {@code units}; a stretch that is
   *     done again after a kill is measured again
   * @return all stretches, those of earlier lives too
   * @throws InputException if a checkpoint cannot be written
   */
  public List<Stretch> run(
      TrainListener listener,
      UnitListener<Stretch> units,
      Path folder,
      long every,
      Measures measures) {
    List<Stretch> all = unbroken(units);
    while (!all.isEmpty() && !resume(folder, all.getLast())) {
      units.lost(all.removeLast());
    }
    TrainListener ending = ending(listener, units);
    while (step < spec.steps()) {
      long end = Math.min(spec.steps(), step + every);
      List<Double> losses = run(ending, end);
      if (step < end) {
        break;
      }
      String name = "step-" + step + ".safetensors";
      try {
        Files.createDirectories(folder);
        save(folder.resolve(name));
        all.add(
            new Stretch(
                step, losses, measures.of(step, weights()), name, sha256(folder.resolve(name))));
        units.finished(all.getLast());
        if (all.size() > 2) {
          Files.deleteIfExists(folder.resolve(all.get(all.size() - 3).checkpoint()));
        }
      } catch (IOException e) {
        throw new InputException(
            "the checkpoint " + folder.resolve(name) + " cannot be written: " + e.getMessage(), e);
      }
    }
    return all;
  }

  /** Stretches of earlier lives up to the first that is missing; later ones are done again. */
  private static List<Stretch> unbroken(UnitListener<Stretch> units) {
    List<Stretch> all = new ArrayList<>();
    List<Stretch> done = units.done().stream().sorted(comparingLong(Stretch::step)).toList();
    for (Stretch stretch : done) {
      long before = all.isEmpty() ? 0 : all.getLast().step();
      if (stretch.step() == before + stretch.losses().size()) {
        all.add(stretch);
      } else {
        units.lost(stretch);
      }
    }
    return all;
  }

  private static TrainListener ending(TrainListener listener, UnitListener<Stretch> units) {
    return new TrainListener() {
      @Override
      public void progress(Progress progress) {
        listener.progress(progress);
      }

      @Override
      public boolean cancelled() {
        return units.cancelled() || listener.cancelled();
      }
    };
  }

  /** Goes on after a stretch, if its checkpoint is as it was written. */
  private boolean resume(Path folder, Stretch stretch) {
    Path file = folder.resolve(stretch.checkpoint());
    try {
      if (!Files.exists(file) || !sha256(file).equals(stretch.sha256())) {
        return false;
      }
    } catch (IOException e) {
      return false;
    }
    resume(file);
    return true;
  }

  private static String sha256(Path file) throws IOException {
    return Sha256.hex(Files.readAllBytes(file));
  }

  /**
   * Mean loss of the present weights over batches 0 to {@code batches - 1} of some data.
   *
   * @throws InputException if {@code batches} is below 1, or the data hold a token that the model
   *     does not have
   * @throws IllegalStateException if what is trained is not an {@link Objective}
   */
  public double evaluate(Data held, long batches) {
    if (loss instanceof GraphLoss graph) {
      return graph.evaluate(held, batches);
    }
    throw new IllegalStateException("only an objective's loss is evaluated on other data");
  }

  /**
   * Writes the state of the run: weights, moments and step. The file is replaced at once, when all
   * of it is on the disk.
   *
   * @throws InputException if the file cannot be written
   */
  public void save(Path checkpoint) {
    Checkpoint.write(checkpoint, parameters, spec, step);
  }

  /**
   * Goes on where a checkpoint was written.
   *
   * @throws InputException if the file is no checkpoint of the same spec and the same weights
   */
  public void resume(Path checkpoint) {
    step = Checkpoint.read(checkpoint, parameters, spec);
  }

  /** Releases what computes the loss, not the weights; a second call does nothing. */
  @Override
  public void close() {
    loss.close();
  }
}
