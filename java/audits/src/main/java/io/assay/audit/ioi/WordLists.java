package io.assay.audit.ioi;

import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The words that fill the slots of the templates.
 *
 * @param pool whether words that are not one token of a tokenizer are left out; otherwise they are
 *     an error
 */
public record WordLists(
    List<String> names, List<String> places, List<String> objects, boolean pool) {
  /** Names below which there is nothing to draw from. */
  static final int FEWEST = 4;

  /** Names below which prompts are much alike. */
  private static final int FEW = 20;

  private static final String NAMES =
      "Michael Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David James Robert John Joseph"
          + " Andrew Ryan Brandon Jason Justin Sarah William Brian Nicole Anthony Eric Adam Megan"
          + " Kevin Steven Thomas Kyle Rachel Laura Lauren Amber Richard Jeffrey Amy Michelle"
          + " Jeremy Benjamin Mark Emily Aaron Charles Rebecca Jacob Stephen Patrick Sean Kelly"
          + " Nathan Paul Angela Scott Mary Lisa Jose Alexander Samuel";

  private static final String PLACES =
      "store garden restaurant school hospital office house station";

  private static final String OBJECTS = "ring kiss bone basketball computer necklace drink snack";

  /** Common first names of the United States, and the places and objects of the released code. */
  public static final WordLists DEFAULT =
      new WordLists(
          List.of(NAMES.split(" ")), List.of(PLACES.split(" ")), List.of(OBJECTS.split(" ")), true);

  public WordLists {
    names = List.copyOf(names);
    places = List.copyOf(places);
    objects = List.copyOf(objects);
  }

  /**
   * What is left of the lists for a tokenizer.
   *
   * @param lists the words that are one token each, with the space before them, all different
   * @param ids token by word
   * @param warnings what was left out, and what is scarce
   */
  record Kept(WordLists lists, Map<String, Long> ids, List<String> warnings) {}

  /**
   * The words that the tokenizer has as one token.
   *
   * @throws InputException if one of a chosen list is not, or too few are left
   */
  Kept keep(Tokenizer tokenizer) {
    Map<String, Long> ids = new LinkedHashMap<>();
    Map<Long, String> words = new HashMap<>();
    List<String> dropped = new ArrayList<>();
    List<List<String>> kept = new ArrayList<>();
    String[] kinds = {"name", "place", "object"};
    int kind = 0;
    for (List<String> list : List.of(names, places, objects)) {
      List<String> good = new ArrayList<>();
      for (String word : list) {
        String fault = fault(tokenizer, word, words);
        if (fault == null) {
          ids.put(word, tokenizer.encode(" " + word)[0]);
          good.add(word);
        } else if (pool) {
          dropped.add(word);
        } else {
          throw new InputException(
              "the " + kinds[kind] + " '" + word + "' " + fault + "; choose another word");
        }
      }
      kept.add(good);
      kind++;
    }
    WordLists lists = new WordLists(kept.get(0), kept.get(1), kept.get(2), pool);
    return new Kept(lists, ids, lists.scarce(dropped));
  }

  /** What is wrong with a word, or null; remembers the word's token. */
  private static String fault(Tokenizer tokenizer, String word, Map<Long, String> words) {
    long[] ids = tokenizer.encode(" " + word);
    if (ids.length != 1) {
      return "is " + ids.length + " tokens of this tokenizer, where one is needed";
    }
    if (!tokenizer.decode(ids).strip().equals(word)) {
      return "is not known to this tokenizer, which reads it as '" + tokenizer.decode(ids) + "'";
    }
    String other = words.putIfAbsent(ids[0], word);
    return other == null ? null : "has the same token as '" + other + "'";
  }

  private List<String> scarce(List<String> dropped) {
    if (names.size() < FEWEST) {
      throw new InputException(
          "only "
              + names.size()
              + " names are one token of this tokenizer, "
              + names
              + "; at least "
              + FEWEST
              + " are needed: give your own list (--names)");
    }
    if (places.isEmpty() || objects.isEmpty()) {
      throw new InputException(
          "no "
              + (places.isEmpty() ? "place" : "object")
              + " is one token of this tokenizer; give your own list");
    }
    List<String> warnings = new ArrayList<>();
    if (!dropped.isEmpty()) {
      warnings.add(
          dropped.size()
              + " words are not one token and are left out: "
              + String.join(" ", dropped));
    }
    if (names.size() < FEW) {
      warnings.add("only " + names.size() + " names are left; " + FEW + " or more are better");
    }
    return List.copyOf(warnings);
  }
}
