package io.assay.engine.patch;

import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.patch.PatchException.Reason;
import java.util.List;

/**
 * A map of the effects of patching one component after the other.
 *
 * @param at hooks, such as {@code blocks.*.attn.hook_z}, each of whose heads is patched by itself
 * @param per whether each position is patched by itself
 * @param by what the patched value is replaced by
 * @param metric what is read each time
 */
public record SweepSpec(
    String at, Per per, Direction direction, By by, Metric metric, List<Pair> pairs) {
  /** What is patched at once. */
  public enum Per {
    POSITION,
    ALL
  }

  /** What a value is replaced by. */
  public enum By {
    /** That of the pair's other prompt. */
    RESAMPLE,
    /** The mean over the other prompts of all pairs, which need equal lengths. */
    MEAN,
    ZERO
  }

  /**
   * @throws InputException if there are no pairs, or one whose prompts are the same
   */
  public SweepSpec {
    pairs = List.copyOf(pairs);
    if (pairs.isEmpty()) {
      throw new InputException("there is no pair of prompts; give at least one");
    }
    for (int i = 0; i < pairs.size() && by == By.RESAMPLE; i++) {
      if (pairs.get(i).clean().equals(pairs.get(i).corrupt())) {
        throw new PatchException(
            Reason.NO_CHANGE,
            "the two prompts of pairs[%d] are the same; patching changes nothing".formatted(i));
      }
    }
    int length = pairs.getFirst().length();
    for (int i = 0; by == By.MEAN && i < pairs.size(); i++) {
      if (pairs.get(i).length() != length) {
        throw new PatchException(
            Reason.SHAPE,
            ("a mean over prompts of different lengths: pairs[0] has %d tokens, pairs[%d] has %d;"
                    + " give pairs of one length, such as those of one template, or --by resample")
                .formatted(length, i, pairs.get(i).length()));
      }
    }
  }

  /** Resampling by position; the metric is the logit difference. */
  public static SweepSpec of(String at, Direction direction, List<Pair> pairs) {
    return new SweepSpec(at, Per.POSITION, direction, By.RESAMPLE, Metric.LOGIT_DIFF, pairs);
  }

  public SweepSpec withPer(Per value) {
    return new SweepSpec(at, value, direction, by, metric, pairs);
  }

  public SweepSpec withBy(By value) {
    return new SweepSpec(at, per, direction, value, metric, pairs);
  }

  public SweepSpec withMetric(Metric value) {
    return new SweepSpec(at, per, direction, by, value, pairs);
  }

  /**
   * @throws InputException if a token is not the model's, or a prompt too long for it
   */
  static void requireFit(LanguageModel model, List<Pair> pairs) {
    for (int i = 0; i < pairs.size(); i++) {
      Pair pair = pairs.get(i);
      if (pair.length() > model.context()) {
        throw new InputException(
            "pairs[%d] has %d tokens; the model %s has %d positions"
                .formatted(i, pair.length(), model.model().name(), model.context()));
      }
      for (List<Integer> ids :
          List.of(pair.clean(), pair.corrupt(), List.of(pair.answer(), pair.wrong()))) {
        for (int id : ids) {
          if (id < 0 || id >= model.vocabulary()) {
            throw new InputException(
                "pairs[%d] has the token %d; the ids of the model %s end at %d"
                    .formatted(i, id, model.model().name(), model.vocabulary() - 1));
          }
        }
      }
    }
  }
}
