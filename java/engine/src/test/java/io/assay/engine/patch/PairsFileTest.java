package io.assay.engine.patch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files of pairs, with the tiny GPT-2's tokenizer. */
class PairsFileTest extends TinyPairs {
  @TempDir Path folder;

  private List<Pair> read(String text, boolean bos) {
    Path file = folder.resolve("pairs.jsonl");
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return PairsFile.read(file, tiny(), bos);
  }

  private void refused(String text, String words) {
    InputException e = assertThrows(InputException.class, () -> read(text, false));
    assertTrue(e.getMessage().contains(words), e.getMessage());
  }

  @Test
  void idsTextsAndNamedPositions() {
    Pair ids =
        read("{\"clean_ids\":[1,2],\"corrupt_ids\":[3,2],\"answer\":4,\"wrong\":5}\n\n", false)
            .getFirst();
    assertEquals(new Pair(List.of(1, 2), List.of(3, 2), 4, 5, Map.of()), ids);
    String texts =
        "{\"clean\":\"the cat\",\"corrupt\":\"the cat\",\"answer\":\"a\",\"wrong\":\"b\","
            + "\"positions\":{\"END\":1},\"template\":[]}";
    Pair plain = read(texts, false).getFirst();
    Pair begun = read(texts, true).getFirst();
    assertEquals(511, begun.clean().getFirst());
    assertEquals(plain.clean(), begun.clean().subList(1, begun.length()));
    assertEquals(Map.of("END", 1), plain.positions());
    assertEquals(Map.of("END", 2), begun.positions());
    assertEquals(List.of(64, 65), List.of(plain.answer(), plain.wrong()));
  }

  @Test
  void promptsOfDifferentLengthsAreShownWhereTheyPart() {
    refused(
        "{\"clean_ids\":[1,2,3],\"corrupt_ids\":[1,4],\"answer\":4,\"wrong\":5}",
        "has 3 tokens in clean and 2 in corrupt; they part at token 1");
  }

  @Test
  void linesThatAreNoPairs() {
    refused("", "holds no pair");
    refused("[1]", "line 1");
    refused("{\"clean\":\"a\",\"clean_ids\":[1]}", "needs one of clean and clean_ids");
    refused("{\"clean\":\"\",\"corrupt\":\"\"}", "empty clean");
    refused("{\"clean_ids\":[512],\"corrupt_ids\":[1]}", "the id 512");
    refused("{\"clean_ids\":[1.5],\"corrupt_ids\":[1]}", "write integers");
    String start = "{\"clean_ids\":[1],\"corrupt_ids\":[2],\"answer\":";
    refused(start + "\"a b c\",\"wrong\":1}", "tokens; give one of a single token");
    refused(start + "1,\"wrong\":1}", "the same token");
    refused(start + "1}", "needs wrong");
    refused(start + "1,\"wrong\":2,\"positions\":{\"END\":1}}", "the position END is 1");
    refused(
        "\n\n" + start + "1,\"wrnog\":2}",
        "pairs.jsonl has the field wrnog, which is not read; write wrong");
    refused("\n\n" + start + "1,\"wrong\":2,\"position\":{}}", "line 3 of");
    refused(start + "1,\"answer\":1,\"wrong\":2}", "is not JSON");
  }
}
