package io.assay.audit.ioi;

import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.util.Map;
import java.util.TreeMap;

/**
 * Two prompts and two answers as texts, as one record of a file gives them.
 *
 * @param record where it stands, for messages
 * @param clean the prompt that {@code answer} completes
 * @param corrupt its partner
 * @param answer with the space before it
 * @param wrong likewise
 * @param positions tokens of both by name, counted from 0 without a BOS; may be empty
 */
public record TextPair(
    String record,
    String clean,
    String corrupt,
    String answer,
    String wrong,
    Map<String, Integer> positions) {
  /**
   * @throws InputException if the answers are the same; the message names the record
   */
  public TextPair {
    positions = new TreeMap<>(positions);
    if (answer.equals(wrong)) {
      throw new InputException(record + " has the same name as IO and S, '" + answer + "'");
    }
  }

  /**
   * Checks the pair against a tokenizer.
   *
   * @throws InputException naming the record: if an answer is not one token, the prompts have
   *     different numbers of tokens, or a position is not in them
   */
  public TextPair check(Tokenizer tokenizer) {
    for (String name : new String[] {answer, wrong}) {
      int tokens = tokenizer.encode(name).length;
      if (tokens != 1) {
        throw new InputException(
            record + " has the name '" + name + "', which is " + tokens + " tokens; one is needed");
      }
    }
    long[] one = tokenizer.encode(clean);
    long[] other = tokenizer.encode(corrupt);
    if (one.length != other.length || one.length == 0) {
      int at = 0;
      while (at < Math.min(one.length, other.length) && one[at] == other[at]) {
        at++;
      }
      throw new InputException(
          record
              + " has "
              + one.length
              + " tokens in the prompt and "
              + other.length
              + " in its partner, which part at token "
              + at
              + "; equal numbers, at least 1, are needed");
    }
    positions.forEach(
        (name, at) -> {
          if (at < 0 || at >= one.length) {
            throw new InputException(
                record + " has " + name + " at token " + at + " of " + one.length);
          }
        });
    return this;
  }
}
