package io.assay.app;

import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Reads token sequences from options, as texts or as ids. */
final class Tokens {
  private final LanguageModel model;

  Tokens(LanguageModel model) {
    this.model = model;
  }

  /** Ids of one of two options, of which at most one may be given; empty if none is. */
  List<Integer> either(String textOption, String text, String idsOption, String ids) {
    if (text != null && ids != null) {
      throw new InputException("give " + textOption + " or " + idsOption + ", not both");
    }
    if (text != null) {
      return text(textOption, text);
    }
    return ids == null ? List.of() : ids(idsOption, ids);
  }

  /** Ids of a text that an option gave. */
  List<Integer> text(String option, String text) {
    Tokenizer tokenizer =
        model
            .tokenizer()
            .orElseThrow(
                () ->
                    new InputException(
                        "the model "
                            + model.model().name()
                            + " has no tokenizer; give token ids with "
                            + option
                            + "-ids"));
    if (text.isEmpty()) {
      throw new InputException("the text of " + option + " is empty; give at least one character");
    }
    return Arrays.stream(tokenizer.encode(text)).mapToObj(Math::toIntExact).toList();
  }

  /** Ids that an option lists, separated by commas. */
  List<Integer> ids(String option, String list) {
    List<Integer> ids = new ArrayList<>();
    for (String part : list.split(",", -1)) {
      String word = part.strip();
      if (!word.matches("\\d{1,9}")) {
        throw new InputException(
            option + " holds '" + word + "', which is no token id; write ids such as 12,7,401");
      }
      ids.add(Integer.parseInt(word));
    }
    return check(option, ids);
  }

  /**
   * The ids, which must exist in the model.
   *
   * @param place where they come from, for the message
   */
  List<Integer> check(String place, List<Integer> ids) {
    for (int id : ids) {
      if (id >= model.vocabulary()) {
        throw new InputException(
            place
                + " holds the id "
                + id
                + "; the ids of the model "
                + model.model().name()
                + " end at "
                + (model.vocabulary() - 1));
      }
    }
    return ids;
  }

  /**
   * Whether the text of a prompt, and that of prompt and output, encode to the same ids again;
   * empty where there is no tokenizer.
   */
  Optional<Boolean> isStable(List<Integer> prompt, List<Integer> output) {
    List<Integer> whole = new ArrayList<>(prompt);
    whole.addAll(output);
    return model.tokenizer().map(t -> isStable(t, prompt) && isStable(t, whole));
  }

  private static boolean isStable(Tokenizer tokenizer, List<Integer> ids) {
    long[] wide = ids.stream().mapToLong(Integer::longValue).toArray();
    return Arrays.equals(tokenizer.encode(tokenizer.decode(wide)), wide);
  }

  /** The text of ids as it is, or the ids where there is no tokenizer. */
  String text(List<Integer> ids) {
    return model
        .tokenizer()
        .map(t -> t.decode(ids.stream().mapToLong(Integer::longValue).toArray()))
        .orElseGet(ids::toString);
  }

  /** The text of one token with its spaces, control characters written out; or its id. */
  String token(int id) {
    return model
        .tokenizer()
        .map(t -> Words.quoted(t.decode(id)))
        .map(quoted -> quoted.substring(1, quoted.length() - 1))
        .orElseGet(() -> Integer.toString(id));
  }

  /**
   * Ids as people can read them and give them back to a command: their text in the quotes of a
   * shell; with the ids beside it, separated by commas, where the text does not stand for them; the
   * ids alone where there is no tokenizer.
   */
  String show(List<Integer> ids) {
    String list = ids.stream().map(String::valueOf).collect(Collectors.joining(","));
    Tokenizer tokenizer = model.tokenizer().orElse(null);
    if (tokenizer == null) {
      return list;
    }
    String text = text(ids);
    return isStable(tokenizer, ids) && Words.fitsAShell(text)
        ? Words.quoted(text)
        : Words.quoted(text) + " " + list;
  }
}
