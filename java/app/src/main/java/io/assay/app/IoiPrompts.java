package io.assay.app;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.assay.audit.ioi.Form;
import io.assay.audit.ioi.IoiSpec;
import io.assay.audit.ioi.WordLists;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine.Option;

/** The options that say which prompts of the task are drawn. */
final class IoiPrompts {
  /** Forms to draw from. */
  enum Forms {
    BABA(Form.BABA),
    ABBA(Form.ABBA),
    BOTH(Form.BABA, Form.ABBA);

    private final List<Form> forms;

    Forms(Form... forms) {
      this.forms = List.of(forms);
    }
  }

  /** Those of these options that only matter where prompts are drawn; the others also elsewhere. */
  static final String[] DRAWING = {
    "--prompts", "--templates", "--form", "--names", "--places", "--objects", "--legacy-collisions"
  };

  @Option(
      names = "--prompts",
      paramLabel = "N",
      defaultValue = "100",
      description = "How many prompts (default: 100).")
  private int prompts;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of the prompts (default: 0).")
  private long seed;

  @Option(
      names = "--templates",
      paramLabel = "all|mixed|N,N,...",
      defaultValue = "all",
      description =
          "Templates, numbered 0 to 14; mixed are the first 7, as in the released code (default:"
              + " all).")
  private String templates;

  @Option(
      names = "--form",
      paramLabel = "both|baba|abba",
      defaultValue = "both",
      description = "Which name comes first: S (baba), IO (abba), or either (default: both).")
  private Forms form;

  @Option(
      names = "--names",
      paramLabel = "FILE",
      description =
          "First names, one a line or as a JSON list; each must be one token (default: those of a"
              + " list of common ones that are).")
  private Path names;

  @Option(names = "--places", paramLabel = "FILE", description = "The same for places.")
  private Path places;

  @Option(names = "--objects", paramLabel = "FILE", description = "The same for objects.")
  private Path objects;

  @Option(
      names = "--legacy-collisions",
      description =
          "Draw the names of corrupted prompts as the released code does, which may repeat one.")
  private boolean legacyCollisions;

  long seed() {
    return seed;
  }

  /**
   * The specification.
   *
   * @throws InputException if an option has no meaning, or a file cannot be read
   */
  IoiSpec spec(boolean bos) {
    WordLists usual = WordLists.DEFAULT;
    boolean pool = names == null && places == null && objects == null;
    WordLists words =
        new WordLists(
            names == null ? usual.names() : words("--names", names),
            places == null ? usual.places() : words("--places", places),
            objects == null ? usual.objects() : words("--objects", objects),
            pool);
    return new IoiSpec(prompts, seed, numbers(), form.forms, words, bos, legacyCollisions);
  }

  private List<Integer> numbers() {
    switch (templates) {
      case "all":
        return IoiSpec.ALL;
      case "mixed":
        return IoiSpec.MIXED;
      default:
        List<Integer> numbers = new ArrayList<>();
        for (String part : templates.split(",", -1)) {
          if (!part.strip().matches("\\d{1,4}")) {
            throw new InputException(
                "--templates holds '" + part + "'; write all, mixed, or numbers such as 0,3,7");
          }
          numbers.add(Integer.parseInt(part.strip()));
        }
        return numbers;
    }
  }

  private static List<String> words(String option, Path file) {
    String text;
    try {
      text = Files.readString(file).strip();
    } catch (IOException e) {
      throw new InputException("the file " + file + " of " + option + " cannot be read", e);
    }
    if (!text.startsWith("[")) {
      return Arrays.stream(text.split("\\R")).map(String::strip).filter(w -> !w.isEmpty()).toList();
    }
    try {
      return List.of(Envelope.JSON.readValue(text, String[].class));
    } catch (JsonProcessingException | NullPointerException e) {
      throw new InputException(
          "the file " + file + " of " + option + " is no JSON list of words", e);
    }
  }

  /** Writes into the record of a run what decides the prompts. */
  static void describe(ObjectNode node, IoiSpec spec, WordLists words) {
    node.put("prompts", spec.prompts()).put("seed", spec.seed());
    node.set("templates", Envelope.JSON.valueToTree(spec.templates()));
    node.set("forms", Envelope.JSON.valueToTree(spec.forms()));
    node.put("bos", spec.bos()).put("legacyCollisions", spec.legacyCollisions());
    node.set("names", Envelope.JSON.valueToTree(words.names()));
    node.set("places", Envelope.JSON.valueToTree(words.places()));
    node.set("objects", Envelope.JSON.valueToTree(words.objects()));
  }
}
