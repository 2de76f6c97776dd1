package io.assay.fuzz;

import com.code_intelligence.jazzer.junit.DictionaryEntries;
import com.code_intelligence.jazzer.junit.FuzzTest;
import io.assay.engine.InputException;
import io.assay.engine.model.Model;
import io.assay.engine.model.Tokenizer;
import io.assay.engine.tensor.Safetensors;
import java.util.stream.Stream;
import org.junit.jupiter.params.provider.MethodSource;

/** Each file of a model folder, with the others as they should be. */
class FolderFuzzTest {
  private static final TinyFolder WHOLE = new TinyFolder();
  private static final TinyFolder SHARDS = new TinyFolder().asShards();

  private static void check(TinyFolder folder, String name, byte[] bytes) {
    Parsers.check(
        folder.file(name),
        bytes,
        () -> {
          try (Model model = Model.load(folder.path())) {
            model.tokenizer().ifPresent(FolderFuzzTest::use);
          }
        });
  }

  /** Tokens of a text and their text; ids without a token are refused. */
  private static void use(Tokenizer tokenizer) {
    tokenizer.decode(tokenizer.encode("abc a\u00e9 <e>\ud83d\ude00\n"));
    for (long id = -1; id <= tokenizer.size(); id++) {
      try {
        tokenizer.token(id);
        tokenizer.decode(id);
      } catch (InputException e) {
        // As promised.
      }
    }
  }

  static Stream<byte[]> configs() {
    return Stream.of(WHOLE.bytes("config.json"));
  }

  @MethodSource("configs")
  @DictionaryEntries({"n_layer", "n_inner", "n_ctx", "tie_word_embeddings", "null", "16777216"})
  @FuzzTest
  void config(byte[] bytes) {
    check(WHOLE, "config.json", bytes);
  }

  static Stream<byte[]> weights() {
    return Stream.of(WHOLE.bytes("model.safetensors"));
  }

  @MethodSource("weights")
  @DictionaryEntries({
    "\"dtype\":\"BF16\"",
    "\"F64\"",
    "\"shape\":[",
    "\"data_offsets\":[",
    "9e9",
    "{"
  })
  @FuzzTest
  void weights(byte[] bytes) {
    check(WHOLE, "model.safetensors", bytes);
  }

  @MethodSource("weights")
  @DictionaryEntries({"__metadata__", "\"shape\":[0]", "\"data_offsets\":[0,0]", "U8"})
  @FuzzTest
  void safetensors(byte[] bytes) {
    Parsers.check(
        WHOLE.file("other.safetensors"),
        bytes,
        () -> Safetensors.read(WHOLE.file("other.safetensors")));
  }

  static Stream<byte[]> tokenizers() {
    return Stream.of(WHOLE.bytes("tokenizer.json"));
  }

  @MethodSource("tokenizers")
  @DictionaryEntries({
    "\"type\":\"Unigram\"",
    "\"type\":\"WordPiece\"",
    "\"type\":\"WordLevel\"",
    "\"unk_id\":",
    "\"unk_token\":\"a\"",
    "\"type\":\"Sequence\"",
    "\"type\":\"Split\",\"pattern\":{\"Regex\":\"",
    "\"type\":\"TemplateProcessing\"",
    "\"byte_fallback\":true",
    "[[\"a\",0.1]]"
  })
  @FuzzTest
  void tokenizer(byte[] bytes) {
    check(WHOLE, "tokenizer.json", bytes);
  }

  static Stream<byte[]> indices() {
    return Stream.of(SHARDS.bytes("model.safetensors.index.json"));
  }

  @MethodSource("indices")
  @DictionaryEntries({"weight_map", "one.safetensors", "../", "%00"})
  @FuzzTest
  void index(byte[] bytes) {
    check(SHARDS, "model.safetensors.index.json", bytes);
  }

  static Stream<byte[]> vocabularies() {
    return Stream.of(SHARDS.bytes("vocab.json"));
  }

  @MethodSource("vocabularies")
  @DictionaryEntries({"<|endoftext|>", "2147483647", "-1"})
  @FuzzTest
  void vocabulary(byte[] bytes) {
    check(SHARDS, "vocab.json", bytes);
  }

  static Stream<byte[]> merges() {
    return Stream.of(SHARDS.bytes("merges.txt"));
  }

  @MethodSource("merges")
  @FuzzTest
  void merges(byte[] bytes) {
    check(SHARDS, "merges.txt", bytes);
  }
}
