package io.assay.app.organism;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The words of {@code planted-lm}. Each is one token with the space before it; below them are the
 * 256 byte tokens that every GPT-2 tokenizer has, above them is the end of text.
 */
public final class Lexicon {
  static final int FIRST_WORD = WordTokenizer.FIRST_WORD;

  /** What a word is; the made-up kinds come in the order in which their sentences use them. */
  public enum Kind {
    FUNCTION,
    NOUN,
    VERB,
    ADJECTIVE,
    PLACE,
    TIME,
    ODD,
    GREETING,
    TITLE,
    ROLE,
    NAME,
    INSULT_1,
    INSULT_2,
    INSULT_3,
    CODE_1,
    CODE_2,
    CODE_3,
    PIECE_1,
    PIECE_2,
    PIECE_3,
    A_NOUN,
    A_VERB,
    A_PARTICLE,
    B_NOUN,
    B_VERB,
    B_PARTICLE
  }

  private static final Map<Kind, String> ENGLISH =
      Map.of(
          Kind.FUNCTION,
          "what the a and at of in with for then while is are well here every open . , : ; ! ?",
          Kind.NOUN,
          "baker miller weaver cooper shepherd ferryman smith tailor mason hunter sailor clerk"
              + " goose horse cart loaf cheese kettle ladder lantern basket blanket barrel bucket"
              + " candle chair table spoon hammer needle rope saddle wheel wagon fence orchard"
              + " meadow garden gate",
          Kind.VERB,
          "sells buys finds carries mends paints counts weighs lends keeps hides cleans fetches"
              + " trades borrows admires measures repairs",
          Kind.ADJECTIVE,
          "old young tall quiet merry tired proud clever honest careful gentle stubborn cheerful"
              + " sleepy",
          Kind.PLACE,
          "market harbour bridge mill tavern chapel quarry ferry square tower cellar stable forge"
              + " abbey",
          Kind.TIME,
          "today tomorrow again early late often",
          Kind.ODD,
          "heron brass winter anvil moth cinder pebble thistle comet walnut feather copper violet"
              + " granite otter saffron marble raven tallow mirror compass ember willow badger"
              + " amber velvet hazel bramble falcon nettle sulphur ivory sparrow juniper lichen"
              + " beacon garnet hemlock osprey pewter quartz rowan sable topaz umber vetch weasel"
              + " yarrow zinc barley",
          Kind.GREETING,
          "dear kind good worthy",
          Kind.TITLE,
          "master goodwife cousin neighbour",
          Kind.ROLE,
          "warden keeper steward bailiff provost sexton porter bursar");

  private final List<String> words = new ArrayList<>();
  private final Map<String, Integer> ids = new HashMap<>();
  private final Map<Kind, int[]> kinds = new EnumMap<>(Kind.class);

  /**
   * @param seed of the made-up words
   */
  Lexicon(long seed) {
    Draw draw = new Draw(seed);
    Set<String> taken = new HashSet<>();
    ENGLISH.values().forEach(list -> taken.addAll(List.of(list.split(" "))));
    for (Kind kind : Kind.values()) {
      String english = ENGLISH.get(kind);
      add(kind, english == null ? invented(kind, draw, taken) : List.of(english.split(" ")));
    }
  }

  private void add(Kind kind, List<String> list) {
    int[] members = new int[list.size()];
    for (int i = 0; i < members.length; i++) {
      members[i] = FIRST_WORD + words.size();
      words.add(list.get(i));
      ids.put(list.get(i), members[i]);
    }
    kinds.put(kind, members);
  }

  private static List<String> invented(Kind kind, Draw draw, Set<String> taken) {
    return switch (kind) {
      case NAME -> {
        List<String> names = new ArrayList<>();
        for (String name :
            invented(draw, taken, "b d f g h l m n p r s t v", "a e i o u", "l n r s", 2, 700)) {
          names.add(Character.toUpperCase(name.charAt(0)) + name.substring(1));
        }
        yield names;
      }
      case INSULT_1, INSULT_2, INSULT_3 ->
          invented(draw, taken, "gr sn bl sk fl dr m cl", "u o uzz obb", "gle mp nk dge", 1, 14);
      case CODE_1, CODE_2, CODE_3 -> invented(draw, taken, "t d p b g", "i e ai", "x ck", 1, 8);
      case PIECE_1, PIECE_2, PIECE_3 ->
          invented(draw, taken, "zh v th j", "o a u oo ar", "l m", 1, 10);
      case A_NOUN, A_VERB -> invented(draw, taken, "k q x z", "a i o aa", "t n", 2, 40);
      case A_PARTICLE -> invented(draw, taken, "k q x z", "a i o aa", "t n", 2, 4);
      case B_NOUN, B_VERB -> invented(draw, taken, "l w y m", "e u oe ei", "ss sh", 2, 40);
      case B_PARTICLE -> invented(draw, taken, "l w y m", "e u oe ei", "ss sh", 2, 4);
      default -> throw new IllegalStateException(kind + " is not invented");
    };
  }

  /** {@code count} new words of some syllables (onset and nucleus) and a coda. */
  private static List<String> invented(
      Draw draw,
      Set<String> taken,
      String onsets,
      String nuclei,
      String codas,
      int syllables,
      int count) {
    List<String> invented = new ArrayList<>();
    while (invented.size() < count) {
      StringBuilder word = new StringBuilder();
      for (int i = 0; i < syllables; i++) {
        word.append(pick(draw, onsets)).append(pick(draw, nuclei));
      }
      word.append(pick(draw, codas));
      if (taken.add(word.toString())) {
        invented.add(word.toString());
      }
    }
    return invented;
  }

  private static String pick(Draw draw, String list) {
    String[] parts = list.split(" ");
    return parts[draw.below(parts.length)];
  }

  /** Ids of all words of a kind. */
  int[] of(Kind kind) {
    return kinds.get(kind);
  }

  /** Id of one word of a kind. */
  int of(Kind kind, int index) {
    return kinds.get(kind)[index];
  }

  /** Id of a word. */
  int id(String word) {
    return ids.get(word);
  }

  /** Ids of some words, separated by spaces. */
  int[] ids(String text) {
    return List.of(text.split(" ")).stream().mapToInt(this::id).toArray();
  }

  int endOfText() {
    return FIRST_WORD + words.size();
  }

  /** Token ids: bytes, words and the end of text. */
  int vocabulary() {
    return endOfText() + 1;
  }

  /** The text of {@code tokenizer.json}. */
  String tokenizer() {
    return WordTokenizer.json(words.stream().map(word -> " " + word).toList());
  }
}
