package io.assay.engine.model;

/** Turns text into token ids and back. Implementations may be used from several threads. */
public interface Tokenizer {
  /** Ids of a text, without special tokens added. */
  long[] encode(String text);

  /** Text of ids; bytes that are not valid UTF-8 become U+FFFD, one per maximal invalid part. */
  String decode(long... ids);

  /**
   * The token of an id as the vocabulary spells it.
   *
   * @throws io.assay.engine.InputException if there is no such id
   */
  String token(long id);

  /** Number of ids: the largest id with a token, plus one. */
  int size();
}
