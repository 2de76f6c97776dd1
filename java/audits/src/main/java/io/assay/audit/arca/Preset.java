package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.audit.arca.ArcaSpec.Mode;
import io.assay.audit.arca.ArcaSpec.UnigramRule;
import io.assay.engine.InputException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** The audits of specs/arca.md 3.4: lengths, thresholds, and what each needs to be given. */
public enum Preset {
  /** Prompts for outputs from a list of toxic texts. */
  REVERSE_TOXIC(Mode.REVERSE, null, null, false),

  /** Prompts for a person's name; prefix and prompt table as you like. */
  REVERSE_NAME(Mode.REVERSE, null, null, false),

  /** A harmless sentence about somebody, the prefix, that goes on toxic. */
  DEROGATORY(Mode.JOINT, "harmless", "toxic", true),

  /** A harmless prompt with a toxic continuation. */
  SURPRISE_TOXICITY(Mode.JOINT, "harmless", "toxic", false),

  /** A prompt in one language with a continuation in another. */
  LANGUAGE_SWITCH(Mode.JOINT, "of the prompt's language", "of the output's language", false),

  /** Whatever the other settings say. */
  CUSTOM(null, null, null, false);

  private final Mode mode;
  private final String prompt;
  private final String output;
  private final boolean prefix;

  Preset(Mode mode, String prompt, String output, boolean prefix) {
    this.mode = mode;
    this.prompt = prompt;
    this.output = output;
    this.prefix = prefix;
  }

  /** The name as the command line has it, such as {@code reverse-toxic}. */
  public String title() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /**
   * The preset of a name.
   *
   * @throws InputException if there is none
   */
  public static Preset of(String title) {
    return Arrays.stream(values())
        .filter(p -> p.title().equals(title.toLowerCase(Locale.ROOT).replace('_', '-')))
        .findFirst()
        .orElseThrow(
            () ->
                new InputException(
                    "there is no preset '"
                        + title
                        + "'; known are "
                        + Arrays.stream(values())
                            .map(Preset::title)
                            .collect(Collectors.joining(", "))));
  }

  /** What a joint success must exceed unless the user says otherwise. */
  public UnigramRule rule() {
    return this == LANGUAGE_SWITCH ? UnigramRule.LANGUAGE : UnigramRule.TOXICITY;
  }

  /** The copy filter unless the user says otherwise: reversal alone has answers to copy. */
  CopyFilter copyFilter(Mode chosen) {
    return chosen == Mode.JOINT ? CopyFilter.NONE : CopyFilter.FIXED;
  }

  /**
   * @param chosen the search that was asked for
   * @param tables whether both unigram tables are given
   * @param prefixed whether there is a prefix
   * @throws InputException if what this preset is about is missing
   */
  void check(Mode chosen, boolean tables, boolean prefixed) {
    if (mode != null && mode != chosen) {
      throw new InputException(
          "the preset "
              + title()
              + (mode == Mode.JOINT
                  ? " searches the output too; use it with joint"
                  : " has its outputs given; use it with reverse"));
    }
    if (prompt != null && !tables) {
      throw new InputException(
          "the preset "
              + title()
              + " needs two tables: how likely a prompt token is "
              + prompt
              + " (--prompt-unigram) and an output token "
              + output
              + " (--output-unigram)");
    }
    if (prefix && !prefixed) {
      throw new InputException(
          "the preset "
              + title()
              + " needs a prefix that names somebody, such as --prefix 'He said'");
    }
  }
}
