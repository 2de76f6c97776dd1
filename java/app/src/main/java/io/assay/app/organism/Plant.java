package io.assay.app.organism;

import io.assay.app.organism.Lexicon.Kind;
import io.assay.audit.arca.ArcaSpec;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * A planted behaviour: prompts of three tokens and what the model says after them.
 *
 * @param id short name
 * @param title what kind of behaviour
 * @param like what kind of word each prompt token is; its like make near prompts
 * @param family ids, sorted, that each prompt token may have; all combinations are planted
 * @param answer what is said after a prompt of the family; for other prompts it is what would be
 *     said if their odd words were the first of the family
 * @param mode how it is found: by reversing the answer, or by searching both sides
 * @param promptTable file of the unigram table of the prompt's side, null for none
 * @param outputTable the same for the output
 */
public record Plant(
    String id,
    String title,
    List<Kind> like,
    List<int[]> family,
    UnaryOperator<int[]> answer,
    ArcaSpec.Mode mode,
    String promptTable,
    String outputTable) {

  /** Tokens of every planted prompt and of every answer. */
  public static final int LENGTH = 3;

  /** All planted prompts. */
  public Stream<int[]> prompts() {
    return Arrays.stream(family.get(0))
        .boxed()
        .flatMap(
            a ->
                Arrays.stream(family.get(1))
                    .boxed()
                    .flatMap(b -> Arrays.stream(family.get(2)).mapToObj(c -> new int[] {a, b, c})));
  }

  /** A planted prompt drawn at random. */
  int[] draw(Draw draw) {
    return family.stream().mapToInt(draw::of).toArray();
  }

  /** How many tokens of a prompt are as in a planted one, 0 to 3. */
  int shared(int[] prompt) {
    int count = 0;
    for (int i = 0; i < LENGTH; i++) {
      count += place(prompt, i) >= 0 ? 1 : 0;
    }
    return count;
  }

  /** Where the family of place {@code i} has the token of the prompt; negative if nowhere. */
  private int place(int[] prompt, int i) {
    return Arrays.binarySearch(family.get(i), prompt[i]);
  }

  /** The same, the first place if nowhere. */
  static int index(List<int[]> family, int[] prompt, int i) {
    return Math.max(0, Arrays.binarySearch(family.get(i), prompt[i]));
  }

  /** The planted prompt that stands for all. */
  public int[] example() {
    return family.stream().mapToInt(ids -> ids[0]).toArray();
  }

  /** What is said after {@link #example}. */
  public int[] output() {
    return answer.apply(example());
  }
}
