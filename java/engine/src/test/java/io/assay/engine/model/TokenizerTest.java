package io.assay.engine.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Tokenizers against what the transformers library makes of the same files. */
class TokenizerTest {
  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void agreesOnEveryCase(boolean olderFiles) throws IOException {
    for (String file :
        olderFiles ? new String[] {"vocab.json", "merges.txt"} : new String[] {"tokenizer.json"}) {
      Files.copy(TinyGpt2.folder().resolve(file), folder.resolve(file));
    }
    try (TokenizerFiles tokenizer = TokenizerFiles.find(folder).orElseThrow()) {
      JsonNode cases = JsonFiles.object(TinyGpt2.folder().resolve("tokenizer-cases.json"));
      assertEquals(60, cases.get("cases").size());
      for (JsonNode c : cases.get("cases")) {
        long[] ids = longs(c.get("ids"));
        assertArrayEquals(ids, tokenizer.encode(c.get("text").textValue()), c.toString());
        assertEquals(c.get("decoded").textValue(), tokenizer.decode(ids), c.toString());
        for (int i = 0; i < ids.length; i++) {
          assertEquals(c.get("tokens").get(i).textValue(), tokenizer.token(ids[i]));
        }
      }
      assertEquals(14, cases.get("invalid_utf8").size());
      for (JsonNode c : cases.get("invalid_utf8")) {
        assertEquals(
            c.get("decoded").textValue(), tokenizer.decode(longs(c.get("ids"))), c.toString());
      }
      assertEquals(512, tokenizer.size());
      InputException e = assertThrows(InputException.class, () -> tokenizer.decode(512));
      assertTrue(e.getMessage().contains("no token 512"), e.getMessage());
    }
  }

  @Test
  void folderWithoutTokenizerHasNone() {
    assertTrue(TokenizerFiles.find(folder).isEmpty());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "{|is not JSON",
        "[]|does not hold a JSON object",
        "{}|has no model.vocab",
        "{\"model\":{\"vocab\":{\"a\":-1}}}|the id -1",
        "{\"model\":{\"vocab\":{\"a\":2000000000}}}|ids up to",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"x\",\"y\"]]}}|cannot be"
            + " read",
        "{\"model\":{\"vocab\":{\"a\":2147483647}}}|the id 2147483647",
        "{\"model\":{\"vocab\":{\"a\":1.5}}}|the id 1.5",
        "{\"model\":{\"vocab\":[[\"a\",0.1],2]}}|no token with a score",
        "{\"added_tokens\":[{\"id\":1}],\"model\":{\"vocab\":{\"a\":0}}}|without id or content",
        "{\"model\":{\"vocab\":{\"a\":0}}} {}|goes on behind",
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}]},\"model\":{\"vocab\":{\"a\":0}}}|type"
            + " Precompiled",
        "{\"model\":{\"type\":\"None\",\"vocab\":{\"a\":0}}}|cannot be read"
      })
  void refusesABrokenFile(String json, String why) throws IOException {
    Files.writeString(folder.resolve("tokenizer.json"), json);
    InputException e = assertThrows(InputException.class, () -> TokenizerFiles.find(folder));
    assertTrue(e.getMessage().contains(why), e.getMessage());
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
  }

  private static long[] longs(JsonNode list) {
    return IntStream.range(0, list.size()).mapToLong(i -> list.get(i).longValue()).toArray();
  }
}
