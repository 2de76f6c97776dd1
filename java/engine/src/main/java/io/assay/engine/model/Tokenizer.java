package io.assay.engine.model;

import io.assay.engine.InputException;
import java.nio.file.Path;

/** Turns text into token ids and back. Implementations may be used from several threads. */
public interface Tokenizer {
  /**
   * The tokenizer of a folder that holds {@code tokenizer.json}, or {@code vocab.json} and {@code
   * merges.txt}.
   *
   * @throws InputException if there is none, or its files are broken
   */
  static Tokenizer read(Path folder) {
    return TokenizerFiles.find(folder)
        .orElseThrow(
            () ->
                new InputException(
                    "the folder " + folder + " has no tokenizer.json; name one that does"));
  }

  /** Ids of a text, without special tokens added. */
  long[] encode(String text);

  /** Text of ids; bytes that are not valid UTF-8 become U+FFFD, one per maximal invalid part. */
  String decode(long... ids);

  /**
   * The token of an id as the vocabulary spells it.
   *
   * @throws InputException if there is no such id
   */
  String token(long id);

  /** Whether an id stands for no text, as the token at the end of a text does. */
  boolean isSpecial(long id);

  /** Number of ids: the largest id with a token, plus one. */
  int size();
}
