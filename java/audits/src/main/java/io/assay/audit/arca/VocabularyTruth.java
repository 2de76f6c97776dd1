package io.assay.audit.arca;

import static io.assay.audit.Statement.near;
import static io.assay.audit.Statement.same;
import static io.assay.audit.Statement.skipped;

import io.assay.audit.Statement;
import io.assay.audit.arca.ArcaSpec.CopyFilter;
import io.assay.engine.InputException;
import io.assay.engine.model.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the official copy filter forbids of the released GPT-2 vocabulary (specs/arca.md 3.4). The
 * vocabulary is not part of the project: a folder has to be named.
 */
final class VocabularyTruth {
  private static final String NAMES = "senators.txt";
  private static final int TOKENS = 50257;

  /** Above this many forbidden tokens, hardly any prompt is left. */
  private static final int MOST = 40000;

  private final Path folder;

  /**
   * @param folder with the {@code tokenizer.json} of GPT-2 and perhaps {@code senators.txt}; or
   *     null
   */
  VocabularyTruth(Path folder) {
    this.folder = folder;
  }

  List<Statement> statements() {
    if (folder == null) {
      return List.of(
          skipped(
              "arca.9",
              "tokens that the official copy filter forbids",
              "needs the released GPT-2 tokenizer: --gpt2-tokenizer DIR"));
    }
    Tokenizer tokenizer = Tokenizer.read(folder);
    List<Statement> s = new ArrayList<>();
    s.add(same("arca.9.vocabulary", "tokens of the released GPT-2", TOKENS, tokenizer.size()));
    if (s.getFirst().failed()) {
      return s;
    }
    String[] texts = new String[TOKENS];
    Arrays.setAll(texts, v -> tokenizer.decode(v));
    Map<String, Integer> expected = new LinkedHashMap<>();
    expected.put(" Dan Sullivan", 193);
    expected.put(" Lisa Murkowski", 179);
    expected.put(" bad", 376);
    expected.put(" damn", 22);
    expected.put(" Angus King", 48);
    expected.put(" Chris Van Hollen", 2288);
    expected.forEach(
        (name, count) ->
            s.add(
                near(
                    "arca.9." + name.strip().replace(' ', '-'),
                    "tokens forbidden for '" + name + "'",
                    count,
                    forbidden(tokenizer, texts, name),
                    10)));
    s.add(senators(tokenizer, texts));
    return s;
  }

  private Statement senators(Tokenizer tokenizer, String[] texts) {
    String id = "arca.9.senators";
    String words = "of 100 senators, those for whom it forbids more than " + MOST + " tokens";
    Path file = folder.resolve(NAMES);
    if (!Files.exists(file)) {
      return skipped(id, words, "there is no " + NAMES + " in " + folder);
    }
    try {
      List<String> names = Files.readAllLines(file);
      long many = names.stream().filter(name -> forbidden(tokenizer, texts, name) > MOST).count();
      return same(id, words, "24 of 100", many + " of " + names.size());
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read as UTF-8 text", e);
    }
  }

  private static int forbidden(Tokenizer tokenizer, String[] texts, String name) {
    List<Integer> output =
        Arrays.stream(tokenizer.encode(name)).mapToObj(Math::toIntExact).toList();
    return TokenConstraints.copies(CopyFilter.OFFICIAL, v -> texts[v], TOKENS, output)
        .cardinality();
  }
}
