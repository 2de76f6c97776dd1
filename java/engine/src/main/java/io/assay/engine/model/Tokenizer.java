package io.assay.engine.model;

import io.assay.engine.InputException;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.LongStream;

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

  /** The special token that some models want at the beginning of a text; empty if there is none. */
  default OptionalLong bos() {
    for (String name : List.of("<|begin_of_text|>", "<s>", "<bos>", "<|endoftext|>")) {
      OptionalLong found =
          LongStream.range(0, size())
              .filter(id -> isSpecial(id) && token(id).equals(name))
              .findFirst();
      if (found.isPresent()) {
        return found;
      }
    }
    return OptionalLong.empty();
  }

  /** Number of ids: the largest id with a token, plus one. */
  int size();
}
