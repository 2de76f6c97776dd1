package io.assay.audit.ioi;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.assay.engine.InputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Reads prompts of the task as others have published them (specs/ioi.md 5.1), told apart by what is
 * in the file:
 *
 * <ul>
 *   <li>AutoCircuit: a JSON object with {@code word_idxs} and {@code prompts};
 *   <li>the released code: a JSON list, or a line each, of {@code text}, {@code IO}, {@code S}; it
 *       has no corrupted prompts, which are made with three other names of the file;
 *   <li>EAP-IG: CSV with {@code clean}, {@code corrupted} and {@code corrupted_hard}, whose names
 *       are read from the texts, since its ids are of one tokenizer.
 * </ul>
 */
public final class TaskFiles {
  /** Largest file, in bytes. */
  private static final long MOST_BYTES = 64 << 20;

  private static final JsonMapper JSON =
      JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  private final Path file;

  private TaskFiles(Path file) {
    this.file = file;
  }

  /**
   * The pairs of a file.
   *
   * @param seed of the names of corrupted prompts, where the file has none
   * @throws InputException if it is of no kind that is known, or a record lacks something; the
   *     message names the record
   */
  public static List<TextPair> read(Path file, long seed) {
    String text;
    try {
      if (Files.size(file) > MOST_BYTES) {
        throw new InputException("the file " + file + " has more than 64 MiB; split it");
      }
      text = Files.readString(file).strip();
    } catch (NoSuchFileException e) {
      throw new InputException("there is no file " + file, e);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read as UTF-8 text", e);
    }
    TaskFiles reader = new TaskFiles(file);
    List<TextPair> pairs =
        text.startsWith("{") || text.startsWith("[") ? reader.json(text, seed) : reader.table(text);
    if (pairs.isEmpty()) {
      throw new InputException("the file " + file + " holds no prompt");
    }
    return pairs;
  }

  private String at(int record) {
    return "record " + record + " of " + file;
  }

  // ---- JSON ----

  private List<TextPair> json(String text, long seed) {
    List<JsonNode> records = new ArrayList<>();
    try (var values = JSON.readerFor(JsonNode.class).<JsonNode>readValues(text)) {
      while (values.hasNextValue()) {
        JsonNode value = values.nextValue();
        if (value.isArray()) {
          value.forEach(records::add);
        } else {
          records.add(value);
        }
      }
    } catch (JacksonException e) {
      throw new InputException("the file " + file + " is not JSON: " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new InputException("the file " + file + " cannot be read", e);
    }
    if (records.size() == 1 && records.getFirst().has("prompts")) {
      return autoCircuit(records.getFirst());
    }
    return released(records, seed);
  }

  private String field(JsonNode record, int index, String name) {
    JsonNode value = record.path(name);
    if (!value.isTextual() || value.textValue().isBlank()) {
      throw new InputException(at(index) + " has no text " + name);
    }
    return value.textValue();
  }

  private List<TextPair> autoCircuit(JsonNode root) {
    Map<String, Integer> positions = new LinkedHashMap<>();
    JsonNode named = root.path("word_idxs");
    for (String name : List.of("IO", "S1", "S1+1", "S2", "end")) {
      if (named.path(name).isInt()) {
        positions.put(name.equals("end") ? "END" : name, named.path(name).intValue());
      }
    }
    List<TextPair> pairs = new ArrayList<>();
    for (JsonNode prompt : root.path("prompts")) {
      int index = pairs.size();
      pairs.add(
          new TextPair(
              at(index),
              field(prompt, index, "clean"),
              field(prompt, index, "corrupt"),
              first(prompt, index, "answers"),
              first(prompt, index, "wrong_answers"),
              positions));
    }
    return pairs;
  }

  private String first(JsonNode prompt, int index, String name) {
    JsonNode list = prompt.path(name);
    if (!list.isArray() || list.size() != 1 || !list.get(0).isTextual()) {
      throw new InputException(at(index) + " needs one text in the list " + name);
    }
    return list.get(0).textValue();
  }

  private List<TextPair> released(List<JsonNode> records, long seed) {
    Set<String> all = new LinkedHashSet<>();
    for (int i = 0; i < records.size(); i++) {
      all.add(field(records.get(i), i, "IO"));
      all.add(field(records.get(i), i, "S"));
    }
    List<String> names = List.copyOf(all);
    if (!records.isEmpty() && names.size() < 5) {
      throw new InputException(
          "the file "
              + file
              + " has "
              + names.size()
              + " names; corrupted prompts of three other names need 5 or more");
    }
    SplittableRandom random = new SplittableRandom(seed);
    List<TextPair> pairs = new ArrayList<>();
    for (int i = 0; i < records.size(); i++) {
      String io = field(records.get(i), i, "IO");
      String s = field(records.get(i), i, "S");
      String text = field(records.get(i), i, "text");
      if (!text.endsWith(" " + io)) {
        throw new InputException(at(i) + " has a text that does not end in its IO, " + io);
      }
      String prompt = text.substring(0, text.length() - io.length() - 1);
      List<String> others = new ArrayList<>(List.of(io, s));
      while (others.size() < 5) {
        String name = names.get(random.nextInt(names.size()));
        if (!others.contains(name)) {
          others.add(name);
        }
      }
      pairs.add(
          new TextPair(
              at(i),
              prompt,
              corrupt(i, prompt, io, s, others.subList(2, 5)),
              " " + io,
              " " + s,
              Map.of()));
    }
    return pairs;
  }

  /** The prompt with other names for its IO, its first S and its second S. */
  private String corrupt(int index, String prompt, String io, String s, List<String> names) {
    String[] words = prompt.split("(?<=\\b)|(?=\\b)");
    int ios = 0;
    int subjects = 0;
    for (int w = 0; w < words.length; w++) {
      if (words[w].equals(io)) {
        ios++;
        words[w] = names.get(0);
      } else if (words[w].equals(s)) {
        subjects++;
        words[w] = names.get(Math.min(subjects, 2));
      }
    }
    if (ios != 1 || subjects != 2) {
      throw new InputException(
          at(index)
              + " names IO "
              + ios
              + " times and S "
              + subjects
              + " times before the answer, where 1 and 2 are needed");
    }
    return String.join("", words);
  }

  // ---- CSV ----

  private List<TextPair> table(String text) {
    List<List<String>> rows = rows(text);
    List<String> header = rows.getFirst();
    int clean = column(header, "clean");
    int corrupted = column(header, "corrupted");
    int hard = column(header, "corrupted_hard");
    List<TextPair> pairs = new ArrayList<>();
    for (List<String> row : rows.subList(1, rows.size())) {
      int index = pairs.size();
      if (row.size() != header.size()) {
        throw new InputException(
            at(index) + " has " + row.size() + " fields, the header " + header.size());
      }
      String s = differing(index, row.get(clean), row.get(corrupted));
      String io = differing(index, row.get(hard), row.get(clean));
      pairs.add(
          new TextPair(at(index), row.get(clean), row.get(corrupted), " " + io, " " + s, Map.of()));
    }
    return pairs;
  }

  private int column(List<String> header, String name) {
    int at = header.indexOf(name);
    if (at < 0) {
      throw new InputException(
          "the file "
              + file
              + " has no column "
              + name
              + ", and is no JSON; give a file of the released IOI code, AutoCircuit or EAP-IG");
    }
    return at;
  }

  /** The one word of a text that another text has another word for. */
  private String differing(int index, String text, String other) {
    String[] words = text.split(" ");
    String[] others = other.split(" ");
    String found = null;
    for (int i = 0; i < words.length && words.length == others.length; i++) {
      if (!words[i].equals(others[i])) {
        if (found != null) {
          throw new InputException(at(index) + " has prompts that differ in more than one word");
        }
        found = words[i];
      }
    }
    if (found == null) {
      throw new InputException(at(index) + " has prompts that do not differ in one word");
    }
    return found;
  }

  /** Rows of a table with commas, fields in double quotes where they hold any (RFC 4180). */
  private static List<List<String>> rows(String text) {
    List<List<String>> rows = new ArrayList<>();
    List<String> row = new ArrayList<>();
    StringBuilder field = new StringBuilder();
    boolean quoted = false;
    for (int i = 0; i <= text.length(); i++) {
      char c = i < text.length() ? text.charAt(i) : '\n';
      if (c == '"') {
        if (quoted && i + 1 < text.length() && text.charAt(i + 1) == '"') {
          field.append(c);
          i++;
        } else {
          quoted = !quoted;
        }
      } else if (!quoted && (c == ',' || c == '\n')) {
        row.add(field.toString());
        field.setLength(0);
        if (c == '\n') {
          rows.add(row);
          row = new ArrayList<>();
        }
      } else if (quoted || c != '\r') {
        field.append(c);
      }
    }
    return rows;
  }
}
