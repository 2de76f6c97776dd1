package io.assay.audit.arca;

import io.assay.audit.arca.ArcaSpec.CopyFilter;
import java.util.BitSet;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;

/** Which tokens a prompt may not use because they repeat the answer (specs/arca.md 3.4). */
public final class TokenConstraints {
  private TokenConstraints() {}

  /**
   * Tokens that resemble an output.
   *
   * <p>A token whose text has more than three characters, or that is itself an output token, is
   * forbidden when its text starts with an output token's text minus the last character, or when an
   * output token's text starts with it. Texts are compared stripped and lower-cased. {@link
   * CopyFilter#FIXED} applies the first half only to output tokens of at least three characters;
   * output tokens themselves are always forbidden.
   *
   * @param text text of a token
   * @param vocabulary number of tokens
   * @param output ids of the output
   */
  public static BitSet copies(
      CopyFilter filter, IntFunction<String> text, int vocabulary, List<Integer> output) {
    BitSet forbidden = new BitSet(vocabulary);
    if (filter == CopyFilter.NONE) {
      return forbidden;
    }
    List<String> outputs = output.stream().map(id -> normal(text.apply(id))).toList();
    for (int v = 0; v < vocabulary; v++) {
      String raw = text.apply(v);
      boolean same = output.contains(v);
      if (filter == CopyFilter.FIXED && same) {
        forbidden.set(v);
      } else if (same || raw.codePointCount(0, raw.length()) > 3) {
        String t = normal(raw);
        forbidden.set(v, outputs.stream().anyMatch(c -> resembles(filter, t, c)));
      }
    }
    return forbidden;
  }

  private static boolean resembles(CopyFilter filter, String t, String c) {
    int length = c.codePointCount(0, c.length());
    String stem = length == 0 ? "" : c.substring(0, c.offsetByCodePoints(0, length - 1));
    boolean long_ = filter == CopyFilter.OFFICIAL || length >= 3;
    boolean part = filter == CopyFilter.OFFICIAL || !t.isEmpty();
    return long_ && t.startsWith(stem) || part && c.startsWith(t);
  }

  private static String normal(String text) {
    return text.strip().toLowerCase(Locale.ROOT);
  }

  /** Without a tokenizer there are no texts: the output tokens themselves are forbidden. */
  static BitSet copiesById(CopyFilter filter, int vocabulary, List<Integer> output) {
    BitSet forbidden = new BitSet(vocabulary);
    if (filter != CopyFilter.NONE) {
      output.forEach(forbidden::set);
    }
    return forbidden;
  }
}
