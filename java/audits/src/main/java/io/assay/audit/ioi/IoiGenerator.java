package io.assay.audit.ioi;

import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Draws prompts of the task (arXiv 2211.00593, section 2 and appendix). The same specification and
 * tokenizer give the same prompts.
 */
public final class IoiGenerator {
  /** IO, S and the three names of a corrupted prompt. */
  private static final int NAMES = 5;

  private final IoiSpec spec;
  private final Tokenizer tokenizer;
  private final WordLists.Kept kept;

  /** Token before each prompt; empty without one. */
  private final long[] prefix;

  /**
   * @throws InputException if the tokenizer has too few of the words as one token, a chosen word is
   *     not one token, or there is no token for the beginning of a text that is to be used
   */
  public IoiGenerator(IoiSpec spec, Tokenizer tokenizer) {
    this.spec = spec;
    this.tokenizer = tokenizer;
    this.kept = spec.words().keep(tokenizer);
    int names = words().names().size();
    if (names < NAMES && !spec.legacyCollisions()) {
      throw new InputException(
          "there are "
              + names
              + " names, and a prompt with its corrupted partner takes "
              + NAMES
              + " different ones; give more");
    }
    this.prefix =
        spec.bos()
            ? new long[] {
              tokenizer
                  .bos()
                  .orElseThrow(
                      () ->
                          new InputException(
                              "the tokenizer has no token for the beginning of a text; leave BOS"
                                  + " out"))
            }
            : new long[0];
  }

  /** The words that are drawn from: those that are one token. */
  public WordLists words() {
    return kept.lists();
  }

  /** What was left out of the words, and what is scarce; mostly nothing. */
  public List<String> warnings() {
    return kept.warnings();
  }

  /** The prompts of the specification. */
  public List<IoiPrompt> prompts() {
    SplittableRandom random = new SplittableRandom(spec.seed());
    return IntStream.range(0, spec.prompts())
        .mapToObj(
            i ->
                prompt(
                    random,
                    spec.templates().get(random.nextInt(spec.templates().size())),
                    spec.forms().get(random.nextInt(spec.forms().size()))))
        .toList();
  }

  /**
   * Further prompts of each template of the specification, for means over their corrupted partners.
   *
   * @param each how many of a template, its forms in turn
   * @param seed of a stream of its own
   */
  public List<IoiPrompt> references(int each, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<IoiPrompt> all = new ArrayList<>();
    for (int template : spec.templates()) {
      for (int i = 0; i < each; i++) {
        all.add(prompt(random, template, spec.forms().get(i % spec.forms().size())));
      }
    }
    return all;
  }

  private IoiPrompt prompt(SplittableRandom random, int index, Form form) {
    Template template = Template.of(index);
    List<String> names = new ArrayList<>();
    another(random, names);
    another(random, names);
    String io = names.get(0);
    String s = names.get(1);
    String place = of(random, words().places());
    String object = of(random, words().objects());
    List<String> abc = spec.legacyCollisions() ? legacy(random, names) : distinct(random, names);
    String text = template.prompt(form, io, s, s, place, object);
    String corrupt = template.prompt(form, abc.get(0), abc.get(1), abc.get(2), place, object);
    long[] ids = tokenizer.encode(text);
    long[] corruptIds = tokenizer.encode(corrupt);
    long answer = kept.ids().get(io);
    long wrong = kept.ids().get(s);
    Positions positions = positions(text, ids, answer, wrong);
    requirePartner(text, ids, corrupt, corruptIds);
    requireAnswer(text, ids, io, answer);
    return new IoiPrompt(
        index,
        form,
        io,
        s,
        abc,
        template.hasPlace() ? place : null,
        template.hasObject() ? object : null,
        text,
        corrupt,
        behind(prefix, ids),
        behind(prefix, corruptIds),
        answer,
        wrong,
        positions.after(prefix.length));
  }

  private static String of(SplittableRandom random, List<String> list) {
    return list.get(random.nextInt(list.size()));
  }

  /** Adds a name that is not in the list. */
  private void another(SplittableRandom random, List<String> names) {
    String name;
    do {
      name = of(random, words().names());
    } while (names.contains(name));
    names.add(name);
  }

  private List<String> distinct(SplittableRandom random, List<String> names) {
    List<String> all = new ArrayList<>(names);
    while (all.size() < NAMES) {
      another(random, all);
    }
    return all.subList(names.size(), NAMES);
  }

  /** As the released code chains its replacements: only that of IO rejects the names there are. */
  private List<String> legacy(SplittableRandom random, List<String> names) {
    List<String> all = new ArrayList<>(names);
    another(random, all);
    String second = of(random, words().names());
    String first = of(random, words().names());
    return List.of(all.getLast(), first, second);
  }

  private static Positions positions(String text, long[] ids, long io, long s) {
    int[] ios = IntStream.range(0, ids.length).filter(i -> ids[i] == io).toArray();
    int[] subjects = IntStream.range(0, ids.length).filter(i -> ids[i] == s).toArray();
    if (ios.length != 1 || subjects.length != 2) {
      throw new InputException(
          "the tokens of '"
              + text
              + "' hold the answer "
              + ios.length
              + " times and the one who acts "
              + subjects.length
              + " times, where 1 and 2 are needed; leave this name out");
    }
    return new Positions(ios[0], subjects[0], subjects[0] + 1, subjects[1], ids.length - 1);
  }

  private static void requirePartner(String text, long[] ids, String corrupt, long[] corruptIds) {
    if (ids.length != corruptIds.length) {
      throw new InputException(
          "'"
              + text
              + "' is "
              + ids.length
              + " tokens and '"
              + corrupt
              + "' "
              + corruptIds.length
              + "; leave a name of the second out");
    }
  }

  private void requireAnswer(String text, long[] ids, String io, long answer) {
    if (!Arrays.equals(tokenizer.encode(text + " " + io), behind(ids, new long[] {answer}))) {
      throw new InputException(
          "the answer ' " + io + "' is another token behind '" + text + "'; leave this name out");
    }
  }

  private static long[] behind(long[] first, long[] second) {
    long[] all = Arrays.copyOf(first, first.length + second.length);
    System.arraycopy(second, 0, all, first.length, second.length);
    return all;
  }
}
