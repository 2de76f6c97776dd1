package io.assay.audit.ioi;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Where in a prompt the names are, counted in tokens from 0.
 *
 * @param io the name that is the answer
 * @param s1 the first mention of the one who acts
 * @param s1Next the token behind it
 * @param s2 the second mention
 * @param end the last token, whose logits predict the answer
 */
public record Positions(int io, int s1, int s1Next, int s2, int end) {
  /** By the names that the literature uses: IO, S1, S1+1, S2, END. */
  public Map<String, Integer> byName() {
    Map<String, Integer> named = new LinkedHashMap<>();
    named.put("IO", io);
    named.put("S1", s1);
    named.put("S1+1", s1Next);
    named.put("S2", s2);
    named.put("END", end);
    return named;
  }

  /** The same behind {@code tokens} more. */
  Positions after(int tokens) {
    return new Positions(io + tokens, s1 + tokens, s1Next + tokens, s2 + tokens, end + tokens);
  }
}
