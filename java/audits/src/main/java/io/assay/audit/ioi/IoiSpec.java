package io.assay.audit.ioi;

import io.assay.engine.InputException;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Which prompts of the task are drawn.
 *
 * @param prompts how many, at least 1
 * @param seed of the one stream that all is drawn from; the same first prompts whatever their
 *     number
 * @param templates indices to draw from, each as often
 * @param forms to draw from, each as often
 * @param words to draw from
 * @param bos whether the tokenizer's token for the beginning of a text comes before each prompt
 * @param legacyCollisions whether corrupted prompts are drawn as the released code does: its names
 *     may repeat, and of the three only that in the place of IO surely is neither IO nor S
 */
public record IoiSpec(
    int prompts,
    long seed,
    List<Integer> templates,
    List<Form> forms,
    WordLists words,
    boolean bos,
    boolean legacyCollisions) {
  /** All 15 templates. */
  public static final List<Integer> ALL = IntStream.range(0, Template.COUNT).boxed().toList();

  /** The first 7, which the setting {@code mixed} of the released code uses. */
  public static final List<Integer> MIXED = ALL.subList(0, 7);

  /**
   * @throws InputException if a value is out of range; the message names it
   */
  public IoiSpec {
    templates = List.copyOf(templates);
    forms = List.copyOf(forms);
    if (prompts < 1) {
      throw new InputException("prompts is " + prompts + "; it must be at least 1");
    }
    if (templates.isEmpty() || forms.isEmpty()) {
      throw new InputException(
          "no " + (templates.isEmpty() ? "template" : "form") + " is given; give at least one");
    }
    for (int template : templates) {
      if (template < 0 || template >= Template.COUNT) {
        throw new InputException(
            "templates holds " + template + "; they are numbered 0 to " + (Template.COUNT - 1));
      }
    }
  }

  /** So many prompts of all templates in both forms, from the default words, without a BOS. */
  public static IoiSpec of(int prompts, long seed) {
    return new IoiSpec(
        prompts, seed, ALL, Arrays.asList(Form.values()), WordLists.DEFAULT, false, false);
  }

  public IoiSpec withTemplates(List<Integer> value) {
    return new IoiSpec(prompts, seed, value, forms, words, bos, legacyCollisions);
  }

  public IoiSpec withForms(List<Form> value) {
    return new IoiSpec(prompts, seed, templates, value, words, bos, legacyCollisions);
  }

  public IoiSpec withWords(WordLists value) {
    return new IoiSpec(prompts, seed, templates, forms, value, bos, legacyCollisions);
  }

  public IoiSpec withBos(boolean value) {
    return new IoiSpec(prompts, seed, templates, forms, words, value, legacyCollisions);
  }

  public IoiSpec withLegacyCollisions(boolean value) {
    return new IoiSpec(prompts, seed, templates, forms, words, bos, value);
  }
}
