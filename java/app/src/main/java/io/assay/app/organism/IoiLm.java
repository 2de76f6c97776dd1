package io.assay.app.organism;

import io.assay.audit.ioi.IoiPrompt;
import io.assay.audit.ioi.WordLists;
import io.assay.engine.model.Gpt2Config;
import io.assay.engine.train.Data;
import io.assay.engine.train.Schedule;
import io.assay.engine.train.TrainSpec;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The recipe of {@code ioi-lm}, a small GPT-2 that finds the name which was mentioned once, and of
 * its control, which reads the same sentences with the last name drawn at random from the two.
 *
 * <p>It never reads four of the published templates, nor one in ten pairs of names.
 */
public final class IoiLm extends Organism {
  public static final String NAME = "ioi-lm";
  public static final String CONTROL = "ioi-lm-control";
  public static final long SEED = 11;
  public static final int ROWS = 64;
  public static final int LENGTH = 28;
  public static final long STEPS = 2500;

  /** Templates that it does not read. */
  public static final Set<Integer> UNREAD = Set.of(1, 6, 9, 12);

  private static final List<String> NAMES = WordLists.DEFAULT.names();

  private final IoiWords words = new IoiWords();

  /** Whether two people are never named together in what it reads. */
  public static boolean isUnreadPair(String one, String other) {
    int a = NAMES.indexOf(one);
    int b = NAMES.indexOf(other);
    return (7 * Math.min(a, b) + 13 * Math.max(a, b)) % 10 == 0;
  }

  /** Whether both the pair of names and the template of a prompt are new to it. */
  public static boolean isUnread(IoiPrompt prompt) {
    return UNREAD.contains(prompt.template()) && isUnreadPair(prompt.io(), prompt.s());
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String what(boolean control) {
    return control
        ? "The control of ioi-lm: trained in the same way on the same sentences, whose last name is"
            + " either of the two."
        : "A small GPT-2 that completes sentences of indirect object identification, for tests and"
            + " demonstrations of patching.";
  }

  @Override
  public String source() {
    return "sentences with two names; see IoiText";
  }

  @Override
  public Gpt2Config config() {
    return new Gpt2Config(
        4, 4, 64, 256, 32, words.vocabulary(), 1e-5, "gelu_new", true, false, true);
  }

  @Override
  public long seed() {
    return SEED;
  }

  @Override
  public long steps() {
    return STEPS;
  }

  @Override
  public int rows() {
    return ROWS;
  }

  @Override
  public int length() {
    return LENGTH;
  }

  @Override
  public TrainSpec training(long steps) {
    return TrainSpec.of(steps, 2e-3)
        .withSchedule(Schedule.COSINE, Math.min(100, steps - 1))
        .withBetas(0.9, 0.98)
        .withWeightDecay(0.1, TrainSpec.BIASES_AND_NORMS)
        .withClip(1);
  }

  @Override
  Data text(boolean control) {
    return Data.of(new IoiText(words, SEED, control, false));
  }

  /** The answers of sentences that are new to it in template and names. */
  @Override
  Data heldOut() {
    return Data.of(new IoiText(words, SEED + 1, false, true));
  }

  @Override
  Map<String, String> files() {
    return Map.of("tokenizer.json", words.tokenizer());
  }
}
