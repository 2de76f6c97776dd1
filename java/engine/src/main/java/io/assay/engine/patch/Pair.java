package io.assay.engine.patch;

import io.assay.engine.patch.PatchException.Reason;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Two prompts of equal length that differ in what the model should answer.
 *
 * @param clean token ids of the prompt that is answered by {@code answer}
 * @param corrupt token ids of the other
 * @param answer token that the metric adds at the last position
 * @param wrong token that it takes away
 * @param positions names of positions, such as {@code S2} to 9; may be empty
 */
public record Pair(
    List<Integer> clean,
    List<Integer> corrupt,
    int answer,
    int wrong,
    Map<String, Integer> positions) {
  /**
   * @throws PatchException if the lengths differ or are 0, the answers are the same token, or a
   *     named position is not there
   */
  public Pair {
    clean = List.copyOf(clean);
    corrupt = List.copyOf(corrupt);
    positions = new TreeMap<>(positions);
    if (clean.isEmpty() || clean.size() != corrupt.size()) {
      throw new PatchException(
          Reason.SHAPE,
          "the clean prompt has %d tokens and the corrupt one %d; a pair needs equal lengths"
              .formatted(clean.size(), corrupt.size()));
    }
    if (answer == wrong) {
      throw new PatchException(
          Reason.NO_CHANGE, "answer and wrong are the same token, " + answer + "; name another");
    }
    int length = clean.size();
    positions.forEach(
        (name, at) -> {
          if (at < 0 || at >= length) {
            throw new PatchException(
                Reason.SHAPE,
                "the position %s is %d; the prompts have positions 0 to %d"
                    .formatted(name, at, length - 1));
          }
        });
  }

  public int length() {
    return clean.size();
  }

  /** The prompt of the unpatched run. */
  public List<Integer> base(Direction direction) {
    return direction == Direction.DENOISE ? corrupt : clean;
  }

  /** The prompt that values are taken from. */
  public List<Integer> source(Direction direction) {
    return direction == Direction.DENOISE ? clean : corrupt;
  }
}
