package io.assay.audit.ioi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Prompts as others publish them, and records that lack something. */
class TaskFilesTest {
  private static final String RELEASED =
      """
      [{"text": "Then, Mary and John went to the store. John gave a ring to Mary",
        "IO": "Mary", "S": "John", "TEMPLATE_IDX": 0, "[PLACE]": "store", "[OBJECT]": "ring"},
       {"text": "After Tom and Dan went to the park, Tom gave a kiss to Dan",
        "IO": "Dan", "S": "Tom"},
       {"text": "While Amy and Sid were working at the office, Sid gave a bone to Amy",
        "IO": "Amy", "S": "Sid"}]
      """;
  private static final String AUTO_CIRCUIT =
      """
      {"word_idxs": {"IO": 2, "IO-1": 1, "S1": 4, "S1+1": 5, "S2": 10, "end": 14},
       "prompts": [{"clean": "Then, Mary and John went to the store. John gave a ring to",
                    "corrupt": "Then, Tom and Dan went to the store. Amy gave a ring to",
                    "answers": [" Mary"], "wrong_answers": [" John"]}]}
      """;
  private static final String EAP =
      """
      ,clean,corrupted,corrupted_hard,correct_idx,incorrect_idx
      0,"Then, Mary and John went home. John gave it to","Then, Mary and John went home. Tom gave \
      it to","Then, Mary and John went home. Mary gave it to",10455,3842
      """;

  @TempDir private Path folder;

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("file"), text);
  }

  private void refused(String text, String naming) throws IOException {
    Path file = file(text);
    InputException e =
        assertThrows(
            InputException.class,
            () -> TaskFiles.read(file, 1).forEach(p -> p.check(new WholeWords())));
    assertTrue(e.getMessage().contains(naming), e.getMessage());
  }

  @Test
  void recordsOfTheReleasedCodeGetPartners() throws IOException {
    List<TextPair> pairs = TaskFiles.read(file(RELEASED), 1);
    assertEquals(3, pairs.size());
    TextPair first = pairs.getFirst().check(new WholeWords());
    assertEquals("Then, Mary and John went to the store. John gave a ring to", first.clean());
    assertEquals(" Mary", first.answer());
    assertEquals(" John", first.wrong());
    Set<String> all = Set.of("Mary", "John", "Tom", "Dan", "Amy", "Sid");
    Set<String> names = new HashSet<>(List.of(first.corrupt().split("[ ,.]+")));
    names.retainAll(all);
    assertEquals(3, names.size(), first.corrupt());
    assertTrue(!names.contains("Mary") && !names.contains("John"), first.corrupt());
    assertEquals(pairs, TaskFiles.read(folder.resolve("file"), 1));
    String lines = RELEASED.replaceAll("(?s)[\\[\\]]\\s*$|^\\[", "").replace("},\n", "}\n");
    assertEquals(
        pairs.get(2).clean(), TaskFiles.read(file(lines), 1).get(2).clean(), "a record a line");
  }

  @Test
  void pairsOfAutoCircuit() throws IOException {
    TextPair pair = TaskFiles.read(file(AUTO_CIRCUIT), 1).getFirst().check(new WholeWords());
    assertEquals("Then, Tom and Dan went to the store. Amy gave a ring to", pair.corrupt());
    assertEquals(" Mary", pair.answer());
    assertEquals(" John", pair.wrong());
    assertEquals(Map.of("IO", 2, "S1", 4, "S1+1", 5, "S2", 10, "END", 14), pair.positions());
  }

  @Test
  void namesOfEapAreReadFromTheTexts() throws IOException {
    TextPair pair = TaskFiles.read(file(EAP), 1).getFirst().check(new WholeWords());
    assertEquals(" Mary", pair.answer());
    assertEquals(" John", pair.wrong());
    assertEquals("Then, Mary and John went home. Tom gave it to", pair.corrupt());
  }

  @Test
  void aBadRecordIsNamed() throws IOException {
    refused(RELEASED.replace("\"S\": \"Tom\"", "\"T\": \"Tom\""), "record 1");
    refused(RELEASED.replace("\"S\": \"Sid\"", "\"S\": \"Amy\""), "record 2");
    refused(RELEASED.replace("to Dan\"", "to Tom\""), "record 1");
    refused(AUTO_CIRCUIT.replace("\"end\": 14", "\"end\": 15"), "END at token 15 of 15");
    refused(AUTO_CIRCUIT.replace("Amy gave", "Amy slowly gave"), "15 tokens in the prompt and 16");
    refused(AUTO_CIRCUIT.replace("[\" Mary\"]", "[\" O'Neil\"]"), "' O'Neil', which is");
    refused(AUTO_CIRCUIT.replace("[\" John\"]", "[\" Mary\"]"), "same name as IO and S");
    refused(AUTO_CIRCUIT.replace("[\" John\"]", "[]"), "wrong_answers");
    refused(EAP.replace("corrupted_hard", "hard"), "no column corrupted_hard");
    refused(EAP.replace("Tom gave it", "Tom took it"), "more than one word");
    refused(EAP + "1,\"x\"\n", "record 1");
    refused("{\"text\": ", "not JSON");
    refused("[]", "no prompt");
    refused("", "no column clean");
  }
}
