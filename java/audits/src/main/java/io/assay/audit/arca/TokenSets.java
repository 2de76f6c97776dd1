package io.assay.audit.arca;

import io.assay.engine.InputException;
import io.assay.engine.model.LanguageModel;
import io.assay.engine.model.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import java.util.stream.IntStream;

/**
 * Sets of a model's tokens by name (specs/arca.md 3.4):
 *
 * <table>
 * <caption>Names</caption>
 * <tr><td>{@code letters}</td><td>only letters, spaces at both ends aside</td></tr>
 * <tr><td>{@code lowercase}</td><td>equal to their lower case</td></tr>
 * <tr><td>{@code ascii}</td><td>only characters below 128</td></tr>
 * <tr><td>{@code printable}</td><td>only letters, marks, digits, punctuation, symbols and the plain
 * space; no broken UTF-8</td></tr>
 * <tr><td>{@code special}</td><td>tokens that stand for no text, such as the end of a text</td></tr>
 * <tr><td>{@code ids:1,2,3}</td><td>these</td></tr>
 * <tr><td>{@code regex:PATTERN}</td><td>whose text has a match of a Java pattern</td></tr>
 * <tr><td>{@code contains:TEXT}</td><td>whose text has this in it, whatever the case</td></tr>
 * <tr><td>{@code top:K:FILE[:NAME]}</td><td>the K of the highest value in a unigram table, as {@link
 * UnigramTable#read(String)} has it, lower ids first among equals</td></tr>
 * <tr><td>{@code first:K:FILE}</td><td>the first K ids of a list, one a line</td></tr>
 * <tr><td>{@code not_SET}</td><td>all others</td></tr>
 * </table>
 */
public final class TokenSets {
  /** The names, for messages. */
  private static final String NAMES =
      "letters, lowercase, ascii, printable, special, ids:1,2, regex:PATTERN, contains:TEXT,"
          + " top:K:FILE, first:K:FILE, and not_ before any of them";

  private final LanguageModel model;
  private final int vocabulary;
  private String[] texts;

  public TokenSets(LanguageModel model) {
    this.model = model;
    this.vocabulary = Problem.vocabulary(model);
  }

  /**
   * The tokens that are in all of {@code allowed} and in none of {@code forbidden}; null if both
   * are empty.
   *
   * @throws InputException if a name is not known or its argument is wrong
   */
  public TokenSet allowed(List<String> allowed, List<String> forbidden) {
    TokenSet all = null;
    for (String name : allowed) {
      all = all == null ? set(name) : all.and(set(name));
    }
    for (String name : forbidden) {
      TokenSet rest = set(name).not(vocabulary);
      all = all == null ? rest : all.and(rest);
    }
    return all;
  }

  /**
   * The set of a name.
   *
   * @throws InputException if the name is not known or its argument is wrong
   */
  public TokenSet set(String name) {
    if (name.startsWith("not_")) {
      return set(name.substring("not_".length())).not(vocabulary);
    }
    int colon = name.indexOf(':');
    String kind = colon < 0 ? name : name.substring(0, colon + 1);
    String argument = name.substring(colon + 1);
    BitSet ids =
        switch (kind) {
          case "letters" -> byText(name, TokenSets::isLetters);
          case "lowercase" -> byText(name, text -> text.equals(text.toLowerCase(Locale.ROOT)));
          case "ascii" -> byText(name, text -> text.chars().allMatch(c -> c < 128));
          case "printable" -> byText(name, text -> text.codePoints().allMatch(TokenSets::prints));
          case "special" -> special(name);
          case "ids:" -> ids(name, argument.split(",", -1));
          case "regex:" -> byText(name, pattern(name, argument).asPredicate());
          case "contains:" -> byText(name, containing(name, argument));
          case "top:" -> top(name, argument);
          case "first:" -> first(name, argument);
          default ->
              throw new InputException("there is no token set '" + name + "'; known are " + NAMES);
        };
    return new TokenSet(name, ids);
  }

  private BitSet byText(String name, Predicate<String> wanted) {
    if (texts == null) {
      Tokenizer tokenizer = tokenizer(name);
      texts = new String[vocabulary];
      for (int v = 0; v < vocabulary; v++) {
        texts[v] = tokenizer.decode(v);
      }
    }
    BitSet ids = new BitSet();
    for (int v = 0; v < vocabulary; v++) {
      ids.set(v, wanted.test(texts[v]));
    }
    return ids;
  }

  private Tokenizer tokenizer(String name) {
    return model
        .tokenizer()
        .orElseThrow(
            () ->
                new InputException(
                    "the token set '"
                        + name
                        + "' asks for texts and the model "
                        + model.model().name()
                        + " has no tokenizer; use ids:, top: or first:"));
  }

  private static boolean isLetters(String text) {
    String inner = text.strip();
    return !inner.isEmpty() && inner.codePoints().allMatch(Character::isLetter);
  }

  private static boolean prints(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      case Character.SPACE_SEPARATOR -> c == ' ';
      default -> c != 0xFFFD;
    };
  }

  private BitSet special(String name) {
    Tokenizer tokenizer = tokenizer(name);
    BitSet ids = new BitSet();
    for (int v = 0; v < vocabulary; v++) {
      ids.set(v, tokenizer.isSpecial(v));
    }
    return ids;
  }

  private BitSet ids(String name, String... words) {
    BitSet ids = new BitSet();
    for (String word : words) {
      String id = word.strip();
      if (!id.matches("\\d{1,9}") || Integer.parseInt(id) >= vocabulary) {
        throw new InputException(
            "the token set '"
                + name
                + "' has '"
                + id
                + "', which is no token id of the model; they are 0 to "
                + (vocabulary - 1));
      }
      ids.set(Integer.parseInt(id));
    }
    return ids;
  }

  private static Pattern pattern(String name, String pattern) {
    try {
      return Pattern.compile(pattern);
    } catch (PatternSyntaxException e) {
      throw new InputException(
          "the token set '" + name + "' is no pattern of Java: " + e.getDescription(), e);
    }
  }

  private static Predicate<String> containing(String name, String part) {
    if (part.isEmpty()) {
      throw new InputException(
          "the token set '" + name + "' names no text; write contains: and what tokens contain");
    }
    String lower = part.toLowerCase(Locale.ROOT);
    return text -> text.toLowerCase(Locale.ROOT).contains(lower);
  }

  private BitSet top(String name, String argument) {
    int count = count(name, argument);
    UnigramTable table = UnigramTable.read(file(name, argument).toString());
    table.requireSize(model.vocabulary(), model.embedding().rows());
    BitSet ids = new BitSet();
    IntStream.range(0, vocabulary)
        .boxed()
        .sorted(Comparator.comparingDouble(v -> -table.get(v)))
        .limit(count)
        .forEach(ids::set);
    return ids;
  }

  private BitSet first(String name, String argument) {
    int count = count(name, argument);
    Path file = file(name, argument);
    List<String> lines;
    try {
      lines = Files.readAllLines(file, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new InputException(
          "the file " + file + " of token ids cannot be read; write one id a line", e);
    }
    return ids(
        name, lines.stream().filter(line -> !line.isBlank()).limit(count).toArray(String[]::new));
  }

  /** K of {@code K:FILE}. */
  private static int count(String name, String argument) {
    String[] parts = argument.split(":", 2);
    if (parts.length != 2 || !parts[0].matches("[1-9]\\d{0,8}")) {
      throw new InputException(
          "the token set '"
              + name
              + "' needs a number of at least 1 and a file; write such as top:500:toxic.npy");
    }
    return Integer.parseInt(parts[0]);
  }

  private static Path file(String name, String argument) {
    try {
      return Path.of(argument.split(":", 2)[1]);
    } catch (InvalidPathException e) {
      throw new InputException("the token set '" + name + "' names no file", e);
    }
  }
}
