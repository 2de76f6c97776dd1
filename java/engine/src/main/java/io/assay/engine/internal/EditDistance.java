package io.assay.engine.internal;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/** How near a name is to one that was meant. */
public final class EditDistance {
  /** Names that a message suggests, and the longest of them. */
  private static final int NEAREST = 3;

  private static final int LONGEST = 100;

  private EditDistance() {}

  /** What a message about an unknown name ends with: the names nearest to it, if there are any. */
  public static String near(String name, Collection<String> names) {
    List<String> near =
        names.stream()
            .filter(n -> Math.max(n.length(), name.length()) <= LONGEST)
            .sorted(Comparator.comparingInt((String n) -> between(name, n)))
            .limit(NEAREST)
            .toList();
    return near.isEmpty() ? "" : "; near it are " + String.join(", ", near);
  }

  /** Fewest letters to insert, delete or replace that make one text the other (Levenshtein). */
  public static int between(String a, String b) {
    int[] row = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      row[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, Math.min(row[j], row[j - 1]) + 1);
      }
    }
    return row[b.length()];
  }
}
