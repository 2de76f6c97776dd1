package io.assay.app.organism;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.model.Gpt2Folder;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.run.UnitListener;
import io.assay.engine.train.Data;
import io.assay.engine.train.InitialWeights;
import io.assay.engine.train.Objective;
import io.assay.engine.train.TrainListener;
import io.assay.engine.train.TrainSpec;
import io.assay.engine.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The recipe of a model about which something is known, and of its control, which is trained in the
 * same way without it. The same seed gives the same bits on one instruction set.
 */
public abstract class Organism {
  private static final int MOST_IN_STRETCH = 100;
  private static final int HELD_OUT_BATCHES = 20;

  /** How far the held-out loss of a build on another instruction set may lie from the card's. */
  public static final double LOSS_BAND = 0.02;

  /** All that can be grown. */
  public static List<Organism> all() {
    return List.of(new PlantedLm(), new IoiLm());
  }

  public abstract String name();

  /** Name of the organism, or of its control. */
  public final String name(boolean control) {
    return control ? name() + "-control" : name();
  }

  /** What the model is, as one sentence. */
  public abstract String what(boolean control);

  /** What text it reads, in a few words. */
  public abstract String source();

  public abstract Gpt2Config config();

  /** Seed of the first weights and of the text. */
  public abstract long seed();

  /** Updates of a whole build. */
  public abstract long steps();

  /** Sequences of a batch. */
  public abstract int rows();

  /** Tokens of a sequence. */
  public abstract int length();

  /** How a model of so many updates is trained. */
  public abstract TrainSpec training(long steps);

  /** What it reads. */
  abstract Data text(boolean control);

  /** Text that it does not read, for its loss. */
  abstract Data heldOut();

  /** Files beside configuration and weights, by name: text of each. */
  abstract Map<String, String> files();

  /** Updates between checkpoints in a training of so many. */
  public final long stretch(long steps) {
    return Math.clamp(steps / 10, 1, MOST_IN_STRETCH);
  }

  /**
   * A training that came to its end.
   *
   * @param loss mean loss over held-out text, in nats for a token
   * @param stretches of which it was made
   */
  public record Built(double loss, List<Trainer.Stretch> stretches) {
    public Built {
      stretches = List.copyOf(stretches);
    }
  }

  /**
   * Trains the model or its control and writes its folder: weights, configuration, and {@link
   * #files}.
   *
   * @param units who keeps the stretches that are done
   * @param checkpoints folder of the checkpoints
   * @return empty if it was cancelled
   * @throws InputException if the folder cannot be written
   */
  public final Optional<Built> build(
      Engine engine,
      boolean control,
      long steps,
      Path folder,
      TrainListener listener,
      UnitListener<Trainer.Stretch> units,
      Path checkpoints) {
    Gpt2Config config = config();
    LanguageModel start =
        LanguageModel.of(name(), config.heads(), InitialWeights.gpt2(config, seed()));
    Objective objective = Objective.nextToken(engine, start.model(), rows(), length());
    try (Trainer trainer = Trainer.open(engine, objective, training(steps), text(control))) {
      List<Trainer.Stretch> stretches = trainer.run(listener, units, checkpoints, stretch(steps));
      if (trainer.step() < steps) {
        return Optional.empty();
      }
      Gpt2Folder.write(folder, config, trainer.weights());
      files().forEach((name, text) -> write(folder, name, text));
      return Optional.of(new Built(trainer.evaluate(heldOut(), HELD_OUT_BATCHES), stretches));
    }
  }

  private static void write(Path folder, String name, String text) {
    try {
      Files.writeString(folder.resolve(name), text);
    } catch (IOException e) {
      throw new InputException("the file " + folder.resolve(name) + " cannot be written", e);
    }
  }
}
