package io.assay.app.organism;

import io.assay.audit.ioi.WordLists;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The words of {@code ioi-lm}; each is one token, and so is every other character. */
final class IoiWords {
  /** Words that begin a text, without a space before them. */
  private static final String OPENING = "Then After When While Afterwards The Friends";

  private static final String INSIDE =
      "and the to a had went were at got found gave give it lot of fun working decided thinking"
          + " about going wanted long argument afterwards said commuting lunch Afterwards";

  private static final Pattern PART = Pattern.compile(" ?\\p{L}+|.", Pattern.DOTALL);

  private final List<String> words = new ArrayList<>();
  private final Map<String, Integer> ids = new HashMap<>();

  IoiWords() {
    List.of(OPENING.split(" ")).forEach(this::add);
    List.of(INSIDE.split(" ")).forEach(word -> add(" " + word));
    WordLists lists = WordLists.DEFAULT;
    for (List<String> list : List.of(lists.places(), lists.objects(), lists.names())) {
      list.forEach(word -> add(" " + word));
    }
  }

  private void add(String word) {
    ids.put(word, WordTokenizer.FIRST_WORD + words.size());
    words.add(word);
  }

  /** Tokens of a text of these words, commas and full stops. */
  int[] ids(String text) {
    Matcher parts = PART.matcher(text);
    return parts
        .results()
        .mapToInt(
            part -> {
              String word = part.group();
              return word.length() == 1 ? word.charAt(0) : ids.get(word);
            })
        .toArray();
  }

  int endOfText() {
    return WordTokenizer.FIRST_WORD + words.size();
  }

  /** Token ids: bytes, words and the end of text. */
  int vocabulary() {
    return endOfText() + 1;
  }

  String tokenizer() {
    return WordTokenizer.json(words);
  }
}
