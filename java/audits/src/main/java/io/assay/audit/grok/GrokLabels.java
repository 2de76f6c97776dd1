package io.assay.audit.grok;

import io.assay.engine.InputException;
import io.assay.engine.Sha256;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.StreamTokenizer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.SplittableRandom;

/** The right answer of every pair: a table of p x p numbers from 0 to p-1. */
public final class GrokLabels {
  private static final String ADDITION = "a + b";
  private static final String SUBTRACTION = "a - b";
  private static final String RANDOM = "random ";

  private final String name;
  private final int[] table;

  private GrokLabels(String name, int[] table) {
    this.name = name;
    this.table = table;
  }

  /** {@code (a + b) mod p}, the published task. */
  public static GrokLabels addition(int p) {
    return filled(ADDITION, p, (a, b) -> (a + b) % p);
  }

  /** {@code (a - b) mod p}. */
  public static GrokLabels subtraction(int p) {
    return filled(SUBTRACTION, p, (a, b) -> (a - b + p) % p);
  }

  /** Independent uniform labels, drawn once: nothing can be generalised. */
  public static GrokLabels random(int p, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return filled(RANDOM + seed, p, (a, b) -> random.nextInt(p));
  }

  /** The same number for all pairs. */
  static GrokLabels always(int p, int label) {
    return filled("always " + label, p, (a, b) -> label);
  }

  /**
   * A table from a text file: p lines of p numbers, line a, column b, between them spaces or
   * commas.
   *
   * @throws InputException if it cannot be read or is no such table
   */
  public static GrokLabels read(Path file, int p) {
    ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * p * p);
    int[] table = new int[p * p];
    int count = 0;
    try (BufferedReader reader = Files.newBufferedReader(file, StandardCharsets.ISO_8859_1)) {
      StreamTokenizer words = new StreamTokenizer(reader);
      words.resetSyntax();
      words.wordChars('!', 255);
      words.whitespaceChars(0, ' ');
      words.whitespaceChars(',', ',');
      while (words.nextToken() != StreamTokenizer.TT_EOF) {
        if (count == table.length) {
          throw new InputException(
              "the table " + file + " has more than " + count + " numbers, those of all pairs");
        }
        table[count] = label(file, words.sval, p);
        bytes.putInt(table[count++]);
      }
    } catch (IOException e) {
      String why =
          e instanceof NoSuchFileException
              ? "there is no such file, and labels of that name are not known"
              : e.getMessage();
      throw new InputException("the table " + file + " cannot be read: " + why, e);
    }
    if (count < table.length) {
      throw new InputException(
          "the table " + file + " has " + count + " numbers; it must have " + table.length);
    }
    return new GrokLabels("table " + Sha256.hex(bytes.array()), table);
  }

  private static int label(Path file, String word, int p) {
    try {
      int label = Integer.parseInt(word);
      if (label >= 0 && label < p) {
        return label;
      }
    } catch (NumberFormatException e) {
      // The sentence below says it.
    }
    throw new InputException(
        "the table " + file + " holds " + word + "; labels are from 0 to " + (p - 1));
  }

  /** The labels of that name; empty for a table, which no name gives. */
  static Optional<GrokLabels> named(String name, int p) {
    if (name.equals(ADDITION)) {
      return Optional.of(addition(p));
    }
    if (name.equals(SUBTRACTION)) {
      return Optional.of(subtraction(p));
    }
    return name.matches(RANDOM + "\\d{1,18}")
        ? Optional.of(random(p, Long.parseLong(name.substring(RANDOM.length()))))
        : Optional.empty();
  }

  private interface Rule {
    int label(int a, int b);
  }

  private static GrokLabels filled(String name, int p, Rule rule) {
    GrokShape.requireModulus(p);
    int[] table = new int[p * p];
    for (int i = 0; i < table.length; i++) {
      table[i] = rule.label(i / p, i % p);
    }
    return new GrokLabels(name, table);
  }

  /** What they are: {@code a + b}, {@code a - b}, {@code random SEED} or {@code table SHA256}. */
  public String name() {
    return name;
  }

  /** Whether they are those of the published task. */
  public boolean isAddition() {
    return name.equals(ADDITION);
  }

  /** Label of the pair {@code index = a p + b}. */
  public int of(int index) {
    return table[index];
  }

  int pairs() {
    return table.length;
  }
}
