package io.assay.audit.arca;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.assay.engine.Engine;
import io.assay.engine.InputException;
import io.assay.engine.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Token sets of a byte-level vocabulary of 512, against their sizes and sums of ids as Python's
 * {@code str} methods and {@code unicodedata} give them for the same texts.
 */
class TokenSetsTest {
  private static Engine engine;
  private static TokenSets sets;

  @TempDir Path dir;

  @BeforeAll
  static void open() {
    engine = Engine.open();
    sets = new TokenSets(engine.languageModel("../engine/src/test/resources/gpt2-tiny"));
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  @ParameterizedTest
  @CsvSource({
    "letters, 260, 83291",
    "lowercase, 437, 111283",
    "ascii, 321, 85467",
    "printable, 324, 93025",
    "regex:^ [a-z]+$, 62, 24412",
    "contains:He, 9, 3252",
    "special, 1, 511",
  })
  void byTheTextsOfTokens(String name, int size, long sum) {
    TokenSet set = sets.set(name);
    assertEquals(size, set.size());
    assertEquals(sum, set.ids().stream().asLongStream().sum());
    TokenSet others = sets.set("not_" + name);
    assertEquals(512 - size, others.size());
    assertFalse(others.ids().intersects(set.ids()));
    assertEquals("not_" + name, others.name());
    assertEquals(set.ids(), sets.set("not_not_" + name).ids());
  }

  @Test
  void byId() {
    assertEquals(ids(3, 7, 511), ids(sets.set("ids:7, 3,511,7")));
  }

  @Test
  void ofATableAndOfAList() throws IOException {
    Path table = dir.resolve("u.csv");
    Files.writeString(
        table,
        IntStream.range(0, 512)
            .mapToObj(v -> v == 5 ? "-1" : v == 400 || v == 9 ? "-2" : "-3")
            .collect(Collectors.joining("\n")));
    assertEquals(ids(5), ids(sets.set("top:1:" + table)));
    assertEquals(ids(0, 1, 5, 9, 400), ids(sets.set("top:5:" + table)));
    Path list = Files.writeString(dir.resolve("ranked.txt"), "17\n3\n\n5\n1\n");
    assertEquals(ids(3, 5, 17), ids(sets.set("first:3:" + list)));
    assertEquals(ids(1, 3, 5, 17), ids(sets.set("first:9:" + list)));
  }

  @Test
  void whatSetsShareWithoutWhatIsForbidden() {
    assertNull(sets.allowed(List.of(), List.of()));
    TokenSet set = sets.allowed(List.of("letters", "ascii"), List.of("lowercase"));
    assertEquals("letters and ascii and not_lowercase", set.name());
    set.ids().stream()
        .forEach(
            id ->
                assertTrue(
                    sets.set("letters").contains(id)
                        && sets.set("ascii").contains(id)
                        && !sets.set("lowercase").contains(id)));
    assertTrue(set.contains('A' - 33) && !set.contains('a' - 33), "the first ids are printable");
    assertEquals(ids(1, 2), ids(sets.allowed(List.of("ids:1,2,3"), List.of("ids:3,4"))));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "shouting",
        "not_",
        "ids:",
        "ids:512",
        "ids:x",
        "regex:(",
        "contains:",
        "top:5",
        "top:0:u",
        "top:3:missing.npy",
        "first:2:missing.txt",
        "first:x:u",
        "letters:3"
      })
  void whatIsWrongIsNamed(String name) {
    String message =
        assertThrows(InputException.class, () -> sets.allowed(List.of(name), List.of()))
            .getMessage();
    String named = name.contains("missing") ? "missing" : name.replace("not_", "");
    assertTrue(message.contains(named), message);
    assertFalse(message.contains("\n"), message);
  }

  @Test
  void withoutTextsOnlyIdsCount() {
    TokenSets bare = new TokenSets(Toys.a(DType.F64));
    assertEquals(ids(3, 31), ids(bare.set("ids:3,31")));
    assertEquals(30, bare.set("not_ids:3,31").size());
    String message = assertThrows(InputException.class, () -> bare.set("letters")).getMessage();
    assertTrue(message.contains("letters") && message.contains("no tokenizer"), message);
  }

  private static List<Integer> ids(int... ids) {
    return IntStream.of(ids).boxed().toList();
  }

  private static List<Integer> ids(TokenSet set) {
    return set.ids().stream().boxed().toList();
  }
}
