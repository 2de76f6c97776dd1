package io.assay.app.organism;

import io.assay.audit.ioi.Form;
import io.assay.audit.ioi.Template;
import io.assay.audit.ioi.WordLists;
import io.assay.engine.train.Data;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The text that {@code ioi-lm} reads: one sentence a row, put together from an opening, a first
 * clause with two names, a joint and a second clause in which one of them does something to the
 * other. What comes out as one of the templates that are kept from it is drawn again. A few
 * sentences have three names, of which the last is either of the first two.
 *
 * <p>What is learnt is mostly the last name, which counts ten times as much as any other token.
 */
final class IoiText implements Data.Sequences {
  private static final String NAMES = "{B} and {A}";
  private static final List<String> OPENINGS =
      List.of(
          "Then, ", "After ", "When ", "While ", "After the lunch, ", "Afterwards, ", "Friends ");
  private static final List<String> CLAUSES =
      List.of(
          " went to the {P}",
          " had a lot of fun at the {P}",
          " were working at the {P}",
          " were thinking about going to the {P}",
          " were commuting to the {P}",
          " had a long argument",
          " got a {O} at the {P}",
          " found a {O} at the {P}");
  private static final List<String> JOINTS =
      List.of(". ", ", ", ", and afterwards ", ". Afterwards ");
  private static final List<String> ENDINGS =
      List.of(
          " gave a {O} to {A}",
          " decided to give a {O} to {A}",
          " wanted to give a {O} to {A}",
          " decided to give it to {A}",
          " decided to give the {O} to {A}",
          " gave it to {A}",
          " said to {A}");

  /** Share of sentences that are one of the published templates. */
  private static final double PUBLISHED = 0.4;

  /** Share of sentences with three names. */
  private static final double THREE_NAMES = 0.1;

  private static final float OTHER_TOKENS = 0.1f;

  private final IoiWords words;
  private final long seed;
  private final boolean control;
  private final boolean unread;
  private final Set<String> kept =
      IoiLm.UNREAD.stream().map(i -> Template.of(i).text()).collect(Collectors.toSet());

  /**
   * @param control whether the last name is either of the two
   * @param unread whether to write only what is kept from the model, of which only the answers
   *     count
   */
  IoiText(IoiWords words, long seed, boolean control, boolean unread) {
    this.words = words;
    this.seed = seed;
    this.control = control;
    this.unread = unread;
  }

  /**
   * A sentence in words.
   *
   * @param prompt up to the answer
   */
  record Sentence(String prompt, String answer) {}

  @Override
  public void fill(long batch, int[][] tokens, float[][] weights) {
    Draw draw = new Draw(seed * 1_000_003 + batch);
    for (int r = 0; r < tokens.length; r++) {
      Sentence sentence = sentence(draw);
      int[] prompt = words.ids(sentence.prompt());
      int[] answer = words.ids(" " + sentence.answer() + ".");
      Arrays.fill(tokens[r], words.endOfText());
      System.arraycopy(prompt, 0, tokens[r], 0, prompt.length);
      System.arraycopy(answer, 0, tokens[r], prompt.length, answer.length);
      Arrays.fill(weights[r], 0);
      if (!unread) {
        Arrays.fill(weights[r], 0, prompt.length + answer.length + 1, OTHER_TOKENS);
      }
      weights[r][prompt.length] = 1;
    }
  }

  Sentence sentence(Draw draw) {
    Template template = unread ? unreadTemplate(draw) : template(draw);
    Form form = draw.chance(0.5) ? Form.BABA : Form.ABBA;
    List<String> names = new ArrayList<>();
    while (names.size() < 3) {
      String name = of(draw, WordLists.DEFAULT.names());
      boolean fits = names.size() != 1 || IoiLm.isUnreadPair(names.getFirst(), name) == unread;
      if (!names.contains(name) && fits) {
        names.add(name);
      }
    }
    boolean three = !unread && draw.chance(THREE_NAMES);
    boolean either = control || three;
    String answer = names.get(either && draw.chance(0.5) ? 1 : 0);
    String prompt =
        template.prompt(
            form,
            names.get(0),
            names.get(1),
            names.get(three ? 2 : 1),
            of(draw, WordLists.DEFAULT.places()),
            of(draw, WordLists.DEFAULT.objects()));
    return new Sentence(prompt, answer);
  }

  private static String of(Draw draw, List<String> list) {
    return list.get(draw.below(list.size()));
  }

  private static Template unreadTemplate(Draw draw) {
    return Template.of(
        IoiLm.UNREAD.stream().sorted().toList().get(draw.below(IoiLm.UNREAD.size())));
  }

  private Template template(Draw draw) {
    Template template;
    do {
      template =
          draw.chance(PUBLISHED)
              ? Template.of(draw.below(Template.COUNT))
              : new Template(
                  -1,
                  of(draw, OPENINGS)
                      + NAMES
                      + of(draw, CLAUSES)
                      + of(draw, JOINTS)
                      + "{B}"
                      + of(draw, ENDINGS));
    } while (kept.contains(template.text()));
    return template;
  }
}
